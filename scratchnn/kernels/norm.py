"""Layer, group and batch norm: one pass forward, one back for all three gradients.

A row (layer norm), a group of channels of a sample, or a channel of a batch is read
two or three times for its mean, its variance and its result, while it is in cache. The
rule takes mean and variance again; the gradients by weight and bias are sums of what
it meets on the way.
"""

import functools
import math

import numpy as np
from numba import float32

from .share import compiled, share, team

PARALLEL = 200_000  # entries
# Sums may be reordered (that is what makes them SIMD); NaN and infinity stay.
SUMS = {"reassoc", "contract", "nsz"}
loop = compiled(SUMS)


@loop
def _moments(row, eps):
    """Mean, and 1 / standard deviation."""
    total, squares = float32(0), float32(0)
    for j in range(len(row)):
        total += row[j]
    mean = total / float32(len(row))
    for j in range(len(row)):
        squares += (row[j] - mean) * (row[j] - mean)
    return mean, float32(1) / math.sqrt(squares / float32(len(row)) + eps)


# ---- rows: x (n, d), weight and bias (d) ----------------------------------------
@loop
def _rows(x, y, weight, bias, eps):
    for i in range(len(x)):
        mean, scale = _moments(x[i], eps)
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - mean) * scale * weight[j] + bias[j]


@loop
def _rows_rule(g, x, gx, gweight, gbias, weight, eps):
    d = x.shape[1]
    for i in range(len(x)):
        mean, scale = _moments(x[i], eps)
        total, along = float32(0), float32(0)
        for j in range(d):
            unit, by_unit = (x[i, j] - mean) * scale, g[i, j] * weight[j]
            total += by_unit
            along += by_unit * unit
            gweight[0, j] += g[i, j] * unit
            gbias[0, j] += g[i, j]
        total /= float32(d)
        along /= float32(d)
        for j in range(d):
            unit = (x[i, j] - mean) * scale
            gx[i, j] = (g[i, j] * weight[j] - total - unit * along) * scale


# ---- groups: x (N, G, c r) of c channels of r entries, weight and bias (G, c) ----
@loop
def _groups(x, y, weight, bias, eps):
    r = x.shape[2] // weight.shape[1]
    for i in range(len(x)):
        for k in range(x.shape[1]):
            mean, scale = _moments(x[i, k], eps)
            for c in range(weight.shape[1]):
                run, out = x[i, k, c * r : c * r + r], y[i, k, c * r : c * r + r]
                slope, shift = scale * weight[k, c], bias[k, c]
                for j in range(r):
                    out[j] = (run[j] - mean) * slope + shift


@loop
def _groups_rule(g, x, gx, gweight, gbias, weight, eps):
    r = x.shape[2] // weight.shape[1]
    for i in range(len(x)):
        for k in range(x.shape[1]):
            mean, scale = _moments(x[i, k], eps)
            total, along = float32(0), float32(0)
            for c in range(weight.shape[1]):
                run, slope = x[i, k, c * r : c * r + r], g[i, k, c * r : c * r + r]
                of_g, of_both = _sums(slope, run, mean)
                of_both *= scale
                gweight[0, k, c] += of_both
                gbias[0, k, c] += of_g
                total += of_g * weight[k, c]
                along += of_both * weight[k, c]
            total /= float32(x.shape[2])
            along /= float32(x.shape[2])
            for c in range(weight.shape[1]):
                run, slope = x[i, k, c * r : c * r + r], g[i, k, c * r : c * r + r]
                out, w = gx[i, k, c * r : c * r + r], weight[k, c]
                for j in range(r):
                    unit = (run[j] - mean) * scale
                    out[j] = (slope[j] * w - total - unit * along) * scale


@loop
def _sums(g, x, mean):
    """sum g, sum g (x - mean)"""
    of_g, of_both = float32(0), float32(0)
    for j in range(len(g)):
        of_g += g[j]
        of_both += g[j] * (x[j] - mean)
    return of_g, of_both


# ---- channels: x (N, C, r), weight and bias (C) ---------------------------------
@loop
def _channel_moments(x, c):
    """Mean, and the sum of squares around it."""
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
    return mean, squares


@loop
def _channels(channels, x, y, weight, bias, eps):
    for c in channels:
        mean, squares = _channel_moments(x, c)
        var = float32(squares / (len(x) * x.shape[2]))
        slope = weight[c] / math.sqrt(var + eps)
        for i in range(len(x)):
            for j in range(x.shape[2]):
                y[i, c, j] = (x[i, c, j] - mean) * slope + bias[c]


@loop
def _channels_rule(channels, g, x, gx, gweight, gbias, weight, eps):
    count = len(x) * x.shape[2]
    for c in channels:
        mean, squares = _channel_moments(x, c)
        scale = float32(1) / math.sqrt(float32(squares / count) + eps)
        total, along = 0.0, 0.0
        for i in range(len(x)):
            of_g, of_both = _sums(g[i, c], x[i, c], mean)
            total += of_g
            along += of_both * scale
        gweight[0, c], gbias[0, c] = along, total
        m, m_along = float32(total / count), float32(along / count) * scale
        slope = weight[c] * scale
        for i in range(len(x)):
            for j in range(x.shape[2]):
                gx[i, c, j] = (g[i, c, j] - m - (x[i, c, j] - mean) * m_along) * slope


@loop
def _statistics(channels, x, mean_and_var):
    for c in channels:
        mean, squares = _channel_moments(x, c)
        mean_and_var[0, c] = mean
        mean_and_var[1, c] = squares / (len(x) * x.shape[2] - 1)


# ---- which of the three it is ---------------------------------------------------
@functools.lru_cache(256)
def _plan(shape, vectors, axis):
    """(shape for x, shape for weight, loops) of one of the three; None for others.

    shape: that of x; vectors: the shapes of weight and bias.
    """
    axes, ndim = axis if isinstance(axis, tuple) else (axis,), len(shape)
    axes, first = sorted(a % ndim for a in axes), ndim - len(axes)
    d = math.prod(shape[first:])
    if axes == list(range(first, ndim)):
        if vectors <= {shape[first:]}:
            return (-1, d), (d,), (_rows, _rows_rule)
        if axes == [2, 3] and vectors <= {(*shape[1:3], 1)}:
            return (*shape[:2], d), shape[1:3], (_groups, _groups_rule)
    if ndim > 2 and axes == [0, *range(2, ndim)]:
        shape = (*shape[:2], math.prod(shape[2:]))
        if vectors <= {(shape[1],) + (1,) * (ndim - 2)}:
            return shape, shape[1:2], (_channels, _channels_rule)
    return None


def _prepared(x, weight, bias, axis):
    """`_plan` with weight and bias as the loops want them, or None."""
    vectors = [v for v in (weight, bias) if v is not None]
    if any(type(v) is not np.ndarray or v.dtype != np.float32 for v in vectors):
        return None
    shapes = frozenset(v.shape for v in vectors)
    plan = _plan(x.shape, shapes, axis) if x.size else None
    if plan is None:
        return None
    shape, inner, loops = plan
    weight = np.ones(inner, np.float32) if weight is None else weight.reshape(inner)
    bias = np.zeros(inner, np.float32) if bias is None else bias.reshape(inner)
    return shape, np.ascontiguousarray(weight), np.ascontiguousarray(bias), loops


def normalize_forward(x, weight, bias, axis, eps):
    """weight (x - mean) / sqrt(var + eps) + bias"""
    plan = _prepared(x, weight, bias, axis)
    if plan is None:
        return NotImplemented
    shape, weight, bias, (run, _) = plan
    y = np.empty_like(x)
    arrays, rest = (x.reshape(shape), y.reshape(shape)), (weight, bias, np.float32(eps))
    _share(run, arrays, (), rest, team(x, PARALLEL))
    return y


def normalize_rule(g, y, need, x, weight, bias, axis, eps):
    """The gradients by x, weight and bias."""
    plan = _prepared(x, weight, bias, axis)
    if plan is None:
        return NotImplemented
    shape, scale, _, (_, run) = plan
    g = np.ascontiguousarray(g, dtype=np.float32).reshape(shape)
    threads, gx = team(x, PARALLEL), np.empty_like(x)
    parts = 1 if run is _channels_rule else threads  # a row for each thread
    sums = np.zeros((2, parts, *scale.shape), np.float32)
    arrays = g, x.reshape(shape), gx.reshape(shape)
    _share(run, arrays, tuple(sums), (scale, np.float32(eps)), threads)
    gweight, gbias = sums.sum(axis=1) if parts > 1 else sums[:, 0]
    return (
        gx if need[0] else None,
        gweight.reshape(weight.shape) if need[1] else None,
        gbias.reshape(bias.shape) if need[2] else None,
    )


def _share(run, arrays, sums, rest, threads):
    """Samples go to the threads or, where a statistic is of all samples, channels."""
    if run in (_channels, _channels_rule):
        channels = np.arange(arrays[0].shape[1])
        share(run, (channels,), (*arrays, *sums, *rest), threads)
    else:
        share(run, (*arrays, *sums), rest, threads)


def standardize_forward(x, axis, eps):
    """(x - mean) / sqrt(var + eps)"""
    return normalize_forward(x, None, None, axis, eps)


def standardize_rule(g, y, need, x, axis, eps):
    """(g - mean(g) - y mean(g y)) / std, with mean and std taken from x again."""
    joint = normalize_rule(g, y, (True, False, False), x, None, None, axis, eps)
    return joint if joint is NotImplemented else joint[:1]


def channel_moments_forward(x):
    """Mean and unbiased variance of each channel."""
    if x.ndim < 3:
        return NotImplemented
    found = np.empty((2, x.shape[1]), np.float32)
    x3 = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    share(_statistics, (np.arange(x.shape[1]),), (x3, found), team(x, PARALLEL))
    return found


def warmup():
    """Compile all kernels of this file."""
    x = np.ones((1, 1, 2, 1), np.float32)
    w = np.ones((1, 2, 1), np.float32)
    for weight, axis in ((None, -1), (w, (2, 3)), (None, (0, 2, 3))):
        normalize_forward(x, weight, None, axis, 1e-5)
        normalize_rule(x, x, (True, False, False), x, weight, None, axis, 1e-5)
    channel_moments_forward(x)
