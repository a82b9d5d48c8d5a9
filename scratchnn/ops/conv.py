"""Convolution: conv2d, conv_transpose2d, and the windows both are made of.

A convolution is a matrix product. Let `columns(x)` hold in each column what the kernel
sees at one place of x (its `windows`), and `weight` in each row one kernel. Then

    conv2d            y = weight @ columns(x)
    conv_transpose2d  columns(y) = weight.T @ x, windows that overlap add up
    conv2d_weight     weight = dy @ columns(x).T

and each of the three has the two others as its rules, so gradients of any order are
convolutions. Images come with a batch, (N, C, H, W), or without, (C, H, W). Sizes,
strides and the like are pairs (rows, columns), or one integer for both.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..tensor import op
from .examples import normal
from .reduce import sum


def _pair(n):
    return (n, n) if np.ndim(n) == 0 else tuple(n)


def _reach(size, dilation):
    """Rows and columns from the first to the last entry of a kernel, inclusive."""
    return tuple(d * (k - 1) + 1 for k, d in zip(_pair(size), _pair(dilation)))


def _view(x, size, stride, dilation, writeable=False):
    """The windows of x without a copy: (..., H, W) -> (..., oh, ow, kh, kw)."""
    (sh, sw), (dh, dw) = _pair(stride), _pair(dilation)
    reach = _reach(size, dilation)
    full = sliding_window_view(x, reach, axis=(-2, -1), writeable=writeable)
    return full[..., ::sh, ::sw, ::dh, ::dw]


def _add_windows(windows, shape, stride, dilation):
    y = np.zeros_like(windows, shape=(*windows.shape[:-4], *shape))
    oh, ow, kh, kw = windows.shape[-4:]
    places = _view(y, (kh, kw), stride, dilation, writeable=True)
    for u in range(kh):
        for v in range(kw):  # places of one (u, v) never overlap
            part = places[..., :oh, :ow, u, v]
            part += windows[..., u, v]
    return y


@op
def windows(x, size, stride=1, dilation=1):
    """y[..., i, j, u, v] = x[..., i stride + u dilation, j stride + v dilation].

    What a kernel of size (kh, kw) sees at each place, as a read-only view of x:
    (..., H, W) -> (..., oh, ow, kh, kw), oh = (H - dilation (kh - 1) - 1) // stride + 1
    """
    return _view(x, _pair(size), stride, dilation)


windows.rules(
    x=lambda g, _y, _x, size, stride, dilation: overlap_add(
        g, _x.shape[-2:], stride, dilation
    )
)
windows.example(normal(2, 5, 7), size=(2, 3))
windows.example(normal(7, 5), size=2, stride=(2, 1), dilation=(1, 3))


@op
def overlap_add(windows, shape, stride=1, dilation=1):
    """y[..., i stride + u dilation, j stride + v dilation] += windows[..., i, j, u, v].

    The reverse of `windows`: each is added back where it was read, (..., oh, ow, kh,
    kw) -> (..., *shape).
    """
    return _add_windows(windows, shape, stride, dilation)


def _overlap_add_rule(g, _y, _windows, shape, stride, dilation):
    oh, ow, *size = _windows.shape[-4:]
    return windows(g, size, stride, dilation)[..., :oh, :ow, :, :]


overlap_add.rules(windows=_overlap_add_rule)
overlap_add.example(normal(3, 2, 2, 3), shape=(4, 5))
overlap_add.example(normal(2, 2, 3, 2, 2), shape=(5, 10), stride=(2, 3), dilation=2)


def _columns(x, size, stride, padding, dilation):
    """What a kernel sees of padded x: (N, C, H, W) -> (C, kh, kw, N, oh, ow)."""
    ph, pw = _pair(padding)
    x = np.moveaxis(x, -3, 0)
    if ph or pw:
        x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(ph, ph), (pw, pw)])
    return np.moveaxis(_view(x, size, stride, dilation), (-2, -1), (1, 2))


def _add_bias(y, bias):
    return y if bias is None else y + bias.reshape(y.shape[-3], 1, 1)


def _sum_but_channels(g):
    return sum(g, axis=tuple(i for i in range(g.ndim) if i != g.ndim - 3))


@op
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """y[o, i, j] = b[o] + sum_cuv w[o, c, u, v] x[c, i s + u d - p, j s + v d - p].

    Stride s, dilation d, and p rows and columns of zeros around x; the kernel is not
    flipped. x (N, C, H, W), weight (O, C / groups, kh, kw), bias (O) -> (N, O, oh, ow)
    with oh = (H + 2 p - d (kh - 1) - 1) // s + 1. Groups: the channels are cut in equal
    parts, and each part of the output sees one part of the input.
    """
    out, _, *size = weight.shape
    seen = weight[0].size  # C / groups * kh * kw, the entries that a kernel sees
    columns = _columns(x, size, stride, padding, dilation)
    y = weight.reshape(groups, -1, seen) @ columns.reshape(groups, seen, -1)
    y = y.reshape(out, *columns.shape[3:])  # (O, N, oh, ow)
    return _add_bias(np.moveaxis(y, 0, -3), bias)


@op
def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """y[o, i s + u d - p, j s + v d - p] += w[c, o, u, v] x[c, i, j], plus b[o].

    The transpose of conv2d: <conv2d(a, w), x> = <a, conv_transpose2d(x, w)>.
    x (N, C, h, w), weight (C, O / groups, kh, kw), bias (O) -> (N, O, H, W) with
    H = (h - 1) s - 2 p + d (kh - 1) + 1 + output_padding. Several H lead conv2d to the
    same h if s > 1; output_padding, less than s or d, says which one to return to.
    """
    C, out, *size = weight.shape
    rows = np.moveaxis(x, -3, 0)  # (C, N, h, w)
    kernels = weight.reshape(groups, C // groups, -1).swapaxes(1, 2)
    windows = kernels @ rows.reshape(groups, C // groups, -1)
    windows = windows.reshape(out * groups, *size, *rows.shape[1:])
    windows = np.moveaxis(windows, (1, 2), (-2, -1))  # (O, N, h, w, kh, kw)
    (ph, pw), reach = _pair(padding), _reach(size, dilation)
    H, W = _grown(x, reach, stride, output_padding, dilation)
    y = _add_windows(windows, (H, W), stride, dilation)[..., ph : H - ph, pw : W - pw]
    return _add_bias(np.moveaxis(y, 0, -3), bias)


def _grown(x, reach, stride, output_padding, dilation):
    """(H + 2 p, W + 2 p) of conv_transpose2d."""
    s, d, extra = _pair(stride), _pair(dilation), _pair(output_padding)
    if any(extra[i] >= max(s[i], d[i]) for i in range(2)):
        raise ValueError("output_padding must be less than stride or dilation")
    return [(n - 1) * s[i] + reach[i] + extra[i] for i, n in enumerate(x.shape[-2:])]


@op
def conv2d_weight(x, dy, size, stride=1, padding=0, dilation=1, groups=1):
    """dw[o, c, u, v] = sum_ij dy[o, i, j] x[c, i s + u d - p, j s + v d - p].

    The gradient of conv2d by its weight, summed over the batch: x (N, C, H, W),
    dy (N, O, oh, ow) -> (O, C / groups, kh, kw), where size = (kh, kw).
    """
    rows = np.moveaxis(dy, -3, 0)  # (O, N, oh, ow)
    columns = _columns(x, size, stride, padding, dilation)
    columns = columns[..., : dy.shape[-2], : dy.shape[-1]]  # (C, kh, kw, N, oh, ow)
    places = rows[0].size
    shape = (len(rows), len(columns) // groups, *columns.shape[1:3])
    rows = rows.reshape(groups, len(rows) // groups, places)
    columns = columns.reshape(groups, math.prod(shape[1:]), places)
    return (rows @ columns.swapaxes(1, 2)).reshape(shape)


def _to_image(x, g, weight, stride, padding, dilation, groups):
    """conv_transpose2d from g to the size of x."""
    s, p, reach = _pair(stride), _pair(padding), _reach(weight.shape[2:], dilation)
    extra = tuple(
        x.shape[i] + 2 * p[i] - (g.shape[i] - 1) * s[i] - reach[i] for i in (-2, -1)
    )
    return conv_transpose2d(g, weight, None, stride, padding, extra, groups, dilation)


def _to_places(y, x, weight, stride, padding, dilation, groups):
    """conv2d from the image x to the places of y: all, unless output_padding >= s."""
    full = conv2d(x, weight, None, stride, padding, dilation, groups)
    return full[..., : y.shape[-2], : y.shape[-1]]


conv2d.rules(
    x=lambda g, _y, _x, weight, _b, **how: _to_image(_x, g, weight, **how),
    weight=lambda g, _y, x, _w, _b, **how: conv2d_weight(x, g, _w.shape[2:], **how),
    bias=lambda g, _y, _x, _w, _b, **how: _sum_but_channels(g),
)
conv_transpose2d.rules(
    x=lambda g, _y, _x, weight, _b, output_padding, **how: (
        _to_places(_x, g, weight, **how)
    ),
    weight=lambda g, _y, x, _w, _b, output_padding, **how: (
        conv2d_weight(g, x, _w.shape[2:], **how)
    ),
    bias=lambda g, _y, _x, _w, _b, **how: _sum_but_channels(g),
)
conv2d_weight.rules(
    x=lambda g, _y, _x, dy, size, **how: _to_image(_x, dy, g, **how),
    dy=lambda g, _y, x, _dy, size, **how: _to_places(_dy, x, g, **how),
)
conv2d.example(normal(2, 3, 5, 7), normal(4, 3, 3, 2), normal(4))
conv2d.example(normal(2, 3, 6, 7), normal(2, 3, 3, 2), stride=(2, 3), padding=(1, 0))
conv2d.example(normal(4, 5, 7), normal(6, 2, 2, 3), normal(6), dilation=2, groups=2)
conv_transpose2d.example(normal(2, 3, 2, 4), normal(3, 4, 3, 2), normal(4))
conv_transpose2d.example(
    normal(2, 3, 2, 3), normal(3, 2, 3, 2), stride=(2, 3), padding=1, output_padding=1
)
conv_transpose2d.example(
    normal(4, 2, 3), normal(4, 3, 2, 3), normal(6), 2, 1, (0, 1), groups=2, dilation=2
)
conv2d_weight.example(normal(2, 3, 5, 7), normal(2, 4, 3, 6), size=(3, 2))
conv2d_weight.example(
    normal(4, 6, 7), normal(2, 3, 5), size=(2, 1), stride=2, padding=(0, 1), groups=2
)
