"""Using the trained Transformers: algorithms 14 and 15, and beam search.

Phuong and Hutter, "Formal Algorithms for Transformers", arXiv:2207.09238. A token at a
time, drawn from the model's prediction and given back to it. With a cache the model
computes each token once; without, all of them again for each new one.
"""

from typing import NamedTuple

import numpy as np

from ..device import to_device
from ..random import default_rng
from ..recording import no_grad


def distribution(logits, temperature=1.0, top_k=None, top_p=None):
    """q ~ p^(1 / temperature), p = softmax(logits): (B, N_V) -> (B, N_V), float64.

    temperature: below 1 prefers likely tokens more; at 0 the likeliest has all. top_k:
    only the k likeliest may be drawn. top_p: only the likeliest that together have at
    least the probability top_p (Holtzman et al., "The Curious Case of Neural Text
    Degeneration", arXiv:1904.09751, eq. (2)).
    """
    _check(temperature, top_k, top_p, logits.shape[-1])
    scores = np.asarray(logits, np.float64)
    if temperature == 0:
        return np.eye(scores.shape[-1])[scores.argmax(-1)]
    order = np.argsort(-scores, axis=-1, kind="stable")  # the likeliest first
    scores = np.take_along_axis(scores, order, -1) / temperature
    q = np.exp(scores - scores[:, :1])
    if top_k is not None:
        q[:, top_k:] = 0
    q /= q.sum(-1, keepdims=True)
    if top_p is not None:
        before = np.cumsum(q, axis=-1) - q  # the probability of the likelier ones
        q[before >= top_p] = 0
        q /= q.sum(-1, keepdims=True)
    unsorted = np.empty_like(q)
    np.put_along_axis(unsorted, order, q, -1)
    return unsorted


def draw(q, rng=None):
    """A token of each row of q (B, N_V), with these probabilities: (B,)."""
    below = np.cumsum(q, axis=-1)
    u = default_rng(rng).random((len(q), 1)) * below[:, -1:]
    return (below <= u).sum(-1)


def choose(logits, temperature=1.0, top_k=None, top_p=None, rng=None):
    """A token for each row of logits (B, N_V), drawn from `distribution`: (B,)."""
    if temperature == 0:
        return logits.argmax(-1)
    return draw(distribution(logits, temperature, top_k, top_p), rng)


def _check(temperature, top_k, top_p, N_V):
    if temperature < 0:
        raise ValueError(
            f"temperature is {temperature}, expected 0, for the likeliest token, or "
            "more"
        )
    if top_k is not None and not top_k >= 1:
        raise ValueError(f"top_k is {top_k}, expected a number from 1 to {N_V}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}, expected above 0, up to 1")


@no_grad()
def generate(
    model, x, l_gen, temperature=1.0, top_k=None, top_p=None, eos_token=None, rng=None,
    cached=True,
):  # fmt: skip
    """The next l_gen tokens after x (B, l), as a generator of arrays (B,).

    Algorithm 14, DInference, for a DTransformer. The model sees at most its last l_max
    tokens. temperature, top_k, top_p: see distribution. eos_token: a sequence that
    drew it goes on with it, and all end when each has. cached=False computes all
    tokens at each step, and gives the same ones. Call model.eval() first, where it has
    dropout.
    """
    rng, x = default_rng(rng), _tokens(x)
    cache, ended = model.cache(len(x)) if cached else None, np.zeros(len(x), bool)
    new = x[:, -model.l_max :]
    for _ in range(l_gen):  # 2: for i = 1, ..., l_gen do
        if cache is None or cache.length + new.shape[1] > model.l_max:
            cache, new = None, x[:, -model.l_max :]  # places move on: begin again
        logits = last_logits(model(new, cache=cache))  # 3, 4: p <- P[:, l + i - 1]
        y = choose(logits, temperature, top_k, top_p, rng)  # 5: y ~ q ~ p^(1 / tau)
        if eos_token is not None:
            y = np.where(ended, eos_token, y)
            ended |= y == eos_token
        new = y[:, None]
        x = np.concatenate([x, new], axis=1)  # 6: x <- [x, y]
        yield y  # 8
        if ended.all():
            return


@no_grad()
def translate(
    model, z, z_seen=None, bos_token=None, eos_token=None, l_max=None, temperature=0.0,
    top_k=None, top_p=None, rng=None, cached=True,
):  # fmt: skip
    """x^ for each z (B, S): tokens (B, T), from bos_token to eos_token and padding.

    Algorithm 15, EDInference, for an EDTransformer or another model with encode and
    decode. Sequences that have ended repeat eos_token. l_max: the most tokens, bos
    among them; the model's if None. cached: see generate. Call model.eval() first.
    """
    rng, z = default_rng(rng), _sources(z, bos_token, eos_token)
    B, l_max = len(z), l_max or model.l_max
    Z = model.encode(z, z_seen)
    cache, ended = model.cache(B) if cached else None, np.zeros(B, bool)
    x = np.full((B, 1), bos_token)  # 1: x^ <- [bos_token]
    while not ended.all() and x.shape[1] < l_max:  # 3: while y != eos_token do
        new = x if cache is None else x[:, -1:]
        logits = last_logits(model.decode(new, Z, z_seen, cache=cache))  # 4, 5
        y = choose(logits, temperature, top_k, top_p, rng)  # 6: y ~ q ~ p^(1 / tau)
        y = np.where(ended, eos_token, y)
        ended |= y == eos_token
        x = np.concatenate([x, y[:, None]], axis=1)  # 7: x^ <- [x^, y]
    return x  # 9


class Beam(NamedTuple):
    """A translation: its tokens with bos and eos, and log P(x | z) of it in nats."""

    tokens: np.ndarray
    log_p: float


@no_grad()
def beam_search(
    model, z, z_seen=None, bos_token=None, eos_token=None, l_max=None, beams=4,
    length_penalty=0.6,
):  # fmt: skip
    """The best Beam for each z (B, S), among `beams` that are followed at a time.

    Of all continuations of a sentence's open beams, the `beams` likeliest stay; one
    that ends is put aside, and the best at the end has the largest log_p / ((5 + l) /
    6)^length_penalty, l its tokens after bos: Wu et al., "Google's Neural Machine
    Translation System", arXiv:1609.08144, eq. (14), without coverage. beams=1 is
    greedy; as many beams as there are sentences find the likeliest of all.
    """
    z = _sources(z, bos_token, eos_token)
    if beams < 1:
        raise ValueError(f"beams is {beams}, expected at least 1, which is greedy")
    B, l_max = len(z), l_max or model.l_max
    z, seen = _repeated(z, beams), _repeated(z_seen, beams)
    Z, cache = model.encode(z, seen), model.cache(B * beams)
    x = np.full((B, beams, 1), bos_token)
    log_p = np.full((B, beams), -np.inf)
    log_p[:, 0] = 0  # all beams are the same at first: one of them is enough
    done = [[] for _ in range(B)]
    while x.shape[2] < l_max and np.isfinite(log_p).any():
        new = x[:, :, -1].reshape(-1, 1)  # (B beams, 1)
        logits = last_logits(model.decode(new, Z, seen, cache=cache))
        each = (log_p.reshape(-1, 1) + log_softmax(logits)).reshape(B, -1)
        N_V = logits.shape[-1]
        best = np.argsort(-each, axis=1, kind="stable")[:, :beams]  # (B, beams)
        log_p = np.take_along_axis(each, best, 1)
        parent, y = best // N_V, best % N_V
        x = np.take_along_axis(x, parent[:, :, None], 1)
        x = np.concatenate([x, y[:, :, None]], axis=2)
        cache.select((parent + np.arange(B)[:, None] * beams).reshape(-1))
        for b, k in np.argwhere((y == eos_token) & np.isfinite(log_p)):
            done[b].append(Beam(x[b, k], log_p[b, k]))
            log_p[b, k] = -np.inf
            if len(done[b]) >= beams:  # enough
                log_p[b] = -np.inf
    for b, k in np.argwhere(np.isfinite(log_p)):  # not ended within l_max
        done[b].append(Beam(x[b, k], log_p[b, k]))

    def score(beam):
        return beam.log_p / ((4 + len(beam.tokens)) / 6) ** length_penalty

    return [max(beams, key=score) for beams in done]


def last_logits(logits):
    """The last token's scores as a NumPy array: Tensor (B, T, N_V) -> (B, N_V)."""
    return to_device(logits.data[:, -1], "cpu")


def log_softmax(logits):
    """log p in float64: (B, N_V)."""
    scores = np.asarray(logits, np.float64)
    scores = scores - scores.max(-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def _tokens(x):
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(
            f"tokens have the shape {x.shape}, expected (B, l) with l at least 1; one "
            "prompt is tokens[None], an empty one the token that text begins with"
        )
    return to_device(x, "cpu")


def _sources(z, bos_token, eos_token):
    if bos_token is None or eos_token is None:
        raise ValueError(
            f"bos_token is {bos_token}, eos_token is {eos_token}; both are needed: the "
            "tokens between which a target stands in training"
        )
    return _tokens(z)


def _repeated(x, beams):
    return None if x is None else np.repeat(to_device(x, "cpu"), beams, axis=0)
