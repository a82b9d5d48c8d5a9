"""Where the windows of a convolution lie in memory, and a kernel's entries in them.

An image is copied into a *frame*, behind a border of zeros. What the entry k of a
kernel, (c, u, v), sees from window q is frame[start[q] + step[k]]. A Plan has these
tables for images of one shape; they are made once.
"""

import functools
from typing import NamedTuple

import numpy as np

from .tile import LANES, LONG

LONG_WIDTH = LONG * LANES  # windows in a tile of one channel


class Frame(NamedTuple):
    """How an image (H, W) lies in memory, behind a border."""

    top: int
    left: int  # the left border of a row is the right one of the row before
    height: int
    width: int

    def size(self, channels):
        """Numbers of an image, a row for its last border, and what a tile may read."""
        return (channels * self.height + 1) * self.width + LONG_WIDTH

    def offset(self, c, rows, columns):
        """Where places are: channels by rows by columns, in this order."""
        c, rows = np.asarray(c)[:, None, None], np.asarray(rows)[:, None]
        return ((c * self.height + rows) * self.width + np.asarray(columns)).ravel()


class Plan(NamedTuple):
    """What _correlate needs to know of shapes.

    parts: rows of (rows, columns, first row, first column, entries, the first of them,
    the first of its windows in start and in place). Entry k of channel o has its number
    at weight[entry[k] + o along]; window q of a channel is at place[q] of the result.
    """

    image: np.ndarray  # its shape (C, H, W)
    frame: np.ndarray  # the numbers of its Frame
    size: int  # numbers in a frame
    parts: np.ndarray
    step: np.ndarray
    entry: np.ndarray
    along: np.uint64
    start: np.ndarray
    place: np.ndarray
    windows: int  # of the largest part, for a group of images
    side_by_side: bool  # windows of a row


def whole(n):
    """n or more, so that tiles and squares of numbers fit in."""
    return -(-n // LANES) * LANES


def padded(table):
    """The table, and its last entry until its length is that of whole tiles."""
    return np.pad(table, (0, -len(table) % LANES), "edge")


def _plan(image, frame, parts, step, entry, along, start, place, group, side_by_side):
    parts, image = np.array(parts), np.array(image)
    most = whole(group * int((parts[:, 0] * parts[:, 1]).max()))
    entry, along = entry.astype(np.uint64), np.uint64(along)
    where = image, np.array(frame), frame.size(image[0])
    return Plan(*where, parts, step, entry, along, start, place, most, side_by_side)


def _windows(frame, C, rows, columns, stride, group):
    """Where the windows of a group of images of C channels begin."""
    one = frame.offset([0], np.arange(rows) * stride, np.arange(columns) * stride)
    return padded((np.arange(group)[:, None] * frame.size(C) + one).ravel())


@functools.lru_cache(256)
def conv_plan(C, H, W, kh, kw, rows, columns, stride, ph, pw, group):
    """The Plan of conv2d from (C, H, W) to (rows, columns)."""
    frame = Frame(ph, pw, H + 2 * ph, W + pw)
    step = frame.offset(range(C), range(kh), range(kw))
    start = _windows(frame, C, rows, columns, stride, group)
    parts, entry = [(rows, columns, 0, 0, len(step), 0, 0, 0)], np.arange(len(step))
    rest = len(step), start, np.arange(rows * columns), group, stride == 1
    return _plan((C, H, W), frame, parts, step, entry, *rest)


def _reached(n, k, stride, padding, remainder):
    """Of n places those with a remainder: (their number, the first, its window).

    Place i of the output is in window t, i = stride t + remainder - padding, and takes
    the entries u = remainder + stride m of the kernel from the input's places t - m.
    """
    t = -(-(padding - remainder) // stride)
    first = stride * t + remainder - padding
    return -(-(n - first) // stride), first, t


@functools.lru_cache(256)
def transposed_plan(C, outs, h, w, H, W, kh, kw, stride, ph, pw, group):
    """The Plan of conv_transpose2d from (C, h, w) to (outs, H, W), or None."""
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
    frame = Frame(top, left, h + top + below, w + max(left, right))
    numbers = np.arange(C * outs * kh * kw).reshape(C, outs, kh, kw)[:, 0]
    parts, steps, entries, starts, places = [], [], [], [], []
    at = begin = before = 0
    for r, ((rows, row, t), m) in enumerate(zip(by_row, row_taps)):
        for r2, ((columns, column, t2), m2) in enumerate(zip(by_column, column_taps)):
            k = C * m * m2
            parts.append((rows, columns, row, column, k, at, begin, before))
            seen = t + top - np.arange(m), t2 + left - np.arange(m2)
            steps.append(frame.offset(range(C), *seen))
            entries.append(numbers[:, r::stride, r2::stride].ravel())
            starts.append(_windows(frame, C, rows, columns, 1, group))
            i = (row + stride * np.arange(rows))[:, None]
            places.append((i * W + column + stride * np.arange(columns)).ravel())
            at, begin, before = at + k, begin + len(starts[-1]), before + rows * columns
    tables = map(np.concatenate, (steps, entries, starts, places))
    step, entry, start, place = tables
    rest = kh * kw, start, place, group, True
    return _plan((C, h, w), frame, parts, step, entry, *rest)
