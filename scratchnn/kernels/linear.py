"""linear and matmul by `product`, on the bias where there is one."""

import numpy as np

from .product import NO_BIAS, product


def _is_matrix(x):
    return (
        type(x) is np.ndarray
        and x.dtype == np.float32
        and x.flags.c_contiguous
        and x.ndim == 2
        and x.size > 0
    )


def _fits(x, weight):
    return (
        x.ndim > 1
        and x.size > 0
        and _is_matrix(weight)
        and weight.shape[1] == x.shape[-1]
    )


def linear_forward(x, weight, bias):
    """x @ weight.T + bias over the last axis."""
    if not _fits(x, weight):
        return NotImplemented
    if bias is None:
        bias = NO_BIAS
    elif bias.shape != weight.shape[:1] or bias.dtype != np.float32:
        return NotImplemented
    bias = np.ascontiguousarray(bias)
    y = product(x.reshape(-1, x.shape[-1]), weight, turn_b=True, bias=bias)
    return y.reshape(x.shape[:-1] + weight.shape[:1])


def linear_rule(g, y, need, x, weight, bias):
    """g @ weight, g.T @ x and the column sums of g, as far as needed.

    BLAS sums columns in half of the time of NumPy's sum.
    """
    if not _fits(x, weight) or g.dtype != np.float32:
        return NotImplemented
    g = np.ascontiguousarray(g).reshape(-1, len(weight))
    rows = x.reshape(-1, x.shape[-1])
    return (
        product(g, weight).reshape(x.shape) if need[0] else None,
        product(g, rows, turn_a=True) if need[1] else None,
        np.ones(len(g), np.float32) @ g if need[2] else None,
    )


def _turned(x):
    """(matrix, whether x is its transpose), or None if x is neither of a matrix."""
    if _is_matrix(x):
        return x, False
    return (x.T, True) if type(x) is np.ndarray and _is_matrix(x.T) else None


def matmul_forward(a, b):
    """a @ b of two matrices, also of transposed ones."""
    left, right = _turned(a), _turned(b)
    if left is None or right is None or a.shape[1] != b.shape[0]:
        return NotImplemented
    return product(left[0], right[0], left[1], right[1])


def matmul_rule(g, y, need, a, b):
    """g @ b.T and a.T @ g."""
    if a.ndim != 2 or b.ndim != 2:
        return NotImplemented
    ga = matmul_forward(g, b.T) if need[0] else None
    gb = matmul_forward(a.T, g) if need[1] else None
    return NotImplemented if NotImplemented is ga or NotImplemented is gb else (ga, gb)


def warmup():
    """Compile the kernel."""
    x = np.ones((1, 1), np.float32)
    product(x, x)
