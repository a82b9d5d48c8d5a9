"""product: a @ b of matrices, each thread with its own rows or columns of the result.

Numbers are brought to where a tile reads them fast. A panel of b, at most DEPTH rows
of a tile's width, is copied side by side into the first cache and serves all rows of
a. OpenBLAS does the same, but its threads exchange their panels, and so wait for each
other in the middle: when another process takes a core, the whole product stands still.
Here each thread does its part from start to end.
"""

import functools

import numpy as np

from ..threads import get_num_threads
from . import threads as pool  # noqa: F401  without one, NumPy's product is faster
from .share import LEAST, LINE, compiled, share
from .tile import LANES, ROWS, SLIM, WIDE, four_strips, move, narrow_tile, slim_tile
from .tile import strip, stride_move, tile, tile_width, turn

DEPTH = 256  # rows of a panel of b: 48 KiB, 24 without AVX-512
BLOCK = 256  # rows of a at once: 256 KiB, in the second
ZERO, NOTHING = np.float32(0), np.float32(-0.0)
NO_BIAS, PLACES = np.empty(0, np.float32), np.arange(DEPTH) * WIDE


@compiled()
def _panel(b, turned, k, depth, j, columns, to):
    """Row i of the panel = the `columns` numbers from j on of row k + i of b."""
    at, row = b.ctypes.data, b.shape[1]
    if not turned:
        for i in range(depth):
            start = (k + i) * row + j
            move(to + 4 * i * WIDE, at + 4 * start, columns, NOTHING)
        return
    squares, many = depth // LANES * LANES, columns // LANES * LANES
    for m in range(0, many, LANES):
        for i in range(0, squares, LANES):
            start = (j + m) * row + k + i
            turn(to + 4 * (i * WIDE + m), WIDE, at + 4 * start, row)
    for m in range(columns):
        i = squares if m < many else 0
        place, start = to + 4 * (i * WIDE + m), at + 4 * ((j + m) * row + k + i)
        stride_move(place, WIDE, start, 1, depth - i, NOTHING)


@compiled()
def _strips(a, k, depth, first, m, strips):
    """strips[i, n, r] = a[k + n, first + i ROWS + r]: ROWS rows of a.T side by side."""
    to, start = strips.ctypes.data, a.ctypes.data + 4 * (k * a.shape[1] + first)
    fours, done = m // (4 * ROWS) * 4 * ROWS, m // ROWS * ROWS
    for i in range(0, fours, 4 * ROWS):
        four_strips(to + 4 * i * depth, ROWS * depth, start + 4 * i, a.shape[1], depth)
    for i in range(fours, done, ROWS):
        strip(to + 4 * i * depth, 0, start + 4 * i, a.shape[1], depth)
    for n in range(depth):
        for r in range(m - done):
            strips[done * depth + n * ROWS + r] = a[k + n, first + done + r]


@compiled()
def _column(
    a, row_a, step_a, next_row, m, panel, places, depth, bias, c, row_c, width, add
):  # fmt: skip
    """A column of tiles of c: m rows, with room up to a multiple of ROWS.

    bias: the address of what each row begins with, or 0.
    """
    for i in range(0, m, ROWS):
        own, to, few = a + 4 * i * next_row, c + 4 * i * row_c, min(ROWS, m - i)
        for r in range(few if bias else 0):
            move(to + 4 * r * row_c, bias, width, NOTHING)
        if width == WIDE:
            tile(own, row_a, step_a, few, panel, places, depth, to, row_c, add)
        elif width == SLIM:
            slim_tile(own, row_a, step_a, few, panel, places, depth, to, row_c, add)
        else:
            narrow_tile(own, row_a, step_a, few, panel, places, depth, to, row_c, add)


@compiled()
def _part(jobs, panels, strips, a, b, bias, c):
    """c = a @ b + bias for some rows and columns of c.

    jobs[0]: first and last row, first and last column, and whether to take a.T and b.T.
    """
    low, high, left, right = jobs[0, 0], jobs[0, 1], jobs[0, 2], jobs[0, 3]
    turn_a, turn_b = jobs[0, 4], jobs[0, 5]
    panel = -(-panels.ctypes.data // LINE) * LINE  # a vector in two lines is slow
    corner, rows_of_a = panels[0, DEPTH + 1 :], strips[0]
    depths = len(a) if turn_a else a.shape[1]
    for k in range(0, depths, DEPTH):
        depth, on_bias = min(DEPTH, depths - k), k == 0 and len(bias) > 0
        for first in range(low, high, BLOCK):
            rows = min(BLOCK, high - first)
            start, row_a = a.ctypes.data + 4 * (first * a.shape[1] + k), a.shape[1]
            step_a, next_row, whole = 1, row_a, rows // ROWS * ROWS
            if turn_a:
                _strips(a, k, depth, first, rows, rows_of_a)
                start, row_a, step_a, next_row = rows_of_a.ctypes.data, 1, ROWS, depth
            j = left
            while j < right:
                width = tile_width(right - j)
                columns = min(width, right - j)
                _panel(b, turn_b, k, depth, j, columns, panel)
                m = whole if columns == width else 0
                to = c.ctypes.data + 4 * (first * c.shape[1] + j)
                plus = bias.ctypes.data + 4 * j if on_bias else 0
                _column(
                    start, row_a, step_a, next_row, m, panel, PLACES.ctypes.data, depth,
                    plus, to, c.shape[1], width, k + plus,
                )  # fmt: skip
                for i in range(m, rows, ROWS):  # tiles that c has no room for
                    few, own = min(ROWS, rows - i), start + 4 * i * next_row
                    _column(
                        own, row_a, step_a, next_row, few, panel, PLACES.ctypes.data,
                        depth, 0, corner.ctypes.data, WIDE, width, 0,
                    )  # fmt: skip
                    for r in range(few):
                        for n in range(columns):
                            old = c[first + i + r, j + n] if k else ZERO
                            old = bias[j + n] if on_bias else old
                            c[first + i + r, j + n] = old + corner[r, n]
                j += width


@functools.lru_cache(256)
def _jobs(m, n, k, turn_a, turn_b, threads):
    """What each thread does: a row of `jobs` for _part, cut between tiles.

    A matrix that must be turned is turned in parts, each by the thread that needs it:
    for a.T the threads share c's rows, for b.T its columns.
    """
    by_rows = m >= n
    if turn_a != turn_b and (m if turn_a else n) >= 2 * WIDE:
        by_rows = turn_a
    size, step = (m, ROWS) if by_rows else (n, LANES)
    steps = -(-size // step)
    threads = min(threads if m * n * k >= LEAST else 1, steps)
    cuts = [min(size, steps * t // threads * step) for t in range(threads + 1)]
    ends = [(*pair, 0, n) if by_rows else (0, m, *pair) for pair in zip(cuts, cuts[1:])]
    return np.array([(*pair, turn_a, turn_b) for pair in ends])


def product(a, b, turn_a=False, turn_b=False, bias=NO_BIAS):
    """a @ b + bias for contiguous float32 matrices; turned: a.T, b.T in their place."""
    m, k = a.shape[::-1] if turn_a else a.shape
    n = b.shape[0] if turn_b else b.shape[1]
    jobs = _jobs(m, n, k, turn_a, turn_b, get_num_threads())
    room = (min(m, BLOCK) + ROWS) * DEPTH if turn_a else 1
    panels = np.empty((len(jobs), DEPTH + 1 + ROWS, WIDE), np.float32)
    strips, c = np.empty((len(jobs), room), np.float32), np.empty((m, n), np.float32)
    share(_part, (jobs, panels, strips), (a, b, bias, c), len(jobs))
    return c
