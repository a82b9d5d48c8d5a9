"""Typical mistakes as wrong submissions: each fails its task, and is named.

The wrong code (tests/wrong) is written apart from the exercises' own mistakes. It runs
as a student's file does: in a process of its own, called over the pipe.

The rows of the project's list of mistakes that belong to these four topics are those of
ROWS. Left out, because no task of theirs has the subject: relu (M23), cross-entropy
(M47 to M51), penalty, variance, PCA, k-means, Gaussian density (M59 to M67), layers
(M69 to M93), positions to contrastive (M115 to M127), the log of a training loop
(M143), and all models after the VAE (M145 on).
"""

import pathlib

import numpy as np
import pytest

from scratchnn.course import load
from scratchnn.course.checking import public_rng, run_task
from scratchnn.course.markers import solution_text
from scratchnn.course.session import Session

ROOT = pathlib.Path(__file__).parent
EXERCISES = sorted((ROOT.parent / "lessons" / "exercises").glob("*.py"))
NAMES = [path.stem for path in EXERCISES]
ROWS = """
    M01 M03 M05 M07 M09 M11 M13 M15 M17 M19 M21 M25 M27 M29 M31 M33 M35 M37 M39 M41 M43
    M45 M53 M55 M57 M95 M97 M99 M101 M103 M105 M107 M109 M111 M113 M129 M131 M133 M135
    M137 M139 M141
""".split()

GENERIC = """

def _like(x, fill):
    if isinstance(x, tuple):
        return tuple(_like(v, fill) for v in x)
    if isinstance(x, (bool, int, float)):
        return type(x)(fill)
    return np.full_like(x, fill)


def {f}__zeros(*a):
    return _like({f}(*a), 0)


def {f}__ones(*a):
    return _like({f}(*a), 1)


def {f}__first_input(*a):
    return a[0]


def {f}__none(*a):
    return None


def {f}__raises(*a):
    raise ValueError("no")


def {f}__inputs_turned(*a):
    return {f}(*a[::-1])


def {f}__inputs_swapped(*a):
    return {f}(a[1], a[0], *a[2:])


def {f}__outputs_turned(*a):
    y = {f}(*a)
    return y[::-1] if isinstance(y, tuple) else -y if not isinstance(y, bool) else not y


def {f}__float32(*a):
    y = {f}(*a)
    return y.astype("f4") if hasattr(y, "astype") else (y, y)
"""
# Right whichever way they are called: nothing to catch.
RIGHT = {
    "relative_error__inputs_turned", "relative_error__inputs_swapped",
    "softmax__inputs_turned",
}  # fmt: skip


class Renamed:
    """A session in which a wrong function stands for the one of its task."""

    def __init__(self, session, name):
        self.session, self.name = session, name

    def function(self, _):
        return self.session.function(self.name)


def with_wrong(path, text):
    """A Session of the solution with wrong functions beside it."""
    name = path.stem
    source = path.read_text(encoding="utf-8")
    text = f"{solution_text(source, path)}\n\n{text}"
    files = {f"{name}.py": text.encode()}
    return Session(files, name, isolate=False, seconds=20.0, total=900.0)


def tried(path, text, names):
    """{name: (as a student sees it, as it is graded)} of wrong functions."""
    assignment = load(path)
    by_function = {t.function: t for t in assignment.tasks.values()}
    found = {}
    with with_wrong(path, text) as session:
        for name in names:
            task = by_function[name.split("__")[0]]
            wrong = Renamed(session, name)
            seen = run_task(task, assignment, wrong, public_rng(task), public_only=True)
            rng = np.random.default_rng(7)
            found[name] = seen, run_task(task, assignment, wrong, rng)
    return found


def wrong_functions(path):
    """(text, {name: what must be said, or None}) of tests/wrong."""
    text = (ROOT / "wrong" / path.name).read_text(encoding="utf-8")
    names = {}
    exec(text, names)
    wrong = {n: f.__doc__ for n, f in names.items() if "__" in n.strip("_")}
    return text, {n: doc for n, doc in wrong.items() if n[0] != "_"}


@pytest.fixture(scope="module")
def planted():
    """{(assignment, name): (must be said, seen, graded)} of all wrong submissions."""
    found = {}
    for path in EXERCISES:
        text, wrong = wrong_functions(path)
        for name, results in tried(path, text, wrong).items():
            found[path.stem, name] = wrong[name], *results
    return found


def is_named(name, said, seen):
    row = name.split("__")[1]
    return seen.mistake == row or (said is not None and said in seen.text)


def test_each_planted_mistake_fails_its_task(planted):
    passed = [
        key
        for key, (_, seen, graded) in planted.items()
        if seen.status != "failed" or graded.status != "failed" or graded.score
    ]
    assert not passed


def test_the_planted_mistakes_are_the_rows_of_the_four_topics(planted):
    assert {name.split("__")[1] for _, name in planted} == set(ROWS)


def test_each_planted_mistake_is_named_to_the_student(planted):
    unnamed = [
        (*key, seen.mistake, seen.text)
        for key, (said, seen, _) in planted.items()
        if not is_named(key[1], said, seen)
    ]
    assert not unnamed, f"{len(planted) - len(unnamed)} of {len(planted)} are named"


def test_what_a_student_reads_is_short(planted):
    for _, seen, _ in planted.values():
        assert seen.text.count("\n") < 13
        assert seen.text.split("\n")[-1].startswith(("likely: ", "hint: "))
        assert "Traceback" not in seen.text and "scratchnn" not in seen.text


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_constant_swapped_and_do_nothing_answers_fail(path):
    functions = [task.function for task in load(path).tasks.values()]
    text = "\n".join(GENERIC.replace("{f}", f) for f in functions)
    kinds = [line.split("{f}")[1].split("(")[0] for line in GENERIC.split("\n")
             if line.startswith("def {f}")]  # fmt: skip
    names = [f + kind for f in functions for kind in kinds if f + kind not in RIGHT]
    for name, (seen, graded) in tried(path, text, names).items():
        assert (name, seen.status, graded.status) == (name, "failed", "failed")
        assert (name, graded.score) == (name, 0)


@pytest.mark.parametrize("path", EXERCISES, ids=NAMES)
def test_each_known_mistake_of_an_exercise_fails_and_has_its_hint(path):
    """Or that of another which answers the same."""
    assignment = load(path)
    for task in assignment.tasks.values():
        for mistake in task.mistakes:
            session = Direct(mistake.function)
            result = run_task(task, assignment, session, np.random.default_rng(1))
            assert (result.status, mistake) == ("failed", mistake)
            assert result.score == 0
            assert result.mistake, (mistake.id, mistake.hint, result.text)


class Direct:
    """A session whose function runs here."""

    def __init__(self, function):
        self.run = function

    def function(self, _):
        from scratchnn.course.errors import StudentError

        def call(*arguments):
            try:
                with np.errstate(all="ignore"):
                    return self.run(*arguments)
            except Exception as error:
                text = f"{type(error).__name__}: {error}"
                raise StudentError("raised", text) from None

        return call
