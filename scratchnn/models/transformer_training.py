"""Training the Transformers: algorithms 11 to 13 of the Formal Algorithms.

arXiv:2207.09238. The paper updates by plain gradient descent after each sequence; here
an optimizer does so after each batch, and a loss is the mean over its tokens, in nats.
Each training is a generator: one Loss after each update.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import ops
from ..device import beside
from ..optim import clip_grad_norm_
from ..random import default_rng


class Loss(NamedTuple):
    """The mean over the batch's predicted tokens, in nats, and how many they are."""

    loss: float
    tokens: int


# ---- losses ---------------------------------------------------------------------
def d_loss(model, x, pad=None):
    """-sum_{t < l} log P[x[t + 1], t] / (l - 1), mean over the batch: x (B, l).

    Algorithm 13, lines 4 and 5. The model sees x[1:l - 1], and its answers are held
    against x[2:l]: shifted by one, once. pad: a token that is never to be predicted.
    """
    x = np.asarray(x) if isinstance(x, list) else x
    return _cross_entropy(model(x[:, :-1]), x[:, 1:], pad)


def e_loss(model, x, mask_token, p_mask=0.15, rng=None, seen=None):
    """-sum_{t in T~} log P[x[t], t] / |T~|: x (B, l), T~ the masked places.

    Algorithm 12, lines 4 to 9. seen (B, l): True where a token is no padding.
    """
    x_masked, hidden = masked(x, mask_token, p_mask, rng, seen)  # 4 to 7
    logits = model(x_masked, seen)  # 8
    return _cross_entropy(logits, np.where(hidden, x, -1), -1)  # 9


def masked(x, mask_token, p_mask=0.15, rng=None, seen=None):
    """x with mask_token in some places, and these places as booleans, both (B, l).

    Each place is masked with probability p_mask, but for padding; one is at least, so
    that there is a loss.
    """
    chance = default_rng(rng).random(x.shape)
    if seen is not None:
        chance = np.where(_host(seen), chance, 2.0)
    hidden = chance < max(p_mask, chance.min() + 1e-12)
    hidden = beside(hidden, x)
    return np.where(hidden, mask_token, x), hidden


def ed_loss(model, z, x, z_seen=None, label_smoothing=0.0, pad=None):
    """-sum_{t < l} log P[x[t + 1], t] / (l - 1) given z: z (B, S), x (B, l).

    Algorithm 11, lines 3 to 5; x begins with bos_token and ends with eos_token, and the
    decoder is given the true tokens before each (teacher forcing). z_seen (B, S): True
    where z is no padding; pad: the token that pads x, whose prediction doesn't count.
    label_smoothing e: the target is 1 - e of the true token, and e of all evenly.
    """
    logits = model(z, x[:, :-1], z_seen)
    return _cross_entropy(logits, x[:, 1:], pad, label_smoothing)


def _cross_entropy(logits, target, ignored, label_smoothing=0.0):
    """The mean of -log softmax(logits)[target] over targets that are not ignored."""
    target = beside(target.reshape(-1), logits)
    ignored = -100 if ignored is None else ignored
    logits = logits.reshape(-1, logits.shape[-1])  # (B l, N_V)
    loss = ops.cross_entropy(
        logits, target, ignore_index=ignored, label_smoothing=label_smoothing
    )
    return Loss(loss, int((target != ignored).sum()))


# ---- training -------------------------------------------------------------------
def d_training(model, optimizer, batches, schedule=None, clip=None, pad=None):
    """Algorithm 13, DTraining, as a generator: batches of x (B, l)."""
    for x in batches:  # 2: for n = 1, ..., N_data do
        loss = d_loss(model, x, pad)  # 3 to 5
        yield _update(model, optimizer, loss, schedule, clip)  # 6


def e_training(
    model, optimizer, batches, mask_token, p_mask=0.15, rng=None, schedule=None,
    clip=None,
):  # fmt: skip
    """Algorithm 12, ETraining, as a generator: batches of x (B, l), or (x, seen)."""
    for batch in batches:  # 2: for n = 1, ..., N_data do
        x, seen = batch if isinstance(batch, tuple) else (batch, None)
        loss = e_loss(model, x, mask_token, p_mask, rng, seen)  # 3 to 9
        yield _update(model, optimizer, loss, schedule, clip)  # 10


def ed_training(
    model, optimizer, batches, label_smoothing=0.0, pad=None, schedule=None, clip=None
):
    """Algorithm 11, EDTraining, as a generator: batches of (z, x) or (z, x, z_seen)."""
    for z, x, *z_seen in batches:  # 2: for n = 1, ..., N_data do
        seen = z_seen[0] if z_seen else None
        loss = ed_loss(model, z, x, seen, label_smoothing, pad)  # 3 to 5
        yield _update(model, optimizer, loss, schedule, clip)  # 6


def _update(model, optimizer, loss, schedule, clip):
    """theta <- theta - eta grad loss(theta), and the loss as numbers.

    schedule: of the learning rate, whose step() is called. clip: the largest norm of
    the gradient.
    """
    optimizer.zero_grad()
    loss.loss.backward()
    if clip is not None:
        clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    if schedule is not None:
        schedule.step()
    return Loss(float(loss.loss), loss.tokens)


def warm_up(d_e, warmup=4000, factor=1.0):
    """t -> factor d_e^-0.5 min(s^-0.5, s warmup^-1.5), s = t + 1, for optim.LambdaLR.

    It rises for `warmup` steps and then falls as 1 / sqrt(s). Give the optimizer lr=1.
    Vaswani et al., arXiv:1706.03762, eq. (3).
    """

    def lr(t):
        s = t + 1
        return factor / math.sqrt(d_e) * min(s**-0.5, s * warmup**-1.5)

    return lr


def _host(x):
    """An array as NumPy's."""
    return x.get() if hasattr(x, "get") else x
