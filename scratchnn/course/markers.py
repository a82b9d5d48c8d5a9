"""Marks in an annotated solution: what is a solution, a prompt, a test.

    def square(x):                        def square(x):
        ### BEGIN SOLUTION                    raise NotImplementedError("Task 1.1: ...
        return x * x
        ### END SOLUTION

`blocks` finds the marked lines, `student_text` is what students get, `public_tests` the
same with the tests that they may see, `solution_text` what the best of them hand in.
Marks are comments, read with `tokenize`: one in a string is text. nbgrader's pairs and
otter-grader's forms are known:

    ### BEGIN SOLUTION ... ### END SOLUTION            a stub takes their place
    # BEGIN SOLUTION NO PROMPT ... # END SOLUTION      nothing does
    y = x * x  # SOLUTION                              a stub, and `y = ...`
    y = x * x  # SOLUTION NO PROMPT                    nothing
    \""" # BEGIN PROMPT ... \""" # END PROMPT            text for students alone
    ### BEGIN TESTS ... ### END TESTS                  released with the checks
    ### BEGIN HIDDEN TESTS ... ### END HIDDEN TESTS    never released

What is not balanced, or not whole statements, or nearly a mark, is a TaskError that
names the line: a mark that is passed over would give a solution away.
"""

import ast
import difflib
import functools
import io
import re
import tokenize
from typing import NamedTuple

from .errors import TaskError
from .leaks import squeezed

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
KINDS = ("solution", "hidden tests", "tests")
LINES = ("SOLUTION", "SOLUTION NO PROMPT")  # at the end of a statement
MARKS = {
    *(f"{edge} {kind.upper()}" for edge in ("BEGIN", "END") for kind in KINDS),
    *("BEGIN SOLUTION NO PROMPT", "BEGIN PROMPT", "END PROMPT", *LINES),
}
WORDS = ("BEGIN", "SOLUTION", "HIDDEN", "TESTS", "PROMPT")  # END is in many words
PROMPT = re.compile(r"""r?(\"""|''')[ \t]*(#[^\n]*)\n""", re.IGNORECASE)
LONG = 20  # characters: a line from here on tells what the solution is
BLANK = (
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT),
    *(tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER),
)


class Block(NamedTuple):
    """Marked lines, `start` to `end`, from 1, the marks' own among them.

    kind: "solution", "prompt", "tests", "hidden tests". stub: False for NO PROMPT.
    inner: the lines between the marks, the whole block for a mark at a line's end.
    """

    kind: str
    start: int
    end: int
    stub: bool = True
    inner: range = range(0)


def blocks(source, filename):
    """The marked blocks of a file, in order -> [Block]; TaskError for wrong marks."""
    return _marked(source, filename).blocks


def student_text(source, filename):
    """The file as students get it: stubs for solutions, prompts shown, no tests."""
    return _marked(source, filename).text(tests=False)


def public_tests(source, filename):
    """The student's text with the TESTS blocks, marks and all, where they stand."""
    return _marked(source, filename).text(tests=True)


def solution_text(source, filename):
    """The solution as a student would hand it in: no marks, no prompts, no tests."""
    return _marked(source, filename).text(solutions=True)


def line_of_public_tests(source, filename, line):
    """The line of the source that stands in a line of `public_tests`."""
    return _marked(source, filename).released(tests=True)[line - 1][0]


def secret_lines(source, filename):
    """{line: where} of what must not be released, as `file.py:12`.

    Lines of solutions and of hidden tests, stripped, of 20 characters or more. A line
    that stands in the given text too (unmarked, or in a prompt) is no secret; one of a
    hidden test neither if it stands in a public test.
    """
    marked = _marked(source, filename)
    given, public = (squeezed(marked.text(tests=t)) for t in (False, True))
    secret = {}
    for block in marked.blocks:
        shown = {"solution": given, "hidden tests": public}.get(block.kind)
        for n in block.inner if shown is not None else ():
            line = marked.unmarked(n, block).strip()
            if len(line) >= LONG and squeezed(line) not in shown:
                secret.setdefault(line, f"{filename}:{n}")
    return secret


@functools.lru_cache(maxsize=8)
def _marked(source, filename):
    return _Marked(source, filename)


class _Marked:
    """A source, its marks and its statements."""

    def __init__(self, source, filename):
        self.filename = filename
        self.source = source.replace("\r\n", "\n").removeprefix("\ufeff")
        self.lines = self.source.split("\n")
        for n, line in enumerate(self.lines, 1):
            if "\r" in line or "\f" in line:
                raise self.error(n, "a control character; delete it")
        try:
            self.tree = ast.parse(self.source, str(filename))
            lines = io.StringIO(self.source).readline
            self.tokens = list(tokenize.generate_tokens(lines))
        except (SyntaxError, tokenize.TokenError) as error:
            line = getattr(error, "lineno", None) or 1
            raise self.error(line, f"not Python: {error.args[0]}") from None
        except ValueError as error:  # a null byte
            raise self.error(1, f"not Python: {error}") from None
        self.code = set()  # lines that hold more than a comment
        for token in self.tokens:
            if token.type not in BLANK:
                self.code.update(range(token.start[0], token.end[0] + 1))
        self.nodes = list(ast.walk(self.tree))  # from outside in
        self.numbers = dict(reversed([*_tasks(self.nodes)]))
        self.blocks = self.paired()
        self.statements = {block: self.whole(block) for block in self.blocks}

    def error(self, line, text):
        return TaskError(f"{self.filename}:{line}: {text}")

    # ---- from comments to pairs -------------------------------------------------
    def marks(self):
        """(line, mark, first line of the statement that it ends, or None if alone).

        A prompt is one mark: (its first line, "PROMPT", its last).
        """
        depth, first, prompt = 0, None, None
        for token in self.tokens:
            line = token.start[0]
            if token.type == tokenize.COMMENT:
                mark = self.mark(token.string, line)
                if mark and depth:
                    raise self.error(
                        line, f"# {mark} stands inside brackets; move it out of them"
                    )
                if mark == "END PROMPT" and prompt:
                    yield prompt, "PROMPT", line
                    prompt = None
                elif mark:
                    yield line, mark, first
            elif token.type == tokenize.NEWLINE:
                if prompt:
                    raise self.error(
                        prompt, 'a prompt without an end; write \""" # END PROMPT'
                    )
                first = None
            elif token.type not in BLANK:
                if first is None:
                    first, prompt = line, self.prompt(token)
                elif prompt and token.string != ";":
                    raise self.error(prompt, "a prompt is a string alone on its lines")
                if token.type == tokenize.OP:
                    depth += (token.string in "([{") - (token.string in ")]}")

    def prompt(self, token):
        """The line at which a string that is a prompt begins, else None."""
        match = token.type == tokenize.STRING and PROMPT.match(token.string)
        if match and self.mark(match[2], token.start[0]) == "BEGIN PROMPT":
            if self.lines[token.end[0] - 1][: token.end[1] - 3].strip():
                raise self.error(
                    token.end[0], "a prompt ends with quotes on a line of their own"
                )
            return token.start[0]
        return None

    def mark(self, comment, line):
        """The mark that a comment is, or None; an error for what is nearly one."""
        parts = [" ".join(p.split()) for p in comment.split("#") if p.strip()]
        if not parts:
            return None
        *before, last = parts
        if last in LINES or (last in MARKS and not before):
            return last
        for part in parts:
            near = difflib.get_close_matches(part.upper(), MARKS, 1, 0.9)
            words = part.split()
            shouted = part.isupper() and any(
                difflib.get_close_matches(w, WORDS, 1, 0.8) for w in words
            )
            if near or shouted or words[0].strip(":") in ("BEGIN", "END", "SOLUTION"):
                near = near or difflib.get_close_matches(part.upper(), MARKS, 1, 0)
                raise self.error(
                    line,
                    f"{comment.strip()!r} is no mark; did you mean '# {near[0]}'? "
                    "(a comment that is none is better in small letters)",
                )
        return None

    def paired(self):
        """The blocks, each from its pair of marks."""
        found, begun = [], None  # begun: the line of a BEGIN, and its mark
        for line, mark, first in self.marks():
            edge, _, kind = mark.partition(" ")
            if edge in ("BEGIN", "END") and kind == "PROMPT":
                raise self.error(line, f'# {mark} goes with a string: \""" # {mark}')
            if edge in ("BEGIN", "END") and first is not None:
                raise self.error(line, f"# {mark} must stand alone on its line")
            kind, stub = kind.removesuffix(" NO PROMPT"), "NO PROMPT" not in kind
            if begun and not (edge == "END" and kind == begun[1]):
                raise self.error(
                    line,
                    f"# {mark} inside what begins in line {begun[0]}; write "
                    f"# END {begun[1]} first",
                )
            if edge == "BEGIN":
                begun = line, kind, stub
            elif edge == "END":
                if not begun:
                    raise self.error(line, f"# {mark} without a BEGIN before it")
                found.append(self.pair(line, mark, *begun))
                begun = None
            elif edge == "PROMPT":
                found.append(Block("prompt", line, first, True, range(line + 1, first)))
            elif first is None:
                raise self.error(line, f"# {mark} must end a line of code")
            else:
                lines = range(first, line + 1)
                found.append(Block("solution", first, line, mark == "SOLUTION", lines))
        if begun:
            raise self.error(begun[0], f"it has no end; write # END {begun[1]}")
        return found

    def pair(self, line, mark, start, kind, stub):
        indent = self.indent(start)
        if self.indent(line) != indent:
            raise self.error(
                line,
                f"# {mark} is not indented as its BEGIN in line {start}; move it to "
                f"column {len(indent) + 1}",
            )
        return Block(kind.lower(), start, line, stub, range(start + 1, line))

    def indent(self, line):
        text = self.lines[line - 1]
        return text[: len(text) - len(text.lstrip())]

    # ---- from lines to statements -----------------------------------------------
    def whole(self, block):
        """The statements of a block: whole ones, side by side, at its column."""
        if block.kind == "prompt":
            return []
        lines = block.inner
        inside = []
        for body in (body for node in self.nodes for body in _bodies(node)):
            inside = [s for s in body if {_first(s), s.end_lineno} <= set(lines)]
            if inside:
                break
        covered = {n for s in inside for n in range(_first(s), s.end_lineno + 1)}
        torn = sorted(self.code.intersection(lines) - covered)
        if torn:
            raise self.error(
                torn[0],
                f"the {block.kind} of line {block.start} holds only a part of this "
                "statement; move the marks so that it is all in or all out",
            )
        if not inside:
            raise self.error(block.start, f"a block of {block.kind} without code in it")
        column = inside[0].col_offset
        if column != len(self.indent(block.start)):
            raise self.error(
                block.start,
                f"the mark and its code in line {_first(inside[0])} must begin at the "
                f"same column, {column + 1}",
            )
        if block.kind != "solution" and column:
            raise self.error(block.start, "tests stand outside of functions")
        return inside

    # ---- from blocks to text ----------------------------------------------------
    def text(self, tests=False, solutions=False):
        """What students get, with the public tests or without; or the solution."""
        out = self.released(tests, solutions)
        text = "".join(f"{line}\n" for _, line in out)
        try:
            compile(text, str(self.filename), "exec", dont_inherit=True)
        except SyntaxError as error:
            line, shown = out[min(error.lineno or 1, len(out)) - 1]
            raise self.error(
                line,
                f"without what is marked the file is no longer Python, at "
                f"{shown.strip()!r}: {error.msg}; mark less, or add a prompt",
            ) from None
        return text

    def released(self, tests=False, solutions=False):
        """The lines of `text`: (line of the source, text)."""
        out, end = [], 0
        for k, block in enumerate(self.blocks):
            out += self.numbered(range(end + 1, block.start))
            end = block.end
            if block.kind == "tests" and tests:
                out += self.numbered(range(block.start, block.end + 1))
            elif block.kind == ("solution" if solutions else "prompt"):
                out += [(n, self.unmarked(n, block)) for n in block.inner]
            elif block.kind == "solution" and block.stub and not solutions:
                lines = self.stub(block, self.blocks[k - 1] if k else None)
                out += [(block.start, line) for line in lines]
            elif out and not out[-1][1].strip():  # what goes takes its space along
                while end < len(self.lines) and not self.lines[end].strip():
                    end += 1
        out += self.numbered(range(end + 1, len(self.lines) + 1))
        filled = [k for k, (_, line) in enumerate(out) if line.strip()]
        return out[filled[0] : filled[-1] + 1] if filled else [(1, "")]

    def numbered(self, lines):
        return [(n, self.lines[n - 1]) for n in lines]

    def stub(self, block, before):
        """The lines in place of a solution."""
        indent, lines = self.indent(block.start), []
        after = before and self.by_line(before) and before.stub
        after = after and before.end + 1 == block.start
        if not (after and self.indent(before.start) == indent):
            lines = [f'raise NotImplementedError("{self.task(block)}")']
        if self.by_line(block):
            lines += [text for s in self.statements[block] for text in _left(s)]
        return [indent + line for line in lines]

    def unmarked(self, line, block):
        """A line of a block, without the mark that ends it."""
        text = self.lines[line - 1]
        last = self.by_line(block) and line == block.end
        return text[: text.rindex("#")].rstrip() if last else text

    def by_line(self, block):
        return block.kind == "solution" and block.start in block.inner

    def task(self, block):
        """`Task 3.2: kl`, of the function that a solution stands in."""
        at = self.statements[block][0]
        around = [
            node.name
            for node in self.nodes
            if isinstance(node, DEFINITIONS)
            and node.lineno <= at.lineno <= node.end_lineno
            and node not in self.statements[block]
        ]
        for name in around:
            if name in self.numbers:
                return f"Task {self.numbers[name]}: {name}"
        if not around:
            raise self.error(
                block.start,
                "a solution outside of functions; put it into the function of a task, "
                "or write # BEGIN SOLUTION NO PROMPT to leave it out",
            )
        raise self.error(
            block.start,
            f"a solution in {around[0]}(), which is no task's function; add "
            f'task("1.1", "{around[0]}", ...) with its number',
        )


def _tasks(nodes):
    """(function, number) of each call task(number, function, ...)."""
    for node in nodes:
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", None))
            given = dict(zip(("number", "function"), node.args))
            given |= {k.arg: k.value for k in node.keywords}
            pair = [getattr(given.get(k), "value", 0) for k in ("function", "number")]
            if name == "task" and all(isinstance(value, str) for value in pair):
                yield pair


def _bodies(node):
    """Lists of statements that are a node's own: of `if`, its body and its else."""
    for name in ("body", "orelse", "finalbody"):
        body = getattr(node, name, None)
        if isinstance(body, list):
            yield body


def _first(statement):
    """Its first line, decorators among it."""
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def _left(statement):
    """What a stub keeps of an assignment to names: `y = ...`."""
    names = [ast.unparse(t).strip("()") for t in getattr(statement, "targets", [])]
    if names and all(n.replace(", ", "").isidentifier() for n in names):
        yield " = ".join([*names, "..."])
