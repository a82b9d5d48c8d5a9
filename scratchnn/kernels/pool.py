"""The rules of maxima and sums of windows, with no gradient of each window in memory.

The gradient of a maximum goes to the first entry that equals it. The bodies have no
kernel: k^2 strided passes of NumPy's are as fast.
"""

import numpy as np
from numba import float32, uint64

from ..ops.conv import _pair
from .share import compiled, share, team

PARALLEL = 200_000  # entries
loop = compiled()


@loop
def _max_rule(g, y, x, gx, kh, kw, sh, sw, dh, dw):
    # Unsigned places save numba's checks for negative ones.
    for n in range(len(x)):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                found = False
                for u in range(kh):
                    for v in range(kw):
                        a, b = uint64(i * sh + u * dh), uint64(j * sw + v * dw)
                        first = (x[n, a, b] == y[n, i, j]) & (not found)
                        found |= first
                        gx[n, a, b] += g[n, i, j] * float32(first)


@loop
def _sum_rule(g, gx, kh, kw, sh, sw):
    for n in range(len(g)):
        for i in range(g.shape[1]):
            for u in range(kh):
                for v in range(kw):
                    for j in range(g.shape[2]):
                        a, b = uint64(i * sh + u), uint64(j * sw + v)
                        gx[n, a, b] += g[n, i, j]


def _images(x):
    """(..., H, W) -> (n, H, W), contiguous float32."""
    return np.ascontiguousarray(x, dtype=np.float32).reshape(-1, *x.shape[-2:])


def max_windows_rule(g, y, need, x, size, stride, dilation):
    """g goes to the first entry of each window that equals y."""
    gx = np.zeros_like(x)
    numbers = (*_pair(size), *_pair(stride), *_pair(dilation))
    images = tuple(map(_images, (g, y, x, gx)))
    share(_max_rule, images, tuple(map(np.int64, numbers)), team(x, PARALLEL))
    return (gx,)


def sum_windows_rule(g, y, need, x, size, stride):
    """g goes to all entries of each window."""
    gx = np.zeros(x.shape, np.float32)
    numbers = tuple(map(np.int64, (*_pair(size), *_pair(stride))))
    share(_sum_rule, (_images(g), _images(gx)), numbers, team(gx, PARALLEL))
    return (gx,)


def warmup():
    """Compile all kernels of this file."""
    x = np.ones((1, 1, 1), np.float32)
    max_windows_rule(x, x, (True,), x, 1, 1, 1)
    sum_windows_rule(x, x, (True,), x, 1, 1)
