"""share: run a compiled loop on all threads, each with its rows of the arrays.

    @compiled()
    def _relu(x, y):
        for i in range(len(x)):
            y[i] = max(x[i], 0)

    share(_relu, (x, y), threads=2)

A loop is written, and compiled, for one thread. Each thread calls it with views of x
and y, as if there were less to do. numba's `prange` does that too, but needs another 1
to 2 s to compile each kernel; what hands a loop to the threads is made in 0.005 s here,
in LLVM's language.

Where one pool of threads can't be had (see threads.py) everything runs on one.
"""

import ctypes
import logging
from ctypes import c_int, c_void_p, py_object

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from .. import threads
from . import Unavailable

try:
    from . import threads as _pool
except Unavailable as e:
    _pool = None
    logging.getLogger("scratchnn").info("kernels run on one thread: %s", e)

_ready = {}  # (loop, types of its arguments, how many are cut): what runs it


def compiled(fastmath=False):
    """As numba's njit, for loops that only `share` and other loops call.

    Compiled in half the time, without what a call from Python needs: it would crash.
    error_model: a division that can't raise is one that LLVM can vectorise.
    """
    return numba.njit(
        cache=True,
        fastmath=fastmath,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )


def share(loop, split, whole=(), threads=1):
    """loop(*split, *whole), with each thread given its part of the arrays in `split`.

    They are cut along the first axis; what is in `whole` goes to every thread. Arrays
    are contiguous, numbers NumPy's; the loop returns nothing and can't raise.
    """
    given = split + whole
    kinds = tuple(map(_kind, given))
    run = _ready.get((loop, kinds, len(split)))
    if run is None:
        run = _ready[loop, kinds, len(split)] = _prepare(loop, kinds, len(split))
    run(threads, *given)


def team(x, least):
    """How many threads to use for array x: one if it has less than `least` entries."""
    return threads.get_num_threads() if _pool and x.size >= least else 1


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
        if not issubclass(kind, np.generic):
            raise TypeError(f"share: a number of type {kind.__name__} is not NumPy's")
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

# ---- what hands a loop to the threads --------------------------------------------
INT, BIG, NOTHING = ir.IntType(32), ir.IntType(64), ir.VoidType()
BYTES = ir.IntType(8).as_pointer()
JOB = ir.FunctionType(NOTHING, (BYTES,))
FORK = ir.FunctionType(NOTHING, (JOB.as_pointer(), BYTES, INT, INT))
ASK = ir.FunctionType(INT, ())
HEAD = object.__basicsize__  # what Python keeps in front of an object's own fields


@global_compiler_lock
def _prepare(loop, kinds, cut):
    """The function (threads, *arguments) that runs a loop, the first `cut` of them cut.

    void run(int n, PyObject *x, PyObject *y, ...) {
        PyObject *given[] = {x, y, ...};
        fork(job, given, n, 0);
    }
    """
    kinds = tuple(map(_type, kinds))
    code = loop.get_compile_result(types.none(*kinds))
    address = code.library.get_pointer_to_function(code.fndesc.llvm_func_name)
    library = cpu_target.target_context.codegen().create_library("share")
    module = library.create_ir_module("share")
    run = ir.FunctionType(NOTHING, [INT] + [BYTES] * len(kinds))
    run = ir.Function(module, run, f"run_{len(_ready)}_{loop.__name__}")
    b = ir.IRBuilder(run.append_basic_block())
    n, *given = run.args
    given = cgutils.alloca_once_value(b, cgutils.pack_array(b, given))
    fork = ir.Function(module, FORK, "scratchnn_fork")
    job = _job(module, address, kinds, cut)
    b.call(fork, (job, b.bitcast(given, BYTES), n, INT(0)))
    b.ret_void()
    library.add_ir_module(module)
    library.finalize()
    kind = ctypes.PYFUNCTYPE(None, c_int, *[py_object] * len(kinds))  # keeps the GIL
    function = kind(library.get_pointer_to_function(run.name))
    function.code = library  # lives as long
    return function


def _job(module, address, kinds, cut):
    """What one thread does: call the loop at an address with its rows of the arrays."""
    job = ir.Function(module, JOB, "job")
    job.linkage = "internal"
    context, b = cpu_target.target_context, ir.IRBuilder(job.append_basic_block())
    ask = (ir.Function(module, ASK, f"scratchnn_{name}") for name in ("me", "all"))
    me, size = (b.sext(b.call(f, ()), BIG) for f in ask)
    given, args = b.bitcast(job.args[0], BYTES.as_pointer()), []
    for i, kind in enumerate(kinds):
        fields = b.gep(_load(b, given, i, BYTES), [INT(HEAD)])
        if isinstance(kind, types.Array):
            part = (me, size) if i < cut else (BIG(0), BIG(1))
            args.append(_rows(context, b, kind, fields, *part))
        else:
            number = context.get_data_type(kind).as_pointer()
            args.append(context.unpack_value(b, kind, b.bitcast(fields, number)))
    loop = context.call_conv.get_function_type(types.none, kinds)
    slots = [cgutils.alloca_once(b, kind.pointee) for kind in loop.args[:2]]
    args = context.get_arg_packer(kinds).as_arguments(b, args)
    b.call(b.inttoptr(BIG(address), loop.as_pointer()), (*slots, *args))
    b.ret_void()
    return job


def _rows(context, b, kind, fields, me, size):
    """array[len * me // size : len * (me + 1) // size]

    The fields of NumPy's arrays are part of its C interface: the address, the number of
    axes, the addresses of shape and strides.
    """
    data, shape, strides = (_load(b, fields, i, BYTES) for i in (0, 2, 3))
    n, *rest = (_load(b, shape, i, BIG) for i in range(kind.ndim))
    strides = [_load(b, strides, i, BIG) for i in range(kind.ndim)]
    low = b.sdiv(b.mul(n, me), size)
    high = b.sdiv(b.mul(n, b.add(me, BIG(1))), size)
    a = context.make_array(kind)(context, b)
    start = b.gep(data, [b.mul(low, strides[0])])
    context.populate_array(
        a,
        data=b.bitcast(start, a.data.type),
        shape=[b.sub(high, low), *rest],
        strides=strides,
        itemsize=np.dtype(str(kind.dtype)).itemsize,
        meminfo=None,
    )
    return a._getvalue()


def _load(b, address, i, kind):
    """The i-th of the values of a kind at an address."""
    return b.load(b.gep(b.bitcast(address, kind.as_pointer()), [INT(i)]))
