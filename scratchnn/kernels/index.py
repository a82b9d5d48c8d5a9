"""Adding rows into places of their own, and the largest of those that share a place.

As in sparse.py the time goes to waiting for a row that nobody could foresee: the one
wanted AHEAD steps later is asked for now. One thread: a second one made it slower.
"""

import math

import numpy as np
from numba import float32, njit

from .sparse import AHEAD, ask_for_row

loop = njit(cache=True, no_cfunc_wrapper=True)  # C never calls these
NARROW = 2  # numbers in a row; below this NumPy is as fast


@loop
def _add(x, rows, y):
    """y[rows[e]] += x[e]"""
    for e in range(len(rows)):
        ask_for_row(y, rows[min(e + AHEAD, len(rows) - 1)])
        row, place = x[e], y[rows[e]]
        for k in range(len(row)):
            place[k] += row[k]


@loop
def _raise(x, rows, y):
    """y[rows[e]] = max(y[rows[e]], x[e]), nan if there is one."""
    for e in range(len(rows)):
        ask_for_row(y, rows[min(e + AHEAD, len(rows) - 1)])
        row, place = x[e], y[rows[e]]
        for k in range(len(row)):
            larger = (row[k] > place[k]) | (row[k] != row[k])
            place[k] = row[k] if larger else place[k]


@loop
def _count(x, rows, y, counts):
    """How many of the x[e] are equal to y[rows[e]]."""
    for e in range(len(rows)):
        ask_for_row(y, rows[min(e + AHEAD, len(rows) - 1)])
        ask_for_row(counts, rows[min(e + AHEAD, len(rows) - 1)])
        row, top, place = x[e], y[rows[e]], counts[rows[e]]
        for k in range(len(row)):
            place[k] += float32(row[k] == top[k])


@loop
def _hand_out(x, rows, y, share, gx):
    """gx[e] = share[rows[e]] where x[e] is equal to y[rows[e]]."""
    for e in range(len(rows)):
        ask_for_row(y, rows[min(e + AHEAD, len(rows) - 1)])
        ask_for_row(share, rows[min(e + AHEAD, len(rows) - 1)])
        row, top, part, goal = x[e], y[rows[e]], share[rows[e]], gx[e]
        for k in range(len(row)):
            goal[k] = part[k] * float32(row[k] == top[k])


def _flat(x, rows):
    """x as contiguous float32 (rows, F)."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    return x.reshape(rows, math.prod(x.shape) // max(rows, 1))


def scatter_forward(x, index, shape):
    """Zeros of `shape` with x's rows added at integer positions along axis 0."""
    if type(index) is not np.ndarray or index.dtype.kind not in "iu" or not index.size:
        return NotImplemented
    if x.shape != index.shape + shape[1:] or math.prod(shape[1:]) < NARROW:
        return NotImplemented
    low, high = index.min(), index.max()
    if low < -shape[0] or high >= shape[0]:
        return NotImplemented  # NumPy raises the error
    rows = index.reshape(-1).astype(np.int64, copy=False)
    if low < 0:
        rows = np.where(rows < 0, rows + shape[0], rows)
    y = np.zeros(shape, np.float32)
    _add(_flat(x, rows.size), np.ascontiguousarray(rows), _flat(y, shape[0]))
    return y


def _suits(x, segments):
    whole = type(segments) is np.ndarray and segments.flags.c_contiguous
    return whole and x.size > 0 and math.prod(x.shape[1:]) >= NARROW


def segment_max_forward(x, segments, num_segments):
    """The largest row of each segment, by entry."""
    if not _suits(x, segments):
        return NotImplemented
    y = np.full((num_segments, *x.shape[1:]), -np.inf, np.float32)
    _raise(_flat(x, len(x)), segments, _flat(y, num_segments))
    y[np.bincount(segments, minlength=num_segments) == 0] = 0
    return y


def segment_max_rule(g, y, need, x, segments, num_segments):
    """g to the largest, shared by those that are equal."""
    if not _suits(x, segments) or g.dtype != np.float32:
        return NotImplemented
    rows, top = _flat(x, len(x)), _flat(y, num_segments)
    counts, gx = np.zeros_like(top), np.empty(x.shape, np.float32)
    _count(rows, segments, top, counts)
    with np.errstate(divide="ignore", invalid="ignore"):  # no x, or only nan
        share = _flat(g, num_segments) / counts
    _hand_out(rows, segments, top, share, _flat(gx, len(x)))
    return (gx,)


def warmup():
    """Compile all kernels of this file."""
    x, rows = np.ones((1, 2), np.float32), np.zeros(1, np.int64)
    scatter_forward(x, rows, (1, 2))
    segment_max_rule(x, segment_max_forward(x, rows, 1), [True], x, rows, 1)
