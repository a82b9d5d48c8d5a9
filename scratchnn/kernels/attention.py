"""attention and multihead_attention, a block of queries and keys at a time.

The scores of T queries and S keys would be T S numbers. Here at most QUERIES of the
queries are at work, on KEYS of the keys, so that the scores stay in the cache. A
softmax needs the whole row, or so it seems: but e^(s - m) for a provisional maximum m
can be mended by the factor e^(m - m') when a larger m' is met later, so sums and
outputs are kept for the largest m so far (Milakov and Gimelshein, 2018; Dao et al.,
2022, FlashAttention). Memory grows with T and S, not with their product.

Backward computes the scores again, of a block of queries and all keys, and then, with
P = softmax(scores) and D = sum(g y) of each query,

    dV += P^T g      dS = P (g V^T - D) / sqrt(d)      dQ = dS K      dK += dS^T Q

Heads lie side by side in memory. They are read where they are, and their gradients are
written where the packed ones belong: no transposed copies but of blocks in the cache.
"""

import functools
import math

import numpy as np
from numba import float32

from ..threads import get_num_threads
from .exp import EXACT, ONE, ZERO, exp_down
from .share import LEAST, compiled, room, share
from .tile import LANES, ROWS, VECTORS, largest, move, tiles, turn

QUERIES = 64
KEYS = 5 * VECTORS * LANES
PITCH = KEYS + LANES  # from one row of scores to the next
NO_MASK = np.empty(0, np.bool_)
LOWEST, NOTHING = float32(np.finfo(np.float32).min), float32(-0.0)


loop = compiled(EXACT | {"reassoc"})


# Rows and blocks are indexed, never sliced: a slice costs as much as 50 exponentials.


@loop
def _bring(place, b, h, n, d, to):
    """The n rows of a head into the first d columns of `to`."""
    start = place[0] + 4 * (b * place[1] + h * place[2])
    for i in range(n):
        at = to.ctypes.data + 4 * i * to.shape[1]
        move(at, start + 4 * i * place[3], d, NOTHING)


@loop
def _take(place, b, h, first, n, d, rows):
    """The first d columns of n rows to a head's rows from `first` on."""
    start = place[0] + 4 * (b * place[1] + h * place[2] + first * place[3])
    for i in range(n):
        at = rows.ctypes.data + 4 * i * rows.shape[1]
        move(start + 4 * i * place[3], at, d, NOTHING)


@loop
def _turn(x, n, d, y):
    """Transpose blocks of KEYS rows: x (n, d) to y (blocks d, KEYS).

    By squares, of which the last ones overlap; d is at least LANES.
    """
    to, start, width, pitch = y.ctypes.data, x.ctypes.data, x.shape[1], y.shape[1]
    for first in range(0, n, KEYS):
        block, rows = first // KEYS * d, min(KEYS, n - first)
        for j in range(rows if rows < LANES else 0):
            for i in range(d):
                y[block + i, j] = x[first + j, i]
        for j in range(0, rows if rows >= LANES else 0, LANES):
            j = min(j, rows - LANES)
            for i in range(0, d, LANES):
                i = min(i, d - LANES)
                there, here = (block + i) * pitch + j, (first + j) * width + i
                turn(to + 4 * there, pitch, start + 4 * here, width)


@loop
def _top(scores, i, seen, mask, start):
    """The largest of the first scores of row i, once those that are masked are -inf.

    mask[start:] is the query's row of the mask, if there is one. nan may pass by: e^nan
    makes the whole row nan without it.
    """
    for j in range(seen if len(mask) else 0):
        if not mask[start + j]:
            scores[i, j] = -np.inf
    if seen >= LANES:
        return largest(scores.ctypes.data + 4 * i * scores.shape[1], seen)
    top = LOWEST
    for j in range(seen):
        top = scores[i, j] if scores[i, j] > top else top
    return top


@loop
def _larger(a, b):
    """max(a, b); nan if b is nan."""
    return a if b <= a else b


@loop
def _mask_row(sizes, b, h, t, S):
    """Where a query's row begins in a mask of shape (B or 1, h or 1, T or 1, S)."""
    B, H, T = sizes[5], sizes[6], sizes[7]
    row = (b if B > 1 else 0) * H + (h if H > 1 else 0)
    return (row * T + (t if T > 1 else 0)) * S


@loop
def _forward(
    units, k, v, turned, scores, out, tops, totals, places, mask, sizes, scale, by_key,
    by_place,
):  # fmt: skip
    """Blocks of queries: `units` are their numbers, counted through all heads.

    places: of q, k, v, y. sizes: heads, T, S, d, causal, the mask's first three axes.
    by_key, by_place: where row k of a turned block, or of a straight one, begins. All
    else is room to work.
    """
    heads, T, S, d, causal = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    width, blocks, q, now = out.shape[1], -(-T // QUERIES), places[0], -1
    for unit in units:
        head, first = unit // blocks, unit % blocks * QUERIES
        b, h, n = head // heads, head % heads, min(QUERIES, T - first)
        if head != now:
            _bring(places[1], b, h, S, d, k)
            _turn(k, S, d, turned)
            _bring(places[2], b, h, S, d, v)
            now = head
        for i in range(n):
            tops[i], totals[i] = LOWEST, ZERO
        for key in range(0, min(S, first + n) if causal else S, KEYS):
            count = min(KEYS, S - key)
            tiles(
                q[0] + 4 * (b * q[1] + h * q[2] + first * q[3]), q[3], 1, n,
                turned.ctypes.data + 4 * (key // KEYS * d * PITCH), by_key.ctypes.data,
                d, scores.ctypes.data, PITCH, count, 0,
            )  # fmt: skip
            for i in range(n):
                t = first + i
                seen = max(0, min(count, t + 1 - key)) if causal else count
                top = _top(scores, i, seen, mask, _mask_row(sizes, b, h, t, S) + key)
                new, total = _larger(tops[i], top), ZERO
                for j in range(seen):
                    p = exp_down((scores[i, j] - new) * scale)
                    scores[i, j] = p
                    total += p
                for j in range(seen, count):
                    scores[i, j] = ZERO
                keep = exp_down((tops[i] - new) * scale)
                tops[i], totals[i] = new, totals[i] * keep + total
                for j in range(width if key > 0 else 0):
                    out[i, j] *= keep
            tiles(
                scores.ctypes.data, PITCH, 1, n, v.ctypes.data + 4 * key * width,
                by_place.ctypes.data, count, out.ctypes.data, width, d, key,
            )  # fmt: skip
        for i in range(n):
            share = ZERO if totals[i] == ZERO else ONE / totals[i]
            for j in range(width):
                out[i, j] *= share
        _take(places[3], b, h, first, n, d, out)


@loop
def _backward(
    units, q, k, v, y, g, dq, dk, dv, turned_k, turned_v, scores, ds, tops, shares,
    places, mask, sizes, scale, by_key, by_place,
):  # fmt: skip
    """The gradients of some heads: `units` are their numbers.

    places: of q, k, v, y, g, dq, dk, dv. scores: a block of queries with all keys, a
    block of keys after the other. The rest as in _forward.
    """
    heads, T, S, d, causal = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    width, keys, straight = q.shape[1], by_key.ctypes.data, by_place.ctypes.data
    for unit in units:
        b, h = unit // heads, unit % heads
        _bring(places[0], b, h, T, d, q)
        _bring(places[1], b, h, S, d, k)
        _bring(places[2], b, h, S, d, v)
        _bring(places[3], b, h, T, d, y)
        _bring(places[4], b, h, T, d, g)
        _turn(k, S, d, turned_k)
        _turn(v, S, d, turned_v)
        for i in range(S):
            for j in range(width):
                dk[i, j], dv[i, j] = ZERO, ZERO
        for first in range(0, T, QUERIES):
            n, t0 = min(QUERIES, T - first), 4 * first * width
            limit = min(S, first + n) if causal else S
            for i in range(n):
                tops[i], shares[i] = LOWEST, ZERO
            for key in range(0, limit, KEYS):
                count, block = min(KEYS, S - key), key // KEYS
                row = block * QUERIES
                tiles(
                    q.ctypes.data + t0, width, 1, n,
                    turned_k.ctypes.data + 4 * block * d * PITCH, keys, d,
                    scores.ctypes.data + 4 * row * PITCH, PITCH, count, 0,
                )  # fmt: skip
                for i in range(n):
                    t = first + i
                    seen = max(0, min(count, t + 1 - key)) if causal else count
                    start = _mask_row(sizes, b, h, t, S) + key
                    top = _top(scores, row + i, seen, mask, start)
                    tops[i] = _larger(tops[i], top)
            for key in range(0, limit, KEYS):  # scores become e^(scores - top)
                count, row = min(KEYS, S - key), key // KEYS * QUERIES
                for i in range(n):
                    seen, total = count, ZERO
                    if causal:
                        seen = max(0, min(count, first + i + 1 - key))
                    for j in range(seen):
                        p = exp_down((scores[row + i, j] - tops[i]) * scale)
                        scores[row + i, j] = p
                        total += p
                    for j in range(seen, count):
                        scores[row + i, j] = ZERO
                    shares[i] += total
            for i in range(n):
                shares[i] = ZERO if shares[i] == ZERO else ONE / shares[i]
                along = ZERO
                for j in range(d):
                    along += g[first + i, j] * y[first + i, j]
                tops[i] = along  # D from here on
            for key in range(0, limit, KEYS):
                count, block = min(KEYS, S - key), key // KEYS
                row, k0 = block * QUERIES, 4 * key * width
                tiles(
                    g.ctypes.data + t0, width, 1, n,
                    turned_v.ctypes.data + 4 * block * d * PITCH, keys, d,
                    ds.ctypes.data, PITCH, count, 0,
                )  # fmt: skip
                for i in range(n):
                    for j in range(count):
                        p = scores[row + i, j] * shares[i]
                        scores[row + i, j] = p
                        ds[i, j] = p * (ds[i, j] - tops[i]) * scale
                part = scores.ctypes.data + 4 * row * PITCH
                tiles(
                    part, 1, PITCH, count, g.ctypes.data + t0, straight, n,
                    dv.ctypes.data + k0, width, d, 1,
                )  # fmt: skip
                tiles(
                    ds.ctypes.data, 1, PITCH, count, q.ctypes.data + t0, straight, n,
                    dk.ctypes.data + k0, width, d, 1,
                )  # fmt: skip
                tiles(
                    ds.ctypes.data, PITCH, 1, n, k.ctypes.data + k0, straight, count,
                    dq.ctypes.data, width, d, key,
                )  # fmt: skip
            _take(places[5], b, h, first, n, d, dq)
        _take(places[6], b, h, 0, S, d, dk)
        _take(places[7], b, h, 0, S, d, dv)


def _place(x):
    """Address, and distances of batch entries, heads and rows of x (B, h, T, d)."""
    return (x.ctypes.data, *(n // 4 for n in x.strides[:3]))


@functools.lru_cache(64)
def _tables(h, T, S, d, causal, axes):
    """sizes, scale, by_key, by_place of the loops."""
    width = max(2, -(-d // LANES)) * LANES
    sizes = np.array([h, T, S, d, causal, *axes])
    scale = np.float32(1 / math.sqrt(d))
    return sizes, scale, np.arange(d) * PITCH, np.arange(max(T, S, 2)) * width


def _run(loop, places, shape, mask, causal, units, rows):
    """Call a loop on `units` of work; shape: (B, h, T, S, d).

    rows: the length of each array that a thread works in, and what a row of it has.
    """
    B, h, T, S, d = shape
    axes, flat = (1, 1, 1), NO_MASK
    if mask is not None:
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
        axes = mask.shape[:3]
        flat = np.ascontiguousarray(np.broadcast_to(mask, (*axes, S))).reshape(-1)
    tables = _tables(h, T, S, d, bool(causal), axes)
    threads = get_num_threads() if 2 * B * h * T * S * d >= LEAST else 1
    threads = min(threads, max(units, 1))
    row = {FULL: (tables[3][1],), TURNED: (PITCH,), SINGLE: ()}
    work = [room(threads * n, *row[k]) for n, k in rows(T, S, d)]
    whole = np.array(places), flat, *tables
    share(loop, (np.arange(units), *work), whole, threads)


FULL, TURNED, SINGLE = range(3)  # rows of d numbers, of KEYS scores, of one number


def _room_forward(T, S, d):
    """k, v, turned, scores, out, tops, totals of _forward."""
    turned = -(-S // KEYS) * d, TURNED
    queries = [(QUERIES, row) for row in (TURNED, FULL, SINGLE, SINGLE)]
    return [(S, FULL), (S, FULL), turned, *queries]


def _room_backward(T, S, d):
    """q, k, v, y, g, dq, dk, dv, turned_k, turned_v, scores, ds, tops, shares."""
    blocks = -(-S // KEYS)
    full = [(n, FULL) for n in (T, S, S, T, T, QUERIES, S + ROWS, S + ROWS)]
    turned = [(n, TURNED) for n in (blocks * d, blocks * d, blocks * QUERIES, QUERIES)]
    return [*full, *turned, (QUERIES, SINGLE), (QUERIES, SINGLE)]


def _can(*arrays):
    """Whether these are float32 arrays of (..., T, d), d at least LANES, not empty."""
    return all(
        type(x) is np.ndarray
        and x.dtype == np.float32
        and x.size > 0
        and x.shape[-1] >= LANES
        for x in arrays
    )


def _can_hide(mask, *scores):
    """Whether a mask is of booleans, and broadcasts to scores without new axes."""
    return mask is None or (
        type(mask) is np.ndarray
        and mask.dtype == np.bool_
        and mask.ndim <= len(scores)
        and all(n in (1, m) for n, m in zip(mask.shape[::-1], scores[::-1]))
    )


def _attend(places, shape, mask, causal):
    B, h, T, _, _ = shape
    units = B * h * -(-T // QUERIES)
    _run(_forward, places, shape, mask, causal, units, _room_forward)


def _attend_rule(places, shape, mask, causal):
    units = shape[0] * shape[1]
    _run(_backward, places, shape, mask, causal, units, _room_backward)


def _four(x):
    """(..., T, d) as (B, h, T, d), rows as they are in memory, or None."""
    x = x[(None,) * (4 - x.ndim)]
    fits = x.ndim == 4 and x.strides[3] == 4 and not any(n % 4 for n in x.strides)
    return x if fits else None


def _four_alike(q, k, v, mask):
    """q, k, v as (B, h, T, d) each, or None where a kernel declines."""
    fits = (
        _can(q, k, v)
        and q.ndim == k.ndim > 1
        and k.shape == v.shape
        and q.shape[:-2] + q.shape[-1:] == k.shape[:-2] + k.shape[-1:]
        and _can_hide(mask, *q.shape[:-1], k.shape[-2])
    )
    found = [_four(x) for x in (q, k, v)] if fits else [None]
    return None if any(x is None for x in found) else found


def _heads_beside(shape):
    """An array (B, h, T, d) whose heads lie side by side, as a projection has them."""
    B, h, T, d = shape
    return np.empty((B, T, h, d), np.float32).swapaxes(1, 2)


def _shape(q, k):
    return *q.shape[:3], k.shape[2], q.shape[3]


def attention_forward(q, k, v, mask, causal):
    """softmax(q k^T / sqrt(d)) v"""
    heads = _four_alike(q, k, v, mask)
    if heads is None:
        return NotImplemented
    y = _heads_beside(heads[0].shape)
    _attend([_place(x) for x in (*heads, y)], _shape(*heads[:2]), mask, causal)
    return y.reshape(q.shape) if q.ndim < 4 else y


def attention_rule(g, y, need, q, k, v, mask, causal):
    """The gradients by q, k and v."""
    heads = _four_alike(q, k, v, mask)
    if heads is None or not _can(g, y):
        return NotImplemented
    y, g = (_four(x) if _four(x) is not None else _four(x.copy()) for x in (y, g))
    found = [_heads_beside(x.shape) for x in heads]
    places = [_place(x) for x in (*heads, y, g, *found)]
    _attend_rule(places, _shape(*heads[:2]), mask, causal)
    found = (gx.reshape(x.shape) for gx, x in zip(found, (q, k, v)))
    return tuple(gx if wanted else None for gx, wanted in zip(found, need))


def _packed(x, parts, heads):
    """The places of parts that lie side by side in x (..., T, parts * width)."""
    T, row = x.shape[-2:]
    width, start = row // parts, x.ctypes.data
    return [(start + 4 * i * width, T * row, width // heads, row) for i in range(parts)]


def _packs(q, kv, heads, mask):
    """(B, h, T, S, d) of packed arrays that a kernel can do, else None."""
    other = q if kv is None else kv
    can = (
        _can(q, other)
        and q.ndim > 1
        and q.flags.c_contiguous
        and other.flags.c_contiguous
        and other.shape[:-2] == q.shape[:-2]
    )
    if not can:
        return None
    (T, columns), S = q.shape[-2:], other.shape[-2]
    width = columns // 3 if kv is None else columns
    fits = (
        other.shape[-1] == (3 if kv is None else 2) * width
        and type(heads) is int
        and heads > 0
        and width % heads == 0
        and width // heads >= LANES
        and (mask is None or q.ndim == 3 and _can_hide(mask, len(q), heads, T, S))
    )
    return (q.size // (T * columns), heads, T, S, width // heads) if fits else None


def _all_packed(q, kv, heads):
    if kv is None:
        return _packed(q, 3, heads)
    return _packed(q, 1, heads) + _packed(kv, 2, heads)


def multihead_attention_forward(q, kv, heads, mask, causal):
    """Each head's attention, side by side."""
    shape = _packs(q, kv, heads, mask)
    if shape is None:
        return NotImplemented
    y = np.empty((*q.shape[:-1], heads * shape[-1]), np.float32)
    _attend(_all_packed(q, kv, heads) + _packed(y, 1, heads), shape, mask, causal)
    return y


def multihead_attention_rule(g, y, need, q, kv, heads, mask, causal):
    """The gradients by q and kv, packed as these are."""
    shape = _packs(q, kv, heads, mask)
    if shape is None or g.dtype != np.float32:
        return NotImplemented
    gq, gkv = np.empty_like(q), None if kv is None else np.empty_like(kv)
    y, g = np.ascontiguousarray(y), np.ascontiguousarray(g)
    places = _all_packed(q, kv, heads) + _packed(y, 1, heads) + _packed(g, 1, heads)
    _attend_rule(places + _all_packed(gq, gkv, heads), shape, mask, causal)
    return gq if need[0] else None, gkv if need[1] else None


def warmup():
    """Compile the kernels."""
    x = np.ones((1, 1, LANES), np.float32)
    y = attention_forward(x, x, x, None, False)
    attention_rule(x, y, (True,) * 3, x, x, x, None, False)
