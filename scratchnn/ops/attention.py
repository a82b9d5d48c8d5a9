"""Scaled dot-product attention, of separate q, k, v or packed with all heads.

The weights P = softmax(q k^T / sqrt(d)) are never kept: each rule computes them again.
Vaswani et al. (2017), eq. 1; Algorithm 4 of the Formal Algorithms for Transformers.
"""

import math

import numpy as np

from ..tensor import op
from .elementwise import where
from .examples import normal
from .index import _plain
from .linalg import matmul
from .reduce import softmax, sum
from .shape import concatenate, split


def _t(x):  # methods, here and below: on arrays they cost a tenth of an op's call
    return x.swapaxes(-1, -2)


def _scale(k):
    return 1 / math.sqrt(max(k.shape[-1], 1))


def _seen(scores, mask, causal):
    """Which keys each query may see, as one boolean array, or None for all."""
    seen = mask if mask is None or mask.dtype == bool else mask > -math.inf
    if causal:
        queries, keys = (np.arange(n, like=_plain(scores)) for n in scores.shape[-2:])
        past = keys <= queries[:, None]
        seen = past if seen is None else seen & past
    return seen


def attention_weights(q, k, mask=None, causal=False):
    """softmax(q k^T / sqrt(d)): what each query takes of each key, (..., T, S).

    The rows add up to 1; that of a query which may see no key is 0. See attention.
    """
    scores = matmul(q, _t(k)) * _scale(k)
    mask = None if mask is None else _plain(mask)
    if mask is not None and mask.dtype.kind not in "bf":
        raise TypeError(
            f"mask has numbers of type {mask.dtype}; give booleans, as mask != 0, True "
            "where a query may see a key, or floats to add to the scores"
        )
    seen = _seen(scores, mask, causal)
    if seen is None:
        return softmax(scores, -1)
    if mask is not None and mask.dtype != bool:
        scores = scores + mask.astype(scores.dtype)
    hidden = float(np.finfo(scores.dtype).min)
    return softmax(where(seen, scores, hidden), -1) * seen


@op
def attention(q, k, v, mask=None, causal=False):
    """softmax(q k^T / sqrt(d)) v: a mean of the values, weighted by query and key.

    q (..., T, d), k (..., S, d), v (..., S, dv) -> (..., T, dv). mask (..., T, S): True
    where a query may see a key; or floats to add to the scores, -inf to hide. causal:
    query t sees the keys up to t. A query that may see no key gets 0.
    """
    return matmul(attention_weights(q, k, mask, causal), v)


def _by_scores(g, y, q, k, v, mask, causal):
    """P (g v^T - sum(g y)): the rule of softmax."""
    P = attention_weights(q, k, mask, causal)
    return P * (matmul(g, _t(v)) - sum(g * y, axis=-1, keepdims=True))


def _by_q(g, y, q, k, v, mask, causal):
    return matmul(_by_scores(g, y, q, k, v, mask, causal), k) * _scale(k)


def _by_k(g, y, q, k, v, mask, causal):
    return matmul(_t(_by_scores(g, y, q, k, v, mask, causal)), q) * _scale(k)


def _by_v(g, _y, q, k, _v, mask, causal):
    return matmul(_t(attention_weights(q, k, mask, causal)), g)


attention.rules(q=_by_q, k=_by_k, v=_by_v)
attention.example(normal(3, 5), normal(7, 5), normal(7, 2))
attention.example(normal(2, 5, 3), normal(2, 5, 3), normal(2, 5, 2), causal=True)
attention.example(
    normal(2, 3, 5), normal(4, 5), normal(2, 4, 3), mask=np.tri(3, 4, 1, dtype=bool)
)
attention.example(normal(3, 5), normal(2, 5), normal(2, 5), np.float32([[1, -1]]), True)
attention.example(normal(2, 3, 16), normal(2, 5, 16), normal(2, 5, 16))


# ---- packed ---------------------------------------------------------------------
def _into_heads(x, heads):
    """(..., T, h d) -> (..., h, T, d)"""
    parts = x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)
    return parts.swapaxes(-2, -3)


def _from_heads(x):
    """(..., h, T, d) -> (..., T, h d)"""
    x = x.swapaxes(-2, -3)
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def _unpack(q, kv, heads):
    parts = split(q, 3, axis=-1) if kv is None else [q, *split(kv, 2, axis=-1)]
    return [_into_heads(part, heads) for part in parts]


@op
def multihead_attention(q, kv=None, heads=1, mask=None, causal=False):
    """attention of each head's part of q, k and v, which come side by side.

    q (..., T, 3 d) holds queries, keys and values; or q (..., T, d) the queries and
    kv (..., S, 2 d) the others -> (..., T, d). The head i has the columns from i d / h
    to (i + 1) d / h of each. mask (..., h or 1, T, S), so that one mask (B, T, S) for
    each of a batch is mask[:, None]; mask and causal: see attention.
    """
    return _from_heads(attention(*_unpack(q, kv, heads), mask, causal))


def _by_packed(which):
    """The rule for q or kv: gradients of its parts, side by side again."""

    def rule(g, y, q, kv, heads, mask, causal):
        inputs = _unpack(q, kv, heads)
        rules = (_by_q, _by_k, _by_v) if kv is None else which
        g, y = _into_heads(g, heads), _into_heads(y, heads)
        parts = [_from_heads(by(g, y, *inputs, mask, causal)) for by in rules]
        return concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    return rule


multihead_attention.rules(q=_by_packed((_by_q,)), kv=_by_packed((_by_k, _by_v)))
multihead_attention.example(normal(2, 5, 12), heads=2, causal=True)
multihead_attention.example(normal(2, 3, 6), normal(2, 5, 12), heads=3)
multihead_attention.example(
    normal(3, 4), normal(2, 8), heads=2, mask=np.tri(3, 2, dtype=bool)
)
multihead_attention.example(normal(1, 3, 96), heads=2)
