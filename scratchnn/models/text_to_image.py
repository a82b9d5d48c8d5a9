"""Text to image: an encoder reads a caption, a diffusion model draws what it says.

Both halves learn alone first, each from what there is plenty of: the text encoder from
captions without pictures, by guessing hidden words; the diffusion model from pictures
without captions. Then they are put together: every place of the picture asks the words
of the caption, by attention, and what it hears changes what it draws.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR
2022, arXiv:2112.10752, section 3.3 (attention between picture and text); Saharia et
al., "Imagen", arXiv:2205.11487 (a text encoder that was trained on text alone).
"""

import math
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside, standard_normal
from ..nn import init
from ..ops.attention import attention_weights
from ..random import default_rng
from ..recording import no_grad
from ..tensor import Tensor
from . import diffusion
from .transformer_training import e_training
from .unet import UNet


class CrossAttention(nn.Module):
    """x + W_o attention(Q, K, V),  Q = W_q norm(x),  K = W_k text,  V = W_v text.

    x (N, C, H, W): each of H W places asks the L words of text (N, L, d_text); seen
    (N, L) is False for words that are padding. -> (N, C, H, W). W_o is 0 at first, so
    that nothing changes yet. A picture all of whose words are padding hears nothing.
    """

    def __init__(self, channels, d_text, heads=4, rng=None):
        self.heads = math.gcd(heads, channels)
        self.norm = nn.GroupNorm(math.gcd(8, channels), channels)
        self.W_q = nn.Linear(channels, channels, bias=False, rng=rng)
        self.W_kv = nn.Linear(d_text, 2 * channels, bias=False, rng=rng)
        self.W_o = nn.Linear(channels, channels, bias=False, rng=rng)
        init.zeros_(self.W_o.weight)

    def forward(self, x, text, seen, maps=None):
        """maps: a list, which gets the weights (N, heads, H, W, L) if it is given."""
        n, c, h, w = x.shape
        places = self.norm(x).reshape(n, c, h * w).swapaxes(1, 2)  # (N, H W, C)
        Q, KV = self.W_q(places), self.W_kv(text)
        mask = seen[:, None, None]  # (N, 1, 1, L)
        if maps is not None:
            Q_h, K_h = (self._heads(a) for a in (Q, KV[..., :c]))
            alpha = attention_weights(Q_h, K_h, mask)
            maps.append(alpha.reshape(n, self.heads, h, w, -1))
        y = self.W_o(ops.multihead_attention(Q, KV, self.heads, mask))
        return x + y.swapaxes(1, 2).reshape(n, c, h, w)

    def _heads(self, X):
        """(N, T, C) -> (N, heads, T, C / heads)"""
        n, t, c = X.shape
        return X.reshape(n, t, self.heads, c // self.heads).swapaxes(1, 2)


class Told(NamedTuple):
    """What a block hears: e (N, told) of the time; text (N, L, d_text), seen (N, L).

    text is None if there is no caption at all. maps: see CrossAttention.
    """

    e: Tensor
    text: Tensor = None
    seen: np.ndarray = None
    maps: list = None


class Informed(nn.Module):
    """A residual block, then the caption: (N, C, H, W), Told -> (N, C', H, W)."""

    def __init__(self, block, channels, d_text, heads=4, rng=None):
        self.block = block
        self.ask = CrossAttention(channels, d_text, heads, rng)

    def forward(self, x, told):
        x = self.block(x, told.e)
        if told.text is None:
            return x
        return self.ask(x, told.text, told.seen, told.maps)


class TextUNet(UNet):
    """A U-Net that is told the time and a caption: x_t (N, channels, H, W) -> the same.

    y (N, L): the tokens of a caption for each picture, filled up with `pad`. A caption
    of nothing but pad says "anything", and so does y=None: it takes the part of the
    label `classes` in diffusion.py. encoder: an ETransformer, whose encode(y, seen)
    gives (N, L, d_text). Every block asks the caption, and is told the mean of its
    words together with the time (Saharia et al., section 2.3). The rest: see UNet.
    """

    def __init__(
        self, encoder, d_text, pad=0, channels=4, width=32, multipliers=(1, 2),
        blocks=1, heads=4, T=1000, rng=None,
    ):  # fmt: skip
        super().__init__(channels, width, multipliers, blocks, T=T, rng=rng)
        self.encoder, self.classes = encoder, pad
        self.pool = nn.Linear(d_text, 4 * width, bias=False, rng=rng)
        init.zeros_(self.pool.weight)  # a caption changes nothing yet
        *widths, lowest = (width * m for m in multipliers)

        def informed(blocks, c):
            return [Informed(block, c, d_text, heads, rng) for block in blocks]

        self.down = [informed(b, c) for b, c in zip(self.down, widths)]
        self.bottom = informed(self.bottom, lowest)
        self.up = [informed(b, c) for b, c in zip(self.up, widths)]

    def tell(self, t, y, x_t):
        """Time and caption as the blocks hear them: a Told."""
        e = self.time(self._times[beside(t, x_t)])
        seen = None if y is None else y != self.classes
        if y is None or y.ndim == 1 or not seen.any():  # nobody has a caption
            return Told(ops.silu(e))
        text = self.encoder.encode(y, seen)  # (N, L, d_text)
        share = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)
        mean = (text * share.astype(x_t.dtype)[..., None]).sum(axis=1)
        return Told(ops.silu(e + self.pool(mean)), text, seen)


# ---- training, in three stages --------------------------------------------------
def train_text(model, captions, optimizer, mask_token, p_mask=0.15, rng=None):
    """The first stage, as a generator: the encoder guesses hidden words, algorithm 12.

    model: a Diffusion whose network is a TextUNet. captions: an iterable of tokens
    (N, L), without pictures. Yields the losses of e_training.
    """
    encoder, pad = model.network.encoder, model.network.classes
    batches = ((y, y != pad) for y in captions)
    yield from e_training(encoder, optimizer, batches, mask_token, p_mask, rng)


def train_pictures(model, pictures, optimizer, ema=None, rng=None):
    """The second stage, as a generator: a diffusion.Loss for each batch (N, C, H, W).

    Pictures without captions. What asks the caption is not used, and stays as it is.
    """
    pad = model.network.classes
    silent = ((x_0, beside(np.full((len(x_0), 1), pad), x_0)) for x_0 in pictures)
    yield from diffusion.train(model, silent, optimizer, ema, 0.0, rng)


def fine_tune(model, batches, optimizer, ema=None, p_uncond=0.1, rng=None):
    """The third stage, as a generator: a diffusion.Loss for each batch (x_0, y).

    x_0 (N, C, H, W) with captions y (N, L); each caption is taken away with probability
    p_uncond. What the optimizer holds learns: with or without the encoder's weights.
    """
    yield from diffusion.train(model, batches, optimizer, ema, p_uncond, rng)


# ---- using it -------------------------------------------------------------------
def draw(model, y, steps=50, guidance=2.0, rng=None, **how):
    """A picture for each caption y (N, L): an array (N, C, H, W).

    guidance: how much more like its caption than like any picture, see
    diffusion.predict; how: the other arguments of diffusion.sample.
    """
    how = {"clip": 1.0} | how
    return diffusion.sample(
        model, len(y), steps, y=y, guidance=guidance, rng=rng, **how
    )


@no_grad()
def looks(model, x_0, y, t=None, rng=None):
    """Where each word is heard: (N, L, H, W), over the places of the picture.

    The weights of all attention to the caption y (N, L), their mean over heads and
    blocks, when x_0 (N, C, H, W) is seen through the noise of step t (half of T if
    None). At each place the words' shares add up to 1.
    """
    network, schedule = model.network, model.schedule
    t = np.full(len(x_0), t or schedule.T // 2)
    eps = standard_normal(default_rng(rng), x_0.shape, x_0)
    x_t = schedule.q_sample(x_0, t, eps)
    told = network.tell(t, y, x_t)._replace(maps=[])
    network.walk(x_t, told)
    size, total = x_0.shape[2:], 0.0
    for alpha in told.maps:  # (N, heads, h, w, L)
        alpha = ops.moveaxis(alpha.mean(axis=1), -1, 1)  # (N, L, h, w)
        total = total + ops.interpolate(alpha, size).data
    return total / len(told.maps)
