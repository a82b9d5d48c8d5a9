"""Initial values: each function fills a Tensor in place and returns it.

A weight (out, in, *kernel) has fan_in = in * prod(kernel) and fan_out = out *
prod(kernel). Keeping the variance of signals forward asks for var(w) = 1 / fan_in, of
gradients backward for 1 / fan_out.
"""

import math

import numpy as np

from ..errors import nearest
from ..random import default_rng


def _fill(t, values):
    t.data = np.array(np.broadcast_to(values, t.shape), dtype=t.dtype, like=t.data)
    return t


def constant_(t, val):
    """Every entry is val."""
    return _fill(t, val)


def zeros_(t):
    """Every entry is 0."""
    return _fill(t, 0)


def ones_(t):
    """Every entry is 1."""
    return _fill(t, 1)


def uniform_(t, a=0.0, b=1.0, rng=None):
    """U(a, b): mean (a + b) / 2, variance (b - a)^2 / 12."""
    return _fill(t, default_rng(rng).uniform(a, b, t.shape))


def normal_(t, mean=0.0, std=1.0, rng=None):
    """N(mean, std^2)."""
    return _fill(t, default_rng(rng).normal(mean, std, t.shape))


def fans(t):
    """(fan_in, fan_out) of a weight (out, in, *kernel).

    Raises ValueError for fewer than two axes.
    """
    if t.ndim < 2:
        raise ValueError(
            f"fan_in and fan_out need a weight (out, in, ...); got shape {t.shape}. "
            "For a bias use zeros_, normal_ or uniform_"
        )
    kernel = math.prod(t.shape[2:])
    return t.shape[1] * kernel, t.shape[0] * kernel


GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity, a=0.01):
    """What an activation takes from the standard deviation: sqrt(2) for relu.

    a: the negative slope of leaky_relu, whose gain is sqrt(2 / (1 + a^2)).
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + a * a))
    if nonlinearity not in GAINS:
        hint = nearest(nonlinearity, [*GAINS, "leaky_relu"])
        raise ValueError(f"no gain is known for {nonlinearity!r}{hint}")
    return GAINS[nonlinearity]


def xavier_uniform_(t, gain=1.0, rng=None):
    """U(-b, b), b = gain sqrt(6 / (fan_in + fan_out)).

    Source: Glorot & Bengio 2010, eq. 16.
    """
    bound = gain * math.sqrt(6 / sum(fans(t)))
    return uniform_(t, -bound, bound, rng)


def xavier_normal_(t, gain=1.0, rng=None):
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out)).

    Source: Glorot & Bengio 2010, eq. 12.
    """
    return normal_(t, 0.0, gain * math.sqrt(2 / sum(fans(t))), rng)


def kaiming_uniform_(t, a=0, mode="fan_in", nonlinearity="leaky_relu", rng=None):
    """U(-b, b), b = gain sqrt(3 / fan): the variance is gain^2 / fan.

    a: the slope of leaky_relu on the negative side (0: relu). mode: "fan_in" keeps the
    variance forward, "fan_out" backward (He et al. 2015, eq. 10 and 14).
    """
    bound = math.sqrt(3) * _kaiming_std(t, a, mode, nonlinearity)
    return uniform_(t, -bound, bound, rng)


def kaiming_normal_(t, a=0, mode="fan_in", nonlinearity="leaky_relu", rng=None):
    """N(0, s^2), s = gain / sqrt(fan); see kaiming_uniform_."""
    return normal_(t, 0.0, _kaiming_std(t, a, mode, nonlinearity), rng)


def _kaiming_std(t, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is {mode!r}; expected 'fan_in' or 'fan_out'")
    fan = fans(t)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def orthogonal_(t, gain=1.0, rng=None):
    """gain Q, Q with orthonormal rows, or columns if there are fewer of them.

    Axes after the first count as one: (out, in, kh, kw) is (out, in * kh * kw). The Q
    of a normal matrix is uniform among all once R has a positive diagonal.
    Source: Saxe et al. 2014.
    """
    rows, columns = t.shape[0], math.prod(t.shape[1:])
    tall = default_rng(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return _fill(t, gain * (q if rows >= columns else q.T).reshape(t.shape))


def default_(weight, bias=None, rng=None):
    """PyTorch's default for Linear and Conv: both U(-b, b) with b = 1 / sqrt(fan_in).

    It is kaiming_uniform_ with a = sqrt(5): sqrt(2 / (1 + 5)) sqrt(3 / fan_in) = b.
    """
    bound = 1 / math.sqrt(fans(weight)[0]) if weight.size else 0.0
    uniform_(weight, -bound, bound, rng)
    if bias is not None:
        uniform_(bias, -bound, bound, rng)
