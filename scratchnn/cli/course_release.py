"""scratchnn release: from an annotated solution to what students and Gradescope get."""

from pathlib import Path

from ..errors import nearest
from .parser import Parser, UsageError, path

EXERCISES = Path("lessons") / "exercises"


def release(argv):
    """Make what students get from an annotated solution, and prove it fit."""
    parser = Parser("release", description=release.__doc__)
    text = f"a file, or the name of one in {EXERCISES}"
    parser.add_argument("assignment", metavar="ASSIGNMENT", help=text)
    text = "a new folder for students; of a zip its name, or the folder to put it in"
    parser.add_argument("out", metavar="OUT", type=path, help=text)
    forms = parser.add_mutually_exclusive_group()
    text = "one file to hand out; also where OUT ends in .zip"
    forms.add_argument("--zip", action="store_true", help=text)
    text = "a notebook in place of the script"
    forms.add_argument("--notebook", action="store_true", help=text)
    text = "the autograder's zip, for teachers alone: it holds the solution"
    forms.add_argument("--gradescope", action="store_true", help=text)
    asked = parser.parse_args(argv)
    source = assignment_path(asked.assignment, "release")
    kinds = [k for k in ("zip", "notebook", "gradescope") if getattr(asked, k)]
    kind = kinds[0] if kinds else "folder"

    from .. import course
    from ..course.release import release as make
    from ..train.run import progress

    note = f"{source.stem}: building it twice, and proving what is promised ..."
    try:
        with progress(total=1, bar_format=note, leave=False):
            made = make(source, asked.out, kind)
    except course.TaskError as error:
        words = " ".join(str(error).split())
        raise UsageError(f"scratchnn release: {words}") from None
    tasks = course.load(source).tasks.values()
    checks = sum(len(task.checks) for task in tasks)
    points = sum(task.points for task in tasks)
    counts = {"task": len(tasks), "point": points, "check": checks}
    words = (f"{n:g} {noun}{'s' * (n != 1)}" for noun, n in counts.items())
    print(f"{made.path}: {', '.join(words)}")
    print(
        "proved: the solution passes all checks, the stubs pass none, no line of the "
        "solution is in what students get"
    )
    for text in made.notes:
        print(f"note: {text}")
    if kind == "gradescope":
        print("upload it where Gradescope says Configure Autograder; show it to nobody")
    else:
        print(f"students write in {made.student_file} and run: scratchnn check")


def assignment_path(name, command):
    """The file of an assignment, from its path or its name; UsageError if none."""
    given, known = Path(name), EXERCISES / f"{name}.py"
    found = given if given.is_file() or not known.is_file() else known
    if found.is_dir():
        raise UsageError(
            f"scratchnn {command}: {name} is a folder; name the annotated solution, a "
            "file that ends in .py"
        )
    if not found.is_file():
        names = sorted(p.stem for p in EXERCISES.glob("*.py"))
        hint = nearest(name, names)
        there = f"in {EXERCISES} there are {', '.join(names)}" if names else ""
        hint = hint or f"; {there or f'there is no {EXERCISES} here either'}"
        raise UsageError(f"scratchnn {command}: there is no assignment {name}{hint}")
    return found
