"""scratchnn check: what of an assignment is right, what is not, and a hint."""

import os
import shutil
import sys
import textwrap
from pathlib import Path

from ..errors import nearest
from .parser import Parser, UsageError, path

SECONDS = 5.0  # for one call: the inputs are small
BROKEN = "can't run"
COLOURS = {"passed": 32, "failed": 31, "not started": 33, "can't check yet": 33}
COLOURS |= {BROKEN: 31}
MOST_LINES, MOST_CHARACTERS = 100, 20_000  # shown of what a task prints
DIM, BOLD = 2, 1


def check(argv):
    """Check your work, in the folder of an assignment."""
    parser = Parser("check", description=check.__doc__)
    text = "numbers of tasks, or names of functions; all"
    parser.add_argument("tasks", metavar="TASK", nargs="*", help=text)
    text = "for teachers: an annotated file, all of whose checks run on its solution"
    parser.add_argument("--solution", metavar="FILE", type=path, help=text)
    asked = parser.parse_args(argv)

    from .. import course
    from ..course.checking import run_tasks
    from ..course.session import Session

    try:
        assignment, files, hidden, notebook = _opened(asked.solution)
        numbers = [_number(name, assignment) for name in asked.tasks] or None
        session = Session(
            files, assignment.name, isolate=False, seconds=SECONDS, total=600.0,
            notebook=notebook,
        )  # fmt: skip
        print(_title(assignment, asked.solution), flush=True)
        statuses = []
        with session:
            broken = session.broken
            print("\n".join(_before(session)), end="", flush=True)
            for result in run_tasks(assignment, session, numbers=numbers):
                if broken:
                    result = result._replace(status=BROKEN, text="")
                statuses.append(result.status)
                hint = assignment.tasks[result.number].hint if numbers else ""
                lines = [*_lines(result, hint), *_printed(session.take_output())]
                print("\n".join(lines), flush=True)
    except course.TaskError as error:
        raise UsageError(f"scratchnn check: {error}") from None
    numbers = list(assignment.tasks) if numbers is None else numbers
    print(_summary(statuses, sum(hidden[n] for n in set(numbers)), asked))
    return 0 if set(statuses) == {"passed"} else 1


# ---- what to check --------------------------------------------------------------
def _opened(solution):
    """(assignment, the files to check, {task: hidden checks}, whether a notebook)."""
    from ..course import load
    from ..course.markers import solution_text
    from ..course.recorded import load_public
    from ..course.submissions import read

    if solution is not None:
        if not solution.is_file():
            raise UsageError(f"scratchnn check: there is no file {solution}")
        assignment = load(solution)
        if not assignment.tasks:
            raise UsageError(f"scratchnn check: {solution} has no tasks with checks")
        text = solution_text(assignment.source, solution)
        files = {f"{assignment.name}.py": text.encode()}
        return assignment, files, dict.fromkeys(assignment.tasks, 0), False
    assignment = load_public(Path())
    name = assignment.name
    there = [f for f in (f"{name}.py", f"{name}.ipynb") if Path(f).is_file()]
    if not there:
        raise UsageError(
            f"scratchnn check: there is no {name}.py in {Path().resolve()}; it is the "
            "file that you write in. Go to its folder, or unpack it again"
        )
    if len(there) == 2:
        raise UsageError(
            f"scratchnn check: here are {' and '.join(there)}; which one is your work? "
            "Put the other somewhere else"
        )
    given = read(Path(there[0]), name)
    if given.problem:
        raise UsageError(f"scratchnn check: {there[0]}: {given.problem}")
    return assignment, given.files, assignment.answers.hidden, given.notebook


def _number(given, assignment):
    """The number of a task, from it or from its function's name."""
    names = {t.function: number for number, t in assignment.tasks.items()}
    names |= {number: number for number in names.values()}
    if given in names:
        return names[given]
    hint = nearest(given, names) or f"; there are {', '.join(assignment.tasks)}"
    raise UsageError(f"scratchnn check: {assignment.name} has no task {given!r}{hint}")


# ---- in words -------------------------------------------------------------------
def _title(assignment, solution):
    title = assignment.text.partition("\n")[0].rstrip(".") or assignment.name
    which = "all checks, on the solution" if solution else "public checks"
    return _painted(f"{title}: {which}", BOLD)


def _before(session):
    """What the file prints as it starts, and why it can't be run if it can't."""
    yield from _printed(session.take_output())
    if session.broken:
        for line in session.broken.text.split("\n"):
            yield from _wrapped(line)
    yield ""


def _printed(text):
    """What a task printed, the beginning of it, under `printed:`."""
    if not text.strip():
        return
    yield _painted("     printed:", DIM)
    lines = text[:MOST_CHARACTERS].rstrip("\n").split("\n")
    yield from (f"       {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES or len(text) >= MOST_CHARACTERS:
        yield _painted("       ... more was printed", DIM)


def _lines(result, hint):
    """A task on the screen: its status, then what is wrong with it.

    hint: for a task that is not started.
    """
    from ..course.checking import named

    status = _painted(f"{result.status:15}", COLOURS[result.status])
    head = f"{result.number:4} {result.function:24} {status}"
    right = [ran for ran in result.outcomes if ran.passed]
    if result.status == "passed":
        yield f"{head} {_painted(_count(len(right), 'check'), DIM)}"
        return
    if result.outcomes and result.status == "failed":
        of_all = f" {len(right)} of {_count(len(result.outcomes), 'check')}"
        head += _painted(of_all, DIM)
    if result.status == BROKEN:
        yield head.rstrip()
        return
    if result.status == "can't check yet":
        yield f"{head}: {_painted(result.text, DIM)}"
        return
    yield head.rstrip()
    if result.status == "not started":
        yield from _wrapped(f"hint: {hint}") if hint else ()
        return
    if right:
        for line in _wrapped(f"passed: {named(right, result.outcomes)}"):
            yield _painted(line, DIM)
    for line in result.text.split("\n"):
        yield from _wrapped(line)


def _wrapped(line):
    """A line of a task's text, within the width of the terminal."""
    width = min(max(shutil.get_terminal_size().columns - 1, 40), 100)
    text = line.lstrip()
    indent = " " * (5 + len(line) - len(text))
    hint = text.startswith(("likely: ", "hint: "))
    wrapped = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=f"{indent}  ",
        drop_whitespace=True, break_on_hyphens=False,
    )  # fmt: skip
    if line.startswith("    "):  # a line of the student's code
        wrapped = [f"{indent}{text}"]
    for part in wrapped:
        yield _painted(part, 36) if hint else part


def _summary(statuses, hidden, asked):
    wrong = len(statuses) - statuses.count("passed")
    if wrong:
        count = f"{len(statuses) - wrong} of {_count(len(statuses), 'task')} passed"
        others = [s for s in COLOURS if s != "passed" and s in statuses]
        kinds = ", ".join(f"{statuses.count(s)} {s}" for s in others)
        return _painted(f"{count}; {kinds}", BOLD)
    if asked.solution:
        return _painted("the solution passes all checks", 32)
    more = f" ({hidden} more run at grading)" if hidden else ""
    return _painted(f"all public checks passed{more}", 32)


def _count(n, noun):
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _painted(text, colour):
    """Text in a colour, on a terminal that shows colours."""
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    if os.environ.get("TERM") == "dumb":
        return text
    if os.name == "nt":
        os.system("")  # has older consoles understand what follows
    return f"\x1b[{colour}m{text}\x1b[0m"
