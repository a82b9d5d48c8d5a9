"""Pooling and resizing of images: max_pool2d, avg_pool2d, interpolate.

Images come with a batch, (N, C, H, W), or without, (C, H, W); pairs are (rows,
columns), and one integer stands for both. Padding and ceil_mode are a border around
the image, added before; the ops proper then only meet whole windows.
"""

import functools
import math

import numpy as np

from ..errors import ShapeError
from ..tensor import composite, op
from .conv import _pair, _view, overlap_add
from .examples import distinct, normal
from .index import _plain
from .shape import broadcast_to, expand_dims, pad


def _entries(x, size, stride, dilation):
    """First entries of all windows, second entries, ...: each (..., oh, ow)."""
    windows = _view(x, size, stride, dilation)
    return [windows[..., u, v] for u, v in np.ndindex(windows.shape[-2:])]


@op
def max_windows(x, size, stride=1, dilation=1):
    """y[..., i, j] = max_uv of `windows(x)`; of equals the first takes the gradient."""
    return functools.reduce(np.maximum, _entries(x, size, stride, dilation))


def _first_largest(x, y, size, stride, dilation):
    """Whether an entry is the first of its window to equal y: (..., oh, ow, kh, kw)."""
    taken, places = np.zeros_like(y, dtype=bool), []
    for entry in _entries(x, size, stride, dilation):
        places.append((entry == y) & ~taken)
        taken = taken | places[-1]
    return np.stack(places, -1).reshape(*y.shape, *_pair(size))


def _max_rule(g, y, x, size, stride, dilation):
    chosen = _first_largest(_plain(x), _plain(y), size, stride, dilation)
    parts = expand_dims(g, (-2, -1)) * chosen
    return overlap_add(parts, x.shape[-2:], stride, dilation)


max_windows.rules(x=_max_rule)
max_windows.example(distinct(2, 5, 7), size=(2, 3), stride=(1, 2), dilation=(2, 1))


@op
def sum_windows(x, size, stride=1):
    """y[..., i, j] = sum_uv of `windows(x)`."""
    return functools.reduce(np.add, _entries(x, size, stride, 1))


def _sum_rule(g, _y, _x, size, stride):
    parts = broadcast_to(expand_dims(g, (-2, -1)), (*g.shape, *_pair(size)))
    return overlap_add(parts, _x.shape[-2:], stride)


sum_windows.rules(x=_sum_rule)
sum_windows.example(normal(2, 5, 7), size=(2, 3), stride=(1, 2))


def _border(name, x, size, stride, padding, dilation, ceil_mode):
    """((top, bottom), (left, right)): the padding, and what ceil_mode adds behind.

    Windows start every `stride` from -padding on. With ceil_mode the last may hang
    over the end, but must start inside the image or the padding before it.
    """
    if x.ndim < 3:
        raise ShapeError(
            name,
            f"input {x.shape} needs 4 axes (N, C, H, W), or 3 (C, H, W) without a "
            "batch",
        )
    border = []
    for n, k, s, p, d in zip(x.shape[-2:], size, stride, padding, dilation):
        reach = d * (k - 1) + 1
        if 2 * p > reach:
            raise ShapeError(
                name,
                f"padding {p} is more than half of the kernel, which spans {reach}: "
                f"windows of padding alone would arise. Pad {reach // 2} at most",
            )
        room = n + 2 * p - reach
        last = -(-room // s) if ceil_mode else room // s
        if last < 0:
            raise ShapeError(
                name,
                f"the kernel spans {reach} but input {x.shape} with padding {p} has "
                f"only {n + 2 * p} there; use a smaller kernel or more padding",
            )
        if last * s >= n + p:
            last -= 1
        border.append((p, max(last * s + reach - n - p, 0)))
    return border


def _framed(x, border, value):
    if not np.any(border):
        return x
    return pad(x, ((0, 0),) * (x.ndim - 2) + tuple(border), constant_values=value)


@composite
def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """y[c, i, j] = max_uv x[c, i s + u d - p, j s + v d - p]; outside x counts as -inf.

    x (N, C, H, W) -> (N, C, oh, ow), oh = (H + 2 p - d (k - 1) - 1) / s + 1, rounded
    down, or up with ceil_mode. stride s: None means kernel_size. Padding p is at most
    half the kernel. Of equal entries the first in reading order takes the gradient.
    """
    size, stride = _pair(kernel_size), _pair(kernel_size if stride is None else stride)
    padding, dilation = _pair(padding), _pair(dilation)
    border = _border("max_pool2d", x, size, stride, padding, dilation, ceil_mode)
    return max_windows(_framed(x, border, -np.inf), size, stride, dilation)


@composite
def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
):
    """y[c, i, j] = (1 / n_ij) sum_uv x[c, i s + u - p, j s + v - p], 0 outside x.

    Shapes as in max_pool2d. n_ij counts the entries of the window that lie in x or, if
    count_include_pad, in the padding; what hangs over further (ceil_mode) never counts.
    """
    size, stride = _pair(kernel_size), _pair(kernel_size if stride is None else stride)
    padding = _pair(padding)
    border = _border("avg_pool2d", x, size, stride, padding, (1, 1), ceil_mode)
    total = sum_windows(_framed(x, border, 0), size, stride)
    rows, columns = (
        _count(total, axis, x.shape[axis], size, stride, padding, count_include_pad)
        for axis in (-2, -1)
    )
    return total / (rows[:, None] * columns)


def _count(y, axis, n, size, stride, padding, count_include_pad):
    """How many entries of each window count along an axis of length n, in y's type."""
    p = padding[axis]
    y = _plain(y)
    start = np.arange(y.shape[axis], dtype=y.dtype, like=y) * stride[axis] - p
    low, high = (-p, n + p) if count_include_pad else (0, n)
    return np.minimum(start + size[axis], high) - np.maximum(start, low)


for _pool, _draw in ((max_pool2d, distinct), (avg_pool2d, normal)):
    _pool.example(_draw(2, 3, 4, 7), kernel_size=2)
    _pool.example(_draw(2, 5, 7), kernel_size=(3, 2), stride=2, padding=1)
    _pool.example(_draw(2, 5, 6), (2, 3), stride=(2, 1), padding=1, ceil_mode=True)
max_pool2d.example(distinct(2, 5, 7), kernel_size=2, stride=1, dilation=(2, 3))
avg_pool2d.example(normal(2, 5, 7), 3, 2, 1, True, count_include_pad=False)


# ---- resizing -------------------------------------------------------------------
@op
def resample(x, rows, columns):
    """y[..., i, j] = x[..., rows[i], columns[j]]: R x C^T, R and C one-hot matrices."""
    return x[..., rows[:, None], columns]


def _one_hot(indices, n, like):
    return (indices[:, None] == np.arange(n, like=indices)).astype(like.dtype)


def _resample_rule(g, _y, _x, rows, columns):
    R, C = _one_hot(rows, _x.shape[-2], g), _one_hot(columns, _x.shape[-1], g)
    return R.T @ (g @ C)


resample.rules(x=_resample_rule)
resample.example(normal(2, 3, 5), np.array([0, 0, 2]), np.array([4, 1, 1, 0]))


@composite
def interpolate(x, size=None, scale_factor=None):
    """y[c, i, j] = x[c, floor(i H / oh), floor(j W / ow)]: the nearest, in new size.

    x (N, C, H, W) -> (N, C, oh, ow): give size (oh, ow), or scale_factor, which makes
    oh = floor(H scale) and reads row floor(i / scale). Rounding as in PyTorch.
    """
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "interpolate: give one of size and scale_factor, such as scale_factor=2; "
            f"got size={size}, scale_factor={scale_factor}"
        )
    like = _plain(x)
    if size is None:
        scales = _pair(scale_factor)
        size = [math.floor(n * s) for n, s in zip(x.shape[-2:], scales)]
    else:
        size, scales = _pair(size), (None, None)
    sides = zip(x.shape[-2:], size, scales)
    rows, columns = (_nearest(n, out, scale, like) for n, out, scale in sides)
    return resample(x, rows, columns)


def _nearest(n, out, scale, like):
    """Which of n entries each of `out` reads. In float32, where PyTorch computes it."""
    step = n / out if scale is None or out in (n, 2 * n) else 1 / scale
    place = np.arange(out, dtype=np.float32, like=like) * np.float32(step)
    return place.astype(np.int64)


interpolate.example(normal(2, 3, 5), scale_factor=2)
interpolate.example(normal(1, 2, 3, 5), size=(7, 4))
interpolate.example(normal(2, 5, 7), scale_factor=(0.5, 1.7))
