"""Samples kept while a model learns: RUN/snapshots/STEP.safetensors, one array each.

There are about 40, evenly spaced over the run, the first untrained and the last at the
end. Half precision is enough to draw them.
"""

import contextlib

import numpy as np

from .. import checkpoint

FRAMES = 40


def marks(total):
    """The steps of a run of `total` at which samples are kept: 0 to total, a set."""
    return {round(i * total / FRAMES) for i in range(FRAMES + 1)}


def write(folder, step, x):
    """Keep the samples x (n, ...) of a step of the run in a folder."""
    with np.errstate(over="ignore"):  # points can be far away
        x = np.asarray(x).astype(np.float16)
    checkpoint.save(folder / "snapshots" / f"{step:09}.safetensors", {"x": x})


def read(folder):
    """The samples of a run by step: {step: array (n, ...)}, in order."""
    return {
        step: checkpoint.load(path)[0]["x"].astype(np.float32)
        for step, path in _paths(folder).items()
    }


def thin(folder, step, total):
    """Keep what a run of `total` steps that has reached `step` would have kept.

    Removes the samples of later steps, and where a run was made longer those that
    would now stand too close together.
    """
    paths = _paths(folder)
    past = [s for s in paths if s <= step]
    keep = {
        min(past, key=lambda s: abs(s - mark)) for mark in marks(total) if mark <= step
    } if past else set()  # fmt: skip
    for s in paths.keys() - keep:
        paths[s].unlink()


def remove(folder):
    """Forget all samples of the run in a folder."""
    for path in _paths(folder).values():
        path.unlink()
    with contextlib.suppress(OSError):  # not there, or not empty
        (folder / "snapshots").rmdir()


def _paths(folder):
    """{step: file} of the samples there are, in order."""
    found = sorted((folder / "snapshots").glob("[0-9]*.safetensors"))
    return {int(path.stem): path for path in found if path.stem.isdecimal()}
