"""dropout in one pass: the mask is hashed while x is read, and is never in memory."""

import numpy as np
from numba import uint32

from ..random import mask_words
from .elementwise import row
from .share import compiled, share, team

BLOCK, PARALLEL = 4096, 131_072  # entries

# The constants of scratchnn.random.keep_mask. uint32: numba's sums are 64 bits wide.
A, B, C = uint32(0xED5AD4BB), uint32(0xAC4C1B51), uint32(0x31848BAB)


@compiled()
def _hash(i, first, second):
    h = uint32(i)
    h = uint32(h ^ (h >> uint32(17)))
    h = uint32(uint32(h * A) + first)
    h = uint32(h ^ (h >> uint32(11)))
    h = uint32(uint32(h * B) + second)
    h = uint32(h ^ (h >> uint32(15)))
    h = uint32(h * C)
    return uint32(h ^ (h >> uint32(14)))


@compiled()
def _dropout(blocks, x, y, first, second, least, scale):
    for b in blocks:
        start = b * BLOCK
        row, out = x[start : start + BLOCK], y[start : start + BLOCK]
        for i in range(len(row)):
            keep = _hash(start + i, first, second) >= least
            out[i] = row[i] * np.float32(keep) * scale


def forward(x, p, seed):
    """x m / (1 - p), with the bits of keep_mask(x.shape, p, seed, x)."""
    y = np.empty(x.shape, np.float32)
    scale = np.float32(1 / (1 - p) if p < 1 else 0)
    blocks = np.arange(-(-x.size // BLOCK))
    whole = row(x), row(y), *map(np.uint32, mask_words(p, seed)), scale
    share(_dropout, (blocks,), whole, team(x, PARALLEL))
    return y


def rule(g, y, need, x, p, seed):
    """The gradient goes through the same mask."""
    return (forward(g, p, seed),)


def warmup():
    """Compile the kernel."""
    forward(np.ones(1, np.float32), 0.5, 0)
