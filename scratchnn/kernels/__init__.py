"""numba kernels, attached to ops of the table from outside.

Deleting this folder leaves a slower library with the same meaning: every op has a
readable NumPy body, and every kernel is tested against it. A kernel may decline an
input (too small to pay, another dtype or layout): then body and rules run.

numba is imported when the first kernel is wanted, not before. `SCRATCHNN_JIT=0`, or a
numba that can't be imported, turns kernels off.
"""

import importlib
import logging
import os
import time

import numpy as np

from ..op import TABLE

KERNELS = {"standardize": "norm", "scatter": "index"}  # op: its file in this folder
SMALL = 16_384  # elements; below this NumPy is as fast, and nothing is compiled

_log = logging.getLogger("scratchnn")


def attach():
    """Put each op's kernel in front of its body; returns whether kernels are on."""
    if os.environ.get("SCRATCHNN_JIT", "1") == "0":
        _log.info("kernels are off: SCRATCHNN_JIT=0; NumPy runs instead")
        return False
    for name, file in KERNELS.items():
        TABLE[name].attach(*_lazy(name, file))
    return True


def detach():
    """Take all kernels off: bodies and rules run."""
    for name in KERNELS:
        TABLE[name].attach(None, None)


def _lazy(name, file):
    """A kernel and its rule that load their file when an input first suits them."""

    def fast(x, *inputs, **params):
        if not suits(x):
            return NotImplemented
        module = load(file)
        if module is None:
            return NotImplemented
        return module.forward(x, *inputs, **params)

    def rule(g, y, need, x, *inputs, **params):
        if not suits(x):
            return NotImplemented
        module = load(file)
        if module is None or not hasattr(module, "rule"):
            return NotImplemented
        return module.rule(g, y, need, x, *inputs, **params)

    return fast, rule


def suits(x):
    """Kernels take large, contiguous float32 arrays of NumPy's own type."""
    return (
        type(x) is np.ndarray
        and x.size >= SMALL
        and x.dtype == np.float32
        and x.flags.c_contiguous
    )


def load(file):
    """The kernel file, or None (and no kernels from then on) if numba is broken."""
    try:
        return importlib.import_module(f".{file}", __name__)
    except Exception as e:  # numba may fail in many ways; NumPy never does
        _log.info("kernels are off: numba can't be used (%s); NumPy runs instead", e)
        detach()
        return None


def warmup():
    """Compile every kernel, or load it from disk: a generator of (op, seconds)."""
    for name, file in KERNELS.items():
        start = time.perf_counter()
        module = load(file)
        if module is None:
            return
        module.warmup()
        yield name, time.perf_counter() - start
