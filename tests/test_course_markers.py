"""Marks in an annotated solution: what is marked is never given away."""

import re
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn.course import TaskError
from scratchnn.course.markers import (
    blocks,
    public_tests,
    secret_lines,
    solution_text,
    student_text,
)

TASK = '### BEGIN TESTS\ntask("3.2", "kl", points=1)\n### END TESTS\n'


def source(text):
    return textwrap.dedent(text).lstrip("\n") + TASK


# ---- the forms of marks ---------------------------------------------------------
FORMS = {
    "nbgrader's pair": (
        """
        def kl(x):
            ### BEGIN SOLUTION
            y = x * x
            return y
            ### END SOLUTION
        """,
        """
        def kl(x):
            raise NotImplementedError("Task 3.2: kl")
        """,
    ),
    "otter's pair, in one branch": (
        """
        def kl(x):
            if x:
                # BEGIN SOLUTION
                x = 2
                # END SOLUTION
            return x
        """,
        """
        def kl(x):
            if x:
                raise NotImplementedError("Task 3.2: kl")
            return x
        """,
    ),
    "no prompt": (
        """
        def kl(x):
            # BEGIN SOLUTION NO PROMPT
            x = x + 1
            # END SOLUTION
            return x
        """,
        """
        def kl(x):
            return x
        """,
    ),
    "lines, one run of them": (
        """
        def kl(x):
            a, b = x  # SOLUTION
            c = (a +
                 b)  # SOLUTION
            print(c)  # SOLUTION NO PROMPT
            return c  # SOLUTION
        """,
        """
        def kl(x):
            raise NotImplementedError("Task 3.2: kl")
            a, b = ...
            c = ...
            raise NotImplementedError("Task 3.2: kl")
        """,
    ),
    "a bug to find": (
        """
        def kl(x):
            # BEGIN SOLUTION NO PROMPT
            return x + 1
            # END SOLUTION
            \""" # BEGIN PROMPT
            return x + 2  # plus?
            \"""; # END PROMPT
        """,
        """
        def kl(x):
            return x + 2  # plus?
        """,
    ),
    "a scaffold": (
        """
        def kl(x):
            # BEGIN SOLUTION
            return x + 1
            # END SOLUTION
            ''' # BEGIN PROMPT
            y = ...
            return y
            ''' # END PROMPT
        """,
        """
        def kl(x):
            raise NotImplementedError("Task 3.2: kl")
            y = ...
            return y
        """,
    ),
    "tests go with their space": (
        """
        A = 1


        ### BEGIN HIDDEN TESTS
        B = 2
        ### END HIDDEN TESTS


        def kl(x):
            return x
        """,
        """
        A = 1


        def kl(x):
            return x
        """,
    ),
    "marks in strings are text": (
        '''
        def kl(x):
            """Doc.

            ### BEGIN SOLUTION
            # END SOLUTION of a text
            """
            return "# SOLUTION"
        ''',
        '''
        def kl(x):
            """Doc.

            ### BEGIN SOLUTION
            # END SOLUTION of a text
            """
            return "# SOLUTION"
        ''',
    ),
}


@pytest.mark.parametrize("marked, released", FORMS.values(), ids=FORMS)
def test_each_form_becomes_its_stub(marked, released):
    assert student_text(source(marked), "toy.py") == textwrap.dedent(released).lstrip()


def test_the_solution_without_marks_is_what_one_would_hand_in():
    text = solution_text(source(FORMS["lines, one run of them"][0]), "toy.py")
    assert "SOLUTION" not in text and "print(c)" in text and "return c\n" in text
    text = solution_text(source(FORMS["a bug to find"][0]), "toy.py")
    assert text == "def kl(x):\n    return x + 1\n"


def test_public_tests_stand_where_they_stood_and_hidden_ones_are_gone():
    hidden = "### BEGIN HIDDEN TESTS\nHIDDEN = 1\n### END HIDDEN TESTS\n"
    text = public_tests(source(FORMS["nbgrader's pair"][0]) + hidden, "toy.py")
    assert text.endswith(TASK) and "HIDDEN" not in text and "x * x" not in text
    assert [block.kind for block in blocks(text, "toy.py")] == ["tests"]


def test_a_block_names_its_lines():
    found = blocks(source(FORMS["a bug to find"][0]), "toy.py")
    assert [b[:3] for b in found] == [
        *(("solution", 2, 4), ("prompt", 5, 7), ("tests", 8, 10))
    ]


def test_line_ends_of_windows_change_nothing():
    text = source(FORMS["nbgrader's pair"][0])
    assert student_text(text.replace("\n", "\r\n"), "t") == student_text(text, "t")


# ---- wrong marks ----------------------------------------------------------------
WRONG = {
    "no end": (
        *(2, "write # END SOLUTION"),
        "def kl(x):\n    ### BEGIN SOLUTION\n    pass",
    ),
    "no begin": (3, "without a BEGIN", "def kl(x):\n    pass\n    ### END SOLUTION"),
    "nested": (
        *(3, "inside what begins in line 2"),
        "def kl(x):\n    # BEGIN SOLUTION\n    # BEGIN SOLUTION\n    pass\n"
        "    # END SOLUTION\n    # END SOLUTION",
    ),
    "another's end": (
        *(4, "write # END SOLUTION first"),
        "def kl(x):\n    # BEGIN SOLUTION\n    pass\n    # END TESTS",
    ),
    "a line in a block": (
        *(3, "inside what begins in line 2"),
        "def kl(x):\n    # BEGIN SOLUTION\n    pass  # SOLUTION\n    # END SOLUTION",
    ),
    "typo": (2, "BEGIN SOLUTION'", "def kl(x):\n    ### BEGIN SOLUTON\n    pass"),
    "typo in the end": (
        *(4, "END SOLUTION'"),
        "def kl(x):\n    ### BEGIN SOLUTION\n    pass\n    ### END SOLUTOIN",
    ),
    "small letters": (2, "is no mark", "def kl(x):\n    ### begin solution\n    pass"),
    "unknown": (2, "is no mark", "def kl(x):\n    ### HIDDEN\n    pass"),
    "more words": (2, "is no mark", "def kl(x):\n    pass  # SOLUTION: 3"),
    "alone": (2, "must end a line", "def kl(x):\n    # SOLUTION\n    pass"),
    "beside code": (
        *(2, "alone on its line"),
        "def kl(x):\n    y = 1  ### BEGIN SOLUTION\n    pass\n    ### END SOLUTION",
    ),
    "end indented": (
        *(4, "not indented as its BEGIN"),
        "def kl(x):\n    ### BEGIN SOLUTION\n    pass\n  ### END SOLUTION",
    ),
    "indented as no code is": (
        *(2, "same column, 5"),
        "def kl(x):\n  ### BEGIN SOLUTION\n    pass\n  ### END SOLUTION",
    ),
    "empty": (
        *(2, "without code"),
        "def kl(x):\n    # BEGIN SOLUTION\n    # END SOLUTION\n    pass",
    ),
    "half an if": (
        *(3, "only a part"),
        "def kl(x):\n    # BEGIN SOLUTION\n    if x:\n        y = 1\n"
        "    # END SOLUTION\n        y = 2",
    ),
    "an else": (
        *(5, "only a part"),
        "def kl(x):\n    if x:\n        y = 1\n    # BEGIN SOLUTION\n    else:\n"
        "        y = 2\n    # END SOLUTION",
    ),
    "a decorator's function": (
        *(3, "only a part"),
        "@print\n# BEGIN SOLUTION\ndef kl(x):\n    pass\n# END SOLUTION",
    ),
    "a first line": (1, "only a part", "def kl(x):  # SOLUTION\n    pass"),
    "brackets": (3, "inside brackets", "def kl(x):\n    y = [\n    1,  # SOLUTION\n]"),
    "no task": (2, 'task("1.1", "other"', "def other(x):\n    return x  # SOLUTION"),
    "no function": (1, "outside of functions", "y = 3  # SOLUTION"),
    "tests in a function": (
        *(2, "outside of functions"),
        "def kl(x):\n    ### BEGIN TESTS\n    pass\n    ### END TESTS",
    ),
    "an empty body": (
        *(3, "no longer Python"),
        "def kl(x):\n    pass  # SOLUTION NO PROMPT\ny = 1",
    ),
    "prompt without end": (
        *(2, 'write \""" # END PROMPT'),
        'def kl(x):\n    \""" # BEGIN PROMPT\n    y = 1\n    \"""',
    ),
    "prompt as comments": (
        *(2, "goes with a string"),
        "def kl(x):\n    # BEGIN PROMPT\n    pass",
    ),
    "a prompt in a statement": (
        *(2, "string alone"),
        'def kl(x):\n    \""" # BEGIN PROMPT\n    \""" + x  # END PROMPT',
    ),
    "no Python": (2, "not Python", "def kl(x):\n    return (\n"),
    "a form feed": (2, "control character", "def kl(x):\n\f    pass"),
}


@pytest.mark.parametrize("line, words, text", WRONG.values(), ids=WRONG)
def test_wrong_marks_are_named_with_file_and_line(line, words, text):
    text = f'{text}\ntask("3.2", "kl")\n'
    with pytest.raises(TaskError, match=rf"^toy\.py:{line}: ") as caught:
        student_text(text, "toy.py")
    assert words in str(caught.value)


def test_comments_that_are_no_marks_stay():
    comments = "# the solution is on page 3\n# begin with the last node\n# %% part 2\n"
    text = source(f"{comments}def kl(x):\n    return x\n")
    assert student_text(text, "toy.py").startswith(comments)


# ---- whatever is marked ---------------------------------------------------------
# Each line holds a name of its own, t0, t1, ..., where § stands.
PROGRAM = '''\
import functools as §
def kl(x=§):
    """Doc §.

    More §.
    """
    a = §
    if §:
        b = [
            §,
            (x, §),
        ]
    elif §:
        b = §; c = §
    else:
        b = §

    text = """§
    ### a string §
    """ + §
    c = 1 + \\
        §
    @functools.cache(§)
    def inner(y=§):
        for i in §:
            try:
                d = §
            except §:
                d = §
            finally:
                return §
    if §: c = §
    return (§ +
            §)
class Other(§):
    e = §
    def method(self=§):
        return §
'''.replace("§", "{}")
PROGRAM = PROGRAM.format(*(f"t{k}_" for k in range(PROGRAM.count("{}")))).split("\n")
IN_TEXT = {4, 5, 6, 19, 20}  # lines, from 1, that begin in a string
STARTS = {6: 3, 12: 9, 20: 18, 22: 21, 34: 33}  # of statements that end in a line
STATEMENTS = [  # (first, last) of what may be marked as one block, from 1
    *((7, 7), (8, 16), (8, 20), (14, 14), (16, 16), (18, 20), (21, 22), (23, 31)),
    *((26, 31), (27, 27), (32, 32), (32, 34), (7, 34), (36, 36), (38, 38)),
]
TOKEN = re.compile(r"t\d+_")
MARKS = [
    *("### BEGIN SOLUTION", "### END SOLUTION", "# BEGIN SOLUTION", "# END SOLUTION"),
    *("# BEGIN SOLUTION NO PROMPT", "### BEGIN TESTS", "### END TESTS"),
    *("### BEGIN SOLUTON", "### END SOLUTIONS", "## Begin Solution", "#END SOLUTION"),
]
TYPOS = MARKS[-4:-1]


def indentation(line):
    return len(line) - len(line.lstrip())


@st.composite
def marked_programs(draw):
    """(text, tokens of solutions, of tests, whether a mark has a typo).

    Marks stand anywhere, most of them wrong.
    """
    places = st.integers(1, len(PROGRAM))
    shifts = st.sampled_from([0, 0, 0, 0, 4, -4, 2])
    inserted = draw(
        st.lists(st.tuples(places, st.sampled_from(MARKS), shifts), max_size=1)
    )
    wholes = st.sampled_from(STATEMENTS).map(lambda span: (span[0], span[1] + 1))
    pairs = st.one_of(wholes, wholes, st.tuples(places, places).map(sorted))
    for first, last in draw(st.lists(pairs, max_size=2)):
        column = indentation(PROGRAM[first - 1])
        shift = column - indentation(PROGRAM[last - 1])  # to the column of the first
        inserted += [(first, draw(st.sampled_from(MARKS[:5:2])), 0)]
        inserted += [(last, "# END SOLUTION", draw(st.sampled_from([shift] * 3 + [0])))]
    at_ends = draw(st.sets(places, max_size=1))
    lines, solutions, tests, wrong = [], set(), set(), False
    begun = None  # the set that lines belong to
    for n, line in enumerate(PROGRAM, 1):
        for at, mark, shift in inserted:
            if at == n:
                lines.append(" " * max(indentation(line) + shift, 0) + mark)
                if n not in IN_TEXT:
                    wrong |= mark in TYPOS
                    if "BEGIN" in mark:
                        begun = tests if "TESTS" in mark else solutions
                    elif "END" in mark:
                        begun = None
        if begun is not None:
            begun.update(TOKEN.findall(line))
        if n in at_ends and line.strip() and n + 1 not in IN_TEXT:
            line += "  # SOLUTION"
            whole = PROGRAM[STARTS.get(n, n) - 1 : n]
            solutions.update(TOKEN.findall("\n".join(whole)))
        lines.append(line)
    text = "\n".join(lines) + f'\n{TASK}task("3.3", "Other")\n'
    return text, solutions, tests, wrong


@settings(max_examples=300, deadline=None)
@given(marked_programs())
def test_marks_anywhere_are_an_error_or_hide_what_is_marked(program):
    text, solutions, tests, wrong = program
    try:
        released = student_text(text, "toy.py"), public_tests(text, "toy.py")
    except TaskError as error:
        assert re.match(r"toy\.py:\d+: ", str(error))
        return
    assert not wrong
    everything = set(TOKEN.findall(text))  # and nothing else is lost
    hidden = solutions | tests, solutions
    for given_away, secret in zip(released, hidden):
        assert set(TOKEN.findall(given_away)) == everything - secret
        compile(given_away, "toy.py", "exec")


@given(st.sampled_from(STATEMENTS), st.sampled_from(["###", "#"]))
def test_whole_statements_are_hidden_and_all_else_stays(span, hashes):
    first, last = span
    indent = " " * indentation(PROGRAM[first - 1])
    lines = [
        *PROGRAM[: first - 1],
        f"{indent}{hashes} BEGIN SOLUTION",
        *PROGRAM[first - 1 : last],
        f"{indent}{hashes} END SOLUTION",
        *PROGRAM[last:],
    ]
    text = "\n".join(lines) + f'\n{TASK}task("3.3", "Other")\n'
    shown = set(TOKEN.findall(student_text(text, "toy.py")))
    hidden = set(TOKEN.findall("\n".join(PROGRAM[first - 1 : last])))
    assert hidden and shown == set(TOKEN.findall(text)) - hidden


# ---- what may not be released ---------------------------------------------------
def test_a_line_is_secret_if_it_is_long_and_stands_in_no_given_text():
    text = source(
        """
        def given(x):
            total = x.sum(axis=0) + 1
            return total

        def kl(x):
            ### BEGIN SOLUTION
            total = x.sum(axis=0) + 1
            short = 1
            return 0.5 * (total + short)
            ### END SOLUTION

        ### BEGIN HIDDEN TESTS
        HIDDEN = "nobody sees this line"
        ### END HIDDEN TESTS
        """
    )
    assert secret_lines(text, "toy.py") == {
        "return 0.5 * (total + short)": "toy.py:9",
        'HIDDEN = "nobody sees this line"': "toy.py:13",
    }


def test_a_line_with_a_mark_at_its_end_is_secret_without_it():
    text = source("def kl(x):\n    return x.sum(axis=0) / len(x)  # SOLUTION\n")
    assert list(secret_lines(text, "toy.py")) == ["return x.sum(axis=0) / len(x)"]
