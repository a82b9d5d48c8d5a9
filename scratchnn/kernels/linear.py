"""linear: the rows of a product shared out to threads that never wait for another.

OpenBLAS's own threads exchange parts of the matrices, and so wait for each other in the
middle: if another process takes a core, the whole product stands still. Here each
thread computes its rows from start to end, on the bias where there is one.
"""

import numpy as np
from numba import float32, int32, njit, prange

from .. import threads
from .threads import PLAIN, ROWS, TURNED, alone, sgemm
from .threads import get_blas_threads, set_blas_threads


@njit(parallel=True, cache=True)
def _product(a, row, length, turn_a, b, width, turn_b, k, bias, parts, c):
    """c = a @ b + bias, of addresses a and b; an empty bias is none.

    length and width: what a row of a and of b has in memory; row: from one row of the
    product to the next, the distance in a.
    """
    m, n = c.shape
    before = get_blas_threads()
    set_blas_threads(int32(1))
    for p in prange(parts):
        low, high = np.int64(p) * m // parts, (np.int64(p) + 1) * m // parts
        if len(bias):
            for i in range(low, high):
                for j in range(n):
                    c[i, j] = bias[j]
        sgemm(
            ROWS, TURNED if turn_a else PLAIN, TURNED if turn_b else PLAIN,
            high - low, n, k, float32(1),
            a + 4 * low * row, length, b, width,
            float32(len(bias) > 0), c.ctypes.data + 4 * low * n, n,
        )  # fmt: skip
    set_blas_threads(before)


NO_BIAS = np.empty(0, np.float32)


def product(a, b, turn_a=False, turn_b=False, bias=NO_BIAS):
    """a @ b + bias for contiguous float32 matrices; turned: a.T, b.T in their place."""
    m, k = a.shape[::-1] if turn_a else a.shape
    c = np.empty((m, b.shape[0] if turn_b else b.shape[1]), np.float32)
    row, length, width = 1 if turn_a else k, a.shape[1], b.shape[1]
    with alone:
        _product(
            a.ctypes.data, row, length, turn_a, b.ctypes.data, width, turn_b, k,
            bias, threads.get_num_threads(), c,
        )  # fmt: skip
    return c


def _fits(x, weight):
    return (
        x.ndim > 1
        and x.size > 0
        and type(weight) is np.ndarray
        and weight.dtype == np.float32
        and weight.flags.c_contiguous
        and weight.ndim == 2
        and weight.shape[1] == x.shape[-1]
    )


def forward(x, weight, bias):
    """x @ weight.T + bias over the last axis."""
    if not _fits(x, weight) or not weight.size:
        return NotImplemented
    if bias is None:
        bias = NO_BIAS
    elif bias.shape == weight.shape[:1] and bias.dtype == np.float32:
        bias = np.array(bias)  # writable and contiguous: one signature to compile
    else:
        return NotImplemented
    y = product(x.reshape(-1, x.shape[-1]), weight, turn_b=True, bias=bias)
    return y.reshape(x.shape[:-1] + weight.shape[:1])


def rule(g, y, need, x, weight, bias):
    """g @ weight, g.T @ x and the column sums of g, as far as needed."""
    if not _fits(x, weight) or not weight.size or g.dtype != np.float32:
        return NotImplemented
    g = np.ascontiguousarray(g).reshape(-1, len(weight))
    rows = x.reshape(-1, x.shape[-1])
    return (
        product(g, weight).reshape(x.shape) if need[0] else None,
        product(g, rows, turn_a=True) if need[1] else None,
        g.sum(axis=0) if need[2] else None,
    )


def warmup():
    """Compile the kernel."""
    x = np.ones((1, 1), np.float32)
    forward(x, x, None)
