"""The checks of a task: each runs the student's function and says what is wrong.

`check.run(function, answers, rng)` gives an Outcome. `function` is the student's: it
takes arrays and returns arrays, or raises StudentError. `answers` knows the right ones:
`answers.answer(check, k, inputs)` of the k-th case, and `answers.alike(check, k,
inputs, given)`, the known mistakes whose answer is `given`, wholly or in part.

A value check runs from the smallest sizes to the full ones and shows the first that
fails, so that what the student sees is small. Numbers are compared in float64: type,
dtype, shape, finiteness, then each entry.
"""

import functools
import inspect
import re
import warnings
from typing import NamedTuple

import numpy as np

from ..gradcheck import GradcheckError, VacuousCheck, gradcheck
from ..gradcheck.diagnose import NOTHING, diagnose
from .compare import Raised, difference, pattern, same_kind, shown, wrong_parts
from .errors import StudentError

DRAWS = 3  # draws of the full sizes
RANDOM = (
    "two equal calls give different answers: it draws numbers of its own, or remembers "
    "earlier calls"
)


class Outcome(NamedTuple):
    """passed; text, what is wrong in words; known(), the Mistakes that answer so.

    usable: whether the answer is of the kind that is asked for, or there is one at all;
    if not, it is no matter of mathematics, and other checks tell nothing new.
    """

    passed: bool
    text: str = ""
    known: object = list
    usable: bool = True


class Mistake(NamedTuple):
    """A wrong function that students write, and the hint that mends it."""

    id: str
    hint: str
    function: object

    def answer(self, inputs):
        """What the function returns, or Raised."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.function(*copies(inputs))
        except Exception as error:
            return Raised(type(error).__name__)


class Check:
    """What all checks have: their task, a claim in words, and where they stand.

    place: its number among the checks of the task, the public ones and the hidden ones
    counted apart, so that a release without the hidden ones draws the same inputs.
    """

    hidden, place = False, 0

    def __init__(self, task, function):
        self.task, self.function = task, function
        self.line = function.__code__.co_firstlineno
        self.claim = " ".join((function.__doc__ or self.kind).split())

    def sizes(self):
        """{name: size} of the full case, from the defaults of the inputs' function."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {p.name: p.default for p in parameters if type(p.default) is int}

    def inputs(self, rng, sizes):
        """A tuple of inputs."""
        inputs = self.function(rng, **sizes)
        return inputs if isinstance(inputs, tuple) else (inputs,)

    def named(self, inputs):
        """{name of an argument: input}."""
        return dict(zip(self.task.arguments, inputs))

    def complain(self, places):
        """Words if the function wrote into its arguments at `places`, else ""."""
        names = [n for k, n in enumerate(self.task.arguments) if k in places]
        if not names:
            return ""
        return (
            f"it wrote into its argument {' and '.join(names)}, which others still "
            "use: make a new array"
        )


class Value(Check):
    """The function equals the solution."""

    kind = "value"

    def cases(self, rng):
        """(sizes, inputs), the smallest first: sizes of 1, 2, 3, then the full ones."""
        full = self.sizes()
        ladder = [{k: min(n, v) for k, v in full.items()} for n in (1, 2, 3)]
        ladder = [s for s in ladder if s != full] + DRAWS * [full]
        for sizes in ladder:
            yield sizes, self.inputs(rng, sizes)

    def run(self, function, answers, rng):
        """Outcome: the first case that differs; the mistakes that fit in every case."""
        text, usable, readings, cases = "", True, [], []
        for k, (sizes, inputs) in enumerate(self.cases(rng)):
            mine = copies(inputs)
            given, right = asked(function, mine), answers.answer(self, k, inputs)
            cases.append((inputs, given, right))
            wrong, words = difference(given, right), ""
            if wrong and not isinstance(given, Raised):
                again = asked(function, copies(inputs))
                words = pattern(given, right, self.named(inputs))
                words = RANDOM if difference(again, given) else words
            wrong = wrong or self.complain(written(function, inputs, mine))
            if wrong:
                readings.append((sizes, words))
            if wrong and not text:
                text = f"{wrong}\nfor {shown(self.named(inputs))}"
                usable = same_kind(given, right)
        how = _reading(*readings[0], *readings[-1]) if readings else ""
        known = functools.partial(self._known, answers, cases)
        return Outcome(not text, f"{text}\n{how}".strip(), known, usable)

    def _known(self, answers, cases):
        """The Mistakes that answer as the student in every case.

        Those that fit in all parts come first, then those of the first wrong part.
        """
        parts, alike = set(), None
        for k, (inputs, given, right) in enumerate(cases):
            parts.update(wrong_parts(given, right))
            if alike == []:
                continue  # no mistake fits all cases before
            found = answers.alike(self, k, inputs, given)
            alike = found if alike is None else [a for a in alike if a in found]
        n = len(right) if isinstance(right, (tuple, list)) else 1
        whole = [m for _, m in alike if all((p, m) in alike for p in range(n))]
        some = [m for part, m in sorted(alike, key=lambda a: a[0]) if part in parts]
        return whole + [m for m in some if m not in whole]


class Gradient(Check):
    """A rule agrees with the slopes of its forward."""

    kind = "gradient"

    def __init__(self, task, function, forward, backward, call):
        super().__init__(task, function)
        self.forward, self.backward = forward, backward
        self.call = call or (lambda f, *arguments: f(*arguments))

    def run(self, function, answers, rng):
        """Outcome: gradcheck's diagnosis if the two disagree."""

        def written_back(*arguments):
            answer = function(*arguments)
            for k, x in getattr(function, "written", {}).items():
                if np.shape(x) == np.shape(arguments[k]):
                    np.copyto(arguments[k], x, casting="unsafe")
            return answer

        def theirs(*arguments):
            return self.call(written_back, *arguments)

        inputs = self.inputs(rng, self.sizes())
        forward, backward = self.forward or theirs, self.backward or theirs
        try:
            with np.errstate(all="ignore"):
                gradcheck(forward, *inputs, backward=backward, rng=rng)
        except GradcheckError as error:
            return Outcome(False, self._words(error.report))
        except VacuousCheck as error:
            if self.forward:  # no rule could fail: the teacher's inputs are at fault
                raise
            words = "its answer does not change with any of its inputs"
            return Outcome(False, str(error) if "no slope" in str(error) else words)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            return Outcome(False, f"its answer can't be used: {error}", usable=False)
        return Outcome(True)

    def _words(self, report):
        """A report of gradcheck in few lines, from the student's side.

        Where he wrote the forward, the numeric side is his and ours is right.
        """
        lines = []
        if report.wrong is not None and self.backward:
            report.analytic, report.numeric = report.numeric, report.analytic
            with np.errstate(all="ignore"):
                report.finding = diagnose(report)
        for i in report.bad()[:1] if report.wrong is not None else ():
            at, given, right, _ = report.worst(i)
            wrong = report.wrong[i]
            lines.append(
                f"slopes by {report.name_of(i)}: {int(wrong.sum())} of {wrong.size} "
                f"wrong, most at {at}: yours {given:.6g}, right {right:.6g}"
            )
        if report.diagnosis != NOTHING:
            lines.append(f"diagnosis: {self._theirs(report.diagnosis)}")
        return "\n".join([*lines, f"look at: {self._theirs(report.hint)}"])

    def _theirs(self, words):
        """Words of gradcheck with the names of this task: f and backward are ours."""
        name, arguments = self.task.function, self.task.arguments
        f = "the forward" if self.forward else name
        if "f" not in arguments:
            words = re.sub(r"\bf\b", f, words)
        if self.forward:
            call = f"{name}({', '.join(arguments)})"
            words = re.sub(r"\bbackward\(.*?\)", call, words)
            verbs = "is called|itself|returned|returns|changed"
            words = re.sub(rf"\b(the )?backward(?= ({verbs})\b)", name, words)
        return words


class Invariant(Check):
    """Something that holds whatever the inputs are."""

    kind = "invariant"

    def run(self, function, answers, rng):
        """Outcome: the words of the assertion that fails."""
        places = set()

        def theirs(*arguments):
            answer = function(*arguments)
            places.update(getattr(function, "written", ()))
            return answer

        try:
            with np.errstate(all="ignore"):
                self.function(theirs, rng)
        except AssertionError as error:
            return Outcome(False, str(error) or f"it must hold: {self.claim}")
        except StudentError:
            raise
        except Exception as error:  # an answer may be anything at all
            return Outcome(False, f"its answer can't be used: {error}", usable=False)
        text = self.complain(places)
        return Outcome(not text, text)


def _reading(shown, here, full, there):
    """The pattern of the largest case, `there`; with its sizes if not seen `here`."""
    if shown == full or here == there or not there:
        return here if shown == full else there
    sizes = ", ".join(f"{name} = {n}" for name, n in full.items())
    return f"in a larger case ({sizes}): {there}"


def asked(function, inputs):
    """The function's answer, or Raised; what it writes into is written in `inputs`."""
    try:
        answer = function(*inputs)
        for place, x in getattr(function, "written", {}).items():
            inputs[place] = x
        return answer
    except StudentError as error:
        if error.kind not in ("raised", "answer"):
            raise
        name = error.text.rsplit("\n", 1)[-1].split(":")[0]
        return Raised(name, error.text)


def copies(inputs):
    """Inputs that may be written into."""
    return [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]


def written(function, before, after):
    """The places of arguments that a call wrote into: seen here, or in its process."""
    pairs = enumerate(zip(before, after))
    arrays = [(k, x, y) for k, (x, y) in pairs if isinstance(x, np.ndarray)]
    here = {k for k, x, y in arrays if x.tobytes() != y.tobytes()}
    return here | set(getattr(function, "written", ()))
