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

import math

import numpy as np
from numba import float32

from .exp import ONE, ZERO, exp
from .share import share, team
from .softmax import rows_loop, top_of
from .tile import LANES, ROWS, VECTORS, move, tiles

QUERIES = 64
KEYS = 5 * VECTORS * LANES
PITCH = KEYS + LANES  # from one row of scores to the next: not a power of two
LEAST = 16_384  # scores from which two threads pay
LOWEST, NOTHING = float32(np.finfo(np.float32).min), float32(-0.0)


@rows_loop
def _bring(place, b, h, n, d, to, width):
    """Rows of a head into `to`, `width` numbers apart."""
    start = place[0] + 4 * (b * place[1] + h * place[2])
    for i in range(n):
        at = to.ctypes.data + 4 * i * width
        move(at, start + 4 * i * place[3], d, NOTHING)


@rows_loop
def _take(place, b, h, first, n, d, rows, width):
    """Rows of `rows`, `width` numbers apart, to a head's rows from `first` on."""
    start = place[0] + 4 * (b * place[1] + h * place[2] + first * place[3])
    for i in range(n):
        at = rows.ctypes.data + 4 * i * width
        move(start + 4 * i * place[3], at, d, NOTHING)


@rows_loop
def _turn(x, n, d, width, y):
    """x (n, width) by blocks of KEYS rows, each transposed: y (blocks, d, PITCH)."""
    for first in range(0, n, KEYS):
        block = first // KEYS * d * PITCH
        for j in range(min(KEYS, n - first)):
            row = (first + j) * width
            for i in range(d):
                y[block + i * PITCH + j] = x[row + i]


@rows_loop
def _hide(row, keys, mask, i):
    """Scores of keys that a query may not see: -inf. mask[i :] is its row, if any."""
    for j in range(keys if len(mask) else 0):
        if not mask[i + j]:
            row[j] = -np.inf


@rows_loop
def _seen(row, seen, keys, mask, i):
    """The largest score among those seen; the others become 0 or -inf."""
    _hide(row, seen, mask, i)
    for j in range(seen, keys):
        row[j] = ZERO
    return top_of(row[:seen]) if seen > 0 else LOWEST


@rows_loop
def _larger(a, b):
    """max(a, b), at least LOWEST; nan if b is nan."""
    return a if b <= a else b


@rows_loop
def _mask_row(mask_shape, b, h, t, S):
    """Where the row of a query begins in a mask of shape (B or 1, h or 1, T or 1, S)."""
    B, H, T = mask_shape
    return (((b if B > 1 else 0) * H + (h if H > 1 else 0)) * T + (t if T > 1 else 0)) * S


@rows_loop
def _forward(units, scratch, places, mask, sizes, scale, by_key, by_place):
    """The blocks of queries of some heads, `units` of a block's number each.

    sizes: heads, T, S, d, causal and the three axes of the mask. by_key, by_place: where
    row k of a turned block, or of a straight one, begins.
    """
    heads, T, S, d, causal = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    masks = sizes[5], sizes[6], sizes[7]
    width, blocks = by_place[1], -(-T // QUERIES)
    own = scratch[0]
    rows, keys = S * width, -(-S // KEYS) * d * PITCH
    v, turned = own[:rows], own[rows : rows + keys]
    k = own[rows + keys : 2 * rows + keys]
    rest = own[2 * rows + keys :]
    scores, out = rest[: QUERIES * PITCH], rest[QUERIES * PITCH :]
    tops, totals = out[QUERIES * width :], out[QUERIES * width + QUERIES :]
    q, now = places[0], -1
    for unit in units:
        head, first = unit // blocks, unit % blocks * QUERIES
        b, h = head // heads, head % heads
        if head != now:
            _bring(places[1], b, h, S, d, k, width)
            _turn(k, S, d, width, turned)
            _bring(places[2], b, h, S, d, v, width)
            now = head
        n = min(QUERIES, T - first)
        start = q[0] + 4 * (b * q[1] + h * q[2] + first * q[3])
        for i in range(n):
            tops[i], totals[i] = LOWEST, ZERO
        for key in range(0, min(S, first + n) if causal else S, KEYS):
            count = min(KEYS, S - key)
            tiles(
                start, q[3], 1, n, turned.ctypes.data + 4 * (key // KEYS * d * PITCH),
                by_key.ctypes.data, d, scores.ctypes.data, PITCH, count, 0,
            )  # fmt: skip
            for i in range(n):
                row, t = scores[i * PITCH : i * PITCH + count], first + i
                seen = max(0, min(count, t + 1 - key)) if causal else count
                top = _seen(row, seen, count, mask, _mask_row(masks, b, h, t, S) + key)
                new, total = _larger(tops[i], top * scale), ZERO
                for j in range(seen):
                    p = exp(row[j] * scale - new)
                    row[j] = p
                    total += p
                keep = exp(tops[i] - new)
                tops[i], totals[i] = new, totals[i] * keep + total
                if key > 0:
                    for j in range(i * width, i * width + width):
                        out[j] *= keep
            tiles(
                scores.ctypes.data, PITCH, 1, n, v.ctypes.data + 4 * key * width,
                by_place.ctypes.data, count, out.ctypes.data, width, d, key,
            )  # fmt: skip
        for i in range(n):
            scale_out = ZERO if totals[i] == ZERO else ONE / totals[i]
            for j in range(i * width, i * width + width):
                out[j] *= scale_out
        _take(places[3], b, h, first, n, d, out, width)


@rows_loop
def _backward(units, scratch, places, mask, sizes, scale, by_key, by_place):
    """The gradients of some heads. places: of q, k, v, y, g, dq, dk, dv."""
    heads, T, S, d, causal = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    masks, width = (sizes[5], sizes[6], sizes[7]), by_place[1]
    own, end = scratch[0], 0
    room, many = (S + ROWS) * width, -(-S // KEYS)
    k, v, dk, dv = own[:room], own[room:], own[2 * room :], own[3 * room :]
    end = 4 * room
    room = T * width
    q, g, y = own[end:], own[end + room :], own[end + 2 * room :]
    end += 3 * room
    room = many * d * PITCH
    turned_k, turned_v = own[end:], own[end + room :]
    end += 2 * room
    scores, dp = own[end:], own[end + many * QUERIES * PITCH :]
    dq = dp[QUERIES * PITCH :]
    tops, shares, along = dq[QUERIES * width :], dq[QUERIES * (width + 1) :], ZERO
    for unit in units:
        b, h = unit // heads, unit % heads
        for at, n, x in ((0, T, q), (1, S, k), (2, S, v), (3, T, y), (4, T, g)):
            _bring(places[at], b, h, n, d, x, width)
        _turn(k, S, d, width, turned_k)
        _turn(v, S, d, width, turned_v)
        for i in range(S * width):
            dk[i] = ZERO
            dv[i] = ZERO
        for first in range(0, T, QUERIES):
            n, t0 = min(QUERIES, T - first), 4 * first * width
            limit = min(S, first + n) if causal else S
            for i in range(n):
                tops[i] = LOWEST
            for key in range(0, limit, KEYS):
                count, block = min(KEYS, S - key), key // KEYS
                part = scores[block * QUERIES * PITCH : (block + 1) * QUERIES * PITCH]
                tiles(
                    q.ctypes.data + t0, width, 1, n,
                    turned_k.ctypes.data + 4 * block * d * PITCH, by_key.ctypes.data, d,
                    part.ctypes.data, PITCH, count, 0,
                )  # fmt: skip
                for i in range(n):
                    row, t = part[i * PITCH : i * PITCH + count], first + i
                    seen = max(0, min(count, t + 1 - key)) if causal else count
                    at = _mask_row(masks, b, h, t, S) + key
                    top = _seen(row, seen, count, mask, at)
                    tops[i] = _larger(tops[i], top * scale)
            for i in range(n):
                total = ZERO
                for key in range(0, limit, KEYS):
                    start = key // KEYS * QUERIES * PITCH + i * PITCH
                    seen = min(KEYS, S - key)
                    seen = min(seen, first + i + 1 - key) if causal else seen
                    row = scores[start : start + KEYS]
                    for j in range(seen):
                        row[j] = exp(row[j] * scale - tops[i])
                        total += row[j]
                shares[i] = ZERO if total == ZERO else ONE / total
            for key in range(0, limit, KEYS):
                count, block = min(KEYS, S - key), key // KEYS
                part = scores[block * QUERIES * PITCH : (block + 1) * QUERIES * PITCH]
                tiles(
                    g.ctypes.data + t0, width, 1, n,
                    turned_v.ctypes.data + 4 * block * d * PITCH, by_key.ctypes.data, d,
                    dp.ctypes.data, PITCH, count, 0,
                )  # fmt: skip
                for i in range(n):
                    along = ZERO
                    gi, yi = g[(first + i) * width :], y[(first + i) * width :]
                    for j in range(d):
                        along += gi[j] * yi[j]
                    p, ds = part[i * PITCH :], dp[i * PITCH :]
                    for j in range(count):
                        p[j] *= shares[i]
                        ds[j] = p[j] * (ds[j] - along) * scale
                p, ds, k0 = part.ctypes.data, dp.ctypes.data, 4 * key * width
                rows = by_place.ctypes.data
                tiles(
                    p, 1, PITCH, count, g.ctypes.data + t0, rows, n,
                    dv.ctypes.data + k0, width, d, 1,
                )  # fmt: skip
                tiles(
                    ds, 1, PITCH, count, q.ctypes.data + t0, rows, n,
                    dk.ctypes.data + k0, width, d, 1,
                )  # fmt: skip
                tiles(
                    ds, PITCH, 1, n, k.ctypes.data + k0, rows, count,
                    dq.ctypes.data, width, d, key,
                )  # fmt: skip
            _take(places[5], b, h, first, n, d, dq, width)
        _take(places[6], b, h, 0, S, d, dk, width)
        _take(places[7], b, h, 0, S, d, dv, width)


def _place(x):
    """Address, and distances of batch entries, heads and rows of x (B, h, T, d)."""
    return (x.ctypes.data, *(n // 4 for n in x.strides[:3]))


def _run(loop, heads, mask, causal, units, room):
    """Call a loop on `units` of work with all its places: heads are (B, h, T, d)."""
    q, k = heads[:2]
    (B, h, T, d), S = q.shape, k.shape[2]
    width = max(2, -(-d // LANES)) * LANES
    if mask is None:
        mask, masks = np.empty(0, np.bool_), (1, 1, 1)
    else:
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
        mask = np.ascontiguousarray(np.broadcast_to(mask, (*mask.shape[:3], S)))
        mask, masks = mask.reshape(-1), mask.shape[:3]
    threads = min(team(np.broadcast_to(d, (B * h, T, S)), LEAST), max(units, 1))
    share(
        loop,
        (np.arange(units), np.zeros((threads, room(T, S, d, width)), np.float32)),
        (
            np.array([_place(x) for x in heads]), mask,
            np.array([h, T, S, d, bool(causal), *masks]),
            np.float32(1 / math.sqrt(d)), np.arange(d) * PITCH,
            np.arange(max(T, S, 2)) * width,
        ),
        threads,
    )  # fmt: skip


def _room_forward(T, S, d, width):
    blocks = -(-S // KEYS)
    scores = QUERIES * PITCH + QUERIES * (width + 2)
    return 2 * S * width + blocks * d * PITCH + scores + LANES


def _room_backward(T, S, d, width):
    blocks = -(-S // KEYS)
    kept = 4 * (S + ROWS) * width + 3 * T * width + 2 * blocks * d * PITCH
    return kept + (blocks + 1) * QUERIES * PITCH + QUERIES * (width + 2) + LANES


def _can(*arrays):
    """Whether these are float32 arrays of (..., T, d), d at least LANES, not empty."""
    return all(
        type(x) is np.ndarray
        and x.dtype == np.float32
        and x.size > 0
        and x.shape[-1] >= LANES
        for x in arrays
    )


def _is_plain(mask):
    return mask is None or (
        type(mask) is np.ndarray and mask.dtype == np.bool_ and mask.ndim <= 4
    )


def _attend(q, k, v, y, mask, causal):
    B, h, T, _ = q.shape
    _run(_forward, (q, k, v, y), mask, causal, B * h * -(-T // QUERIES), _room_forward)


def _attend_rule(heads, mask, causal):
    B, h = heads[0].shape[:2]
    _run(_backward, heads, mask, causal, B * h, _room_backward)


def _four(x):
    """(..., T, d) as (B, h, T, d) with its rows as they are in memory, or None."""
    x = x.reshape((1,) * (4 - x.ndim) + x.shape) if x.ndim < 4 else x
    return x if x.ndim == 4 and x.strides[3] == 4 else None


def _four_alike(q, k, v):
    """q, k, v as (B, h, T, d) each, or None."""
    found = [_four(x) for x in (q, k, v)] if _can(q, k, v) else [None]
    if any(x is None for x in found) or not k.shape == v.shape:
        return None
    q, k, _ = found
    return found if q.shape[:2] + q.shape[3:] == k.shape[:2] + k.shape[3:] else None


def _heads_beside(shape):
    """An array (B, h, T, d) whose heads lie side by side, as a projection wants them."""
    B, h, T, d = shape
    return np.empty((B, T, h, d), np.float32).swapaxes(1, 2)


def attention_forward(q, k, v, mask, causal):
    """softmax(q k^T / sqrt(d)) v"""
    heads = _four_alike(q, k, v)
    if heads is None or not _is_plain(mask):
        return NotImplemented
    y = _heads_beside(heads[0].shape)
    _attend(*heads, y, mask, causal)
    return y.reshape(q.shape) if q.ndim < 4 else y


def attention_rule(g, y, need, q, k, v, mask, causal):
    """The gradients by q, k and v."""
    heads = _four_alike(q, k, v)
    if heads is None or not _is_plain(mask) or not _can(g, y):
        return NotImplemented
    y, g = (_four(x if x.strides[-1] == 4 else x.copy()) for x in (y, g))
    found = [_heads_beside(x.shape) for x in heads]
    _attend_rule((*heads, y, g, *found), mask, causal)
    found = (gx.reshape(x.shape) for gx, x in zip(found, (q, k, v)))
    return tuple(gx if wanted else None for gx, wanted in zip(found, need))


def _parts(q, kv, heads):
    """q, k and v of a packed q, or of q and kv: views (B, h, T, d)."""
    if kv is None:
        parts = np.split(q.reshape(-1, *q.shape[-2:]), 3, axis=-1)
    else:
        kv = kv.reshape(-1, *kv.shape[-2:])
        parts = [q.reshape(-1, *q.shape[-2:]), *np.split(kv, 2, axis=-1)]
    return [_split_heads(x, heads) for x in parts]


def _split_heads(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _packs(q, kv, heads, mask):
    """Whether a kernel can do multihead_attention of these."""
    width = q.shape[-1] // 3 if kv is None else q.shape[-1]
    return (
        _can(q)
        and (kv is None or _can(kv))
        and q.ndim > 1
        and q.flags.c_contiguous
        and width // heads >= LANES
        and (kv is None or (kv.flags.c_contiguous and kv.shape[:-2] == q.shape[:-2]))
        and (mask is None or q.ndim == 3)
        and _is_plain(mask)
    )


def multihead_attention_forward(q, kv, heads, mask, causal):
    """Each head's attention, side by side."""
    if not _packs(q, kv, heads, mask):
        return NotImplemented
    parts = _parts(q, kv, heads)
    y = _heads_beside(parts[0].shape)
    _attend(*parts, y, mask, causal)
    return y.swapaxes(1, 2).reshape(*q.shape[:-1], -1)


def multihead_attention_rule(g, y, need, q, kv, heads, mask, causal):
    """The gradients by q and kv, packed as these are."""
    if not _packs(q, kv, heads, mask) or g.dtype != np.float32:
        return NotImplemented
    gq, gkv = np.empty_like(q), None if kv is None else np.empty_like(kv)
    y, g = (
        _split_heads(np.ascontiguousarray(x).reshape(-1, *x.shape[-2:]), heads)
        for x in (y, g)
    )
    _attend_rule((*_parts(q, kv, heads), y, g, *_parts(gq, gkv, heads)), mask, causal)
    return gq if need[0] else None, gkv if need[1] else None


def warmup():
    """Compile the kernels."""
    x = np.ones((1, 1, LANES), np.float32)
    y = attention_forward(x, x, x, None, False)
    attention_rule(x, y, (True,) * 3, x, x, x, None, False)
