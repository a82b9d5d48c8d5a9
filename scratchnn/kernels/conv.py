"""conv2d, conv_transpose2d and conv2d_weight without the matrix of columns.

All three are products with windows of an image, and a window is nothing but a place to
read from. Images are copied into *frames*, with a border of zeros around each. What the
entry k = (c, u, v) of a kernel sees from window q is then frame[start[q] + step[k]]:

    conv2d            y[q, o] = sum_k frame[start[q] + step[k]] w[k, o]
    conv2d_weight     dw[k, o] = sum_q frame[step[k] + start[q]] dy[q, o]

Both are one tile (tile.py), whose vectors run along the channels o of the result;
start and step only change their parts. conv_transpose2d is one such product for each
remainder of the rows and columns of its output, with the kernel's entries that reach
them. A result of few channels has no vectors to fill. There they run along the windows,
in rows as long as the frame's: those past the end of a row are left out.
"""

import numpy as np

from ..threads import get_num_threads
from .share import LEAST, compiled, room, share
from .tile import LANES, PANEL, TALL, long_tile, move, stride_move, tall_tiles, turn
from .windows import LONG_WIDTH, conv_plan, padded, transposed_plan, whole

FEW = 6  # channels of a result below which its vectors run along the windows
ENOUGH = 512  # windows of as many images at a time: tiles don't end between images
CHUNK = 128  # windows of a sum of conv2d_weight: sums of sums round less
NOTHING = np.float32(-0.0)  # x + 0 would make 0 of -0


@compiled()
def _fill(frame, begin, image, shape, how):
    """Bring an image (C, H, W) into the frame that begins there; its border is 0.

    how: the numbers of its Frame.
    """
    top, left, height, width = how[0], how[1], how[2], how[3]
    C, H, W = shape[0], shape[1], shape[2]
    at, source = frame.ctypes.data, image.ctypes.data
    for c in range(C):
        for i in range(H):
            to = begin + (c * height + i + top) * width + left
            move(at + 4 * to, source + 4 * (c * H + i) * W, W, NOTHING)


@compiled()
def _panels(panels, weight, entry, along, outs):
    """panels[p, k, j] = weight[entry[k] + (p PANEL + j) along], where there is any.

    LANES entries at a time: for each j they may lie in one line of the cache.
    """
    entries = len(entry)
    for p in range(len(panels)):
        panel = panels[p]
        for low in range(0, entries, LANES):
            for j in range(PANEL):
                o = np.uint64(p * PANEL + j)
                for k in range(low, min(low + LANES, entries)):
                    panel[k, j] = weight[entry[k] + o * along] if o < outs else 0.0


@compiled()
def _gather(panel, image, first, few, windows):
    """panel[q, j] = image[first + j, q]: `few` channels side by side."""
    to, source = panel.ctypes.data, image.ctypes.data
    for j in range(0, few, LANES):
        for q in range(0, windows, LANES):
            if j + LANES <= few and q + LANES <= windows:
                own = source + 4 * ((first + j) * windows + q)
                turn(to + 4 * (q * PANEL + j), PANEL, own, windows)
            else:
                for o in range(j, min(j + LANES, few)):
                    for i in range(q, min(q + LANES, windows)):
                        panel[i, o] = image[(first + o) * windows + i]


@compiled()
def _scatter(panel, image, first, few, windows, place, area):
    """image[first + j, place[q]] = panel[q, j], the reverse, for images of an area.

    If they have as many places as windows, then these are in order.
    """
    source, to = panel.ctypes.data, image.ctypes.data
    for j in range(0, few, LANES):
        for q in range(0, windows, LANES):
            if windows == area and j + LANES <= few and q + LANES <= windows:
                own = to + 4 * ((first + j) * area + q)
                turn(own, area, source + 4 * (q * PANEL + j), PANEL)
            else:
                for o in range(j, min(j + LANES, few)):
                    for i in range(q, min(q + LANES, windows)):
                        image[(first + o) * area + place[i]] = panel[i, o]


@compiled()
def _correlate(
    x, y, frames, rooms, shape, how, outs, parts, panels, step, start, place, bias,
    group,
):  # fmt: skip
    """All parts of a convolution of some images: a row of x and y for each.

    shape: of an image of x. how: the numbers of the Frame. frames, rooms: for `group`
    images, and PANEL channels of their results.
    """
    size, area = frames.shape[1] // group, y.shape[1] // outs
    at, out = frames.ctypes.data, rooms.ctypes.data
    for first in range(0, len(x), group):
        count = min(group, len(x) - first)
        for n in range(count):
            _fill(frames[0], n * size, x[first + n], shape, how)
        for p in range(len(parts)):
            part = parts[p]
            windows, k = part[0] * part[1], part[4]
            along, own = step.ctypes.data + 8 * part[5], start.ctypes.data + 8 * part[6]
            for o in range(0, outs, PANEL):
                few, plus = min(PANEL, outs - o), bias.ctypes.data + 4 * o
                w = panels[o // PANEL].ctypes.data + 4 * PANEL * part[5]
                tall_tiles(at, own, count * windows, along, k, w, out, few, plus, 0)
                for n in range(count):
                    found, to = rooms[0, n * windows :], place[part[7] :]
                    _scatter(found, y[first + n], o, few, windows, to, area)


@compiled()
def _correlate_few(
    x, y, frames, wides, shape, how, y_shape, stride, parts, weight, step, start, bias
):
    """The same for a result of few channels, its rows of windows as long as a frame's.

    weight: a row for each channel, with the entries of all parts. wides: room for a
    channel.
    """
    outs, H, W = y_shape[0], y_shape[1], y_shape[2]
    width, at, wide = how[3], frames.ctypes.data, wides.ctypes.data
    for n in range(len(x)):
        _fill(frames[0], 0, x[n], shape, how)
        for p in range(len(parts)):
            part = parts[p]
            rows, columns, first_row, first_column = part[0], part[1], part[2], part[3]
            windows, k = (rows - 1) * width + columns, part[4]
            along, begin = step.ctypes.data + 8 * part[5], start[part[6]]
            for o in range(outs):
                w = weight[o].ctypes.data + 4 * part[5]
                for q in range(0, windows, LONG_WIDTH):
                    own = at + 4 * (begin + q)
                    long_tile(w, k, 1, 1, own, along, k, wide + 4 * q, LONG_WIDTH, 0)
                for i in range(rows):
                    row = (o * H + first_row + i * stride) * W + first_column
                    to, own = y[n].ctypes.data + 4 * row, wide + 4 * i * width
                    if stride == 1:
                        move(to, own, columns, bias[o])
                    else:
                        stride_move(to, stride, own, 1, columns, bias[o])


@compiled()
def _weights(x, dy, frames, panels, sums, shape, how, outs, row, entries, start, group):
    """sums[0, p, k, j] += sum_nq frame[row[k] + start[q]] dy[n, p PANEL + j, q].

    For some images n; the last row of sums has the sum of dy alone. panels: room for
    PANEL channels of dy.
    """
    windows, size = dy.shape[1] // outs, frames.shape[1] // group
    at, panel, g = frames.ctypes.data, panels[0], panels.ctypes.data
    for first in range(0, len(x), group):
        count = min(group, len(x) - first)
        for n in range(count):
            _fill(frames[0], n * size, x[first + n], shape, how)
        for p in range(sums.shape[1]):
            few = min(PANEL, outs - p * PANEL)
            for n in range(count):
                _gather(panel[n * windows :], dy[first + n], p * PANEL, few, windows)
            total, many = sums[0, p], count * windows
            for low in range(0, many, CHUNK):
                n, own = min(CHUNK, many - low), start.ctypes.data + 8 * low
                to, of = total.ctypes.data, g + 4 * low * PANEL
                tall_tiles(at, row.ctypes.data, entries, own, n, of, to, few, to, PANEL)
                for j in range(PANEL):
                    total[-2, j] = panel[low, j]
                for q in range(low + 1, low + n):
                    for j in range(PANEL):
                        total[-2, j] += panel[q, j]
                for j in range(PANEL):
                    total[-1, j] += total[-2, j]


@compiled()
def _turned(sums, turned):
    """turned[p, j, k] = sums[p, k, j]."""
    length = sums.shape[1]
    for p in range(len(sums)):
        for k in range(0, length, LANES):
            for j in range(0, PANEL, LANES):
                to, own = turned[p, j, k:].ctypes.data, sums[p, k, j:].ctypes.data
                turn(to, length, own, PANEL)


def _group(images, windows, entries):
    """How many images to take at a time: (of them, the number of threads).

    entries: multiplications for each window.
    """
    threads = get_num_threads() if images * windows * entries >= LEAST else 1
    team = max(1, min(threads, images))
    return max(1, min(ENOUGH // windows, -(-images // team))), team


def _run(x, out, weight, plan, stride, bias, group, team):
    """y (N, *out): windows of x times weight, as the plan has them."""
    few = out[0] < FEW and plan.side_by_side
    group = 1 if few else group
    y = np.empty((len(x), *out), np.float32)
    frames = np.zeros((team, group * plan.size), np.float32)
    split = x.reshape(len(x), -1), y.reshape(len(x), -1), frames
    weight = np.ascontiguousarray(weight).reshape(-1)
    plus = np.full(-(-out[0] // PANEL) * PANEL, NOTHING)
    plus[: out[0]] = NOTHING if bias is None else bias
    if few:
        wide = np.empty((team, plan.size), np.float32)
        channels = np.arange(out[0], dtype=np.uint64)[:, None]
        own = weight[plan.entry + plan.along * channels]
        shapes = plan.image, plan.frame, np.array(out), np.int64(stride), plan.parts
        table = own, plan.step, plan.start, plus
        share(_correlate_few, (*split, wide), (*shapes, *table), team)
        return y
    panels = room(-(-out[0] // PANEL), len(plan.entry), PANEL)
    share(_panels, (panels,), (weight, plan.entry, plan.along, np.uint64(out[0])))
    found = room(team, plan.windows, PANEL)
    shapes = plan.image, plan.frame, np.int64(out[0]), plan.parts
    table = panels, plan.step, plan.start, plan.place, plus, np.int64(group)
    share(_correlate, (*split, found), (*shapes, *table), team)
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
    group, team = _group(len(x), oh * ow, weight.size)
    plan = conv_plan(*x.shape[1:], kh, kw, oh, ow, stride, ph, pw, group)
    return _run(x, (O, oh, ow), weight, plan, 1, bias, group, team)


def _spread(x, weight, bias, size, stride, ph, pw):
    """conv_transpose2d to images of a size, or None."""
    C, outs, *kernel = weight.shape
    places = -(-size[0] // stride) * -(-size[1] // stride)
    group, team = _group(len(x), places, weight.size)
    shapes = C, outs, *x.shape[2:], *size, *kernel
    plan = transposed_plan(*shapes, stride, ph, pw, group)
    if plan is None:
        return None
    return _run(x, (outs, *size), weight, plan, stride, bias, group, team)


def _contract(x, dy, size, stride, ph, pw):
    """(dw (O, C, kh, kw), the sum of dy for each O) of conv2d."""
    C, H, W = x.shape[1:]
    O, rows, columns = dy.shape[1:]
    borders = size[0] - 1 - ph, size[1] - 1 - pw
    full = stride == 1 and min(borders) >= 0
    if full and O < min(C, FEW) and _places(dy, size, 1, *borders) == (H, W):
        turned, _ = _contract(dy, x, size, 1, *borders)  # vectors along C
        dw = turned[..., ::-1, ::-1].swapaxes(0, 1)
        return np.ascontiguousarray(dw), dy.sum(axis=(0, 2, 3))
    group, team = _group(len(x), rows * columns, O * C * size[0] * size[1])
    plan = conv_plan(C, H, W, *size, rows, columns, stride, ph, pw, group)
    entries, many = len(plan.step), -(-O // PANEL)
    panels = room(team, plan.windows, PANEL, of=np.zeros)
    sums = room(team, many, whole(entries + TALL + 1), PANEL, of=np.zeros)
    share(
        _weights,
        (
            x.reshape(len(x), -1), dy.reshape(len(x), -1),
            np.zeros((team, group * plan.size), np.float32),
            panels, sums,
        ),
        (
            plan.image, plan.frame, np.int64(O),
            padded(plan.step), np.int64(entries), plan.start, np.int64(group),
        ),
        team,
    )  # fmt: skip
    turned = np.empty((many, PANEL, sums.shape[2]), np.float32)
    share(_turned, (sums.sum(axis=0), turned))
    turned = turned.reshape(many * PANEL, -1)[:O]
    return turned[:, :entries].reshape(O, C, *size), turned[:, -1].copy()


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
    for o in (1, FEW):
        _convolve(x, np.ones((o, 1, 1, 1), np.float32), None, 1, 0, 0)
    _contract(x, x, (1, 1), 1, 0, 0)
