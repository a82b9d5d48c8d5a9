"""Classification losses in one pass: cross-entropy of rows of scores, and of bits."""

import numpy as np

from .elementwise import loop, row
from .exp import sigmoid, softplus
from .share import share, team
from .softmax import PARALLEL, exp_row, last_axis, log_total, rows, rows_loop, top_of


@loop
def _bce(x, t, y):
    for i in range(x.size):
        y[i] = softplus(x[i]) - x[i] * t[i]


@loop
def _bce_rule(g, x, t, gx):
    for i in range(x.size):
        gx[i] = g[i] * (sigmoid(x[i]) - t[i])


def bce_forward(x, target):
    """softplus(x) - x t, which is max(x, 0) - x t + log1p(e^-|x|)."""
    if not _suits(target, x):
        return NotImplemented
    y = np.empty_like(x)
    share(_bce, (row(x), row(target), row(y)), (), team(x, PARALLEL))
    return y


def bce_rule(g, y, need, x, target):
    """g (sigmoid(x) - t) by x, -g x by t."""
    if not _suits(target, x):
        return NotImplemented
    gx = None
    if need[0]:
        gx = np.empty_like(x)
        arrays = row(g), row(x), row(target), row(gx)
        share(_bce_rule, arrays, (), team(x, PARALLEL))
    return gx, -g * x if need[1] else None


def _suits(target, x):
    return (
        type(target) is np.ndarray
        and target.dtype == np.float32
        and target.shape == x.shape
    )


@rows_loop
def _surprisal(x, target, y):
    for i in range(len(x)):
        top = top_of(x[i])
        y[i] = log_total(x[i], top) - (x[i, target[i]] - top)


@rows_loop
def _surprisal_rule(g, x, target, gx):
    for i in range(len(x)):
        scale = g[i] / exp_row(x[i], gx[i])
        for j in range(x.shape[1]):
            gx[i, j] *= scale
        gx[i, target[i]] -= g[i]


def surprisal_forward(x, target, axis):
    """-log softmax(x)_t of each row, the softmax kept nowhere."""
    places = _places(x, target, axis)
    if places is None:
        return NotImplemented
    y = np.empty(target.shape, np.float32)
    share(_surprisal, (rows(x), places, row(y)), (), team(x, PARALLEL))
    return y


def surprisal_rule(g, y, need, x, target, axis):
    """g (softmax(x) - one_hot(t))"""
    places = _places(x, target, axis)
    if places is None:
        return NotImplemented
    gx = np.empty_like(x)
    arrays = row(g), rows(x), places, rows(gx)
    share(_surprisal_rule, arrays, (), team(x, PARALLEL))
    return (gx,)


def _places(x, target, axis):
    """The targets in one row of int64, or None if they can't be used unchecked."""
    if not last_axis(x, axis) or target.shape != x.shape[:-1]:
        return None
    t = np.ascontiguousarray(target, dtype=np.int64).reshape(-1)
    inside = t.size and t.min() >= 0 and t.max() < x.shape[-1]
    return t if inside else None


def warmup():
    """Compile all kernels of this file."""
    x, t = np.ones((1, 2), np.float32), np.zeros(1, np.int64)
    bce_forward(x, x)
    bce_rule(x, x, (True, False), x, x)
    surprisal_forward(x, t, -1)
    surprisal_rule(x[:, 0], x[:, 0], (True,), x, t, -1)
