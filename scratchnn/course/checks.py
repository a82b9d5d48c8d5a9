"""The checks of a task: each runs the student's function and says what is wrong.

`check.run(function, answers, rng)` gives an Outcome. `function` is the student's: it
takes arrays and returns arrays, or raises StudentError. `answers` knows the right ones:
`answers.answer(check, k, inputs)` of the k-th case, and `answers.alike(check, k,
inputs, given)`, the known mistakes whose answer is `given`.

A value check runs from the smallest sizes to the full ones and stops at the first that
fails, so that what the student sees is small. Numbers are compared in float64: type,
dtype, shape, finiteness, then each entry.
"""

import inspect
from typing import NamedTuple

import numpy as np

from ..gradcheck import GradcheckError, VacuousCheck, gradcheck
from .compare import difference, shown
from .errors import StudentError

DRAWS = 3  # draws of the full sizes


class Outcome(NamedTuple):
    """passed; text, what is wrong in words; mistake, its id if it is a known one."""

    passed: bool
    text: str = ""
    mistake: str = ""


class Mistake(NamedTuple):
    """A wrong function that students write, and the hint that mends it."""

    id: str
    hint: str
    function: object


class Check:
    """What all checks have: their task, a claim in words, and where they stand."""

    hidden = False

    def __init__(self, task, function):
        self.task, self.function = task, function
        self.line = function.__code__.co_firstlineno
        self.claim = " ".join((function.__doc__ or self.kind).split())

    def sizes(self):
        """{name: size} of the full case, from the defaults of the inputs' function."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {p.name: p.default for p in parameters}


class Value(Check):
    """The function equals the solution."""

    kind = "value"

    def cases(self, rng):
        """(sizes, inputs), the smallest first: sizes of 1, of 2, then the full ones."""
        full = self.sizes()
        ladder = [{k: min(n, v) for k, v in full.items()} for n in (1, 2)]
        ladder = [s for s in ladder if s != full] + DRAWS * [full]
        for sizes in ladder:
            inputs = self.function(rng, **sizes)
            yield sizes, inputs if isinstance(inputs, tuple) else (inputs,)

    def run(self, function, answers, rng):
        """Outcome: the first case that differs; the mistake that fits in every case."""
        text, known = "", None
        for k, (_, inputs) in enumerate(self.cases(rng)):
            given = function(*copies(inputs))
            wrong = difference(given, answers.answer(self, k, inputs))
            if wrong and not text:
                text = f"{wrong}\nfor {shown(self._named(inputs))}"
            alike = answers.alike(self, k, inputs, given)
            known = alike if known is None else [m for m in known if m in alike]
        if not text:
            return Outcome(True)
        if known:
            return Outcome(False, f"{text}\n{known[0].hint}", known[0].id)
        return Outcome(False, text)

    def _named(self, inputs):
        return dict(zip(self.task.arguments, inputs))


class Gradient(Check):
    """A rule agrees with the slopes of its forward."""

    kind = "gradient"

    def __init__(self, task, function, forward, backward, call):
        super().__init__(task, function)
        self.forward, self.backward = forward, backward
        self.call = call or (lambda f, *arguments: f(*arguments))

    def run(self, function, answers, rng):
        """Outcome: gradcheck's diagnosis if the two disagree."""

        def theirs(*arguments):
            return self.call(function, *arguments)

        theirs.__name__ = self.task.function
        inputs = self.function(rng, **self.sizes())
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        forward, backward = self.forward or theirs, self.backward or theirs
        try:
            gradcheck(forward, *inputs, backward=backward, rng=rng)
        except GradcheckError as error:
            return Outcome(False, str(error))
        except VacuousCheck:
            return Outcome(False, "its answer does not change with any of its inputs")
        return Outcome(True)


class Invariant(Check):
    """Something that holds whatever the inputs are."""

    kind = "invariant"

    def run(self, function, answers, rng):
        """Outcome: the words of the assertion that fails."""
        try:
            self.function(function, rng)
        except AssertionError as error:
            return Outcome(False, str(error) or f"it must hold: {self.claim}")
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            if isinstance(error, StudentError):
                raise
            return Outcome(False, f"the answer can't be used: {error}")
        return Outcome(True)


def copies(inputs):
    """Inputs that may be written into."""
    return [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
