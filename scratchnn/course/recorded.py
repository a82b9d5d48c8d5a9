"""Answers as arrays: what a student's folder holds in place of the solution.

`record` asks the solution, and each function of a known mistake, in every case of the
public value checks. Their answers go into answers.npz, numbers of arrays and hints into
tasks.json, no code into either. `load_public` reads them again: an Assignment whose
checks are public.py's and whose answers are Recorded.
"""

import io
import json
from pathlib import Path

import numpy as np

from . import wire
from .archive import packed
from .assignment import load
from .checking import public_rng, streams
from .checks import Mistake
from .compare import Raised, difference, equal_parts
from .errors import TaskError

FOLDER = ".checks"
PUBLIC, TASKS, ARRAYS = (
    f"{FOLDER}/{name}" for name in ("public.py", "tasks.json", "answers.npz")
)
FORMAT = 1


# ---- writing --------------------------------------------------------------------
def record(assignment):
    """{name: bytes} of tasks.json and answers.npz."""
    arrays, tasks = [], {}
    for number, task in assignment.tasks.items():
        checks = {}
        for check, rng in streams(task, public_rng(task)):
            if check.kind == "value" and not check.hidden:
                checks[str(check.place)] = _recorded(check, assignment, rng, arrays)
        hidden = sum(check.hidden for check in task.checks)
        mistakes = [[m.id, m.hint] for m in task.mistakes]
        tasks[number] = {"hidden": hidden, "mistakes": mistakes, "checks": checks}
    about = {"format": FORMAT, "name": assignment.name, "numpy": np.__version__}
    text = json.dumps(about | {"tasks": tasks}, sort_keys=True)
    members = {f"{k}.npy": wire.to_npy(x) for k, x in enumerate(arrays)}
    return {TASKS: f"{text}\n".encode(), ARRAYS: packed(members)}


def _recorded(check, assignment, rng, arrays):
    """A value check's cases: inputs, the answer, and each mistake's."""
    cases = []
    for k, (_, inputs) in enumerate(check.cases(rng)):
        plain = tuple(None if callable(x) else x for x in inputs)
        answer = assignment.answers.answer(check, k, inputs)
        alike = [mistake.answer(inputs) for mistake in check.task.mistakes]
        try:
            case = {"inputs": _pack(plain, arrays), "answer": _pack(answer, arrays)}
            cases.append(case | {"alike": [_pack(x, arrays) for x in alike]})
        except wire.WireError as error:
            raise TaskError(
                f"task {check.task.number}: what can't be recorded: {error}"
            ) from None
    return cases


def _pack(x, arrays):
    if isinstance(x, Raised):
        return {"raised": x.error}
    return wire.pack(x, arrays)


# ---- reading --------------------------------------------------------------------
def load_public(folder):
    """The Assignment in a student's folder: public checks, recorded answers.

    TaskError, in words for the student, if the folder is none or is damaged.
    """
    folder = Path(folder)
    try:
        about = json.loads((folder / TASKS).read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise TaskError(
                f"{folder / TASKS} is of format {about['format']}, this scratchnn reads"
                f" {FORMAT}; install the version that your course names"
            )
        with np.load(io.BytesIO((folder / ARRAYS).read_bytes())) as file:
            arrays = [file[str(k)] for k in range(len(file.files))]
        assignment = load(folder / PUBLIC)
        answers = Recorded(about, arrays)
        return assignment._replace(name=about["name"], answers=answers)
    except FileNotFoundError as error:
        raise TaskError(
            f"there is no {FOLDER} with an assignment's checks in {folder.resolve()} "
            f"({Path(error.filename).name} is missing); go to the folder that you were "
            "given, or unpack it again"
        ) from None
    except TaskError:
        raise
    except Exception as error:  # any damage: of JSON, of arrays, of public.py
        raise TaskError(
            f"{folder / FOLDER} is damaged ({type(error).__name__}: {error}); unpack "
            "what you were given again, beside your own file"
        ) from None


class Recorded:
    """The right answers of public value checks and those of known mistakes, as arrays.

    As assignment.Answers, for the cases that public_rng draws. hidden: {task: number of
    checks that are not here, and run at grading}.
    """

    def __init__(self, about, arrays):
        self.about, self.arrays = about, arrays
        self.hidden = {number: t["hidden"] for number, t in about["tasks"].items()}

    def answer(self, check, k, inputs):
        """What the solution returned in the k-th case."""
        case = self._case(check, k)
        for given, recorded in zip(inputs, self._value(case["inputs"])):
            if not callable(given) and difference(given, recorded):
                raise TaskError(
                    f"task {check.task.number}: the recorded answers belong to other "
                    f"inputs; they were made with NumPy {self.about['numpy']}, here is "
                    f"{np.__version__}: install that one"
                )
        return self._value(case["answer"])

    def alike(self, check, k, inputs, given):
        """(part, Mistake) where one answered the k-th case as `given` in a part."""
        mistakes = self.about["tasks"][check.task.number]["mistakes"]
        return [
            (part, Mistake(*mistake, None))
            for mistake, value in zip(mistakes, self._case(check, k)["alike"])
            for part in equal_parts(given, self._value(value))
        ]

    def _case(self, check, k):
        checks = self.about["tasks"][check.task.number]["checks"]
        return checks[str(check.place)][k]

    def _value(self, x):
        if isinstance(x, dict) and "raised" in x:
            return Raised(x["raised"])
        return wire.unpack(x, self.arrays)
