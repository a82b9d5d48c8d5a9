"""Reductions over axes: sum, mean, var, max, logsumexp, softmax and the like.

axis: None (all axes), an integer or a tuple; keepdims leaves reduced axes in place
with length 1. Both as in NumPy.
"""

import math

import numpy as np

from ..tensor import composite, op
from .elementwise import exp, sqrt, square, where
from .examples import distinct, normal, positive
from .index import _plain, take_along_axis
from .shape import expand_dims, flip, moveaxis, reshape


def _axes(x, axis):
    if axis is None:
        return tuple(range(x.ndim))
    return tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _restore(g, x, axis, keepdims):
    """Put reduced axes back with length 1, so that g broadcasts against x."""
    if keepdims or axis is None:
        return g
    axes = _axes(x, axis)
    return reshape(g, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x, axis):
    return math.prod(x.shape[a] for a in _axes(x, axis))


@op
def sum(x, axis=None, keepdims=False):
    """Sum over axes: y = sum_i x_i. Shapes: (n, m) -> (n,) for axis=1."""
    return x.sum(axis=axis, keepdims=keepdims)


# The engine repeats a gradient over the axes that the rule leaves at length 1.
sum.rules(x=lambda g, _y, _x, axis, keepdims: _restore(g, _x, axis, keepdims))
sum.example(normal(3, 5))
sum.example(normal(3, 5, 2), axis=(0, -1), keepdims=True)
sum.example(normal(3, 5), axis=1)


@op
def mean(x, axis=None, keepdims=False):
    """Mean over axes: (1/n) sum_i x_i."""
    return np.mean(x, axis=axis, keepdims=keepdims)


mean.rules(
    x=lambda g, _y, _x, axis, keepdims: (
        _restore(g, _x, axis, keepdims) * (1 / (_count(_x, axis) or 1))
    )
)
mean.example(normal(3, 5))
mean.example(normal(3, 5, 2), axis=(0, 2))


@composite
def var(x, axis=None, ddof=0, keepdims=False):
    """Variance over axes: sum (x - mean)^2 / (n - ddof)."""
    n = _count(x, axis)
    deviations = square(x - mean(x, axis=axis, keepdims=True))
    return sum(deviations, axis=axis, keepdims=keepdims) / (n - ddof)


var.example(normal(3, 5))
var.example(normal(3, 5), axis=0, ddof=1, keepdims=True)


@composite
def std(x, axis=None, ddof=0, keepdims=False):
    """Standard deviation over axes: sqrt(var). Its slope is infinite at 0."""
    return sqrt(var(x, axis=axis, ddof=ddof, keepdims=keepdims))


std.example(normal(3, 5), axis=1)


def _share_among_equals(g, y, x, axis, keepdims):
    """Hand g to the entries equal to the extreme y; ties share it equally."""
    chosen = x == _restore(y, x, axis, keepdims)
    share = where(chosen, np.ones_like(_plain(x)), 0)
    share = share / sum(share, axis=axis, keepdims=True)
    return _restore(g, x, axis, keepdims) * share


@op
def max(x, axis=None, keepdims=False):
    """Largest value over axes; ties share the gradient equally."""
    return np.max(x, axis=axis, keepdims=keepdims)


max.rules(x=_share_among_equals)
max.example(distinct(3, 5))
max.example(distinct(3, 5, 2), axis=(0, 2))


@op
def min(x, axis=None, keepdims=False):
    """Smallest value over axes; ties share the gradient equally."""
    return np.min(x, axis=axis, keepdims=keepdims)


min.rules(x=_share_among_equals)
min.example(distinct(3, 5), axis=1, keepdims=True)


@op
def argmax(x, axis=None, keepdims=False):
    """Position of the largest value along an axis (of all, flattened, if None)."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


argmax.rules(x=None)
argmax.example(distinct(3, 5), axis=1)


@op
def argmin(x, axis=None, keepdims=False):
    """Position of the smallest value along an axis (of all, flattened, if None)."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


argmin.rules(x=None)
argmin.example(distinct(3, 5), axis=1)


@op
def argsort(x, axis=-1):
    """Order that sorts x upwards along an axis."""
    return np.argsort(x, axis=axis)


argsort.rules(x=None)
argsort.example(distinct(3, 5), axis=0)


@composite
def sort(x, axis=-1):
    """x sorted upwards along an axis; gradients follow the values."""
    return take_along_axis(x, argsort(x, axis=axis), axis=axis)


sort.example(distinct(3, 5), axis=0)


@op
def prod(x, axis=None, keepdims=False):
    """Product over axes; the slope by x_i is the product of the others."""
    return np.prod(x, axis=axis, keepdims=keepdims)


def _product_of_others(y, x, axis, keepdims):
    """For each x_i the product of all other factors, right also where x has zeros."""
    if not bool(np.any(_plain(x) == 0)):
        return _restore(y, x, axis, keepdims) / x
    axes = _axes(x, axis)
    last = tuple(range(x.ndim - len(axes), x.ndim))
    rows = moveaxis(x, axes, last)  # (..., reduced axes)
    shape = rows.shape
    rows = reshape(rows, (*shape[: x.ndim - len(axes)], -1))
    n = rows.shape[-1]
    # (..., n, n): row i holds all factors, with a 1 in place of the i-th
    diagonal = np.diag(np.ones_like(_plain(x), shape=n, dtype=bool))
    one_left_out = where(diagonal, 1, expand_dims(rows, -2))
    return moveaxis(reshape(prod(one_left_out, axis=-1), shape), last, axes)


prod.rules(
    x=lambda g, y, x, axis, keepdims: (
        _restore(g, x, axis, keepdims) * _product_of_others(y, x, axis, keepdims)
    )
)
prod.example(normal(3, 5), axis=1)
prod.example(np.array([[1.5, 0.0, -2.0], [0.0, 0.0, 3.0]]), axis=-1)


@op
def cumsum(x, axis=None):
    """y_i = sum_{j<=i} x_j along an axis (of the flattened array if None)."""
    return np.cumsum(x, axis=axis)


cumsum.rules(
    x=lambda g, _y, _x, axis: reshape(flip(cumsum(flip(g, axis), axis), axis), _x.shape)
)
cumsum.example(normal(3, 5))
cumsum.example(normal(3, 5), axis=1)


@op
def logsumexp(x, axis=None, keepdims=False):
    """log sum_i e^{x_i}, shifted by the maximum so that it can't overflow."""
    top = np.max(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.sum(np.exp(x - top), axis=axis, keepdims=True)
    y = np.log(total) + top
    return y if keepdims else np.sum(y, axis=axis)


logsumexp.rules(
    x=lambda g, y, x, axis, keepdims: (
        _restore(g, x, axis, keepdims) * exp(x - _restore(y, x, axis, keepdims))
    )
)
logsumexp.example(normal(3, 5))
logsumexp.example(normal(3, 5), axis=0, keepdims=True)


@op
def softmax(x, axis=-1):
    """e^{x_i} / sum_j e^{x_j} along an axis, shifted so that it can't overflow."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


softmax.rules(
    x=lambda g, y, _x, axis: y * (g - sum(g * y, axis=axis, keepdims=True)),
)
softmax.example(normal(3, 5))
softmax.example(normal(3, 5), axis=0)


@op
def log_softmax(x, axis=-1):
    """x_i - log sum_j e^{x_j} along an axis."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


log_softmax.rules(
    x=lambda g, y, _x, axis: g - exp(y) * sum(g, axis=axis, keepdims=True),
)
log_softmax.example(normal(3, 5))
log_softmax.example(normal(3, 5), axis=0)


@op
def norm(x, axis=None, keepdims=False):
    """Euclidean length sqrt(sum x^2) over axes; the slope at 0 is taken as 0."""
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _norm_rule(g, y, x, axis, keepdims):
    y = _restore(y, x, axis, keepdims)
    return _restore(g, x, axis, keepdims) * x / where(y == 0, 1, y)


norm.rules(x=_norm_rule)
norm.example(normal(3, 5))
norm.example(positive(3, 5), axis=1, keepdims=True)
