"""One pool of threads for BLAS and kernels.

OpenBLAS's threads spin for a while after a product, each on a core. A kernel that
comes next waits until the scheduler takes a core away from them: 4 to 30 ms, for work
of microseconds. So OpenBLAS is told to hand its jobs to OpenMP's threads, which are
numba's and the kernels' (share.py), and never starts its own. Importing this file
raises Unavailable where one pool can't be had.
"""

import contextlib
import ctypes
import os

import llvmlite.binding as llvm
import numba

from .. import threads
from . import Unavailable, turn_off

# What OpenBLAS calls with the n jobs of a product, in LLVM's language, for want of a C
# compiler:
#
#     void pool(int wait, job_t job, int n, size_t size, char *data, int argument) {
#         #pragma omp parallel num_threads(n)
#         { int i = omp_get_thread_num(); job(i, data + i * size, argument); }
#     }
POOL = """
%product = type { void (i32, i8*, i32)*, i64, i8*, i32 }

declare void @GOMP_parallel(void (%product*)*, %product*, i32, i32)
declare i32 @omp_get_thread_num()

define void @member(%product* %p) {
    %all = load %product, %product* %p
    %job = extractvalue %product %all, 0
    %size = extractvalue %product %all, 1
    %data = extractvalue %product %all, 2
    %argument = extractvalue %product %all, 3
    %i = call i32 @omp_get_thread_num()
    %wide = sext i32 %i to i64
    %offset = mul i64 %wide, %size
    %own = getelementptr i8, i8* %data, i64 %offset
    call void %job(i32 %i, i8* %own, i32 %argument)
    ret void
}

define void @pool(i32 %wait, void (i32, i8*, i32)* %job, i32 %n, i64 %size, i8* %data,
                  i32 %argument) {
    %p = alloca %product
    %a = insertvalue %product undef, void (i32, i8*, i32)* %job, 0
    %b = insertvalue %product %a, i64 %size, 1
    %c = insertvalue %product %b, i8* %data, 2
    %d = insertvalue %product %c, i32 %argument, 3
    store %product %d, %product* %p
    call void @GOMP_parallel(void (%product*)* @member, %product* %p, i32 %n, i32 0)
    ret void
}
"""


@contextlib.contextmanager
def _short_spin():
    """Have OpenMP's idle threads spin for some 0.1 ms, not 8, then sleep.

    Shorter, and they sleep between two kernels of a small model: waking takes longer
    than the kernel. Longer, and whoever spins keeps from its core the thread that it
    waits for, if another process has taken that one's. The variable is read once, when
    OpenMP is loaded.
    """
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = "4000"
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _libgomp():
    """GNU OpenMP, once numba runs on it. Raises Unavailable with the reason."""
    if threads.blas() is None:
        raise Unavailable("NumPy's BLAS is not the OpenBLAS of its wheels")
    try:
        with _short_spin():
            numba.get_num_threads()  # starts the threads
    except ValueError:  # a layer that is wanted by name, but isn't there
        raise Unavailable("numba finds no threads to run on") from None
    if numba.threading_layer() != "omp":
        raise Unavailable(f"numba runs on {numba.threading_layer()}, not on OpenMP")
    # The jobs of one product wait for one another: each needs a thread of its own.
    if {"OMP_DYNAMIC", "OMP_THREAD_LIMIT"} & os.environ.keys():
        raise Unavailable("OMP_DYNAMIC or OMP_THREAD_LIMIT limits the threads")
    try:
        return ctypes.CDLL("libgomp.so.1")
    except OSError:
        raise Unavailable("numba's OpenMP is not GNU's") from None


def _address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def _compiled(gomp):
    """The engine that holds the code of POOL."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    for name in ("GOMP_parallel", "omp_get_thread_num"):
        llvm.add_symbol(name, _address(getattr(gomp, name)))
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(POOL), machine)
    engine.finalize_object()
    return engine


def _forked():
    """GNU's OpenMP threads are not in a forked child, and it can't start new ones."""
    _blas.set_pool(None)
    turn_off("this process was forked from one with kernels (use spawn)")


_blas = threads.blas()
_engine = _compiled(_libgomp())
_blas.set_pool(ctypes.c_void_p(_engine.get_function_address("pool")))
threads.follow(lambda n: numba.set_num_threads(min(n, numba.config.NUMBA_NUM_THREADS)))
os.register_at_fork(after_in_child=_forked)
