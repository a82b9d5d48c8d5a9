"""Attention layers, with PyTorch's names, defaults, masks and state names.

Beware of the masks: here, as in PyTorch, a boolean mask is True where a key is hidden,
in `ops.attention` (and PyTorch's scaled_dot_product_attention) where it may be seen.
"""

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.attention import attention_weights
from . import functional as F
from . import init
from .layers import Dropout, LayerNorm, Linear, _parameter, _zeros
from .module import Module


class RMSNorm(Module):
    """weight x / sqrt(mean(x^2) + eps) over the last axes of each sample.

    eps: None for the dtype's machine epsilon. Zhang and Sennrich, "Root Mean Square
    Layer Normalization", arXiv:1910.07467, eq. (4).
    """

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True):
        shape = normalized_shape
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.normalized_shape, self.eps = shape, eps
        self.weight = _parameter(*shape) if elementwise_affine else None

    def forward(self, x):
        n = len(self.normalized_shape)
        if x.shape[-n:] != self.normalized_shape:
            text = f"input {x.shape} needs to end in {self.normalized_shape}"
            raise ShapeError("rms_norm", text)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        axes = tuple(range(-n, 0))
        y = x / ops.sqrt(ops.square(x).mean(axis=axes, keepdims=True) + eps)
        return y if self.weight is None else y * self.weight


class MultiheadAttention(Module):
    """out_proj([head_1, ..., head_h]),  head_i = softmax(q_i k_i^T / sqrt(d)) v_i.

    query (B, T, embed_dim), key (B, S, kdim), value (B, S, vdim) with batch_first,
    else (T, B, embed_dim) and so on; or without a batch (T, embed_dim), (S, kdim), (S,
    vdim). in_proj_weight (3 embed_dim, embed_dim) has W_q, W_k and W_v below each
    other; where kdim or vdim differ they are q_proj_weight, k_proj_weight and
    v_proj_weight. dropout: of the weights, in training.

    Vaswani et al., arXiv:1706.03762, section 3.2.2. PyTorch's module has nan for a
    query that may see no key; here such a query's heads are 0.
    """

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        *,
        kdim=None,
        vdim=None,
        batch_first=False,
        rng=None,
    ):
        if embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: num_heads={num_heads} must divide "
                f"embed_dim={embed_dim}"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.batch_first, self.rng = batch_first, rng
        kdim, vdim = kdim or embed_dim, vdim or embed_dim
        if kdim == vdim == embed_dim:
            self.in_proj_weight = _glorot(rng, 3 * embed_dim, embed_dim)
        else:
            self.in_proj_weight = None
            self.q_proj_weight = _glorot(rng, embed_dim, embed_dim)
            self.k_proj_weight = _glorot(rng, embed_dim, kdim)
            self.v_proj_weight = _glorot(rng, embed_dim, vdim)
        self.in_proj_bias = _zeros(3 * embed_dim) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, rng)
        if bias:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ):
        """(output, weights): the output of query's shape, the weights (B, T, S).

        key_padding_mask (B, S), attn_mask (T, S) or (B num_heads, T, S): True where a
        key is hidden, or numbers to add to the scores. is_causal: query t sees the keys
        up to t, also without attn_mask. need_weights=False gives None for the weights
        and is faster; average_attn_weights=False gives them as (B, num_heads, T, S).
        """
        q, kv = self._project(query, key, value)
        turned = not self.batch_first and query.ndim == 3
        if turned:  # (T, B, ...) -> (B, T, ...)
            q, kv = (None if x is None else ops.swapaxes(x, 0, 1) for x in (q, kv))
        mask = self._mask(attn_mask, key_padding_mask)
        p, weights = self.dropout if self.training else 0.0, None
        if need_weights or p > 0:
            q, k, v = self._heads(q, kv)
            weights = attention_weights(q, k, mask, is_causal)
            weights = ops.dropout(weights, p, rng=self.rng) if p > 0 else weights
            y = ops.swapaxes(weights @ v, -2, -3)  # (..., T, h, d)
            y = ops.reshape(y, (*y.shape[:-2], self.embed_dim))
            if average_attn_weights:
                weights = weights.mean(axis=-3)
        else:
            y = ops.multihead_attention(q, kv, self.num_heads, mask, is_causal)
        y = self.out_proj(ops.swapaxes(y, 0, 1) if turned else y)
        return y, weights if need_weights else None

    def _project(self, query, key, value):
        """q k v side by side and None for self-attention, else q, and k v."""
        n, W, b = self.embed_dim, self.in_proj_weight, self.in_proj_bias
        if query is key is value and W is not None:
            return F.linear(query, W, b), None
        b_q, b_k, b_v = (None,) * 3 if b is None else (b[:n], b[n : 2 * n], b[2 * n :])
        if W is None:
            W_q, W_k, W_v = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        elif key is value:
            b_kv = None if b is None else b[n:]
            return F.linear(query, W[:n], b_q), F.linear(key, W[n:], b_kv)
        else:
            W_q, W_k, W_v = W[:n], W[n : 2 * n], W[2 * n :]
        k, v = F.linear(key, W_k, b_k), F.linear(value, W_v, b_v)
        return F.linear(query, W_q, b_q), ops.concatenate([k, v], axis=-1)

    def _heads(self, q, kv):
        """Packed projections as q, k, v of (..., h, T, d) each."""
        if kv is None:
            parts = ops.split(q, 3, axis=-1)
        else:
            parts = [q, *ops.split(kv, 2, axis=-1)]
        h = self.num_heads
        each = (ops.reshape(x, (*x.shape[:-1], h, x.shape[-1] // h)) for x in parts)
        return [ops.swapaxes(x, -2, -3) for x in each]

    def _mask(self, attn_mask, key_padding_mask):
        """Both masks as one that ops.attention takes, or None."""
        if attn_mask is not None and attn_mask.ndim == 3:  # (B h, T, S)
            heads = self.num_heads
            attn_mask = attn_mask.reshape(-1, heads, *attn_mask.shape[1:])
        if key_padding_mask is not None and key_padding_mask.ndim == 2:  # (B, S)
            key_padding_mask = key_padding_mask[:, None, None]
        masks = [m for m in (attn_mask, key_padding_mask) if m is not None]
        if not masks:
            return None
        if all(m.dtype == bool for m in masks):
            hidden = masks[0] if len(masks) == 1 else masks[0] | masks[1]
            return ~hidden
        added = [np.where(m, -np.inf, 0.0) if m.dtype == bool else m for m in masks]
        return added[0] if len(added) == 1 else added[0] + added[1]


class TransformerEncoderLayer(Module):
    """Self-attention, then an MLP: norm(x + f(x)) for each, or x + f(norm(x)).

    src (B, T, d_model) with batch_first, else (T, B, d_model). norm_first chooses the
    second form. activation: "relu", "gelu" or a function. Vaswani et al.,
    arXiv:1706.03762, section 3.1; PyTorch's names and state names.
    """

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        rng=None,
    ):
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, rng=rng
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, rng)
        self.linear2 = Linear(dim_feedforward, d_model, bias, rng)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout = Dropout(dropout, rng)
        self.activation, self.norm_first = _activation(activation), norm_first

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        """The masks are those of MultiheadAttention: True where a key is hidden."""
        masks = src_key_padding_mask, False, src_mask, False, is_causal
        x = self._add(src, self.norm1, lambda y: self.self_attn(y, y, y, *masks)[0])
        return self._add(x, self.norm2, self._mlp)

    def _add(self, x, norm, f):
        """x + f(norm(x)) if the norm comes first, else norm(x + f(x))."""
        if self.norm_first:
            return x + self.dropout(f(norm(x)))
        return norm(x + self.dropout(f(x)))

    def _mlp(self, x):
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerDecoderLayer(TransformerEncoderLayer):
    """Self-attention, attention to a memory, then an MLP, each as in the encoder's.

    tgt (B, T, d_model), memory (B, S, d_model) with batch_first, else (T, B, ...).
    Vaswani et al., arXiv:1706.03762, section 3.1; PyTorch's names and state names.
    """

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation="relu",
        layer_norm_eps=1e-5,
        batch_first=False,
        norm_first=False,
        bias=True,
        rng=None,
    ):
        super().__init__(
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps,
            batch_first, norm_first, bias, rng,
        )  # fmt: skip
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, rng=rng
        )
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias)

    def forward(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        """The masks are those of MultiheadAttention: True where a key is hidden."""
        own = tgt_key_padding_mask, False, tgt_mask, False, tgt_is_causal
        other = memory_key_padding_mask, False, memory_mask, False, memory_is_causal

        def attend(y):
            return self.multihead_attn(y, memory, memory, *other)[0]

        x = self._add(tgt, self.norm1, lambda y: self.self_attn(y, y, y, *own)[0])
        x = self._add(x, self.norm2, attend)
        return self._add(x, self.norm3, self._mlp)


def _glorot(rng, *shape):
    return init.xavier_uniform_(_parameter(*shape), rng=rng)


def _activation(activation):
    """A function, or the one of this name."""
    if callable(activation):
        return activation
    if activation not in ("relu", "gelu"):
        raise ValueError(
            f"activation is {activation!r}, expected 'relu', 'gelu' or a function"
        )
    return getattr(F, activation)
