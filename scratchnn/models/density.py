"""Density estimation: how likely is each point, told from samples of the whole.

Here the two humblest, counts in cells and a bump on every sample; in gaussians.py one
Gaussian, a flat one (PCA) and several by EM. All have the same three functions:

    model.fit(x)            to samples x (N, d); returns the model
    model.log_prob(x)       log p(x) in nats: (N, d) -> (N,)
    model.sample(n, rng)    n new points (n, d)

A density that was never fitted is N(0, I); a histogram, the unit cube. Arithmetic is in
float64: the product of 64 small variances spans many powers of ten.

Bishop, "Pattern Recognition and Machine Learning", 2006; equation numbers are his.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside, standard_normal, to_device
from ..random import default_rng

MOST_CELLS = 10**7
BLOCK = 2**22  # distances that are held at a time


class Density(nn.Module):
    """What all densities share. x (N, d), an array; their numbers are arrays too."""

    def step(self, x, rng=None):
        """Fit to x, or go one step nearer to it: mean of log p(x) as it then was."""
        return float(self.fit(x, rng).log_prob(x).mean())

    def num_parameters(self):
        """How many numbers can be chosen freely."""
        return sum(p.size for p in self.state_dict().values())


class Loss(NamedTuple):
    """-log p(x), mean over samples, in nats. A density can exceed 1: can be below 0."""

    loss: float


def train(model, batches, rng=None):
    """Fit as a generator: one Loss for each batch. A batch is best all there is.

    EM takes a step for each batch, and so does the held-out width of a ParzenWindow;
    the others are fitted to each anew. Of a batch that is only a part of the data, EM
    may lower the likelihood of the rest.
    """
    for x in batches:
        yield Loss(-model.step(x, rng))


# ---- counts in cells ------------------------------------------------------------
class Histogram(Density):
    """p(x) = (n_c + alpha) / (N + alpha C) / v: n_c of N samples are in x's cell c.

    Each of d axes is cut in `bins`: C = bins^d cells of volume v, from a twentieth of
    its range below the least sample to as much above the largest. Outside p = 0.
    alpha: added to each count, or else an empty cell is impossible (2.241 has alpha 0).
    Raises ValueError for more than 10,000,000 cells.
    """

    def __init__(self, d, bins=32, alpha=0.1):
        if bins**d > MOST_CELLS:
            raise ValueError(
                f"a histogram of {bins} bins along each of {d} axes has "
                f"{_rounded(bins**d)} cells, of which any data fills next to none; at "
                f"most {MOST_CELLS:,} are possible. Take fewer axes or bins, or "
                "another density"
            )
        self.bins, self.alpha = bins, alpha
        self.low, self.high = np.zeros(d), np.ones(d)
        self.counts = np.ones(bins**d)  # of cell sum_j i_j bins^j, i_j from 0

    def fit(self, x, rng=None):
        """Count the samples in each cell."""
        low, high = x.min(axis=0).astype(float), x.max(axis=0).astype(float)
        margin = np.where(high > low, (high - low) / 20, 0.5)
        self.low, self.high = low - margin, high + margin
        cells = self._cell(x)[0]
        self.counts = np.bincount(cells, minlength=len(self.counts)).astype(float)
        return self

    def _cell(self, x):
        """The cell of each row, and whether it lies in one at all: (N,) twice."""
        i = np.floor((x - self.low) / (self.high - self.low) * self.bins)  # (N, d)
        inside = ((i >= 0) & (i < self.bins)).all(axis=1)
        i = np.clip(i, 0, self.bins - 1).astype(int)
        return (i * self._strides()).sum(axis=1), inside

    def _strides(self):
        return self.bins ** np.arange(len(self.low), like=self.low)

    def log_prob(self, x):
        """log p(x), -inf outside: (N, d) -> (N,)."""
        c, inside = self._cell(x)
        counts = self.counts + self.alpha
        volume = np.prod((self.high - self.low) / self.bins)
        with np.errstate(divide="ignore"):  # log 0 = -inf
            log_p = np.log(counts[c]) - np.log(counts.sum() * volume)
        return np.where(inside, log_p, -np.inf)

    def sample(self, n, rng=None):
        """A cell by its share of the counts, then a point anywhere in it: (n, d)."""
        rng = default_rng(rng)
        p = to_device(self.counts, "cpu") + self.alpha
        c = beside(rng.choice(len(p), n, p=p / p.sum()), self.low)
        i = c[:, None] // self._strides() % self.bins  # (n, d)
        u = beside(rng.random(i.shape), self.low)
        return self.low + (i + u) / self.bins * (self.high - self.low)


def _rounded(number):
    """A whole number of any size in a few letters: 1,024, or about 10^64."""
    return f"{number:,}" if number < 10**12 else f"about 10^{math.log10(number):.0f}"


# ---- a bump on every sample -----------------------------------------------------
class ParzenWindow(Density):
    """p(x) = 1/N sum_i N(x; x_i, h^2 I): a Gaussian bump on every sample x_i   (2.250).

    bandwidth, the width h: a number; "scott", s N^(-1/(d+4)), or "silverman", s (N
    (d+2)/4)^(-1/(d+4)), for s^2 the mean variance of an axis; or "held_out", the h by
    which each sample is likeliest under the bumps of all others. Parzen, Annals of
    Mathematical Statistics 33, 1962; Silverman, "Density Estimation", 1986, (4.14).
    """

    def __init__(self, d, bandwidth="held_out"):
        if bandwidth not in ("scott", "silverman", "held_out"):
            if isinstance(bandwidth, str) or not bandwidth > 0:
                raise ValueError(
                    f"bandwidth is {bandwidth!r}, expected a number above 0, 'scott', "
                    "'silverman' or 'held_out'"
                )
        self.bandwidth = bandwidth
        self.x, self.h = np.zeros((1, d)), np.ones(1)

    def num_parameters(self):
        """The width; the samples are kept, not chosen."""
        return 1

    def fit(self, x, rng=None, steps=100):
        """Keep the samples, and find h; "held_out": by at most `steps` of EM."""
        self._keep(x)
        if self.bandwidth == "held_out":
            rows, before = _some(x, rng), -math.inf
            for _ in range(steps):
                found = self._widen(rows)
                if found - before < 1e-5:
                    break
                before = found
        return self

    def step(self, x, rng=None):
        """"held_out": one step of EM for h on 1,000 of the samples; else fit."""
        if self.bandwidth != "held_out":
            self._keep(x)
            return float(self._without_own(_some(x, rng))[0].mean())
        if self.x.shape != x.shape:
            self._keep(x)
        return self._widen(_some(x, rng))

    def _keep(self, x):
        (N, d), s = x.shape, math.sqrt(x.var(axis=0).mean())
        rules = {"scott": N, "silverman": N * (d + 2) / 4, "held_out": N}
        h = self.bandwidth
        if h in rules:
            h = (s or 1.0) * rules[h] ** (-1 / (d + 4))
        self.x = x.astype(float)
        self.h = np.array([h], like=self.x)

    def _widen(self, x):
        """One step of EM for h; the mean log-likelihood of x, some of x_i, before it.

        E: r_ni, the share of bump i in p(x_n), i not n itself; M: h^2 = the mean of
        r_ni ||x_n - x_i||^2 / d. It is EM for a mixture where only the width is free.
        """
        log_p, r, squared = self._without_own(x)
        h = float((r * squared).sum() / x.size) ** 0.5
        least = 1e-3 * float(self.x.var(axis=0).mean()) ** 0.5  # for equal samples
        self.h = np.array([max(h, least)], like=self.x)
        return float(log_p.mean())

    def _without_own(self, x):
        """log p(x_n) under the bumps but its own, the shares r_ni, and distances^2.

        A sample that was not kept has no bump of its own: it is held out as it is.
        """
        squared = squared_distances(x, self.x)
        own, n = squared.argmin(axis=1), np.arange(len(x), like=squared)
        kept = squared[n, own] <= 1e-9 * self.x.var(axis=0).mean()  # 0 but for rounding
        weights = -squared / (2 * self.h**2)
        weights[n[kept], own[kept]] = -np.inf
        total = ops.logsumexp(weights, axis=1)
        r = np.exp(weights - total[:, None])
        return total - self._log_volume(len(self.x) - kept), r, squared

    def _log_volume(self, N):
        return np.log(N) + self.x.shape[1] / 2 * np.log(2 * math.pi * self.h**2)

    def log_prob(self, x):
        """log p(x): (N, d) -> (N,)."""

        def block(rows):
            squared = squared_distances(rows, self.x)
            return ops.logsumexp(-squared / (2 * self.h**2), axis=1)

        return _in_blocks(block, x, len(self.x)) - self._log_volume(len(self.x))

    def sample(self, n, rng=None):
        """One of the samples that were kept, plus noise of deviation h: (n, d)."""
        rng = default_rng(rng)
        kept = self.x[beside(rng.integers(len(self.x), size=n), self.x)]
        return kept + self.h * standard_normal(rng, kept.shape, kept)

    def load_state_dict(self, state, strict=True):
        """As of any Module, but for any number of kept samples."""
        if "x" in state:
            self.x = np.zeros(np.shape(state["x"]), like=self.x)
        return super().load_state_dict(state, strict)


def _some(x, rng, most=1000):
    """At most 1,000 rows, picked at random."""
    if len(x) <= most:
        return x
    return x[beside(default_rng(rng).choice(len(x), most, replace=False), x)]


def squared_distances(a, b):
    """||a_i - b_j||^2 = ||a_i||^2 - 2 a_i . b_j + ||b_j||^2: (n, d), (m, d) -> (n, m).

    In float64, with both moved by one vector: the three terms nearly cancel.
    """
    middle = b.mean(axis=0)
    a, b = (a - middle).astype(float), (b - middle).astype(float)
    y = (a * a).sum(axis=1)[:, None] - 2 * (a @ b.T) + (b * b).sum(axis=1)
    return np.maximum(y, 0)


def _in_blocks(f, x, width):
    """f of all rows of x, so many at a time that (rows, width) stays small."""
    step = max(1, BLOCK // width)
    return np.concatenate([f(x[i : i + step]) for i in range(0, len(x) or 1, step)])


def distances(x):
    """||x_i - x_j|| of all pairs i < j of rows: (N, d) -> (N (N-1) / 2,).

    Their spread, deviation over mean, tells how far apart near and far are: 0.52 for
    N(0, I) in 2 dimensions, 0.09 in 64, near 1 / sqrt(2 d) in many.
    """
    return np.sqrt(squared_distances(x, x))[np.triu_indices(len(x), 1)]
