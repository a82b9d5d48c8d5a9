"""Points in the plane: small distributions whose every sample can be plotted.

Each function draws n independent points. Gaussian noise of standard deviation `noise`,
in the units of the plane, is added to both coordinates. All return
Labelled(x (n, 2) float32, y (n,) int64).
"""

import numpy as np

from ..random import default_rng
from .records import Labelled


def moons(n=1000, noise=0.1, rng=None):
    """Two half circles that interlock: (cos t, sin t) and (1 - cos t, 1/2 - sin t).

    t is uniform on [0, pi]; y is 0 on the upper moon, 1 on the lower.
    """
    rng = _generator(n, noise, rng)
    y = rng.integers(2, size=n)
    t = rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(t), np.sin(t)], axis=1)  # (n, 2)
    lower = [1, 0.5] - upper
    return _noisy(np.where(y[:, None] == 0, upper, lower), y, noise, rng)


def circles(n=1000, noise=0.05, rng=None):
    """Two circles about the origin: radius 1 for y = 0, radius 1/2 for y = 1."""
    rng = _generator(n, noise, rng)
    y = rng.integers(2, size=n)
    t = rng.uniform(0, 2 * np.pi, n)
    return _noisy(_polar(np.where(y == 0, 1, 0.5), t), y, noise, rng)


def ring_centres():
    """The 8 modes of `ring`: c_k = 2 (cos 2 pi k/8, sin 2 pi k/8), shape (8, 2)."""
    return _polar(2, 2 * np.pi * np.arange(8) / 8)


def ring(n=1000, noise=0.02, rng=None):
    """Ring of 8 Gaussians: x = c_y + sigma z, radius 2, sigma = noise = 0.02.

    y is the mode, equally likely 0..7; the c_k are `ring_centres()`. A test of mode
    collapse in GANs (Srivastava et al. 2017, VEEGAN, arXiv:1705.07761): a sample is
    of high quality within 3 sigma of a centre.
    """
    rng = _generator(n, noise, rng)
    y = rng.integers(8, size=n)
    return _noisy(ring_centres()[y], y, noise, rng)


def grid_centres():
    """The 25 modes of `grid`: c_k = (2 (k // 5) - 4, 2 (k % 5) - 4), shape (25, 2)."""
    k = np.arange(25)
    return np.stack([-4.0 + 2 * (k // 5), -4.0 + 2 * (k % 5)], axis=1)


def grid(n=1000, noise=0.05, rng=None):
    """Grid of 25 Gaussians: x = c_y + sigma z, 2 apart, sigma = noise = 0.05.

    y is the mode, equally likely 0..24; the c_k are `grid_centres()`, from -4 to 4 on
    both axes. A test of mode collapse, with the same 3-sigma rule as `ring`.
    """
    rng = _generator(n, noise, rng)
    y = rng.integers(25, size=n)
    return _noisy(grid_centres()[y], y, noise, rng)


def swiss_roll(n=1000, noise=0.02, rng=None):
    """The Swiss roll seen from its end: r (cos t, sin t) with r = t / (9 pi / 2).

    t is uniform on [3 pi / 2, 9 pi / 2], one and a half turns from radius 1/3 to 1;
    y is the half turn, 0, 1 or 2 from the inside. Neighbouring turns are 4/9 apart.
    """
    rng = _generator(n, noise, rng)
    y = rng.integers(3, size=n)
    t = np.pi * (1.5 + y + rng.uniform(0, 1, n))
    return _noisy(_polar(t / (4.5 * np.pi), t), y, noise, rng)


def checkerboard(n=1000, noise=0.0, rng=None):
    """The 8 dark squares of a 4x4 board on [-4, 4]^2, each 2 wide, uniformly filled.

    The square in column i and row j (from 0, bottom left) is dark where i + j is even;
    y numbers the dark squares by column, then upwards: i = y // 2, y % 2 picks j.
    """
    rng = _generator(n, noise, rng)
    y = rng.integers(8, size=n)
    column = y // 2
    row = 2 * (y % 2) + column % 2
    corner = np.stack([-4 + 2 * column, -4 + 2 * row], axis=1)  # (n, 2)
    return _noisy(corner + rng.uniform(0, 2, (n, 2)), y, noise, rng)


def spirals(n=1000, noise=0.02, rng=None):
    """Two spiral arms: r (cos(3 pi r + pi y), sin(3 pi r + pi y)), y = 0 or 1.

    r is uniform on [0.1, 1]. Neighbouring arms are 1/3 apart.
    """
    rng = _generator(n, noise, rng)
    y = rng.integers(2, size=n)
    r = rng.uniform(0.1, 1, n)
    return _noisy(_polar(r, np.pi * (3 * r + y)), y, noise, rng)


def _polar(r, t):
    """Radius and angle to points: r (cos t, sin t), shape (n, 2)."""
    return np.stack([r * np.cos(t), r * np.sin(t)], axis=1)


def _noisy(x, y, noise, rng):
    """x + noise z with z ~ N(0, I), as the data set (x, y)."""
    x = x + noise * rng.standard_normal(x.shape)
    return Labelled(x.astype(np.float32), y)


def _generator(n, noise, rng):
    """The generator to draw from, once n and noise are known to make sense."""
    if n < 0:
        raise ValueError(f"n is {n}, expected a number of points of at least 0")
    if noise < 0:
        raise ValueError(
            f"noise is {noise}, expected a standard deviation of at least 0"
        )
    return default_rng(rng)
