"""standardize over the last axes (layer, group norm) or all but axis 1 (batch norm).

Each row, or each channel of a block of images, is read again while it is in cache.
"""

import math

import numpy as np
from numba import float32, njit

# Sums may be reordered (that is what makes them SIMD); NaN and infinity stay.
SUMS = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=SUMS)
def _forward(x, eps, y):
    n, d = x.shape
    for i in range(n):
        mean, var = _moments(x[i])
        scale = float32(1) / math.sqrt(var + eps)
        for j in range(d):
            y[i, j] = (x[i, j] - mean) * scale


@njit(cache=True, fastmath=SUMS)
def _moments(row):
    total, squares = float32(0), float32(0)
    for j in range(len(row)):
        total += row[j]
    mean = total / float32(len(row))
    for j in range(len(row)):
        squares += (row[j] - mean) * (row[j] - mean)
    return mean, squares / float32(len(row))


@njit(cache=True, fastmath=SUMS)
def _backward(g, y, x, eps, gx):
    n, d = x.shape
    for i in range(n):
        mean, var = _moments(x[i])
        scale = float32(1) / math.sqrt(var + eps)
        total, along_y = float32(0), float32(0)
        for j in range(d):
            total += g[i, j]
            along_y += g[i, j] * y[i, j]
        total /= float32(d)
        along_y /= float32(d)
        for j in range(d):
            gx[i, j] = (g[i, j] - total - y[i, j] * along_y) * scale


@njit(cache=True, fastmath=SUMS)
def _channel_moments(x, c):
    total, squares = 0.0, 0.0  # of up to millions: float64, one addition a run
    for i in range(len(x)):
        part = float32(0)
        for j in range(x.shape[2]):
            part += x[i, c, j]
        total += part
    mean = float32(total / (len(x) * x.shape[2]))
    for i in range(len(x)):
        part = float32(0)
        for j in range(x.shape[2]):
            part += (x[i, c, j] - mean) * (x[i, c, j] - mean)
        squares += part
    return mean, float32(squares / (len(x) * x.shape[2]))


@njit(cache=True, fastmath=SUMS)
def _forward_channels(x, eps, y):
    for c in range(x.shape[1]):
        mean, var = _channel_moments(x, c)
        scale = float32(1) / math.sqrt(var + eps)
        for i in range(len(x)):
            for j in range(x.shape[2]):
                y[i, c, j] = (x[i, c, j] - mean) * scale


@njit(cache=True, fastmath=SUMS)
def _backward_channels(g, y, x, eps, gx):
    count = len(x) * x.shape[2]
    for c in range(x.shape[1]):
        mean, var = _channel_moments(x, c)
        scale = float32(1) / math.sqrt(var + eps)
        total, along_y = 0.0, 0.0
        for i in range(len(x)):
            part, part_y = float32(0), float32(0)
            for j in range(x.shape[2]):
                part += g[i, c, j]
                part_y += g[i, c, j] * y[i, c, j]
            total += part
            along_y += part_y
        m, m_y = float32(total / count), float32(along_y / count)
        for i in range(len(x)):
            for j in range(x.shape[2]):
                gx[i, c, j] = (g[i, c, j] - m - y[i, c, j] * m_y) * scale


def _view(x, axis):
    """x as (rows, n) or (N, C, n), with the loops for that view; None for others."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    axes, first = sorted(a % x.ndim for a in axes), x.ndim - len(axes)
    if axes == list(range(first, x.ndim)):
        return (-1, math.prod(x.shape[first:])), _forward, _backward
    if x.ndim > 2 and axes == [0, *range(2, x.ndim)]:
        shape = (*x.shape[:2], math.prod(x.shape[2:]))
        return shape, _forward_channels, _backward_channels
    return None


def forward(x, axis, eps):
    """(x - mean) / sqrt(var + eps) over the axes."""
    view = _view(x, axis)
    if view is None:
        return NotImplemented
    shape, loop, _ = view
    y = np.empty_like(x)
    loop(x.reshape(shape), np.float32(eps), y.reshape(shape))
    return y


def rule(g, y, need, x, axis, eps):
    """(g - mean(g) - y mean(g y)) / std, with mean and std taken from x again."""
    view = _view(x, axis)
    if view is None:
        return NotImplemented
    shape, _, loop = view
    g = np.ascontiguousarray(g, dtype=np.float32).reshape(shape)
    gx = np.empty_like(x)
    y = np.ascontiguousarray(y).reshape(shape)
    loop(g, y, x.reshape(shape), np.float32(eps), gx.reshape(shape))
    return (gx,)


def warmup():
    """Compile all kernels of this file."""
    x = np.ones((1, 1, 2), np.float32)
    for axis in (-1, (0, 2)):
        forward(x, axis, 1e-5)
        rule(x, x, (True,), x, axis, 1e-5)
