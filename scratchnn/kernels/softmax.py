"""softmax and log_softmax of rows: each row is read again while it is in cache."""

import math

import numpy as np

from .exp import EXACT, ONE, ZERO, exp, ordered, unordered
from .share import compiled, share, team

PARALLEL = 65_536  # entries

# exp itself keeps its own flags: only the sums here may be reordered.
rows_loop = compiled(EXACT | {"reassoc"})


@rows_loop
def top_of(row):
    """The largest entry, nan if there is one."""
    top = ordered(row[0])
    for j in range(1, len(row)):
        top = max(top, ordered(row[j]))
    return unordered(top)


@rows_loop
def exp_row(row, y):
    """y = e^(row - its largest entry); returns the sum of y."""
    top, total = top_of(row), ZERO
    for j in range(len(row)):
        y[j] = exp(row[j] - top)
        total += y[j]
    return total


@rows_loop
def _softmax(x, y):
    for i in range(len(x)):
        scale = ONE / exp_row(x[i], y[i])
        for j in range(x.shape[1]):
            y[i, j] *= scale


@rows_loop
def _softmax_rule(g, y, gx):
    for i in range(len(g)):
        along_y = ZERO
        for j in range(g.shape[1]):
            along_y += g[i, j] * y[i, j]
        for j in range(g.shape[1]):
            gx[i, j] = y[i, j] * (g[i, j] - along_y)


@rows_loop
def log_total(row, top):
    """log sum_j e^(row_j - top)"""
    total = ZERO
    for j in range(len(row)):
        total += exp(row[j] - top)
    return math.log(total)


@rows_loop
def _log_softmax(x, y):
    for i in range(len(x)):
        top = top_of(x[i])
        log = log_total(x[i], top)
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - top) - log


@rows_loop
def _log_softmax_rule(g, y, gx):
    for i in range(len(g)):
        total = ZERO
        for j in range(g.shape[1]):
            total += g[i, j]
        for j in range(g.shape[1]):
            gx[i, j] = g[i, j] - exp(y[i, j]) * total


def last_axis(x, axis):
    """Whether the axis is the last one, and not empty."""
    return x.ndim > 0 and axis in (-1, x.ndim - 1) and x.shape[-1] > 0


def rows(x):
    """(..., n) -> (rows, n), contiguous float32."""
    return np.ascontiguousarray(x, dtype=np.float32).reshape(-1, x.shape[-1])


def _forward(loop):
    def forward(x, axis):
        if not last_axis(x, axis):
            return NotImplemented
        y = np.empty_like(x)
        share(loop, (rows(x), rows(y)), (), team(x, PARALLEL))
        return y

    return forward


def _rule(loop):
    def rule(g, y, need, x, axis):
        if not last_axis(y, axis):
            return NotImplemented
        gx = np.empty(y.shape, np.float32)
        share(loop, (rows(g), rows(y), rows(gx)), (), team(y, PARALLEL))
        return (gx,)

    return rule


softmax_forward, softmax_rule = _forward(_softmax), _rule(_softmax_rule)
log_softmax_forward = _forward(_log_softmax)
log_softmax_rule = _rule(_log_softmax_rule)


def warmup():
    """Compile all kernels of this file."""
    x = np.ones((1, 2), np.float32)
    for f in (softmax_forward, log_softmax_forward):
        f(x, -1)
    for f in (softmax_rule, log_softmax_rule):
        f(x, x, (True,), x, -1)
