"""From one annotated solution to what a student gets, with what is promised proved.

    release("lessons/exercises/vae.py", "out/vae")

The folder holds vae.py with stubs, README.md, and .checks with the public checks as
code and their right answers as arrays (recorded.py). Before a byte is written,
proofs.py shows that it is fit to give away; else TaskError says what to mend. The same
source gives the same bytes.
"""

import contextlib
import hashlib
import json
import traceback
from pathlib import Path
from typing import NamedTuple

from . import proofs
from .archive import packed, write_file, write_folder
from .assignment import load
from .errors import TaskError
from .gradescope import autograder
from .markers import blocks, line_of_public_tests, public_tests, student_text
from .notebook import from_script
from .recorded import PUBLIC, TASKS, record
from .session import ALLOWED

KINDS = ("folder", "zip", "notebook", "gradescope")

README = """\
# {title}

{text}| task | function | points | after |
|---|---|---|---|
{rows}

{points} points in all.

## How to work

Write your code in `{name}`, in place of each line
`raise NotImplementedError(...)`. Where a function is there and wrong, mend it. Leave
names and arguments as they are.

To check it, install scratchnn, open a terminal in this folder, {save}and:

    scratchnn check         all tasks
    scratchnn check {first}     one of them

It says what is wrong, in the smallest case that shows it. These are the public checks;
more run at grading, with other inputs.

Your file may import these alone: {allowed}.

Hand in `{name}` alone. Leave the folder `.checks` as it is: it holds what
`scratchnn check` compares with.
"""


class Release(NamedTuple):
    """Where it was written, {name: bytes} of its files, and notes for the teacher."""

    path: Path
    files: dict
    notes: list

    @property
    def student_file(self):
        """The name of the file that students write in."""
        return next(n for n in self.files if n.endswith((".py", ".ipynb")))


def release(assignment_path, out, kind="folder"):
    """Make what students get, or what Gradescope gets -> Release.

    kind: "folder"; "zip", the folder packed; "notebook", a folder with a notebook for
    the script; "gradescope", the autograder's zip, which holds the whole assignment.
    out: the folder, or where it ends in .zip the file (a notebook's too); of the zips
    it may be a folder to put them into. Raises TaskError, and then nothing is written.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
    path, out = Path(assignment_path), Path(out)
    with _their_errors(path):
        files = build(path, notebook=kind == "notebook")
        if build(path, notebook=kind == "notebook") != files:
            raise TaskError(
                f"{path}: two builds differ; inputs come from `rng` alone, and answers "
                "from inputs"
            )
        packs = kind in ("zip", "gradescope") or out.suffix == ".zip"
        if not packs:
            _refuse_to_replace(out, files)
        notes = proofs.prove(path, files)
        tasks = len(load(path).tasks)
    if not packs:
        write_folder(out, files)
        return Release(out, files, notes)
    if kind == "gradescope":
        name, (entries, modes) = f"{path.stem}-autograder.zip", autograder(path, tasks)
    else:
        name, modes = f"{path.stem}.zip", {}
        entries = {f"{path.stem}/{name}": data for name, data in files.items()}
    out = out if out.suffix == ".zip" else out / name
    write_file(out, packed(entries, modes))
    return Release(out, files, notes)


@contextlib.contextmanager
def _their_errors(path):
    """What the assignment's own code raises, as a TaskError with file and line."""
    try:
        yield
    except (TaskError, OSError):
        raise
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8: {error}") from None
    except Exception as error:
        where, words = str(path), ""
        source = path.read_text(encoding="utf-8")
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, NotImplementedError):
            frames = frames[:-1]  # who called the stub
        for frame in frames:
            if frame.filename == str(path):
                where = f"{path}:{frame.lineno}"
            elif Path(frame.filename).name == Path(PUBLIC).name:
                line = line_of_public_tests(source, path, frame.lineno)
                where = f"{path}:{line}"
                words = " (in public tests, beside stubs and without hidden tests)"
        name = type(error).__name__
        raise TaskError(f"{where}: {name}: {error}{words}") from error


def build(path, notebook=False):
    """{name: bytes} of a student's folder, not yet proved."""
    path = Path(path)
    if not path.stem.isidentifier() or path.stem in ALLOWED or path.suffix != ".py":
        raise TaskError(
            f"{path}: an assignment's file has a name that Python can import, as vae.py"
        )
    assignment = load(path)
    if not assignment.tasks:
        raise TaskError(f'{path}: no tasks; write one, task("1.1", "name", points=1)')
    script = student_text(assignment.source, path)
    if blocks(script, path):
        raise TaskError(f"{path}: a prompt holds marks; take them out of it")
    name, text = f"{path.stem}.py", script
    if notebook:
        name, text = f"{path.stem}.ipynb", from_script(script, assignment)
    files = {
        name: text.encode(),
        "README.md": _readme(assignment, name).encode(),
        PUBLIC: public_tests(assignment.source, path).encode(),
        **record(assignment),
    }
    about = json.loads(files[TASKS])
    about["released"] = {name: hashlib.sha256(files[name]).hexdigest()}
    files[TASKS] = f"{json.dumps(about, sort_keys=True)}\n".encode()
    return files


def _readme(assignment, name):
    """What a student reads first: tasks, points, how to check, what to hand in."""
    tasks = assignment.tasks.values()
    title, _, text = assignment.text.partition("\n")
    rows = [
        f"| {t.number} | `{t.function}` | {t.points:g} | {', '.join(t.needs)} |"
        for t in tasks
    ]
    return README.format(
        title=title.rstrip(".") or assignment.name,
        text=f"{text.strip()}\n\n" if text.strip() else "",
        rows="\n".join(rows),
        points=f"{sum(t.points for t in tasks):g}",
        name=name,
        allowed=", ".join(f"`{module}`" for module in ALLOWED),
        save="save it, " if name.endswith(".ipynb") else "",
        first=next(iter(tasks)).number,
    )


def _refuse_to_replace(out, files):
    """TaskError if a folder holds anything but an earlier release."""
    if not out.exists():
        return
    if not out.is_dir():
        raise TaskError(f"{out} is a file; name a folder, or a file that ends in .zip")
    there = [p for p in sorted(out.rglob("*")) if p.is_file() or p.is_symlink()]
    names = [p.relative_to(out).as_posix() for p in there]
    other = [name for name in names if name not in files]
    if other:
        raise TaskError(
            f"{out} holds {other[0]}, which is no part of this release; name another "
            "folder, or a new one"
        )
    try:
        released = json.loads((out / TASKS).read_bytes())["released"]
    except (OSError, ValueError, KeyError, TypeError):
        released = {}
    for path, name in zip(there, names):
        data, known = path.read_bytes(), released.get(name)
        worked = name.endswith((".py", ".ipynb")) and name != PUBLIC
        if worked and known != hashlib.sha256(data).hexdigest():
            raise TaskError(
                f"{path} was changed since it was released; name another folder, so "
                "that no work is lost"
            )
