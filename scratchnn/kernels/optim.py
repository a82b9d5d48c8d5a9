"""One pass over a parameter in place of Adam's eleven."""

import math

import numpy as np
from numba import njit


# error_model: a division that can't raise is one that LLVM can vectorise.
@njit(cache=True, error_model="numpy", fastmath={"contract"})
def _adam(p, g, m, v, beta1, rest1, beta2, rest2, scale, eps, size):
    for i in range(len(p)):
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
        p[i] -= size * (m[i] / (math.sqrt(v[i]) * scale + eps))


def _flat(x, p):
    """x as one row of p's length, or None if the kernel can't take it."""
    whole = type(x) is np.ndarray and x.shape == p.shape and x.flags.c_contiguous
    return x.reshape(-1) if whole and x.dtype == np.float32 else None


def adam_step(p, g, m, v, lr, beta1, beta2, eps, t):
    """One step in place; see optim.optimizers.adam_step."""
    rows = [_flat(x, p) for x in (p, g, m, v)]
    if any(x is None or not x.flags.writeable for x in rows):
        return NotImplemented
    scale, size = 1 / math.sqrt(1 - beta2**t), lr / (1 - beta1**t)
    numbers = beta1, 1 - beta1, beta2, 1 - beta2, scale, eps, size
    _adam(*rows, *map(np.float32, numbers))
    return p


def warmup():
    """Compile the kernel."""
    adam_step(*np.ones((4, 1), np.float32), 1e-3, 0.9, 0.999, 1e-8, 1)
