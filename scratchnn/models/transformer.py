"""Transformers: encoder-decoder, encoder only (BERT) and decoder only (GPT).

Phuong and Hutter, "Formal Algorithms for Transformers", arXiv:2207.09238; numbers of
algorithms and of their lines are theirs, and so are the names. There a column is one
token of one sequence. Here a batch of B sequences goes at once, and the last axis is a
token's numbers: X (B, T, d_e). The models return scores W_u X, to which softmax gives
the paper's P. attention.py has the algorithms within a layer, transformer_training.py
the losses and the training (11 to 13), generation.py the inference (14 and 15).
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside
from ..nn import functional as F
from ..nn import init
from ..ops.attention import attention_weights
from ..recording import no_grad

POSITIONS = ("learned", "sinusoidal", "rotary", "alibi")


class MHAttention(nn.Module):
    """W_o [Y^1; ...; Y^H] + b_o, each Y^h a head's attention: algorithm 5.

    W_qkv has the W_q, W_k and W_v of all heads below each other, (3 d_e, d_e), so that
    one product makes all queries, keys and values; W_o (d_e, d_e).
    """

    def __init__(self, d_e, H, rng=None):
        if d_e % H:
            raise ValueError(f"H={H} heads must divide the width d_e={d_e}")
        self.H = H
        self.W_qkv = nn.Linear(d_e, 3 * d_e, rng=rng)
        self.W_o = nn.Linear(d_e, d_e, rng=rng)

    def forward(
        self, X, Z=None, mask=None, causal=False, turn=None, cache=None, maps=None
    ):
        """X (B, T, d_e) asks Z (B, S, d_e), or itself: (B, T, d_e).

        mask (B or 1, H or 1, T, S), True where X's token may see Z's, or numbers to add
        to the scores. causal: token t sees those up to t. turn: cos and sin of rotary
        positions. cache: keys and values seen before, a Cache. maps: a list, which
        gets the weights (B, H, T, S).
        """
        if Z is None:  # self-attention: queries, keys, values side by side in Q
            Q, KV = self.W_qkv(X), None
            if turn is not None or cache is not None or maps is not None:
                Q, KV = self._apart(Q, turn)
            if cache is not None:
                KV = cache.extend(self, KV)
        else:
            d_e, (W, b) = X.shape[-1], (self.W_qkv.weight, self.W_qkv.bias)
            Q, KV = F.linear(X, W[:d_e], b[:d_e]), None
            if cache is not None:  # Z stays the same: its keys and values are kept
                KV = cache.KV.get(self)
            if KV is None:
                KV = F.linear(Z, W[d_e:], b[d_e:])
            if cache is not None:
                cache.KV[self] = KV
        if maps is not None:
            K = KV[..., : Q.shape[-1]]
            Q_h, K_h = (ops.swapaxes(self._heads(M), 1, 2) for M in (Q, K))
            maps.append(attention_weights(Q_h, K_h, mask, causal))
        return self.W_o(ops.multihead_attention(Q, KV, self.H, mask, causal))

    def _apart(self, QKV, turn):
        """Queries, and keys beside values; queries and keys turned by their place."""
        d_e = QKV.shape[-1] // 3
        if turn is None:
            return QKV[..., :d_e], QKV[..., d_e:]
        Q, K, V = ops.split(QKV, 3, axis=-1)
        cos, sin = (a[:, None] for a in turn)  # (T, 1, d / 2): the same in all heads
        Q, K = (
            ops.reshape(nn.positions.rotate(self._heads(M), cos, sin), M.shape)
            for M in (Q, K)
        )
        return Q, ops.concatenate([K, V], axis=-1)

    def _heads(self, M):
        """(B, T, H d) -> (B, T, H, d)"""
        return ops.reshape(M, (*M.shape[:-1], self.H, M.shape[-1] // self.H))


class Cache:
    """Keys and values of the tokens so far: a new token need not compute them again.

    KV: for each attention (B, length, 2 d_e), keys beside values. Where attention asks
    an encoder, those of the whole context, from the first token on.
    """

    def __init__(self, B):
        self.B, self.length, self.KV = B, 0, {}

    def extend(self, attention, KV):
        """The keys and values so far with those of the new tokens at their end."""
        if len(KV) != self.B:
            raise ValueError(f"the cache is for {self.B} sequences, got {len(KV)}")
        if attention in self.KV:
            KV = ops.concatenate([self.KV[attention], KV], axis=1)
        self.KV[attention] = KV
        return KV

    def select(self, rows):
        """Go on with these sequences only, as beam search does: rows, integers."""
        for attention, KV in self.KV.items():
            self.KV[attention] = KV[beside(rows, KV)]
        self.B = len(rows)


class Embed(nn.Module):
    """e_t = W_e[:, x[t]] + W_p[:, t]: algorithms 1 and 2, for all tokens of a batch.

    W_e (N_V, d_e) and W_p (l_max, d_e) are the paper's transposed. positions: "learned"
    for a W_p that is trained, "sinusoidal" for a fixed one, others for none. scaled:
    W_e is multiplied by sqrt(d_e), so that it doesn't drown in sines of size 1 (Vaswani
    et al., arXiv:1706.03762, section 3.4).
    """

    def __init__(self, N_V, d_e, l_max, positions, dropout=0.0, scaled=False, rng=None):
        self.N_V, self.l_max, self.positions = N_V, l_max, positions
        self.scaled = scaled
        self.W_e = nn.Embedding(N_V, d_e, rng)
        if positions == "learned":
            self.W_p = nn.Embedding(l_max, d_e, rng)
        elif positions == "sinusoidal":
            self._W_p = nn.positions.sinusoidal(l_max, d_e)
        self.dropout = nn.Dropout(dropout, rng)

    def forward(self, x, n=0):
        """Tokens x (B, T), of which n are before, -> (B, T, d_e)."""
        x = self._checked(x, n)
        X = self.W_e(x)
        if self.scaled:
            X = X * math.sqrt(X.shape[-1])
        W_p = self.places()
        if W_p is not None:
            X = X + W_p[n : n + x.shape[1]]
        return self.dropout(X)

    def places(self):
        """W_p (l_max, d_e), or None."""
        if self.positions == "learned":
            return self.W_p.weight
        return self._W_p if self.positions == "sinusoidal" else None

    def _checked(self, x, n):
        """x beside the weights, or a ValueError that says what is wrong with it."""
        x = x if hasattr(x, "dtype") else np.asarray(x)
        if x.dtype.kind not in "iu" or x.ndim != 2:
            raise ValueError(
                f"tokens are {x.dtype} of shape {x.shape}, expected integers (B, T); "
                "one sequence is tokens[None]"
            )
        if x.size and not (0 <= x.min() and x.max() < self.N_V):
            raise ValueError(
                f"tokens are from {x.min()} to {x.max()}, expected 0 to {self.N_V - 1}:"
                f" the model has a vocabulary of {self.N_V}"
            )
        if self.places() is not None and n + x.shape[1] > self.l_max:
            raise ValueError(
                f"{n + x.shape[1]} tokens are more than the model's l_max="
                f"{self.l_max} places; give the last {self.l_max}, or a larger l_max"
            )
        return beside(x, self.W_e.weight)


class Layer(nn.Module):
    """Attention, attention to the context if `cross`, and an MLP, each around X.

    norm: "post" for layer_norm(X + f(X)), "pre" for X + f(layer_norm(X)). dropout: of
    each f(X), before it is added (Vaswani et al., arXiv:1706.03762, section 5.4).
    """

    def __init__(
        self, d_e, H, d_mlp, activation, norm, dropout=0.0, cross=False, rng=None
    ):
        if norm not in ("pre", "post"):
            raise ValueError(f"norm is {norm!r}, expected 'pre' or 'post'")
        self.pre, self.activation = norm == "pre", activation
        self.attention, self.norm1 = MHAttention(d_e, H, rng), nn.LayerNorm(d_e)
        if cross:
            self.cross, self.norm_cross = MHAttention(d_e, H, rng), nn.LayerNorm(d_e)
        self.W_mlp1 = nn.Linear(d_e, d_mlp, rng=rng)
        self.W_mlp2 = nn.Linear(d_mlp, d_e, rng=rng)
        self.norm2 = nn.LayerNorm(d_e)
        self.dropout = nn.Dropout(dropout, rng)

    def forward(self, X, own, Z=None, other=None):
        """X (B, T, d_e), Z (B, S, d_e) -> (B, T, d_e): one turn of the paper's loop.

        own, other: how X attends to itself and to Z, the arguments of MHAttention.
        Three steps are lines 5 and 6 of algorithms 9 and 10 (14 and 15 of 8), lines 16
        and 17 of 8, and lines 7 and 8 (18 and 19).
        """
        X = self._add(X, self.norm1, lambda X: self.attention(X, **own))
        if Z is not None:
            X = self._add(X, self.norm_cross, lambda X: self.cross(X, Z, **other))
        return self._add(X, self.norm2, self._mlp)

    def _add(self, X, norm, f):
        """X + f(layer_norm(X)), or layer_norm(X + f(X))."""
        if self.pre:
            return X + self.dropout(f(norm(X)))
        return norm(X + self.dropout(f(X)))

    def _mlp(self, X):
        return self.W_mlp2(self.activation(self.W_mlp1(X)))


# ---- decoder only ---------------------------------------------------------------
class DTransformer(nn.Module):
    """P[:, t] = P(x[t + 1] | x[1:t]): GPT, algorithm 10.

    positions: "learned", a W_p of l_max places; "sinusoidal", a fixed one; "rotary",
    which turns queries and keys; "alibi", a penalty for distance. norm: "pre" as in the
    paper, or "post". d_mlp: 4 d_e if None. tied: W_u is W_e (GPT-2), one Tensor.

    First values: N(0, 0.02^2) at GPT-2's d_e of 768, the same share of 1 / sqrt(d_e) at
    others; what is added to X divided by sqrt(2 L). As in GPT-2, whose GELU is the tanh
    form: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019,
    section 2.3.
    """

    def __init__(
        self, N_V, d_e=128, L=4, H=4, d_mlp=None, l_max=64, dropout=0.0,
        positions="learned", norm="pre", tied=False, rng=None,
    ):  # fmt: skip
        if positions not in POSITIONS:
            names = ", ".join(map(repr, POSITIONS))
            raise ValueError(f"positions is {positions!r}, expected one of {names}")
        self.l_max, self.H, self.positions = l_max, H, positions
        scaled = positions == "sinusoidal"
        self.embed = Embed(N_V, d_e, l_max, positions, dropout, scaled, rng)
        how = d_e, H, d_mlp or 4 * d_e, gelu, norm, dropout, False, rng
        self.layers = nn.ModuleList([Layer(*how) for _ in range(L)])
        self.norm = nn.LayerNorm(d_e) if norm == "pre" else nn.Identity()
        self.W_u = nn.Linear(d_e, N_V, bias=False, rng=rng)
        _draw(self, partial(init.normal_, std=0.02 * math.sqrt(768 / d_e)), rng)
        for layer in self.layers:
            for last in (layer.attention.W_o, layer.W_mlp2):
                last.weight.data /= math.sqrt(2 * L)
        if tied:
            self.W_u.weight = self.embed.W_e.weight

    def forward(self, x, cache=None, maps=None):
        """Scores of the token after each: x (B, T) -> (B, T, N_V).

        cache: one of `cache(B)`; x are then the tokens after those that it has seen.
        maps: a list, which gets each layer's weights (B, H, T, S).
        """
        n = 0 if cache is None else cache.length
        X = self.embed(x, n)  # 1 to 3: X <- [e_1, ..., e_l]
        l_x = n + X.shape[1]
        own = {"cache": cache, "maps": maps, **self._sight(n, l_x, X)}
        for layer in self.layers:  # 4: for l = 1, ..., L do
            X = layer(X, own)  # 5 to 8, Mask[t, t'] = [[t <= t']]
        if cache is not None:
            cache.length = l_x
        X = self.norm(X)  # 10: X[:, t] <- layer_norm(X[:, t] | gamma, beta)
        return self.W_u(X)  # 11: return P = softmax(W_u X), here without softmax

    def _sight(self, n, l_x, X):
        """What the tokens n, ..., l_x - 1 see of the first l_x."""
        sight = past(n, l_x, X)
        if self.positions == "rotary":
            cos_sin = nn.positions.rotation(l_x, X.shape[-1] // self.H)
            sight["turn"] = [_like(a[n:], X) for a in cos_sin]
        elif self.positions == "alibi":
            scores = nn.positions.alibi(self.H, l_x - n, l_x)
            sight = {"mask": _like(scores, X)}
        return sight

    def cache(self, B):
        """An empty Cache for B sequences."""
        return Cache(B)

    @no_grad()
    def attention_maps(self, x):
        """What each token takes of each: arrays (B, H, T, T), one for each layer."""
        maps = []
        self.forward(x, maps=maps)
        return [alpha.data for alpha in maps]


# ---- encoder only ---------------------------------------------------------------
class ETransformer(nn.Module):
    """P[:, t] = P(x[t] | the rest of x): BERT, algorithm 9.

    d_f: the width of the last layer before W_u, d_e if None. d_mlp: 4 d_e if None.
    First values as the DTransformer's, N(0, 0.02^2) at d_e = 768, and the tanh form of
    GELU: BERT's, Devlin et al., arXiv:1810.04805.
    """

    def __init__(
        self, N_V, d_e=128, L=4, H=4, d_mlp=None, l_max=64, dropout=0.0, d_f=None,
        positions="learned", norm="post", rng=None,
    ):  # fmt: skip
        self.l_max, d_f, scaled = l_max, d_f or d_e, positions == "sinusoidal"
        where = d_e, l_max, _absolute(positions), dropout, scaled, rng
        self.embed = Embed(N_V, *where)
        how = d_e, H, d_mlp or 4 * d_e, gelu, norm, dropout, False, rng
        self.layers = nn.ModuleList([Layer(*how) for _ in range(L)])
        self.W_f, self.norm = nn.Linear(d_e, d_f, rng=rng), nn.LayerNorm(d_f)
        self.W_u = nn.Linear(d_f, N_V, bias=False, rng=rng)
        _draw(self, partial(init.normal_, std=0.02 * math.sqrt(768 / d_e)), rng)

    def forward(self, x, seen=None):
        """Scores of each token: x (B, T) -> (B, T, N_V). seen: see encode."""
        X = self.encode(x, seen)  # 1 to 9
        X = gelu(self.W_f(X))  # 10: X <- GELU(W_f X + b_f 1^T)
        X = self.norm(X)  # 11: X[:, t] <- layer_norm(X[:, t] | gamma, beta)
        return self.W_u(X)  # 12: return P = softmax(W_u X), here without softmax

    def encode(self, x, seen=None, maps=None):
        """X after the layers, what the tokens mean: x (B, T) -> (B, T, d_e).

        seen (B, T): True where a token is no padding. maps: a list, which gets each
        layer's weights (B, H, T, T).
        """
        X = self.embed(x)  # 1 to 3
        own = {"mask": _keys(seen, X), "maps": maps}
        for layer in self.layers:  # 4: for l = 1, ..., L do
            X = layer(X, own)  # 5 to 8, Mask = 1 but for padding
        return X

    @no_grad()
    def attention_maps(self, x, seen=None):
        """What each token takes of each: arrays (B, H, T, T), one for each layer."""
        maps = []
        self.encode(x, seen, maps)
        return [alpha.data for alpha in maps]


# ---- encoder and decoder --------------------------------------------------------
class EDTransformer(nn.Module):
    """P[:, t] = P(x[t + 1] | x[1:t], z): sequence to sequence, algorithm 8.

    z (B, S) the source, x (B, T) the target. N_V_source: the source's vocabulary where
    it has its own, else both share W_e. positions: "sinusoidal" or "learned". norm:
    "post" as in the paper, or "pre", which needs one more norm at the end of both
    halves. d_mlp: 4 d_e if None. tied: W_u is the target's W_e.

    Embeddings are multiplied by sqrt(d_e), see Embed; they begin as N(0, 1 / d_e),
    other matrices by Glorot and Bengio's rule.
    """

    def __init__(
        self, N_V, d_e=128, L_enc=2, L_dec=2, H=4, d_mlp=None, l_max=64, dropout=0.0,
        norm="post", N_V_source=None, positions="sinusoidal", tied=False, rng=None,
    ):  # fmt: skip
        self.l_max = l_max
        where = d_e, l_max, _absolute(positions), dropout, True, rng
        self.embed = Embed(N_V, *where)
        self.embed_z = Embed(N_V_source, *where) if N_V_source else self.embed
        how = d_e, H, d_mlp or 4 * d_e, ops.relu, norm, dropout
        self.encoder = nn.ModuleList([Layer(*how, rng=rng) for _ in range(L_enc)])
        self.decoder = nn.ModuleList([Layer(*how, True, rng) for _ in range(L_dec)])
        last = nn.LayerNorm if norm == "pre" else lambda d_e: nn.Identity()
        self.norm_enc, self.norm_dec = last(d_e), last(d_e)
        self.W_u = nn.Linear(d_e, N_V, bias=False, rng=rng)
        _draw(self, init.xavier_uniform_, rng)
        if tied:
            self.W_u.weight = self.embed.W_e.weight

    def forward(self, z, x, z_seen=None):
        """Scores of the token after each of x: (B, S), (B, T) -> (B, T, N_V).

        z_seen (B, S): True where a token of z is no padding.
        """
        return self.decode(x, self.encode(z, z_seen), z_seen)

    def encode(self, z, z_seen=None, maps=None):
        """Z after the encoder's layers: z (B, S) -> (B, S, d_e)."""
        Z = self.embed_z(z)  # 1 to 3
        own = {"mask": _keys(z_seen, Z), "maps": maps}
        for layer in self.encoder:  # 4: for l = 1, ..., L_enc do
            Z = layer(Z, own)  # 5 to 8, Mask = 1 but for padding
        return self.norm_enc(Z)

    def decode(self, x, Z, z_seen=None, cache=None, maps=None, cross_maps=None):
        """Scores of the token after each of x: (B, T), Z (B, S, d_e) -> (B, T, N_V).

        cache: one of `cache(B)`; x are then the tokens after those that it has seen.
        maps, cross_maps: lists, which get each layer's weights (B, H, T, T) within x,
        and (B, H, T, S) on z.
        """
        n = 0 if cache is None else cache.length
        X = self.embed(x, n)  # 10 to 12
        l_x = n + X.shape[1]
        own = {"cache": cache, "maps": maps, **past(n, l_x, X)}
        other = {"cache": cache, "maps": cross_maps, "mask": _keys(z_seen, X)}
        for layer in self.decoder:  # 13: for l = 1, ..., L_dec do
            X = layer(X, own, Z, other)  # 14 to 19
        if cache is not None:
            cache.length = l_x
        return self.W_u(self.norm_dec(X))  # 21: return P = softmax(W_u X)

    def cache(self, B):
        """An empty Cache for B sequences."""
        return Cache(B)

    @no_grad()
    def attention_maps(self, z, x, z_seen=None):
        """Maps of encoder, decoder and decoder on encoder: arrays for each layer."""
        maps = Maps([], [], [])
        Z = self.encode(z, z_seen, maps.encoder)
        self.decode(x, Z, z_seen, None, maps.decoder, maps.cross)
        return Maps(*([alpha.data for alpha in part] for part in maps))


class Maps(NamedTuple):
    """Who takes how much of whom: lists of (B, H, T, S), one for each layer."""

    encoder: list
    decoder: list
    cross: list


# ---- what the three share -------------------------------------------------------
def gelu(X):
    """GELU in its tanh form, as GPT-2's and BERT's."""
    return ops.gelu(X, approximate="tanh")


def past(n, l_x, X):
    """mask and causal for the tokens n, ..., l_x - 1, which see 0, ..., themselves."""
    if n == 0:
        return {"causal": True}
    if n == l_x - 1:  # the last one sees all
        return {}
    t = np.arange(l_x)
    return {"mask": beside(t <= t[n:, None], X)}  # (T, l_x)


def _keys(seen, X):
    """Which tokens may be seen, for all heads and queries: (B, S) -> (B, 1, 1, S)."""
    return None if seen is None else beside(seen, X)[:, None, None]


def _like(host, X):
    """A NumPy array with X's device and dtype."""
    return beside(host.astype(X.dtype), X)


def _absolute(positions):
    """positions, if W_p can hold them."""
    if positions not in POSITIONS[:2]:
        raise ValueError(
            f"positions is {positions!r}, expected 'learned' or 'sinusoidal'; "
            "only the DTransformer has others"
        )
    return positions


def _draw(model, fill, rng):
    """First values: matrices by `fill`, biases 0, a scaled W_e from N(0, 1 / d_e)."""
    for name, p in model.named_parameters():
        if p.ndim > 1:
            fill(p, rng=rng)
        elif name.endswith("bias"):
            init.zeros_(p)
    for m in model.modules():
        if isinstance(m, Embed) and m.scaled:
            W_e = m.W_e.weight
            init.normal_(W_e, std=1 / math.sqrt(W_e.shape[1]), rng=rng)
