"""How the table's example inputs are drawn: `exp.example(normal(3, 5))`.

Each function returns a draw, `rng -> float64 array`. Sides are unequal and no value
is special, so that a wrong axis or a lost constant can't pass unseen. Examples stay
away from kinks and ties; the tests of those are written by hand.
"""

import numpy as np


def normal(*shape):
    """Standard normal values."""
    return lambda rng: rng.standard_normal(shape)


def positive(*shape):
    """Values between 0.5 and 2."""
    return lambda rng: rng.uniform(0.5, 2.0, shape)


def away(*shape):
    """Values of both signs, at least 0.1 from 0: for kinks and poles at 0."""

    def draw(rng):
        x = rng.standard_normal(shape)
        return x + 0.1 * np.where(x < 0, -1.0, 1.0)

    return draw


def distinct(*shape):
    """Values at least 0.1 apart from one another: for max, min and the like."""

    def draw(rng):
        n = int(np.prod(shape))
        values = np.arange(n) * 0.2 + rng.uniform(0.0, 0.1, n)
        return rng.permutation(values - values.mean()).reshape(shape)

    return draw


def indices(high, *shape):
    """Integers from 0 to high - 1, with repeats."""
    return lambda rng: rng.integers(0, high, shape)


def booleans(*shape):
    """Random booleans."""
    return lambda rng: rng.random(shape) < 0.5


def invertible(*shape):
    """Well-conditioned square matrices in the last two axes."""
    return lambda rng: rng.standard_normal(shape) + 3.0 * np.eye(shape[-1])


def symmetric_positive(*shape):
    """Symmetric positive definite matrices in the last two axes."""

    def draw(rng):
        a = rng.standard_normal(shape)
        return a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])

    return draw


def probabilities(*shape):
    """Positive rows that sum to 1 along the last axis."""

    def draw(rng):
        p = rng.uniform(0.2, 1.0, shape)
        return p / p.sum(-1, keepdims=True)

    return draw


def drawn(args, rng):
    """The inputs of one example: draws are drawn, the rest is passed on."""
    return tuple(a(rng) if callable(a) else a for a in args)
