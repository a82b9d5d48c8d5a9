"""U-Net: a picture in, a picture of the same size out, told the time and the label.

Going down, every level halves the picture and has more channels; going up again, every
level sees besides what the one of its size held on the way down. So what is far apart
meets at the bottom, and fine lines need not pass through it.

Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, arXiv:1505.04597, figure 1; as a
denoiser, with residual blocks that are told the time: Ho, Jain and Abbeel (DDPM),
NeurIPS 2020, arXiv:2006.11239, appendix B.
"""

import math

import numpy as np

from .. import nn, ops
from ..device import beside
from ..nn import init
from .denoisers import time_embedding


class UNet(nn.Module):
    """What to say of a noisy picture: x_t (N, channels, H, W) -> the same, at first 0.

    t (N,): the time of each picture, 0..T. classes: how many labels there are, if it is
    told them; then y (N,), with `classes` for "any", which y=None means, too.
    multipliers: the channels of each level from the top, in widths; with three levels
    28 x 28 pixels become 14 x 14 and 7 x 7. blocks: residual blocks of a level, down
    and up each. attention: whether all places of the lowest level see each other.
    """

    def __init__(
        self, channels=1, width=32, multipliers=(1, 2), blocks=1, attention=False,
        T=1000, classes=None, rng=None,
    ):  # fmt: skip
        self.classes, told = classes, 4 * width
        self._times = time_embedding(np.arange(T + 1), width, T)  # a row for each t
        self.time = nn.MLP([width, told, told], activation=nn.SiLU, rng=rng)
        self.label = nn.Embedding(classes + 1, told, rng) if classes else None
        self.first = nn.Conv2d(channels, width, 3, padding=1, rng=rng)
        self.down, self.halve, self.double, self.up = [], [], [], []
        widths = [width * m for m in multipliers]
        for c, wider in zip(widths, widths[1:]):
            self.down.append([Residual(c, c, told, rng) for _ in range(blocks)])
            self.halve.append(nn.Conv2d(c, wider, 3, stride=2, padding=1, rng=rng))
            self.double.append(nn.ConvTranspose2d(wider, c, 4, 2, padding=1, rng=rng))
            seen = [2 * c, *[c] * (blocks - 1)]  # the first sees the way down, too
            self.up.append([Residual(n, c, told, rng) for n in seen])
        lowest = widths[-1]
        self.bottom = [Residual(lowest, lowest, told, rng) for _ in range(2)]
        if attention:
            self.bottom.insert(1, Attention(lowest, rng=rng))
        self.norm = _norm(width)
        self.last = nn.Conv2d(width, channels, 3, padding=1, rng=rng)
        init.zeros_(self.last.weight)
        init.zeros_(self.last.bias)

    def forward(self, x_t, t, y=None):
        return self.walk(x_t, self.tell(t, y, x_t))

    def walk(self, x_t, e):
        """Down and up again; e is what every block is told, see `tell`."""
        h, skips = self.first(x_t), []
        for blocks, halve in zip(self.down, self.halve):
            for block in blocks:
                h = block(h, e)
            skips.append(h)
            h = halve(h)  # (N, C, H, W) -> (N, wider, H / 2, W / 2), rounded up
        for block in self.bottom:
            h = block(h, e)
        for double, blocks in zip(self.double[::-1], self.up[::-1]):
            skip, h = skips.pop(), double(h)
            if h.shape != skip.shape:  # an odd side was rounded up
                h = h[:, :, : skip.shape[2], : skip.shape[3]]
            h = ops.concatenate([h, skip], axis=1)  # (N, 2 C, H, W)
            for block in blocks:
                h = block(h, e)
        return self.last(ops.silu(self.norm(h)))

    def tell(self, t, y, x_t):
        """What the blocks are told of time and label: (N,), (N,) -> (N, 4 width)."""
        e = self.time(self._times[beside(t, x_t)])
        if self.label is not None:
            y = beside(np.full(len(x_t), self.classes), x_t) if y is None else y
            e = e + self.label(y)
        return ops.silu(e)


class Residual(nn.Module):
    """skip(x) + conv(silu((1 + s) norm(conv(silu(norm(x)))) + b)), s and b linear in e.

    x (N, c_in, H, W), e (N, told) -> (N, c_out, H, W). skip: x, or a 1x1 convolution
    where the channels change. What e says comes behind the norm, which would take a
    shift of its channels away again (Dhariwal and Nichol, arXiv:2105.05233, eq. 6).
    """

    def __init__(self, c_in, c_out, told, rng=None):
        self.norm1 = _norm(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, rng=rng)
        self.scale = nn.Linear(told, c_out, rng=rng)
        self.shift = nn.Linear(told, c_out, rng=rng)
        self.norm2 = _norm(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, rng=rng)
        same = c_in == c_out
        self.skip = nn.Identity() if same else nn.Conv2d(c_in, c_out, 1, rng=rng)

    def forward(self, x, e):
        h = self.conv1(ops.silu(self.norm1(x)))
        s = self.scale(e)[:, :, None, None]  # a number for each channel
        b = self.shift(e)[:, :, None, None]
        h = (1 + s) * self.norm2(h) + b
        return self.skip(x) + self.conv2(ops.silu(h))


class Attention(nn.Module):
    """x + out(attention(q, k, v)) of norm(x), every place a token: (N, C, H, W), same.

    The e that other blocks are told is not used.
    """

    def __init__(self, channels, heads=4, rng=None):
        self.heads = math.gcd(heads, channels)
        self.norm = _norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, rng=rng)
        self.out = nn.Linear(channels, channels, rng=rng)

    def forward(self, x, e=None):
        n, c, h, w = x.shape
        tokens = self.norm(x).reshape(n, c, h * w).swapaxes(1, 2)  # (N, H W, C)
        y = self.out(ops.multihead_attention(self.qkv(tokens), heads=self.heads))
        return x + y.swapaxes(1, 2).reshape(n, c, h, w)


def _norm(channels):
    """GroupNorm of at most 8 groups."""
    return nn.GroupNorm(math.gcd(8, channels), channels)
