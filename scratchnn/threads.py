"""What is set for the whole process: the number of threads, and the allocator.

Both are described in docs/kernels.md. NumPy's wheels bring their own OpenBLAS, whose
functions are reached here by name. With another BLAS, `blas()` is None and its threads
are its own affair. kernels/threads.py makes numba and OpenBLAS share their threads.
"""

import ctypes
import functools
import os
import sys
import types

import numpy as np

OPENBLAS = {  # as NumPy's wheels export them; 64_: integers have 64 bits
    "set_threads": "scipy_openblas_set_num_threads64_",
    "get_threads": "scipy_openblas_get_num_threads64_",
    "set_pool": "scipy_openblas_set_threads_callback_function64_",
}
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
_followers = []  # called with n when the number of threads is set


def keep_freed_memory():
    """Have malloc keep freed arrays for the next ones; returns whether it will.

    glibc gives large blocks back to the system at once, and each new one is zeroed
    again, page by page, when first touched. In exchange the process stays as large as
    at its largest moment. SCRATCHNN_MALLOPT=0 leaves malloc alone.
    """
    if os.environ.get("SCRATCHNN_MALLOPT", "1") == "0" or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    # glibc before 2.35 refuses more than 32 MiB.
    large = mallopt(M_MMAP_THRESHOLD, 1 << 30) or mallopt(M_MMAP_THRESHOLD, 1 << 25)
    return bool(large and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


@functools.cache
def blas():
    """NumPy's own OpenBLAS as a namespace of functions; None if it is another BLAS."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)
        found = {name: getattr(library, symbol) for name, symbol in OPENBLAS.items()}
    except (AttributeError, OSError):
        return None
    return types.SimpleNamespace(**found)


def cores():
    """The number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads():
    """The number of threads that products run on."""
    return blas().get_threads() if blas() else cores()


def set_num_threads(n):
    """Run products and kernels on n threads, in the whole process, from now on.

    More than there are cores count as that many. Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    n = min(int(n), cores())
    if blas():
        blas().set_threads(n)
    for follow in _followers:
        follow(n)


def follow(function):
    """Call function(n) now and whenever the number of threads is set."""
    _followers.append(function)
    function(get_num_threads())
