"""Minimax games of a few numbers: what goes wrong with two networks, in the plane.

min_x max_y V(x, y): x descends V, as G does, and y climbs it, as D does. Each step of a
player is right for the moment; together they may circle for ever, or flee from the
solution. Then one of two real networks at a time: a D that wins too early, and the best
D for a given G.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import ops
from ..backward import grad
from ..recording import no_grad
from ..tensor import Tensor
from . import gan


# ---- games ----------------------------------------------------------------------
def bilinear(x, y):
    """V = x y: solved at (0, 0) alone, which both players circle."""
    return x * y


def quadratic(a, b, c):
    """The game V = a/2 x^2 + b x y - c/2 y^2, a function of x and y.

    (0, 0) is a saddle of V. With a, c > 0 each player is in a valley there, and both
    spiral in; with a, c < 0 each is on a hill: the saddle is unstable, and both spiral
    out by any of the three ways to play, however short their steps.
    """

    def V(x, y):
        return a / 2 * x * x + b * x * y - c / 2 * y * y

    return V


def dirac(x, y):
    """V = log sigmoid(0) + log(1 - sigmoid(x y)): the smallest GAN.

    All data is at 0; G puts all its samples at x; D(s) = sigmoid(y s). Gradient steps
    circle the solution (0, 0). Mescheder et al. 2018, arXiv:1801.04406, section 2.
    """
    return -math.log(2) - ops.softplus(x * y)


# ---- ways to play ---------------------------------------------------------------
class Position(NamedTuple):
    """Where both players are, the value there and the distance from (0, 0)."""

    x: float
    y: float
    value: float
    radius: float


def simultaneous(V, x, y, lr):
    """Both move from where both were: x - lr V_x(x, y), y + lr V_y(x, y).

    For V = x y the radius grows by sqrt(1 + lr^2) with each step.
    """
    V_x, V_y = slopes(V, x, y)
    return x - lr * V_x, y + lr * V_y


def alternating(V, x, y, lr):
    """y moves first, x answers to where y is now: algorithm 1 of the GAN with k = 1.

    For V = x y the points stay on the ellipse x^2 + y^2 + lr x y = constant.
    """
    y = y + lr * slopes(V, x, y)[1]
    return x - lr * slopes(V, x, y)[0], y


def extragradient(V, x, y, lr):
    """Both move from where they were, by the slopes where a first step would lead.

    For V = x y the radius shrinks by sqrt(1 - lr^2 + lr^4) with each step, lr < 1.
    Korpelevich 1976; for GANs Gidel et al., ICLR 2019, arXiv:1802.10551, eq. (9).
    """
    V_x, V_y = slopes(V, *simultaneous(V, x, y, lr))
    return x - lr * V_x, y + lr * V_y


METHODS = {
    "simultaneous": simultaneous,
    "alternating": alternating,
    "extragradient": extragradient,
}


def slopes(V, x, y):
    """dV/dx and dV/dy at numbers x and y."""
    x, y = (Tensor(np.array(float(t)), requires_grad=True) for t in (x, y))
    return tuple(float(g) for g in grad(V(x, y), [x, y], allow_unused=True))


def play(V, x=1.0, y=1.0, lr=0.15, steps=60, method="simultaneous"):
    """The Positions of a game, the start first: steps + 1 of them, as a generator."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    move = METHODS[method]
    for step in range(steps + 1):
        yield Position(x, y, float(V(x, y)), float(np.hypot(x, y)))
        x, y = move(V, x, y, lr)


# ---- a discriminator that wins too early ----------------------------------------
class Lead(NamedTuple):
    """D's mean answer to samples, and the length of the gradient that G gets then."""

    on_fake: float
    minimax: float
    non_saturating: float


def early_win(model, batches, optimizer, rng=None):
    """D is trained while G stays as it is: a Lead before each step, as a generator.

    With D's answer the gradient of G's minimax loss goes to 0, that of the
    non-saturating loss does not: by a logit a they are -sigmoid(a), sigmoid(a) - 1.
    batches: arrays (N, C, ...). optimizer: D's.
    """
    for x in batches:
        z = model.noise(len(x), rng)
        with no_grad():
            on_fake = float(ops.sigmoid(model.judge(model.generate(z))).mean())
        losses = gan.minimax, gan.non_saturating
        yield Lead(on_fake, *(_gradient_length(model, z, loss) for loss in losses))
        gan.discriminator_step(model, x, optimizer, rng=rng)


def _gradient_length(model, z, loss):
    """The norm of the gradient of G's loss by all of G's parameters."""
    cost = loss(model.judge(model.generate(z)))
    with no_grad():
        gradients = grad(cost, model.G.parameters())
        return float(sum(ops.square(g).sum() for g in gradients)) ** 0.5


# ---- the best discriminator -----------------------------------------------------
def fit_discriminator(D, real, fake, optimizer):
    """Train a network D to tell data from samples: V(D, G) at each step, a generator.

    real, fake: iterables of arrays (N, C, ...), as many as there shall be steps. At its
    best, sigmoid(D) is `gan.optimal_discriminator` and V `gan.optimal_value`.
    """
    for x, x_fake in zip(real, fake):
        V = gan.value(D(x), D(x_fake))
        optimizer.zero_grad()
        (-V).backward()
        optimizer.step()
        yield float(V)
