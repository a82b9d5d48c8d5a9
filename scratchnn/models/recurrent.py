"""The recurrent translator: what sequence to sequence was before Transformers.

One recurrent network reads the source, token by token, and another writes the target.
Without attention all that it knows of the source is the reader's last state: Sutskever,
Vinyals, Le, "Sequence to Sequence Learning with Neural Networks", arXiv:1409.3215; Cho
et al., arXiv:1406.1078. With attention it looks at all of the reader's states again
before each word: Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning
to Align and Translate", arXiv:1409.0473, whose equations and names these are. It takes
and gives what EDTransformer does: transformer_training.py trains it, generation.py
translates with it.
"""

from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside
from ..nn import functional as F
from ..recording import no_grad
from .transformer import Maps

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Memory(NamedTuple):
    """What the encoder knows of the source: all its states, and where to begin.

    h (B, S, n), n = 2 hidden with attention, hidden without; s_0: the decoder's first
    states, [h], or [h, c] of LSTM, for each layer.
    """

    h: object
    s_0: list


class RecurrentSeq2Seq(nn.Module):
    """P(x[t + 1] | x[1:t], z) by recurrent networks: `model(z, x) -> logits`.

    cell: "gru", "lstm" or "rnn"; both networks have L layers of `hidden` numbers.
    N_V_source: the source's vocabulary where it has its own, else both share one
    embedding. attention: the encoder reads in both directions, and the decoder takes a
    context c_i from its states. l_max: the most tokens of a translation.
    """

    def __init__(
        self, N_V, d_e=128, hidden=256, L=1, attention=False, N_V_source=None,
        cell="gru", dropout=0.0, l_max=64, rng=None,
    ):  # fmt: skip
        if cell not in CELLS:
            names = ", ".join(map(repr, CELLS))
            raise ValueError(f"cell is {cell!r}, expected one of {names}")
        self.l_max, self.hidden, self.dropout = l_max, hidden, nn.Dropout(dropout, rng)
        self.embed = nn.Embedding(N_V, d_e, rng)
        self.embed_z = nn.Embedding(N_V_source, d_e, rng) if N_V_source else self.embed
        how = {"num_layers": L, "batch_first": True, "dropout": dropout, "rng": rng}
        n = 2 * hidden if attention else 0  # of the context c_i
        self.encoder = CELLS[cell](d_e, hidden, bidirectional=attention, **how)
        self.decoder = CELLS[cell](d_e + n, hidden, **how)
        self.attention = AdditiveAttention(hidden, n, rng) if attention else None
        self.W_s = nn.Linear(hidden, hidden, bias=False, rng=rng) if attention else None
        self.U_o = nn.Linear(hidden + d_e + n, 2 * d_e, rng=rng)
        self.W_o = nn.Linear(d_e, N_V, rng=rng)

    def forward(self, z, x, z_seen=None):
        """Scores of the token after each of x: z (B, S), x (B, T) -> (B, T, N_V).

        z_seen (B, S): True where a token of z is no padding.
        """
        return self.decode(x, self.encode(z, z_seen), z_seen)

    def encode(self, z, z_seen=None):
        """What is known of the source, z (B, S): a Memory."""
        h, last = self.encoder(self.dropout(self.embed_z(z)), seen=z_seen)
        last = last if isinstance(last, tuple) else [last]
        if self.attention is not None:  # s_0 = tanh(W_s h_1 <-); so is an LSTM's c_0
            last = [F.tanh(self.W_s(part[1::2])) for part in last]
        layers = range(self.decoder.num_layers)
        return Memory(h, [[part[i] for part in last] for i in layers])

    def decode(self, x, memory, z_seen=None, cache=None, maps=None):
        """Scores of the token after each of x: (B, T), a Memory -> (B, T, N_V).

        cache: one of `cache(B)`; x are then the tokens after those that it has seen.
        maps: a list, which gets the weights alpha (B, 1, T, S).
        """
        Ey = self.dropout(self.embed(x))  # (B, T, d_e)
        states = memory.s_0 if cache is None or not cache.states else cache.states
        if self.attention is None:
            s, states = self._all_at_once(Ey, states)
            parts = [s, Ey]
        else:
            s, c, alpha, states = self._step_by_step(Ey, memory.h, states, z_seen)
            parts = [s, Ey, c]
            if maps is not None:
                maps.append(alpha)
        if cache is not None:
            cache.states = states
        t = self.U_o(self.dropout(ops.concatenate(parts, axis=-1)))  # (B, T, 2 d_e)
        t = ops.reshape(t, (*t.shape[:-1], -1, 2)).max(axis=-1)  # maxout
        return self.W_o(self.dropout(t))

    def _all_at_once(self, Ey, states):
        """s_i = f(s_(i-1), y_(i-1)): the true tokens are known, so one call does."""
        packed = tuple(ops.stack(part) for part in zip(*states))
        s, last = self.decoder(Ey, packed if len(packed) > 1 else packed[0])
        last = last if isinstance(last, tuple) else [last]
        return s, [[part[i] for part in last] for i in range(len(states))]

    def _step_by_step(self, Ey, h, states, z_seen):
        """s_i = f(s_(i-1), y_(i-1), c_i): the context needs the state before."""
        keys = self.attention.keys(h)
        s, contexts, alphas = [], [], []
        for i in range(Ey.shape[1]):
            c, alpha = self.attention(states[-1][0], h, keys, z_seen)
            y_c = ops.concatenate([Ey[:, i], c], axis=-1)
            states = self.decoder.step(y_c, states)
            s.append(states[-1][0])
            contexts.append(c)
            alphas.append(alpha)
        s, c = ops.stack(s, axis=1), ops.stack(contexts, axis=1)
        return s, c, ops.stack(alphas, axis=1)[:, None], states

    def cache(self, B):
        """An empty Cache for B sequences."""
        return Cache(B)

    @no_grad()
    def attention_maps(self, z, x, z_seen=None):
        """What each target token takes of each source token: Maps, only `cross`."""
        if self.attention is None:
            raise ValueError("this model has no attention: attention=True gives it one")
        maps = []
        self.decode(x, self.encode(z, z_seen), z_seen, maps=maps)
        return Maps([], [], [alpha.data for alpha in maps])


class AdditiveAttention(nn.Module):
    """c_i = sum_j alpha_ij h_j,  alpha_ij = exp(e_ij) / sum_k exp(e_ik)   (5), (6)

    e_ij = v_a^T tanh(W_a s_(i-1) + U_a h_j), the alignment model of section A.1.2.
    """

    def __init__(self, hidden, n, rng=None):
        self.W_a = nn.Linear(hidden, hidden, bias=False, rng=rng)
        self.U_a = nn.Linear(n, hidden, bias=False, rng=rng)
        self.v_a = nn.Linear(hidden, 1, bias=False, rng=rng)

    def keys(self, h):
        """U_a h_j of all j, the same for each i: (B, S, n) -> (B, S, hidden)."""
        return self.U_a(h)

    def forward(self, s, h, keys, seen=None):
        """The context and its weights: s (B, hidden), h (B, S, n) -> (B, n), (B, S).

        seen (B, S): False where a weight is to be 0.
        """
        e = self.v_a(F.tanh(self.W_a(s)[:, None] + keys))[..., 0]  # (B, S)
        if seen is not None:
            e = ops.where(beside(seen, e), e, float(np.finfo(e.dtype).min))
        alpha = F.softmax(e, dim=-1)
        return (alpha[:, None] @ h)[:, 0], alpha


class Cache:
    """The decoder's states after the tokens so far, which are all that it needs."""

    def __init__(self, B):
        self.B, self.states = B, []

    def select(self, rows):
        """Go on with these sequences only, as beam search does: rows, integers."""
        self.states = [[part[rows] for part in state] for state in self.states]
        self.B = len(rows)
