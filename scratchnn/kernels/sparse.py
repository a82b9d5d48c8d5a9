"""Products with a sparse matrix, a row at a time, with the rows shared among threads.

The time goes to waiting for memory: which row of x is read next, the processor can't
guess. So the row wanted AHEAD entries later is asked for now, and it is in the cache
when its turn comes. The other half is to keep the sums in registers: numba has no
vectors, so `_sum_of` is written in LLVM's instructions. Each sum runs in the order of
the entries, as in the NumPy body: results are equal to the bit, for any threads.
"""

import math

import numpy as np
from llvmlite import ir
from numba import float32, types
from numba.core import cgutils
from numba.extending import intrinsic

from ..ops.sparse import Pattern
from .share import compiled, share, team

AHEAD = 16  # entries; 8 to 32 are as good
LEAST = 500_000  # multiplications from which two threads pay

INDEX, FLOAT, BYTES = ir.IntType(64), ir.FloatType(), ir.IntType(8).as_pointer()


def _ask(b, address, offset):
    """Ask for the 64 bytes of memory around an address, without waiting for them."""
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [BYTES, number, number, number])
    prefetch = b.module.declare_intrinsic("llvm.prefetch", (BYTES,), kind)
    pointer = b.inttoptr(b.add(address, INDEX(offset)), BYTES)
    b.call(prefetch, [pointer, number(0), number(3), number(1)])  # to read, to keep


@intrinsic
def _prefetch(context, address):
    """Ask for the memory around an address, to have it in the cache soon."""

    def code(context, b, signature, args):
        _ask(b, args[0], 0)
        return context.get_dummy_value()

    return types.void(types.intp), code


def _sum_of(count, lanes):
    """The function that sums rows over `count` vectors of `lanes` numbers."""
    vector_type = ir.VectorType(FLOAT, lanes)
    zero, spread = vector_type([0.0] * lanes), ir.VectorType(ir.IntType(32), lanes)

    @intrinsic
    def sum_rows(context, start, stop, last, columns, values, x, width, y):
        """y = sum of values[e] x[columns[e] * width :] for e from start to stop - 1."""

        def code(context, b, signature, args):
            start, stop, last, columns, values, x, width, y = args

            def item(array, e, kind):
                return b.load(b.gep(b.inttoptr(array, kind.as_pointer()), [e]))

            def row(e):
                place = b.mul(item(columns, e, INDEX), width)
                return b.add(x, b.mul(place, INDEX(4)))

            def vector(address, i):
                address = b.add(address, INDEX(4 * lanes * i))
                return b.inttoptr(address, vector_type.as_pointer())

            sums = [cgutils.alloca_once_value(b, zero) for _ in range(count)]
            for s in sums:
                b.store(zero, s)
            with cgutils.for_range_slice(b, start, stop, INDEX(1), INDEX) as (e, _):
                later = b.add(e, INDEX(AHEAD))
                later = b.select(b.icmp_signed("<", later, last), later, last)
                later = row(later)
                for byte in range(0, 4 * lanes * count, 64):
                    _ask(b, later, byte)
                own = row(e)
                value = b.insert_element(zero, item(values, e, FLOAT), INDEX(0))
                value = b.shuffle_vector(value, value, spread([0] * lanes))
                for i, s in enumerate(sums):
                    term = b.fmul(value, b.load(vector(own, i), align=4))
                    b.store(b.fadd(b.load(s), term), s)
            for i, s in enumerate(sums):
                b.store(b.load(s), vector(y, i), align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), code

    return sum_rows


_sum_64, _sum_32, _sum_16, _sum_8 = (_sum_of(n, 8) for n in (8, 4, 2, 1))
_sum_4, _sum_2, _sum_1 = (_sum_of(1, n) for n in (4, 2, 1))


@compiled()
def _block(left, n):
    """How many numbers next: the least of 64, 32, ... that is enough, and at most n."""
    block = 64
    while block > n or block >= 2 * left:
        block //= 2
    return block


@compiled()
def _product(low, high, starts, columns, values, x, y):
    """y_i = sum of values_e x_j over the entries e of row i, column j.

    A row is summed block by block; the last may begin within the one before.
    """
    n, last = x.shape[1], len(columns) - 1
    at, of = columns.ctypes.data, values.ctypes.data
    for part in range(len(low)):
        for i in range(low[part], high[part]):
            start, stop, k = starts[i], starts[i + 1], 0
            while k < n:
                block = _block(n - k, n)
                k = min(k, n - block)
                own, goal = x.ctypes.data + 4 * k, y.ctypes.data + 4 * (n * i + k)
                args = start, stop, last, at, of, own, n, goal
                if block == 64:
                    _sum_64(*args)
                elif block == 32:
                    _sum_32(*args)
                elif block == 16:
                    _sum_16(*args)
                elif block == 8:
                    _sum_8(*args)
                elif block == 4:
                    _sum_4(*args)
                elif block == 2:
                    _sum_2(*args)
                else:
                    _sum_1(*args)
                k += block


@compiled()
def ask_for_row(x, i):
    """Ask for x[i] of a matrix, without waiting for it."""
    width = 4 * x.shape[1]
    start = x.ctypes.data + i * width
    for byte in range(0, width, 64):
        _prefetch(start + byte)


@compiled({"contract", "reassoc"})
def _sampled(low, high, starts, columns, a, b, y):
    """y_e = sum_k a_ik b_jk over the entries e of row i, column j."""
    n, last = a.shape[1], len(columns) - 1
    for part in range(len(low)):
        for i in range(low[part], high[part]):
            row = a[i]
            for e in range(starts[i], starts[i + 1]):
                ask_for_row(b, columns[min(e + AHEAD, last)])
                other, total = b[columns[e]], float32(0)
                for k in range(n):
                    total += row[k] * other[k]
                y[e] = total


@compiled()
def _pick(order, y, values):
    for e in range(len(order)):
        y[e] = values[order[e]]


def _run(loop, starts, columns, *arrays):
    """The loop on parts of the rows, one for each thread, with equally many entries."""
    n = team(columns, LEAST // max(arrays[1].shape[1], 1))
    cuts = np.searchsorted(starts, np.arange(n + 1) * len(columns) // n)
    cuts[-1] = len(starts) - 1
    share(loop, (cuts[:-1], cuts[1:]), (starts, columns, *arrays), n)


def _rows(x):
    """(m, ...) -> (m, F), contiguous float32."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _fits(x, n):
    return type(x) is np.ndarray and x.dtype == np.float32 and x.shape[:1] == (n,)


def _multiply(values, x, pattern):
    starts, columns, order = pattern.by_row
    if order is not None:
        sorted_values = np.empty(len(order), np.float32)
        share(_pick, (order, sorted_values), (values,), team(order, LEAST))
        values = sorted_values
    y = np.empty((pattern.shape[0], *x.shape[1:]), np.float32)
    _run(_product, starts, columns, values, _rows(x), _rows(y))
    return y


def _sample(a, b, pattern):
    starts, columns, order = pattern.by_row
    y = np.empty(len(columns), np.float32)
    _run(_sampled, starts, columns, _rows(a), _rows(b), y)
    if order is None:
        return y
    back = np.empty_like(y)
    back[order] = y
    return back


def sparse_matmul_forward(values, x, pattern):
    """sparse_matmul by rows."""
    if not _fits(values, len(pattern)) or not _fits(x, pattern.shape[1]):
        return NotImplemented
    return _multiply(values, x, pattern)


def sparse_matmul_rule(g, y, need, values, x, pattern):
    """The sampled product by the values, that with the transpose by x."""
    if not _fits(g, pattern.shape[0]) or not _fits(x, pattern.shape[1]):
        return NotImplemented
    return (
        _sample(g, x, pattern) if need[0] else None,
        _multiply(values, g, pattern.T) if need[1] else None,
    )


def sampled_matmul_forward(a, b, pattern):
    """sampled_matmul by rows."""
    n, m = pattern.shape
    if not _fits(a, n) or not _fits(b, m) or a.shape[1:] != b.shape[1:]:
        return NotImplemented
    return _sample(a, b, pattern)


def sampled_matmul_rule(g, y, need, a, b, pattern):
    """The product with g at the places, and that with its transpose."""
    if not _fits(a, pattern.shape[0]) or not _fits(b, pattern.shape[1]):
        return NotImplemented
    g = np.ascontiguousarray(g)
    return (
        _multiply(g, b, pattern) if need[0] else None,
        _multiply(g, a, pattern.T) if need[1] else None,
    )


def warmup():
    """Compile both kernels."""
    x, pattern = np.ones((2, 1), np.float32), Pattern([1, 0], [0, 1], (2, 2))
    sparse_matmul_forward(x[:, 0].copy(), x, pattern)  # rows not in order: sorts
    sampled_matmul_forward(x, x, pattern)
