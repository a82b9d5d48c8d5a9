"""The checks themselves: each kind catches what it must, in words that help."""

import numpy as np
import pytest

from scratchnn.course.assignment import load
from scratchnn.course.checking import LINES, named, public_rng, run_task, run_tasks
from scratchnn.course.compare import (
    Raised,
    difference,
    equal_parts,
    pattern,
    shown_value,
    wrong_parts,
)
from scratchnn.course.errors import StudentError, TaskError
from scratchnn.gradcheck import VacuousCheck

TOY = '''"""Toys."""
import numpy as np


def square(x):
    """x^2."""
    ### BEGIN SOLUTION
    return x * x
    ### END SOLUTION


def square_rule(g, x):
    """2 x g."""
    ### BEGIN SOLUTION
    return 2 * x * g, g + x
    ### END SOLUTION


### BEGIN TESTS
from scratchnn.course import task

SQUARE = task("1.1", "square", points=3, hint="times itself")
RULE = task("1.2", "square_rule", points=2, hint="twice", needs=["1.1"])


@SQUARE.value
def _(rng, n=5, d=3):
    """equals x x"""
    return rng.normal(size=(n, d))


@SQUARE.gradient(backward=lambda g, x: 2 * g * x)
def _(rng, n=5):
    """has the slope 2 x"""
    return rng.normal(size=n)


@SQUARE.invariant
def _(square, rng):
    """never below 0"""
    assert (square(rng.normal(size=5)) >= 0).all(), "a square is never below 0"


@RULE.value
def _(rng, n=5):
    """equals 2 x g"""
    return rng.normal(size=n), rng.normal(size=n)


@RULE.gradient(forward=lambda x: x * x, call=lambda f, g, x: f(g, x)[0])
def _(rng, n=5):
    """the slope of x^2"""
    return rng.normal(size=n)


### END TESTS
### BEGIN HIDDEN TESTS
@SQUARE.value
def _(rng, n=7):
    """equals x x, hidden"""
    return 100 * rng.normal(size=n)


SQUARE.mistake("M1", "times itself, not twice", lambda x: 2 * x)
SQUARE.mistake("M2", "an exponent too many", lambda x: x**3)
RULE.mistake("M3", "the 2 is missing", lambda g, x: (x * g, g + x))
RULE.mistake("M4", "a plus", lambda g, x: (2 * x * g, g - x))
### END HIDDEN TESTS
'''


class Functions:
    """A session whose functions run here."""

    def __init__(self, **functions):
        self.functions = functions

    def function(self, name):
        def call(*arguments):
            if name not in self.functions:
                raise StudentError("not started", f"Task: {name}")
            try:
                return self.functions[name](*arguments)
            except StudentError:
                raise
            except Exception as error:
                raise StudentError("raised", f"{type(error).__name__}: {error}")

        return call


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    return load(path)


def tried(toy, number="1.1", public_only=False, **functions):
    task = toy.tasks[number]
    return run_task(task, toy, Functions(**functions), public_rng(task), public_only)


def kinds_failed(result):
    return {ran.kind for ran in result.outcomes if not ran.passed}


# ---- kinds ----------------------------------------------------------------------
def test_what_is_right_passes_and_has_all_points(toy):
    result = tried(toy, square=lambda x: x**2)
    assert (result.status, result.score, result.text) == ("passed", 3, "")


def test_a_value_check_catches_what_is_right_at_small_sizes_only(toy):
    result = tried(toy, square=lambda x: x * x if len(x) < 5 else abs(x) ** 2.1)
    assert "value" in kinds_failed(result) and result.score == 0
    assert "15 entries wrong" in result.text


def test_a_value_check_shows_the_smallest_case_that_fails(toy):
    result = tried(toy, square=lambda x: x * x + 1)
    assert "for x = [[" in result.text and result.text.count("\n") <= LINES
    x = float(result.text.split("x = [[")[1].split("]")[0])
    shown = float(result.text.split("it is ")[1].split(",")[0])
    assert shown == pytest.approx(x * x + 1, abs=1e-3)


def test_a_gradient_check_reads_the_error_from_the_students_side(toy):
    result = tried(toy, "1.2", square_rule=lambda g, x: (x * g, g + x))
    assert "gradient" in kinds_failed(result)
    result = tried(toy, "1.2", square_rule=lambda g, x: (-2.0 * x * g, g + x))
    assert "every entry has the right size and the wrong sign" in result.text


def test_slopes_of_a_forward_are_not_asked_for_where_its_values_are_wrong(toy):
    calls = []
    tried(toy, square=lambda x: calls.append(1) or x)
    assert len(calls) < 40


def test_an_invariant_says_its_own_words(toy):
    result = tried(toy, square=lambda x: -x * x)
    assert "invariant" in kinds_failed(result)
    outcomes = {ran.kind: ran.text for ran in result.outcomes}
    assert outcomes["invariant"] == "a square is never below 0"


def test_a_check_that_could_not_fail_is_refused(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY.replace("forward=lambda x: x * x,", "forward=lambda x: 0 * x,"))
    with pytest.raises(VacuousCheck, match="does not change with any input"):
        tried(load(path), "1.2", square_rule=lambda g, x: (0 * x, g + x))


def test_a_forward_that_is_constant_fails_as_the_students(toy):
    result = tried(toy, square=lambda x: x * x if x.ndim == 2 else 0 * x + 1)
    assert result.status == "failed"


def test_a_gradient_check_needs_one_side(tmp_path):
    path = tmp_path / "toy.py"
    path.write_text(TOY.replace("forward=lambda x: x * x,", ""))
    with pytest.raises(TaskError, match="either forward= .* or backward="):
        load(path)


# ---- students' faults -----------------------------------------------------------
def test_what_writes_into_its_input_fails(toy):
    def square(x):
        x *= x
        return x

    result = tried(toy, square=square)
    assert result.status == "failed"
    assert "wrote into its argument x" in result.text


def test_an_invariant_sees_what_was_written_in_the_students_process(toy):
    def square(x):
        square.written = {0: x}  # as a Session tells
        return x * x

    (check,) = [c for c in toy.tasks["1.1"].checks if c.kind == "invariant"]
    outcome = check.run(square, toy.answers, np.random.default_rng(0))
    assert not outcome.passed and "wrote into its argument x" in outcome.text


def test_what_draws_its_own_numbers_is_told_so(toy):
    rng = np.random.default_rng(0)
    result = tried(toy, square=lambda x: x * x + 0.1 * rng.normal(size=x.shape))
    assert "two equal calls give different answers" in result.text


@pytest.mark.parametrize(
    "answer",
    [
        None, "x", (), [1], {}, np.zeros((2, 2, 2, 2)), np.nan, 10**400, True, b"x",
        np.array(["a"]), np.array([None]), [[1], [1, 2]], 1j, np.zeros(0),
    ],
)  # fmt: skip
def test_any_answer_at_all_ends_in_words(toy, answer):
    result = tried(toy, square=lambda x: answer)
    assert result.status == "failed" and result.score == 0 and result.text
    result = tried(toy, "1.2", square_rule=lambda g, x: answer)
    assert result.status == "failed" and result.score == 0 and result.text
    assert "Traceback" not in result.text


def test_an_error_is_shown_and_fails(toy):
    result = tried(toy, square=lambda x: x @ x @ np.ones(99))
    assert result.status == "failed" and "ValueError: matmul" in result.text


def test_a_stub_reads_not_started(toy):
    assert tried(toy).status == "not started"


def test_what_never_ends_is_asked_once(toy):
    calls = []

    def square(x):
        calls.append(1)
        raise StudentError("time", "it took more than 5 s")

    result = tried(toy, square=square)
    assert len(calls) == 1 and "it took more than 5 s" in result.text
    assert not any(ran.passed for ran in result.outcomes)


# ---- scores ---------------------------------------------------------------------
def test_a_failed_invariant_costs_its_part(toy):
    seen = []

    def square(x):  # wrong for the invariant's input alone
        seen.append(x.shape)
        return -1.0 + 0 * x if x.shape == (5,) and (7,) in seen[:-1] else x * x

    result = tried(toy, square=square)
    assert kinds_failed(result) >= {"invariant"}
    passed = sum(ran.passed for ran in result.outcomes)
    assert result.score == round(3 * passed / 4, 2)


def test_hidden_checks_are_left_out_for_students(toy):
    result = tried(toy, public_only=True, square=lambda x: x * x)
    assert [ran.hidden for ran in result.outcomes] == 3 * [False]
    wrong = lambda x: x * x if x.ndim == 2 or len(x) < 7 else x
    assert tried(toy, public_only=True, square=wrong).status == "passed"
    result = tried(toy, square=wrong)
    assert result.status == "failed" and result.score == 0


def test_a_task_waits_for_those_it_needs(toy):
    session = Functions(square_rule=lambda g, x: (2 * x * g, g + x))
    first, second = run_tasks(toy, session)
    assert (first.status, second.status) == ("not started", "can't check yet")
    assert "task 1.1" in second.text and not second.outcomes
    session = Functions(square=lambda x: x * x, **session.functions)
    (only,) = run_tasks(toy, session, numbers=["1.2"])
    assert only.status == "passed"


def test_what_one_check_draws_does_not_move_another(toy):
    draws = {}
    for public_only in (True, False):
        tried(toy, public_only=public_only, square=lambda x: draws.setdefault(
            public_only, []).append(x.copy()) or x * x)  # fmt: skip
    hidden = [x for x in draws[False] if not any(np.array_equal(x, y)
              for y in draws[True])]  # fmt: skip
    assert hidden and len(hidden) == len(draws[False]) - len(draws[True])


# ---- known mistakes -------------------------------------------------------------
def test_a_pattern_of_another_case_than_the_one_shown_says_so(toy):
    result = tried(toy, "1.2", square_rule=lambda g, x: (2 * x * g / len(x), g + x))
    assert "for g = [" in result.text and result.text.count("(n = 5)") == 1
    assert "in a larger case (n = 5): in the first, every entry is 0.2" in result.text
    result = tried(toy, "1.2", square_rule=lambda g, x: (-2 * x * g, g + x))
    assert "larger case" not in result.text


def test_a_place_is_named_in_the_case_that_is_shown(toy):
    def square(x):
        y = x * x
        if x.ndim == 2 and len(x) == 5:
            y[int(100 * abs(x[0, 0])) % 5, 0] += 1  # elsewhere in each draw
        return y

    text = tried(toy, square=square).text
    at = text.split("the first at ")[1].split(": ")[0]
    assert f"wrong only at {at}; right in 14 other entries" in text


def test_what_no_reading_fits_is_not_said_in_our_words(toy):
    result = tried(toy, "1.2", square_rule=lambda g, x: (g * np.sin(9 * x), g + x))
    gradient = next(ran for ran in result.outcomes if ran.kind == "gradient")
    assert "diagnosis" not in gradient.text and "look at: " in gradient.text


def test_gradcheck_speaks_of_the_students_function(toy):
    result = tried(toy, "1.2", square_rule=lambda g, x: (0 * x + np.nan, g + x))
    gradient = next(ran for ran in result.outcomes if ran.kind == "gradient")
    assert "where the forward is finite" in gradient.text
    check = toy.tasks["1.2"].checks[-1]
    hint = "backward is called as backward(g, x); the backward itself failed"
    right = "square_rule is called as square_rule(g, x); square_rule itself failed"
    assert check.kind == "gradient" and check._theirs(hint) == right


@pytest.mark.parametrize(
    "answer",
    [lambda y: None, lambda y: y.tolist(), lambda y: y.astype("f4"), lambda y: y.no],
)  # fmt: skip
def test_what_is_no_answer_is_said_once_and_without_the_tasks_hint(toy, answer):
    result = tried(toy, square=lambda x: answer(x * x))
    assert [ran.passed for ran in result.outcomes] == 4 * [False]
    assert sum(bool(ran.text) for ran in result.outcomes if not ran.hidden) == 1
    assert "hint:" not in result.text and "almost right" not in result.text


def test_of_one_kind_those_that_pass_and_fail_are_told_apart(toy):
    wrong = lambda x: x * x if x.ndim == 2 else x + np.nan
    ran = tried(toy, square=wrong).outcomes
    values = [r for r in ran if r.kind == "value"]
    assert [r.passed for r in values] == [True, False]
    assert named(values[:1], ran) == "value (equals x x)"
    assert named(values, values[:1]) == "value"


def test_a_known_mistake_is_named(toy):
    result = tried(toy, square=lambda x: x + x)
    assert result.mistake == "M1"
    assert result.text.endswith("likely: times itself, not twice")


def test_a_mistake_that_fits_some_cases_only_is_not_named(toy):
    result = tried(toy, square=lambda x: x + x if len(x) < 5 else x**4)
    assert result.mistake == "" and result.text.endswith("hint: times itself")


def test_a_mistake_in_one_of_two_answers_is_named(toy):
    result = tried(toy, "1.2", square_rule=lambda g, x: (x * g, g + x + 1))
    assert result.mistake == "M3"
    result = tried(toy, "1.2", square_rule=lambda g, x: (x * g, g - x))
    assert result.mistake in ("M3", "M4")


# ---- comparing ------------------------------------------------------------------
@pytest.mark.parametrize(
    "given, expected, words",
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"shape \(2, 3\), expected \(3, 2\)"),
        (np.zeros((2, 3)), np.zeros((3, 2)), "its transpose has it"),
        (np.zeros(2, int), np.zeros(2), "int64.*whole numbers"),
        (np.zeros(2, np.float32), np.zeros(2), "float32, expected float64"),
        (np.zeros(2, complex), np.zeros(2), "complex128"),
        (np.array([1, np.nan]), np.ones(2), r"nan at \[1\], expected 1"),
        (np.array([1, -np.inf]), np.ones(2), r"-inf at \[1\]"),
        (np.array([1, 2.5]), np.ones(2), r"1 of 2 entries wrong, the first at \[1\]"),
        (1.5, 2.5, "it is 1.5, expected 2.5"),
        (None, 2.5, "None .is `return` missing"),
        (None, np.ones(2), r"None .*expected an array of shape \(2,\)"),
        (True, 2.5, "True"),
        (1.0, True, "returned 1, expected True"),
        (np.ones(2), (np.ones(2), np.ones(2)), "expected 2 things"),
        ((np.ones(2),), (np.ones(2), np.ones(2)), "1 things, expected 2"),
        ((np.ones(2), np.zeros(2)), (np.ones(2), np.ones(2)), "the second of the 2"),
        (np.ones(2, bool), np.ones(2), "dtype bool"),
        (np.ones(2), np.ones(2, bool), "dtype float64, expected bool"),
        (1 + 1e-8, 1.0, "it is 1.00000001, expected 1.0"),
    ],
)
def test_differences_are_said_in_words(given, expected, words):
    import re

    assert re.search(words, difference(given, expected))


@pytest.mark.parametrize(
    "x", [1.5, True, None, np.ones((2, 3)), (1.0, np.ones(2)), np.array([np.nan])]
)  # fmt: skip
def test_what_is_equal_has_no_difference(x):
    assert difference(x, x) == ""


def test_numbers_of_numpy_and_python_are_the_same():
    assert not difference(np.float64(2.0), 2.0) and not difference(np.True_, True)
    assert not difference(2, 2.0) and not difference(np.array(2.0), 2.0)
    assert not difference([1.0, 2.0], (1.0, 2.0))


def test_centred_differences_are_not_close_enough(rng=np.random.default_rng(3)):
    x, h = rng.normal(size=50), 1e-5
    for f, slope in ((np.exp, np.exp(x)), (np.sin, np.cos(x)), (np.tanh, None)):
        slope = 1 - np.tanh(x) ** 2 if slope is None else slope
        for h in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
            assert difference((f(x + h) - f(x - h)) / (2 * h), slope)


def test_parts_are_told_apart():
    right, other = (np.ones(2), np.zeros(3)), (np.ones(2), np.ones(3))
    assert wrong_parts(other, right) == [1] and equal_parts(other, right) == [0]
    assert wrong_parts(None, right) == [0, 1] and equal_parts(None, right) == []
    assert 0 in equal_parts(Raised("ValueError", "a"), Raised("ValueError"))
    assert not equal_parts(Raised("ValueError"), Raised("TypeError"))


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda x: 2 * x, "every entry is 2 times the right one"),
        (lambda x: x / 5, "1/n with n = 5: axis 0"),
        (lambda x: -x, "the right size and the wrong sign"),
        (lambda x: x[::-1], "reversed along axis 0"),
        (lambda x: x + [[0], [0], [1], [0], [0]], "wrong only at row 2"),
        (lambda x: 0 * x, "zero everywhere"),
        (lambda x: x * (1 + 1e-7), "almost right"),
        (lambda x: x + np.sin(7 * x), "^$"),
    ],
)
def test_the_pattern_of_an_error_is_named(wrong, words):
    import re

    x = np.random.default_rng(0).normal(size=(5, 3))
    assert re.search(words, pattern(wrong(x), x, {"x": x}))


def test_values_are_shown_short():
    assert shown_value(np.ones(15)).count("1") == 15
    assert shown_value(np.ones((4, 5))) == "array of shape (4, 5)"
    assert "\n" not in shown_value(np.random.default_rng(0).normal(size=(2, 2, 2)))
    assert shown_value(np.sin) == "sin"
