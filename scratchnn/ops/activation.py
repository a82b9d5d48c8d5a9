"""Activations of neural networks, erf, and dropout. (tanh, sigmoid: elementwise.)"""

import math

import numpy as np

from ..errors import nearest
from ..random import default_rng, keep_mask
from ..tensor import composite, op
from .elementwise import exp, sigmoid, tanh, where
from .examples import away, normal

# q(a) = -log(1 - erf(a)) / a on [0, 6], in powers of (6 - 3 a) / (6 + a), highest first
_ERF = (
    -2.1846854115138178e-07, 1.0817479132892937e-06, -6.752985963462107e-07,
    -4.056761131808453e-06, 1.2017514251289805e-05, -4.7415027839319174e-05,
    1.4647464679005327e-04, -3.627866265939612e-04, 1.2837505751439472e-03,
    -3.7486594860952896e-03, 1.0214979556401136e-02, -3.4786546049354695e-02,
    9.799593327223759e-02, -2.80735652570444e-01, 9.701938726775685e-01,
    -2.314253564914516, 2.6824706323083194,
)  # fmt: skip


@op
def erf(x):
    """2 / sqrt(pi) int_0^x e^(-t^2) dt, as sign(x) (1 - e^(-a q(a))), a = |x|.

    q is smooth, so one polynomial of degree 16 in (6 - 3 a) / (6 + a) serves the whole
    line: a weighted least-squares fit at 240 Chebyshev nodes of [0, 6], made with 40
    digits. Error of the fit 1.4e-16, of this function 4.4e-16 relative (float64, also
    near 0, for expm1 is exact there); 1.0e-7 in float32. erf(6) is 1 in both.
    """
    a = np.minimum(np.abs(x), 6)
    u = (6 - 3 * a) / (6 + a)
    q = u * _ERF[0]
    for c in _ERF[1:-1]:
        q += c
        q *= u
    q += _ERF[-1]
    return np.copysign(np.expm1(-a * q), x)


erf.rules(x=lambda g, _y, x: g * (2 / math.sqrt(math.pi)) * exp(-x * x))
erf.example(normal(3, 5))


@op
def relu(x):
    """max(x, 0); the slope at 0 is 0."""
    return np.maximum(x, 0)


relu.rules(x=lambda g, y, _x: g * (y > 0))
relu.example(away(3, 5))


@op
def leaky_relu(x, negative_slope=0.01):
    """max(x, 0) + negative_slope min(x, 0); at 0 the slope is negative_slope."""
    return np.maximum(x, 0) + negative_slope * np.minimum(x, 0)


# Products with a mask: np.where is five times slower on a random mask.
leaky_relu.rules(
    x=lambda g, _y, x, negative_slope: (
        g * (x > 0) + negative_slope * (g * (x <= 0))
    )
)
leaky_relu.example(away(3, 5))
leaky_relu.example(away(3, 5), negative_slope=0.2)


@op
def elu(x, alpha=1.0):
    """x where x > 0, else alpha (e^x - 1); at 0 the slope is alpha."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


elu.rules(x=lambda g, y, x, alpha: g * where(x > 0, 1, y + alpha))
elu.example(away(3, 5))
elu.example(away(3, 5), alpha=0.7)


@composite
def gelu(x, approximate="none"):
    """x Phi(x) = x (1 + erf(x / sqrt 2)) / 2, Phi the normal distribution function.

    approximate="tanh": x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, within 5e-4.
    Hendrycks and Gimpel (2016), Gaussian error linear units.
    """
    if approximate == "none":
        return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
    if approximate == "tanh":
        return _gelu_tanh(x)
    raise ValueError(
        f"gelu: approximate is {approximate!r}, expected 'none' or 'tanh'"
        + nearest(str(approximate), ("none", "tanh"))
    )


gelu.example(normal(3, 5))
gelu.example(normal(3, 5), approximate="tanh")


@op
def _gelu_tanh(x):
    """x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    return 0.5 * x * (1 + np.tanh(_cubic(x)))


def _cubic(x):
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def _gelu_tanh_rule(g, _y, x):
    """g (1 + t + x (1 - t^2) u') / 2, t = tanh u."""
    t = tanh(_cubic(x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return g * 0.5 * (1 + t + x * (1 - t * t) * slope)


_gelu_tanh.rules(x=_gelu_tanh_rule)
_gelu_tanh.example(normal(3, 5))


@op
def silu(x):
    """x sigmoid(x), also called swish."""
    return x * sigmoid(x)


def _silu_rule(g, _y, x):
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    s = sigmoid(x)
    return g * s * (1 + x * (1 - s))


silu.rules(x=_silu_rule)
silu.example(normal(3, 5))


@composite
def dropout(x, p=0.5, training=True, rng=None):
    """x m / (1 - p), each m 0 with probability p, else 1; x itself if not training.

    The mask m is drawn once, by rng, and is a constant to every derivative. Srivastava
    et al. (2014); scaled in training (inverted), so that the mean stays that of x.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is {p}, expected a probability from 0 to 1")
    if not training or p == 0:
        return x
    return _dropout(x, p, int(default_rng(rng).integers(2**64, dtype=np.uint64)))


dropout.example(normal(3, 5), training=False)
dropout.example(normal(3, 5), 0.3, rng=np.random.default_rng(0))


@op
def _dropout(x, p, seed):
    """x m / (1 - p), the mask m made from the seed, in the rule again."""
    here = np.zeros_like(x, shape=0)  # x may be a single number
    scale = 1 / (1 - p) if p < 1 else 0
    return x * keep_mask(x.shape, p, seed, like=here) * scale


_dropout.rules(x=lambda g, _y, _x, p, seed: _dropout(g, p, seed))
_dropout.example(normal(3, 5), p=0.3, seed=7 << 32 | 5)
