"""Checking tasks: all checks of one, and one task after the other.

A task is "passed" if all its checks pass. Its score is 0 unless all value checks pass,
then the part of the checks that do. The words for the student are few: the first
failure in full, then the hint of the known mistake that fits, or else of the task.
"""

import zlib
from typing import NamedTuple

import numpy as np

from .checks import Outcome
from .errors import StudentError

PUBLIC_SEED = 20261128  # of the public checks: their answers are recorded
LINES = 12  # of words on one task, at most
LAST = ("not started", "missing", "import", "refused", "time", "memory", "died")


class Ran(NamedTuple):
    """A check that ran: its kind, claim, whether it is hidden, and its Outcome."""

    kind: str
    claim: str
    hidden: bool
    passed: bool
    text: str


class TaskResult(NamedTuple):
    """What came of a task: status, score of points, each check, and words.

    status: "passed", "failed", "not started" or "can't check yet". outcomes: a list of
    Ran. mistake: the id of the known mistake that its answers fit, or "".
    """

    number: str
    function: str
    status: str
    score: float
    points: float
    outcomes: list
    text: str = ""
    mistake: str = ""


def public_rng(task):
    """The generator of a task's public checks, the same for all."""
    return np.random.default_rng([PUBLIC_SEED, zlib.crc32(task.number.encode())])


def streams(task, rng):
    """[(check, its own generator)]: what one check draws doesn't move another's."""
    seed = int(rng.integers(2**62))
    return [
        (check, np.random.default_rng([seed, int(check.hidden), check.place]))
        for check in sorted(task.checks, key=lambda check: check.kind != "value")
    ]


def run_tasks(
    assignment, session, rng=public_rng, public_only=False, numbers=None, run=None
):  # fmt: skip
    """Yield the TaskResult of each task in order, or of those in `numbers`.

    rng(task) makes the generator of a task. Tasks that others need run first, also if
    they are not asked for. run: in place of run_task.
    """
    wanted = set(assignment.tasks if numbers is None else numbers)
    for number in reversed(assignment.tasks):
        if number in wanted:
            wanted.update(assignment.tasks[number].needs)
    right, run = set(), run or run_task
    for number, task in assignment.tasks.items():
        if number not in wanted:
            continue
        missing = [need for need in task.needs if need not in right]
        if missing:
            result = waiting(task, missing)
        else:
            result = run(task, assignment, session, rng(task), public_only)
        if result.status == "passed":
            right.add(number)
        if numbers is None or number in numbers:
            yield result


def waiting(task, missing):
    """The result of a task that can't be checked before others are right."""
    what = "tasks" if len(missing) > 1 else "task"
    text = f"it uses {what} {' and '.join(missing)}: finish that first"
    status = "can't check yet"
    return TaskResult(task.number, task.function, status, 0.0, task.points, [], text)


def run_task(task, assignment, session, rng, public_only=False):
    """All checks of one task on the student's function -> TaskResult."""
    function = session.function(task.function)
    ran, known, stopped, usable = [], [], None, True
    for check, stream in streams(task, rng):
        if check.hidden and public_only:
            continue
        if stopped or _tells_nothing(check, ran, usable):
            outcome = Outcome(False)
        else:
            try:
                outcome = check.run(function, assignment.answers, stream)
            except StudentError as error:
                outcome = Outcome(False, error.text)
                stopped = error if error.kind in LAST else None
        if check.kind != "value":
            seen = outcome.usable or all(r.passed for r in ran if r.kind == "value")
            outcome = outcome if seen else Outcome(False)
        elif not stopped:
            known.append((outcome.passed, outcome.known))
            usable = usable and outcome.usable
        ran.append(Ran(check.kind, check.claim, check.hidden, *outcome[:2]))
    passed = [r.passed for r in ran]
    values = [r.passed for r in ran if r.kind == "value"]
    score = round(task.points * sum(passed) / max(len(passed), 1), 2)
    score = score if all(values) else 0.0
    status = "passed" if ran and all(passed) else "failed"
    text, mistake = "", None
    if stopped is not None and stopped.kind == "not started":
        status, text = "not started", stopped.text
    elif status == "failed":
        mistake = None if stopped else _named(known)
        hint = task.hint if usable and not stopped else ""
        text = _words(ran, mistake.hint if mistake else hint, mistake)
    ran.sort(key=lambda r: r.hidden)
    of_task = task.number, task.function, status, score, task.points
    return TaskResult(*of_task, ran, text, mistake.id if mistake else "")


def _tells_nothing(check, ran, usable):
    """Whether a check tells nothing new.

    Slopes of a forward with wrong values; anything but values of what is no answer.
    """
    if check.kind == "value" or all(r.passed for r in ran if r.kind == "value"):
        return False
    return not usable or check.kind == "gradient" and check.backward is not None


def _named(known):
    """The Mistake that fits all value checks, or those that fail, or the first."""
    known = [(passed, find()) for passed, find in known]
    failed = [mistakes for passed, mistakes in known if not passed]
    for group in ([mistakes for _, mistakes in known], failed, failed[:1]):
        for mistake in failed[0] if failed else ():
            if all(mistake in each for each in group):
                return mistake
    return next((mistakes[0] for mistakes in failed if mistakes), None)


def _words(ran, hint, mistake):
    """What is wrong, in at most LINES lines: the first failure in full, then the hint.

    Of the other failures as much as there is room for; with a known mistake, their
    names are enough. hint: or "", where the mathematics is not at fault.
    """
    lines, told, more = [], set(), []
    for r in ran:
        if r.passed or not r.text or r.text in told:
            continue
        told.add(r.text)
        head = f"{r.kind}{' (hidden)' if r.hidden else ''}, {r.claim}"
        new = [f"{head}:", *(f"  {line}" for line in r.text.split("\n"))]
        if lines and (mistake or len(lines) + len(new) > LINES - 2):
            more.append(r)
        else:
            lines += new
    if more:
        lines.append(f"fails too: {named(more, ran)}")
    if hint:
        lines.append(f"{'likely' if mistake else 'hint'}: {hint}")
    return "\n".join(lines)


def named(some, ran):
    """Checks by kind; by claim too, where another of the kind came out otherwise."""
    words = {}
    for r in some:
        alike = {other.passed for other in ran if other.kind == r.kind}
        words[r.kind if len(alike) == 1 else f"{r.kind} ({r.claim})"] = None
    return ", ".join(words)
