"""conv2d, conv_transpose2d and conv2d_weight without the matrix of columns.

All three are products with windows of an image, and a window is nothing but a place to
read from. An image is copied into a *frame*: a border of zeros around it and, for a
stride s, its rows and columns sorted by their remainder, s s planes for a channel, so
that neighbouring windows begin at neighbouring numbers. What the entry k = (c, u, v) of
a kernel sees from all windows is then one run of numbers from a fixed offset on:

    conv2d            y[o, q] = sum_k w[o, k] frame[offset[k] + q]
    conv2d_weight     dw[o, k] = sum_q dy[o, q] frame[offset[k] + q]

q counts the windows in rows as long as the frame's: those past the end of a row of y
are computed and left out. conv_transpose2d is one such product for each remainder of
the rows and columns of its output, with the kernel's entries that reach them.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..threads import get_num_threads
from .share import compiled, share
from .tile import LANES, LONG, ROWS, VECTORS, dots, long_tile, move, stride_move, tiles

WIDTH, LONG_WIDTH = VECTORS * LANES, LONG * LANES  # windows in a tile
NOTHING = np.float32(-0.0)  # x + 0 would make 0 of -0
ENOUGH = 64  # vectors in a sum of conv2d_weight, so that its end doesn't matter


class Frame(NamedTuple):
    """How an image (H, W) lies in memory: split by a stride, behind a border."""

    stride: int
    top: int
    left: int
    height: int  # of a plane
    width: int

    def size(self, channels):
        """Numbers of an image, a row for its last border, and what a tile may read."""
        planes = channels * self.stride**2
        return (planes * self.height + 1) * self.width + LONG_WIDTH

    def offset(self, c, row, column):
        """Where the window at (0, 0) sees (row, column) of channel c, each an array."""
        s = self.stride
        plane = (c * s + row % s) * s + column % s
        return (plane * self.height + row // s) * self.width + column // s


@compiled()
def _fill(frame, begin, image, shape, how):
    """Bring an image (C, H, W) into the frame that begins there; its border is 0.

    how: the numbers of its Frame.
    """
    stride, top, left, height, width = how[0], how[1], how[2], how[3], how[4]
    C, H, W = shape[0], shape[1], shape[2]
    at, source = frame.ctypes.data, image.ctypes.data
    for r in range(stride):  # no division in the loops: it takes as long as a row
        for r2 in range(stride):
            i, j = (r - top) % stride, (r2 - left) % stride
            rows, columns = -(-(H - i) // stride), -(-(W - j) // stride)
            inside = (i + top) // stride * width + (j + left) // stride
            for c in range(C):
                start = (c * H + i) * W + j
                plane = (c * stride + r) * stride + r2
                to = begin + plane * height * width + inside
                for _ in range(rows):
                    if stride == 1:
                        move(at + 4 * to, source + 4 * start, columns, NOTHING)
                    else:
                        own = source + 4 * start
                        stride_move(at + 4 * to, 1, own, stride, columns, NOTHING)
                    start += stride * W
                    to += width


@compiled()
def _place(y, shape, part, stride, wide, length, width, bias):
    """Bring the windows of a part from their long rows to their places in image y."""
    O, H, W = shape[0], shape[1], shape[2]
    rows, columns, first_row, first_column = part[0], part[1], part[2], part[3]
    to, source = y.ctypes.data, wide.ctypes.data
    for o in range(O):
        for i in range(rows):
            row = (o * H + first_row + i * stride) * W + first_column
            start = o * length + i * width
            if stride == 1:
                move(to + 4 * row, source + 4 * start, columns, bias[o])
            else:
                own = source + 4 * start
                stride_move(to + 4 * row, stride, own, 1, columns, bias[o])


@compiled()
def _correlate(
    x, y, frames, wides, shape, how, y_shape, stride, parts, weight, offset, bias
):
    """All parts of a convolution of some images.

    x, y: a row for each image, of the shapes (C, H, W) and y_shape. how: the numbers of
    the Frame; frames, wides: room for one and for long rows. parts: rows of (rows,
    columns, first row, first column, entries, place of its weights, of its offsets).
    """
    outs, width = y_shape[0], how[4]
    frame, wide = frames[0], wides[0]
    at, to = frame.ctypes.data, wide.ctypes.data
    for n in range(len(x)):
        _fill(frame, 0, x[n], shape, how)
        for p in range(len(parts)):
            part = parts[p]
            count, k = (part[0] - 1) * width + part[1], part[4]
            length = -(-count // LONG_WIDTH) * LONG_WIDTH + WIDTH
            w = weight.ctypes.data + 4 * part[5]
            table = offset.ctypes.data + 8 * part[6]
            if outs > 1:
                tiles(w, k, 1, outs, at, table, k, to, length, count, 0)
            else:
                for q in range(0, count, LONG_WIDTH):
                    long_tile(w, k, 1, 1, at + 4 * q, table, k, to + 4 * q, length, 0)
            _place(y[n], y_shape, part, stride, wide, length, width, bias)


@compiled()
def _weights(x, dy, frames, grads, sums, shape, how, y_shape, place, chunk, group):
    """sums[0, o, k] += sum_nq dy[n, o, q] frame[place[k] + q] for some images n.

    frames: room for a group of frames, each with ones behind it, for the bias; grads:
    for as many images of dy in long rows. chunk: where the frames' vectors begin.
    """
    outs, rows, columns = y_shape[0], y_shape[1], y_shape[2]
    frame, g, total = frames[0], grads[0], sums[0]
    chunks, step = len(chunk) // group, len(frame) // group
    K, row = len(place), len(chunk) * LANES
    for first in range(0, len(x), group):
        count = min(group, len(x) - first)
        for n in range(count):
            _fill(frame, n * step, x[first + n], shape, how)
            source = dy[first + n].ctypes.data
            for o in range(outs):
                to = g.ctypes.data + 4 * (o * row + n * chunks * LANES)
                for i in range(rows):
                    start = source + 4 * (o * rows + i) * columns
                    move(to + 4 * i * how[4], start, columns, NOTHING)
        for o in range(0, outs, ROWS):
            for k in range(0, K, VECTORS):
                dots(
                    g.ctypes.data + 4 * o * row, row, outs - o,
                    frame.ctypes.data, place.ctypes.data + 8 * k, K - k,
                    chunk.ctypes.data, count * chunks,
                    total.ctypes.data + 4 * (o * K + k), K,
                )  # fmt: skip


def _table(frame, C, rows, columns):
    """frame.offset for all channels and the given rows and columns, in this order."""
    c = np.arange(C)[:, None, None]
    return frame.offset(c, np.array(rows)[:, None], np.array(columns)).ravel()


@functools.lru_cache(256)
def _conv_plan(C, H, W, kh, kw, stride, ph, pw):
    """The frame of conv2d's image, and the offsets of a kernel's entries in it."""
    if stride == 1:  # the left border of a row is the right one of the row before
        frame = Frame(1, ph, pw, H + 2 * ph, W + pw)
    else:
        height, width = -(-(H + 2 * ph) // stride), -(-(W + 2 * pw) // stride)
        frame = Frame(stride, ph, pw, height, width)
    return frame, _table(frame, C, range(kh), range(kw))


def _reached(n, k, stride, padding, remainder):
    """Of n places those with a remainder: (their number, the first, its window).

    Place i of the output is in window t, i = stride t + remainder - padding, and takes
    the entries u = remainder + stride m of the kernel from the input's places t - m.
    """
    t = -(-(padding - remainder) // stride)
    first = stride * t + remainder - padding
    return -(-(n - first) // stride), first, t


@functools.lru_cache(256)
def _transposed_plan(C, h, w, H, W, kh, kw, stride, ph, pw):
    """(frame, parts, offsets) of conv_transpose2d from (h, w) to (H, W), or None."""
    sides = []
    for n, out, k, p in ((h, H, kh, ph), (w, W, kw, pw)):
        found = [_reached(out, k, stride, p, r) for r in range(stride)]
        taps = [-(-(k - r) // stride) for r in range(stride)]
        border = max(m - 1 - t for m, (_, _, t) in zip(taps, found))
        end = max(t + count for count, _, t in found)
        if border < 0 or min(taps) < 1 or min(f[0] for f in found) < 1:
            return None
        sides.append((found, taps, border, max(end - n, 0)))
    (by_row, row_taps, top, below), (by_column, column_taps, left, right) = sides
    frame = Frame(1, top, left, h + top + below, w + max(left, right))
    parts, tables = [], []
    for r, ((rows, row, t), m) in enumerate(zip(by_row, row_taps)):
        for r2, ((columns, column, t2), m2) in enumerate(zip(by_column, column_taps)):
            parts.append((rows, columns, row, column, C * m * m2, r, r2))
            seen = t + top - np.arange(m), t2 + left - np.arange(m2)
            tables.append(_table(frame, C, *seen))
    return frame, parts, np.concatenate(tables)


def _run(x, out, weights, frame, parts, offset, stride, bias):
    """y of _correlate: x (N, C, H, W), weights one matrix (out[0], k) for each part."""
    team = max(1, min(get_num_threads(), len(x)))
    rows = -(-out[0] // ROWS) * ROWS
    counts = [(p[0] - 1) * frame.width + p[1] for p in parts]
    longest = -(-max(counts) // LONG_WIDTH) * LONG_WIDTH + WIDTH
    table, at, first = np.empty((len(parts), 7), np.int64), 0, 0
    for i, (part, w) in enumerate(zip(parts, weights)):
        table[i] = (*part[:4], w.shape[1], at, first)
        at, first = at + w.size, first + w.shape[1]
    if bias is None:
        bias = np.full(out[0], -0.0, np.float32)
    y = np.empty((len(x), *out), np.float32)
    share(
        _correlate,
        (
            x.reshape(len(x), -1), y.reshape(len(x), -1),
            np.zeros((team, frame.size(x.shape[1])), np.float32),
            np.empty((team, rows * longest), np.float32),
        ),
        (
            np.array(x.shape[1:]), np.array(frame), np.array(out), np.int64(stride),
            table, np.concatenate([w.reshape(-1) for w in weights]), offset,
            np.ascontiguousarray(bias),
        ),
        team,
    )  # fmt: skip
    return y


def _settings(x, weight, stride, padding, dilation, groups):
    """(stride, rows and columns of padding), or None where a kernel declines."""
    stride, padding, dilation = map(_pair, (stride, padding, dilation))
    fits = (
        groups == 1
        and dilation == (1, 1)
        and all(isinstance(n, (int, np.integer)) for n in stride + padding)
        and len(stride) == len(padding) == 2
        and stride[0] == stride[1] > 0
        and min(padding) >= 0
        and x.ndim in (3, 4)
        and x.size > 0
        and type(weight) is np.ndarray
        and weight.dtype == np.float32
        and weight.size > 0
    )
    return (stride[0], *padding) if fits else None


def _pair(n):
    return (n, n) if np.ndim(n) == 0 else tuple(n)


def _batch(x):
    return np.ascontiguousarray(x).reshape(-1, *x.shape[-3:])


def _convolve(x, weight, bias, stride, ph, pw):
    O, _, kh, kw = weight.shape
    oh, ow = _places(x, (kh, kw), stride, ph, pw)
    frame, offset = _conv_plan(*x.shape[1:], kh, kw, stride, ph, pw)
    parts = [(oh, ow, 0, 0, len(offset))]
    w = np.ascontiguousarray(weight).reshape(O, -1)
    return _run(x, (O, oh, ow), [w], frame, parts, offset, 1, bias)


def _spread(x, weight, bias, size, stride, ph, pw):
    """conv_transpose2d to images of a size, or None."""
    C, O, kh, kw = weight.shape
    plan = _transposed_plan(*x.shape[1:], *size, kh, kw, stride, ph, pw)
    if plan is None:
        return None
    frame, parts, offset = plan
    turned = weight.swapaxes(0, 1)
    weights = [
        np.ascontiguousarray(turned[:, :, r::stride, r2::stride]).reshape(O, -1)
        for *_, r, r2 in parts
    ]
    return _run(x, (O, *size), weights, frame, parts, offset, stride, bias)


def _contract(x, dy, size, stride, ph, pw):
    """(dw (O, C, kh, kw), the sum of dy for each O) of conv2d."""
    (C, H, W), (O, rows, columns) = x.shape[1:], dy.shape[1:]
    frame, place = _conv_plan(C, H, W, *size, stride, ph, pw)
    chunks = -(-((rows - 1) * frame.width + columns) // LANES)
    ones = frame.size(C)
    step = ones + chunks * LANES
    team = max(1, min(get_num_threads(), len(x)))
    group = max(1, min(ENOUGH // chunks, -(-len(x) // team)))
    chunk = np.arange(group)[:, None] * step + np.arange(chunks) * LANES
    frames = np.zeros((team, group, step), np.float32)
    frames[:, :, ones:] = 1
    sums = np.zeros((team, O, len(place) + 1), np.float32)
    share(
        _weights,
        (
            x.reshape(len(x), -1), dy.reshape(len(x), -1), frames.reshape(team, -1),
            np.zeros((team, O * chunk.size * LANES), np.float32), sums,
        ),
        (
            np.array(x.shape[1:]), np.array(frame), np.array(dy.shape[1:]),
            np.append(place, ones), chunk.reshape(-1), np.int64(group),
        ),
        team,
    )  # fmt: skip
    sums = sums.sum(axis=0)
    return sums[:, :-1].reshape(O, C, *size), sums[:, -1].copy()


def _fits(x, weight, bias, axis):
    """Whether weight, with x's channels along an axis, and bias fit."""
    return (
        weight.ndim == 4
        and weight.shape[axis] == x.shape[-3]
        and (
            bias is None
            or type(bias) is np.ndarray
            and bias.dtype == np.float32
            and bias.shape == (weight.shape[1 - axis],)
        )
    )


def _places(x, size, stride, *padding):
    """Rows and columns of windows; not positive if there are none."""
    return tuple(
        (n + 2 * p - k) // stride + 1 for n, k, p in zip(x.shape[-2:], size, padding)
    )


def conv2d_forward(x, weight, bias, stride, padding, dilation, groups):
    """weight (O, C, kh, kw) over x (N, C, H, W), zeros around it."""
    how = _settings(x, weight, stride, padding, dilation, groups)
    if how is None or not _fits(x, weight, bias, 1):
        return NotImplemented
    if min(_places(x, weight.shape[2:], *how)) < 1:
        return NotImplemented
    y = _convolve(_batch(x), weight, bias, *how)
    return y.reshape(x.shape[:-3] + y.shape[1:])


def conv2d_rule(g, y, need, x, weight, bias, stride, padding, dilation, groups):
    """The gradients by x (a conv_transpose2d), weight and bias, as far as needed."""
    how = _settings(g, weight, stride, padding, dilation, groups)
    if how is None or g.dtype != np.float32 or x.shape[-3] != weight.shape[1]:
        return NotImplemented
    g, gx, gw, gb = _batch(g), None, None, None
    if need[0]:
        gx = _spread(g, weight, None, x.shape[-2:], *how)
        if gx is None:
            return NotImplemented
        gx = gx.reshape(x.shape)
    if need[1]:
        gw, gb = _contract(_batch(x), g, weight.shape[2:], *how)
    elif need[2]:
        gb = g.sum(axis=(0, 2, 3))
    return gx, gw, gb if need[2] else None


def conv_transpose2d_forward(
    x, weight, bias, stride, padding, output_padding, groups, dilation
):
    """conv2d's gradient by its input: weight (C, O, kh, kw) spread from each place."""
    how = _settings(x, weight, stride, padding, dilation, groups)
    if how is None or not _fits(x, weight, bias, 0) or np.any(output_padding):
        return NotImplemented
    s, ph, pw = how
    (h, w), (kh, kw) = x.shape[-2:], weight.shape[2:]
    size = (h - 1) * s - 2 * ph + kh, (w - 1) * s - 2 * pw + kw
    y = _spread(_batch(x), weight, bias, size, *how) if min(size) > 0 else None
    return NotImplemented if y is None else y.reshape(x.shape[:-3] + y.shape[1:])


def conv_transpose2d_rule(
    g, y, need, x, weight, bias, stride, padding, output_padding, groups, dilation
):
    """The gradients by x (a conv2d), weight and bias, as far as needed."""
    how = _settings(g, weight, stride, padding, dilation, groups)
    if how is None or g.dtype != np.float32 or np.any(output_padding):
        return NotImplemented
    g, gx, gw = _batch(g), None, None
    if need[0]:
        gx = _convolve(g, weight, None, *how).reshape(x.shape)
    if need[1]:
        gw, _ = _contract(g, _batch(x), weight.shape[2:], *how)
    return gx, gw, g.sum(axis=(0, 2, 3)) if need[2] else None


def conv2d_weight_forward(x, dy, size, stride, padding, dilation, groups):
    """The gradient of conv2d by its weight."""
    how = _settings(x, dy, stride, padding, dilation, groups)
    if how is None or dy.ndim != x.ndim or dy.shape[:-3] != x.shape[:-3]:
        return NotImplemented
    size = _pair(size)
    most = _places(x, size, *how)
    if min(size) < 1 or any(n > m for n, m in zip(dy.shape[-2:], most)):
        return NotImplemented
    return _contract(_batch(x), _batch(dy), size, *how)[0]


def warmup():
    """Compile all kernels of this file."""
    x = np.ones((1, 1, 1, 1), np.float32)
    _convolve(x, x, None, 1, 0, 0)
    _contract(x, x, (1, 1), 1, 0, 0)
