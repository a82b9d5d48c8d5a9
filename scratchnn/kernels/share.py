"""share: run a compiled loop on all threads, each with its rows of the arrays.

    @compiled()
    def _relu(x, y):
        for i in range(len(x)):
            y[i] = max(x[i], 0)

    share(_relu, (x, y), threads=2)

A loop is written, and compiled, for one thread. Each thread calls it with views of x
and y, as if there were less to do. numba's `prange` does that too, but needs another 1
to 2 s to compile each kernel; the function here that hands a loop to the threads knows
only the types of its arguments, and serves all loops that share them.

Where one pool of threads can't be had (see threads.py) everything runs on one.
"""

import contextlib
import ctypes
import logging
import math
import uuid
from ctypes import c_int, c_void_p

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import threads
from . import Unavailable

try:
    from . import threads as _pool
except Unavailable as e:
    _pool = None
    logging.getLogger("scratchnn").info("kernels run on one thread: %s", e)

LEAST = 3_000_000  # multiplications for two threads: 30 us, so that waiting is rare
LINE = 64  # bytes in a line of the cache
PROCESS = uuid.uuid4().hex[:8]
_compiled = {}  # (loop, types of its arguments): address of the machine code


def compiled(fastmath=False, types=None):
    """As numba's njit, for loops that only `share` and other loops call.

    Compiled in half the time, without what a call from Python needs: it would crash.
    error_model: a division that can't raise is one that LLVM can vectorise. types:
    for which alone it is compiled, where numba would do it again for each constant.
    """
    jit = numba.njit(
        types,
        cache=True,
        fastmath=fastmath,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )
    return lambda loop: _own_names(jit(loop))


def _own_names(function):
    """Have numba keep its compiled code in files that no other process writes.

    numba numbers the files of a function, one for each types of its arguments. Two
    processes that compile at once would choose the same number, and one of them would
    later load code for the other's arguments.
    """
    with contextlib.suppress(AttributeError):  # it keeps none, or in another way
        file = function._cache._cache_file
        name = file._data_name_pattern
        file._data_name_pattern = name.replace("{", f"{PROCESS}-{{", 1)
    return function


def share(loop, split, whole=(), threads=1):
    """loop(*split, *whole), with each thread given its part of the arrays in `split`.

    They are cut along the first axis; what is in `whole` goes to every thread. Arrays
    are contiguous, numbers NumPy's; the loop returns nothing and can't raise.
    """
    kinds = tuple(map(_kind, split + whole))
    address = _compiled.get((loop, kinds))
    if address is None:
        code = loop.get_compile_result(types.none(*map(_type, kinds)))
        address = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
        _compiled[loop, kinds] = address
    _run(address, threads, split, whole)


def team(x, least):
    """How many threads to use for array x: one if it has less than `least` entries."""
    return threads.get_num_threads() if _pool and x.size >= least else 1


def room(*shape, of=np.empty):
    """An array of float32 to work in, which begins with a line of the cache.

    A vector as long as a line is slow to load if it lies in two.
    """
    numbers, line = math.prod(shape), LINE // 4
    longer = of(numbers + line, np.float32)
    begin = -longer.ctypes.data // 4 % line
    return longer[begin : begin + numbers].reshape(shape)


def _kind(x):
    """What the machine code depends on: a number's type, an array's and its axes."""
    if type(x) is not np.ndarray:
        return type(x)
    if not x.flags.c_contiguous:
        raise ValueError(f"share: an array of shape {x.shape} is not contiguous")
    return x.dtype.char, x.ndim


def _type(kind):
    """The same in numba's words."""
    if isinstance(kind, type):
        return numba.from_dtype(np.dtype(kind))
    char, ndim = kind
    return types.Array(numba.from_dtype(np.dtype(char)), ndim, "C")


# ---- the threads: OpenMP's, or the calling one alone -----------------------------
def _openmp():
    gomp = ctypes.CDLL("libgomp.so.1")  # the one that numba runs on
    return gomp.GOMP_parallel, gomp.omp_get_thread_num, gomp.omp_get_num_threads


def _alone():
    job, number = ctypes.CFUNCTYPE(None, c_void_p), ctypes.CFUNCTYPE(c_int)
    fork = ctypes.CFUNCTYPE(None, job, c_void_p, c_int, c_int)
    run = fork(lambda job, data, n, flags: job(data))
    return run, number(lambda: 0), number(lambda: 1)


_functions = _openmp() if _pool else _alone()  # kept alive: known by address only
for _name, _function in zip(("fork", "me", "all"), _functions):
    _address = ctypes.cast(_function, c_void_p).value
    llvm.add_symbol(f"scratchnn_{_name}", _address)

# ---- the function that hands a loop to the threads, in LLVM's language -----------
INT, BIG, BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
JOB = ir.FunctionType(ir.VoidType(), (BYTES,))
FORK = ir.FunctionType(ir.VoidType(), (JOB.as_pointer(), BYTES, INT, INT))
ASK = ir.FunctionType(INT, ())


@intrinsic
def _fork(typing, loop, n, split, whole):
    """fork(job, &(loop, n, split, whole), n)"""

    def code(context, builder, signature, values):
        given = cgutils.pack_struct(builder, values)
        place = cgutils.alloca_once_value(builder, given)
        job = ir.Function(builder.module, JOB, "job")
        job.linkage = "internal"
        _job(context, job, place.type, signature.args)
        fork = cgutils.get_or_insert_function(builder.module, FORK, "scratchnn_fork")
        n = builder.trunc(values[1], INT)
        builder.call(fork, (job, builder.bitcast(place, BYTES), n, INT(0)))
        return context.get_dummy_value()

    return types.void(loop, n, split, whole), code


def _job(context, job, pointer, kinds):
    """What one thread does: call the loop with its rows of the arrays in `split`."""
    builder = ir.IRBuilder(job.append_basic_block())

    def ask(name):
        asked = cgutils.get_or_insert_function(builder.module, ASK, name)
        return builder.sext(builder.call(asked, ()), BIG)

    me, size = ask("scratchnn_me"), ask("scratchnn_all")
    given = builder.load(builder.bitcast(job.args[0], pointer))
    loop, _, split, whole = (builder.extract_value(given, i) for i in range(4))
    args = [
        _rows(context, builder, kind, builder.extract_value(split, i), me, size)
        for i, kind in enumerate(kinds[2].types)
    ]
    args += [builder.extract_value(whole, i) for i in range(len(kinds[3].types))]
    kinds = (*kinds[2].types, *kinds[3].types)
    loop_type = context.call_conv.get_function_type(types.none, kinds)
    loop = builder.inttoptr(loop, loop_type.as_pointer())
    slots = [cgutils.alloca_once(builder, kind.pointee) for kind in loop_type.args[:2]]
    args = context.get_arg_packer(kinds).as_arguments(builder, args)
    builder.call(loop, (*slots, *args))
    builder.ret_void()


def _rows(context, builder, kind, array, me, size):
    """array[len * me // size : len * (me + 1) // size]"""
    a = context.make_array(kind)(context, builder, array)
    n, *rest = cgutils.unpack_tuple(builder, a.shape)
    low = builder.sdiv(builder.mul(n, me), size)
    high = builder.sdiv(builder.mul(n, builder.add(me, BIG(1))), size)
    before = builder.mul(low, builder.extract_value(a.strides, 0))
    data = builder.add(builder.ptrtoint(a.data, BIG), before)
    a.data = builder.inttoptr(data, a.data.type)
    a.shape = cgutils.pack_array(builder, [builder.sub(high, low), *rest])
    a.nitems = builder.sub(high, low)
    for n in rest:
        a.nitems = builder.mul(a.nitems, n)
    return a._getvalue()


@_own_names
@numba.njit(cache=True, no_cfunc_wrapper=True)  # half the time to compile
def _run(loop, n, split, whole):
    _fork(loop, n, split, whole)
