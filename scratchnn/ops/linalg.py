"""Products and systems: matmul, linear, einsum, outer, dot, solve, inv, logdet."""

import string

import numpy as np

from ..errors import ShapeError
from ..tensor import composite, op
from .examples import invertible, normal, symmetric_positive
from .reduce import sum
from .shape import expand_dims, reshape, swapaxes


@op
def matmul(a, b):
    """a @ b: (..., n, k) @ (..., k, m) -> (..., n, m); leading axes broadcast.

    A 1-D a counts as a row, a 1-D b as a column, and that axis is left out again.
    """
    return np.matmul(a, b)


def _matmul_by_a(g, _y, _a, b):
    if b.ndim == 1:  # y = a . b for each row
        return g[..., None] * b
    if _a.ndim == 1 and b.ndim > 2:  # a row for each matrix
        return (g[..., None, :] @ swapaxes(b, -1, -2))[..., 0, :]
    return g @ swapaxes(b, -1, -2)


def _matmul_by_b(g, _y, a, _b):
    if a.ndim == 1:
        return a[:, None] * g[..., None, :] if _b.ndim > 1 else a * g
    if _b.ndim == 1 and a.ndim > 2:  # a column for each matrix
        return (swapaxes(a, -1, -2) @ g[..., None])[..., 0]
    return swapaxes(a, -1, -2) @ g


matmul.rules(a=_matmul_by_a, b=_matmul_by_b)
matmul.example(normal(3, 5), normal(5, 2))
matmul.example(normal(4, 1, 3, 5), normal(2, 5, 2))
matmul.example(normal(5), normal(5))
matmul.example(normal(5), normal(2, 5, 3))
matmul.example(normal(2, 3, 5), normal(5))


def _rows(x):
    """All leading axes as one: (..., n) -> (N, n)."""
    return reshape(x, (-1, x.shape[-1])) if x.ndim != 2 else x


@op
def linear(x, weight, bias=None):
    """x @ weight.T + bias: x (..., in), weight (out, in), bias (out) -> (..., out)."""
    y = np.matmul(x, weight.T)
    return y if bias is None else y + bias


def _linear_by_x(g, _y, _x, weight, _b):
    # NumPy's product of a column and a row takes 20 us for (64, 1) @ (1, 256), not 4.
    return g * weight[0] if weight.shape[0] == 1 else g @ weight


linear.rules(
    x=_linear_by_x,
    weight=lambda g, _y, x, _w, _b: _rows(g).T @ _rows(x),
    bias=lambda g, _y, _x, _w, _b: sum(_rows(g), axis=0),
)
linear.example(normal(3, 5), normal(2, 5), normal(2))
linear.example(normal(4, 3, 5), normal(2, 5))
linear.example(normal(4, 3, 5), normal(1, 5), normal(1))
linear.example(normal(5), normal(2, 5), normal(2))


@composite
def outer(a, b):
    """a_i b_j: (n,), (m,) -> (n, m); inputs are flattened."""
    return reshape(a, (-1, 1)) * reshape(b, (1, -1))


outer.example(normal(3), normal(5))


@composite
def dot(a, b):
    """Inner product of vectors, matrix product of matrices; a scalar multiplies."""
    if a.ndim > 2 or b.ndim > 2:
        raise ShapeError(
            "dot", f"{a.shape} and {b.shape}: for more than 2 axes use @ or einsum"
        )
    return a * b if a.ndim == 0 or b.ndim == 0 else a @ b


dot.example(normal(5), normal(5))
dot.example(normal(3, 5), normal(5, 2))


@op
def _einsum(*xs, subscripts):
    """Sums of products by index letters; see einsum."""
    return np.einsum(subscripts, *xs, optimize=True)


@composite
def einsum(subscripts, *xs):
    """Sums of products by index letters: einsum("ij,jk->ik", a, b) = a @ b.

    Letters that the result leaves out are summed; "..." stands for leading axes.
    """
    return _einsum(*xs, subscripts=_explicit(subscripts, xs))


def _explicit(subscripts, xs):
    """Write out the arrow and the ellipsis: 'ij,jk' -> 'ij,jk->ik'."""
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(xs):
        raise ValueError(
            f"einsum: {subscripts!r} names {len(terms)} arrays, got {len(xs)}"
        )
    free = [c for c in string.ascii_letters if c not in subscripts]
    dots = [x.ndim - len(t.replace("...", "")) for t, x in zip(terms, xs) if "..." in t]
    lead = "".join(free[: max(dots, default=0)])
    terms = [
        t.replace("...", lead[len(lead) - (x.ndim - len(t) + 3) :])
        for t, x in zip(terms, xs)
    ]
    if not arrow:
        letters = sorted(set("".join(terms)) - set(lead))
        out = "..." + "".join(c for c in letters if "".join(terms).count(c) == 1)
    return ",".join(terms) + "->" + out.replace("...", lead)


def _einsum_rule(g, _y, *xs, i, subscripts):
    """Swap the places of output and input i; every other array stays."""
    left, _, out = subscripts.partition("->")
    terms = left.split(",")
    free = [c for c in string.ascii_letters if c not in subscripts]
    parts = [(out, g)] + [(t, x) for k, (t, x) in enumerate(zip(terms, xs)) if k != i]
    like = getattr(g, "_data", g)
    target, known = "", set("".join(t for t, _ in parts))
    for c, n in zip(terms[i], xs[i].shape):
        if c in target:  # a diagonal: x_ii is reached through an identity matrix
            c, first = free.pop(), c
            parts.append((first + c, np.diag(np.ones_like(like, shape=n))))
        elif c not in known:  # summed within x alone: g is repeated along it
            parts.append((c, np.ones_like(like, shape=(n,))))
        target += c
    return einsum(",".join(t for t, _ in parts) + "->" + target, *(x for _, x in parts))


_einsum.rules(xs=_einsum_rule)
_einsum.example(normal(3, 5), normal(5, 2), subscripts="ij,jk->ik")
einsum.example("bij,bjk,k->bi", normal(2, 3, 5), normal(2, 5, 4), normal(4))
einsum.example("...ij,...j", normal(2, 3, 5), normal(2, 5))
einsum.example("ii->i", normal(4, 4))
einsum.example("ij,j->j", normal(3, 5), normal(5))


@composite
def trace(x):
    """sum_i x_ii over the first two axes."""
    return einsum("ii...->...", x)


trace.example(normal(3, 3))
trace.example(normal(3, 3, 2))


@op
def inv(x):
    """The inverse of square matrices: (..., n, n) -> (..., n, n)."""
    return np.linalg.inv(x)


def _t(x):
    return swapaxes(x, -1, -2)


inv.rules(x=lambda g, y, _x: -(_t(y) @ g @ _t(y)))
inv.example(invertible(2, 3, 3))


@op
def solve(a, b):
    """The x with a @ x = b: a (..., n, n), b (n,) or (..., n, m)."""
    return np.linalg.solve(a, b)


def _solve_by_a(g, y, a, _b):
    gb = solve(_t(a), g)
    if _b.ndim == 1:
        return -(expand_dims(gb, -1) * expand_dims(y, -2))
    return -(gb @ _t(y))


solve.rules(a=_solve_by_a, b=lambda g, _y, a, _b: solve(_t(a), g))
solve.example(invertible(3, 3), normal(3))
solve.example(invertible(2, 3, 3), normal(2, 3, 5))


@op
def logdet(x):
    """log |det x| of square matrices: (..., n, n) -> (...)."""
    return np.linalg.slogdet(x)[1]


logdet.rules(x=lambda g, _y, x: expand_dims(g, (-1, -2)) * _t(inv(x)))
logdet.example(symmetric_positive(2, 3, 3))


@composite
def gaussian_log_prob(x, mean, cov):
    """log N(x; mean, cov) = -(d log 2 pi + log|cov| + r^T cov^-1 r) / 2, r = x - mean.

    x (..., d), mean (d), cov (d, d) symmetric positive definite -> (...).
    """
    r = _rows(x - mean)  # (n, d)
    squared = sum(r * swapaxes(solve(cov, swapaxes(r, 0, 1)), 0, 1), axis=1)  # (n,)
    y = -0.5 * (x.shape[-1] * float(np.log(2 * np.pi)) + logdet(cov) + squared)
    return reshape(y, x.shape[:-1])


gaussian_log_prob.example(normal(4, 3), normal(3), symmetric_positive(3, 3))
