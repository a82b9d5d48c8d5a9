"""One pass over a parameter in place of Adam's eleven, of three or four elsewhere."""

import math

import numpy as np

from .share import compiled, share, team

FEW, PARALLEL = 65_536, 200_000  # entries; with fewer, NumPy's three passes are as fast
loop = compiled({"contract"})


@loop
def _adam(p, g, m, v, beta1, rest1, beta2, rest2, scale, eps, size, keep):
    for i in range(len(p)):
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
        p[i] = keep * p[i] - size * (m[i] / (math.sqrt(v[i]) * scale + eps))


@loop
def _momentum(p, g, v, lr, momentum, rest, nesterov):
    for i in range(len(p)):
        v[i] = momentum * v[i] + rest * g[i]
        p[i] -= lr * (g[i] + momentum * v[i] if nesterov else v[i])


@loop
def _ema(e, p, decay, rest):
    for i in range(len(p)):
        e[i] = decay * e[i] + rest * p[i]


def _flat(x, p):
    """x as one row of p's length, or None if the kernel can't take it."""
    whole = type(x) is np.ndarray and x.shape == p.shape and x.flags.c_contiguous
    return x.reshape(-1) if whole and x.dtype == np.float32 else None


def _run(step, arrays, numbers):
    """Run a loop over the entries of all arrays; returns the first, changed."""
    p, *_ = arrays
    rows = tuple(_flat(x, p) for x in arrays)
    if any(x is None or not x.flags.writeable for x in rows):
        return NotImplemented
    share(step, rows, tuple(map(np.float32, numbers)), team(p, PARALLEL))
    return p


def adam_step(p, g, m, v, lr, beta1, beta2, eps, t, keep=1):
    """One step in place; see optim.optimizers.adam_step."""
    scale, size = 1 / math.sqrt(1 - beta2**t), lr / (1 - beta1**t)
    numbers = beta1, 1 - beta1, beta2, 1 - beta2, scale, eps, size, keep
    return _run(_adam, (p, g, m, v), numbers)


def momentum_step(p, g, v, lr, momentum, dampening, nesterov):
    """One step in place; see optim.optimizers.momentum_step."""
    if p.size < FEW:
        return NotImplemented
    numbers = lr, momentum, 1 - dampening, nesterov
    return _run(_momentum, (p, g, v), numbers)


def ema_step(e, p, decay):
    """One step in place; see optim.optimizers.ema_step."""
    return NotImplemented if e.size < FEW else _run(_ema, (e, p), (decay, 1 - decay))


def warmup():
    """Compile all kernels of this file."""
    p, g, m, v = np.ones((4, FEW), np.float32)
    adam_step(p, g, m, v, 1e-3, 0.9, 0.999, 1e-8, 1)
    momentum_step(p, g, v, 1e-3, 0.9, 0, False)
    ema_step(p, g, 0.9)
