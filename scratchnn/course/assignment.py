"""An assignment: its tasks, and the checks of each.

In the annotated solution a task stands beside the function it asks for:

    def kl(mu, logvar):
        '''KL(N(mu, exp(logvar)) || N(0, 1)), summed: (N, z) twice -> (N,).'''
        ### BEGIN SOLUTION
        return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
        ### END SOLUTION

    ### BEGIN TESTS
    KL = task("3.2", "kl", points=3, hint="one number for each picture")

    @KL.value
    def _(rng, N=5, z=3):
        '''equals the closed form'''
        return rng.normal(size=(N, z)), rng.normal(size=(N, z))

    @KL.gradient(backward=lambda g, mu, logvar: ...)
    def _(rng, N=5, z=3): ...

    @KL.invariant
    def _(kl, rng):
        '''never below 0'''
        assert (kl(...) >= 0).all(), "a distance is never negative"
    ### END TESTS

    ### BEGIN HIDDEN TESTS
    @KL.mistake("M131", "log-variance or log-deviation: one meaning in all terms")
    def _(mu, logvar): ...
    ### END HIDDEN TESTS

A check is public or hidden by the block it stands in. What is in TESTS blocks is
released to students as it stands, so mistakes and all that gives a solution away stand
in HIDDEN TESTS blocks. See checks.py for how each kind is run.
"""

import inspect
import pathlib
from typing import NamedTuple

from .checks import Gradient, Invariant, Mistake, Value, copies
from .compare import equal_parts
from .errors import TaskError
from .markers import blocks

_open = []  # the assignment that is being read


class Task:
    """One thing to write: number "3.2", the name of its function, points, checks.

    needs: numbers of tasks that must be right before this one can be checked. hint: one
    line for who is stuck. arguments: names of the function's. Decorators add checks:
    value, gradient, invariant; and known mistakes.
    """

    def __init__(self, number, function, points, hint, needs=()):
        self.number, self.function, self.points = number, function, points
        self.hint, self.needs = hint, tuple(needs)
        self.checks, self.mistakes, self.arguments = [], [], ()

    def __repr__(self):
        return f"Task({self.number}, {self.function}, {self.points} points)"

    def value(self, inputs):
        """The function equals the solution on `inputs(rng, **sizes)`, a tuple."""
        self.checks.append(Value(self, inputs))
        return inputs

    def gradient(self, forward=None, backward=None, call=None):
        """A gradient check on `inputs(rng, **sizes)`; one of the two is the student's.

        forward(*inputs) is given where the student writes the rule, backward(g,
        *inputs) where he writes the forward. call(function, *arguments): how the
        student's function is called, if not with these arguments.
        """
        if (forward is None) == (backward is None):
            raise TaskError(
                f"task {self.number}: gradient takes either forward= (the student "
                "writes the rule) or backward= (the student writes the forward)"
            )

        def add(inputs):
            self.checks.append(Gradient(self, inputs, forward, backward, call))
            return inputs

        return add

    def invariant(self, claim):
        """`claim(function, rng)` asserts what must hold, with words for the student."""
        self.checks.append(Invariant(self, claim))
        return claim

    def mistake(self, id, hint, *functions):
        """Wrong functions that students write; who answers as one gets the hint.

        id: of a list of mistakes, such as "M131". Without functions, a decorator.
        """

        def add(function):
            self.mistakes.append(Mistake(id, hint, function))
            return function

        for function in functions:
            add(function)
        return add


def task(number, function, points=1, hint="", needs=()):
    """A new Task of the assignment that is being read."""
    if not _open:
        raise TaskError("task(...) is called by course.load, which reads the file")
    tasks = _open[-1]
    if number in tasks:
        raise TaskError(f"task {number} is there twice")
    missing = [other for other in needs if other not in tasks]
    if missing:
        known = ", ".join(tasks) or "none"
        raise TaskError(
            f"task {number} needs {', '.join(missing)}; tasks before it: {known}"
        )
    tasks[number] = Task(number, function, points, hint, needs)
    return tasks[number]


class Assignment(NamedTuple):
    """name, text (the file's docstring), tasks {number: Task}, and what is right.

    source: the text of the file. answers: what the checks compare with, Answers here
    and recorded ones (release.py) in a student's folder.
    """

    name: str
    text: str
    tasks: dict
    source: str
    answers: object


class Answers:
    """The right answers of a value check, and the mistakes that a wrong one looks like.

    names: of the solution's file.
    """

    def __init__(self, names):
        self.names = names

    def answer(self, check, k, inputs):
        """What the solution returns in the k-th case."""
        return self.names[check.task.function](*copies(inputs))

    def alike(self, check, k, inputs, given):
        """(part, Mistake) where a mistake answers the k-th case as `given` in a part.

        Parts are the things that a function returns, counted from 0.
        """
        return [
            (part, mistake)
            for mistake in check.task.mistakes
            for part in equal_parts(given, mistake.answer(inputs))
        ]


def load(path):
    """Read an annotated solution: (lines, names and marks are checked) -> Assignment.

    Raises TaskError with file and line for what can't be used. Runs the file: it is the
    teacher's own.
    """
    path = pathlib.Path(path)
    source = path.read_text(encoding="utf-8")
    found = blocks(source, str(path))
    names = {"__name__": path.stem, "__file__": str(path)}
    tasks = {}
    _open.append(tasks)
    try:
        exec(compile(source, str(path), "exec"), names)
    finally:
        _open.pop()
    hidden = [b for b in found if b.kind == "hidden tests"]
    for one in tasks.values():
        function = names.get(one.function)
        if not callable(function):
            raise TaskError(
                f"{path}: task {one.number} is about {one.function}(), which the file "
                "does not define"
            )
        one.arguments = tuple(inspect.signature(function).parameters)
        counts = {True: 0, False: 0}
        for check in one.checks:
            check.hidden = any(b.start <= check.line <= b.end for b in hidden)
            check.place = counts[check.hidden]
            counts[check.hidden] += 1
    text = (names.get("__doc__") or "").strip()
    return Assignment(path.stem, text, tasks, source, Answers(names))
