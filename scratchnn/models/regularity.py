"""Is a space of codes fit to draw from? Two measures: continuity and completeness.

Continuity: neighbouring codes give neighbouring pictures. Completeness: every code of
the cloud gives a picture that could be real. An auto-encoder promises neither; the KL
of the VAE is there for both. Both measures need only pictures and a decoder, a function
from codes (N, z_dim) to rows of pixels (N, x_dim).
"""

from typing import NamedTuple

import numpy as np

from ..metrics import nearest
from ..recording import no_grad
from ..tensor import Tensor


class Continuity(NamedTuple):
    """Steps along straight lines of codes, each in steps of the cross-fade."""

    largest: float
    length: float


@no_grad()
def continuity(decode, z_0, z_1, n=20):
    """How evenly pictures change on the straight lines from z_0 to z_1 (P, z_dim).

    x_i = decode(z_0 + i/n (z_1 - z_0)), i = 0..n. A step ||x_i - x_{i-1}|| is divided
    by ||x_n - x_0|| / n, the step of the cross-fade that mixes the first picture with
    the last. Means over the P pairs:
    - largest, of the largest step: 1 as even as the cross-fade; n a picture that
      stands still and jumps;
    - length, of the mean step: 1 a straight line of pictures; more, there are others on
      the way than mixtures of the two ends; 0, codes make no difference.
    """
    each = steps(decode, z_0, z_1, n)
    return Continuity(float(each.max(axis=1).mean()), float(each.mean()))


@no_grad()
def steps(decode, z_0, z_1, n=20):
    """The steps that `continuity` sums up: (P, n)."""
    t = np.linspace(0, 1, n + 1, dtype=z_0.dtype)[:, None, None]  # (n + 1, 1, 1)
    z = z_0 + t * (z_1 - z_0)  # (n + 1, P, z_dim)
    x = _array(decode(z.reshape(-1, z.shape[-1]))).reshape(*z.shape[:2], -1)
    moved = np.linalg.norm(np.diff(x, axis=0), axis=-1).T  # (P, n)
    straight = np.linalg.norm(x[-1] - x[0], axis=-1)[:, None]  # (P, 1)
    return moved * n / np.maximum(straight, 1e-12)


class Completeness(NamedTuple):
    """Distances to the nearest real picture, and the share of pictures near to one."""

    distance: float
    real: float
    share: float


def completeness(samples, real, held_out):
    """How near pictures from random codes come to real ones. All (N, x_dim).

    The distance of a picture is ||x - x_r|| to the nearest x_r among `real`, the
    training set. Means: `distance` of the samples, `real` of held-out pictures. share:
    of samples no farther than 95 in 100 held-out pictures are, so .95 if samples were
    as good as real, 0 for noise.

    A blurred picture lies between real ones and so is near to all: this measures that
    there are no holes, not that pictures are sharp; and a sampler of training pictures
    has distance 0.
    """
    distance, _ = nearest(samples, real)
    ordinary, _ = nearest(held_out, real)
    share = np.mean(distance <= np.quantile(ordinary, 0.95))
    return Completeness(
        float(distance.mean()), float(ordinary.mean()), float(share)
    )


def _array(x):
    return x.numpy() if isinstance(x, Tensor) else x
