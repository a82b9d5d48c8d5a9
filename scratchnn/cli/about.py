"""What there is: models, data sets, derivatives that hold, versions, kernels."""

import os
import textwrap
import time
from pathlib import Path

from ..errors import nearest
from .parser import Parser, UsageError


def models(argv):
    """List the models that can be trained."""
    from .. import recipes

    Parser("models", description=models.__doc__).parse_args(argv)
    for name, text in recipes.RECIPES.items():
        sets = f"on {', '.join(recipes.get(name).DATA)}"
        for line in (*textwrap.wrap(text, 70), *textwrap.wrap(sets, 70)):
            print(f"{name:17} {line}")
            name = ""


def data(argv):
    """List the data sets, and which of them are on this machine."""
    Parser("data", description=data.__doc__).parse_args(argv)
    from ..data import DATASETS

    for entry in DATASETS.values():
        print(f"{entry.name:14} {entry.status:15} {entry.counts}; {entry.source}")


# ---- checks ---------------------------------------------------------------------
def gradcheck(argv):
    """Check the derivatives of every op, or of those named."""
    parser = Parser("gradcheck", description=gradcheck.__doc__)
    parser.add_argument("ops", metavar="OP", nargs="*", help="names of ops; all")
    names = parser.parse_args(argv).ops

    from ..gradcheck.table import gradcheck_table
    from ..op import TABLE

    for name in names:
        if name not in TABLE:
            hint = nearest(name, TABLE)
            raise UsageError(f"scratchnn gradcheck: no op {name!r}{hint}")
    counts = {True: 0, False: 0, None: 0}
    print(f"{'op':24} {'example':>7} {'order':>5} {'ms':>7}")
    for row in gradcheck_table(names=names or None):
        counts[row.ok] += 1
        result = {True: "ok", False: "WRONG", None: "-"}[row.ok]
        print(
            f"{row.op:24} {row.example:7} {row.order:5} {1000 * row.seconds:7.1f}"
            f"  {result} {row.message}".rstrip()
        )
    right, wrong, none = counts[True], counts[False], counts[None]
    print(f"{right} right, {wrong} wrong, {none} without a check")
    return 1 if wrong else 0


def doctor(argv):
    """Show versions, threads, kernels and GPU: the start of a bug report."""
    Parser("doctor", description=doctor.__doc__).parse_args(argv)
    for name, text in _findings():
        print(f"{name:20} {text}")


def _findings():
    """What there is to know of this machine: (name, text), one line each."""
    import platform

    import numpy as np

    yield "scratchnn", f"{version('scratchnn')} in {Path(__file__).parent.parent}"
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in ("numpy", "numba", "matplotlib", "safetensors", "pooch", "tqdm"):
        yield package, version(package)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    yield "BLAS", f"{blas.get('name')} {blas.get('version')}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    yield "cores", str(cores or os.cpu_count())
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        yield name, os.environ.get(name, "not set")
    yield "kernels", _kernels()
    from ..device import gpu_probe

    probe = gpu_probe()
    yield "GPU", probe.text
    for name in ("SCRATCHNN_JIT", "SCRATCHNN_DATA", "SCRATCHNN_PROGRESS"):
        yield name, os.environ.get(name, "not set")


def _kernels():
    if os.environ.get("SCRATCHNN_JIT") == "0":
        return "off by SCRATCHNN_JIT=0; NumPy does everything"
    from ..op import TABLE

    fast = sorted(name for name, entry in TABLE.items() if entry.fast)
    names = f": {', '.join(fast)}" if fast else ""
    return f"on, for {len(fast)} of {len(TABLE)} ops{names}"


def version(package):
    """The version of a package that is installed, in words."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def warmup(argv):
    """Compile all kernels now, so that no training has to wait for them."""
    Parser("warmup", description=warmup.__doc__).parse_args(argv)
    if os.environ.get("SCRATCHNN_JIT") == "0":
        print(f"kernels are {_kernels()}. Nothing to compile")
        return
    from .. import kernels

    start = time.perf_counter()
    for name, seconds in kernels.warmup():
        print(f"{name:20} {seconds:6.2f} s", flush=True)
    print(f"{'in all':20} {time.perf_counter() - start:6.2f} s")
