"""One pass over a parameter in place of Adam's eleven, of three or four elsewhere.

Adam's is one call for all parameters of a model, which the threads share evenly: most
parameters are so small that a call for each took longer than the work. The compiled
loop finds their arrays by a table of addresses.
"""

import functools
import math
from ctypes import addressof, c_char

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..threads import get_num_threads
from .share import compiled, share, team

FEW, PARALLEL = 65_536, 200_000  # entries; with fewer, NumPy's three passes are as fast
loop = compiled({"contract"})


@intrinsic
def _numbers(context, address, first):
    """The float32 numbers at an address, from the first-th on."""

    def code(context, builder, signature, args):
        start = builder.inttoptr(args[0], ir.FloatType().as_pointer())
        return builder.gep(start, [args[1]])

    return types.CPointer(types.float32)(types.intp, types.intp), code


@loop
def _adam(ends, table, factors, beta1, rest1, beta2, rest2, eps, keep):
    """Entries ends[0, 0] to ends[0, 1] of all parameters in a row.

    table: addresses of p, g, m and v, and how many entries they have; factors: 1 over
    the root of v's correction, and the rate over m's.
    """
    before = 0
    for k in range(len(table)):
        size = table[k, 4]
        first, last = max(ends[0, 0] - before, 0), min(ends[0, 1] - before, size)
        p, g = _numbers(table[k, 0], first), _numbers(table[k, 1], first)
        m, v = _numbers(table[k, 2], first), _numbers(table[k, 3], first)
        scale, rate = factors[k, 0], factors[k, 1]
        for i in range(last - first):
            m[i] = beta1 * m[i] + rest1 * g[i]
            v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
            p[i] = keep * p[i] - rate * (m[i] / (math.sqrt(v[i]) * scale + eps))
        before += size


@loop
def _momentum(p, g, v, lr, momentum, rest, nesterov):
    for i in range(len(p)):
        v[i] = momentum * v[i] + rest * g[i]
        p[i] -= lr * (g[i] + momentum * v[i] if nesterov else v[i])


@loop
def _ema(e, p, decay, rest):
    for i in range(len(p)):
        e[i] = decay * e[i] + rest * p[i]


def _takes(x, shape):
    """Whether x is a parameter's array that the kernels can write to as one row."""
    kind = type(x) is np.ndarray and x.dtype == np.float32
    return kind and x.shape == shape and x.flags.carray


def _address(x):
    """Where such an array begins: x.ctypes.data, in a fifth of its microsecond."""
    return addressof(c_char.from_buffer(x))


def _run(step, arrays, numbers):
    """Run a loop over the entries of all arrays; returns the first, changed."""
    p, *_ = arrays
    if not all(_takes(x, p.shape) for x in arrays):
        return NotImplemented
    rows = tuple(x.reshape(-1) for x in arrays)
    share(step, rows, tuple(map(np.float32, numbers)), team(p, PARALLEL))
    return p


@functools.lru_cache(1)  # t is that of all parameters, unless some joined later
def _factors(t, lr, beta1, beta2):
    return 1 / math.sqrt(1 - beta2**t), lr / (1 - beta1**t)


def adam_steps(rows, lr, beta1, beta2, eps, keep=1):
    """One step of all parameters in place; see optim.optimizers.adam_steps."""
    table, factors, total = [], [], 0
    for p, g, m, v, t in rows:
        shape, size = p.shape, p.size
        for x in (p, g, m, v):
            if not _takes(x, shape):
                return NotImplemented
        if size:  # else there is no address
            table.append((_address(p), _address(g), _address(m), _address(v), size))
            factors.append(_factors(t, lr, beta1, beta2))
            total += size
    threads = get_num_threads() if total >= PARALLEL else 1
    cuts = [total * i // threads for i in range(threads + 1)]
    ends = np.array(list(zip(cuts, cuts[1:])))
    tables = np.array(table), np.array(factors, np.float32)
    numbers = map(np.float32, (beta1, 1 - beta1, beta2, 1 - beta2, eps, keep))
    share(_adam, (ends,), (*tables, *numbers), threads)
    return [p for p, *_ in rows]


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
    adam_steps([(p, g, m, v, 1)], 1e-3, 0.9, 0.999, 1e-8)
    momentum_step(p, g, v, 1e-3, 0.9, 0, False)
    ema_step(p, g, 0.9)
