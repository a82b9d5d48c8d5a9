"""Gaussians as densities: one, a flat one (PCA), and several at once (EM).

They have the functions of all densities, fit, log_prob and sample; see density.py.

Bishop, "Pattern Recognition and Machine Learning", 2006; equation numbers are his.
"""

import itertools
import math

import numpy as np

from .. import ops
from ..device import beside, standard_normal, to_device
from ..random import default_rng
from .density import Density, squared_distances


# ---- one Gaussian ---------------------------------------------------------------
class Gaussian(Density):
    """p(x) = N(x; mu, Sigma) with mean and covariance of the samples   (2.121, 2.122).

    No direction has a variance below `floor`; see `at_least`.
    """

    def __init__(self, d, floor=1e-6):
        _check_floor(floor)
        self.floor, self.mu, self.Sigma = floor, np.zeros(d), np.eye(d)

    def fit(self, x, rng=None):
        """mu = 1/N sum x_n, Sigma = 1/N sum (x_n - mu) (x_n - mu)^T."""
        self.mu, S = _moments(x)
        self.Sigma = at_least(self.floor, S)
        return self

    def num_parameters(self):
        """d for the mean, and a symmetric matrix."""
        d = len(self.mu)
        return d + d * (d + 1) // 2

    def log_prob(self, x):
        """log p(x): (N, d) -> (N,)."""
        return ops.gaussian_log_prob(x, self.mu, self.Sigma)

    def sample(self, n, rng=None):
        """mu + L eps with L L^T = Sigma: (n, d)."""
        return _draw(self.mu, self.Sigma, n, default_rng(rng))


def _moments(x):
    mu = x.mean(axis=0, dtype=float)
    return mu, (x - mu).T @ (x - mu) / len(x)


def _draw(mu, Sigma, n, rng):
    eps = standard_normal(rng, (n, len(mu)), mu)
    return mu + eps @ np.linalg.cholesky(Sigma).T


def at_least(floor, S):
    """The likeliest covariance of no variance below `floor`, for samples that have S.

    Eigenvalues below it are raised to it: -log|Sigma| - tr(Sigma^-1 S) is then as large
    as it can be. A pixel that is always white would else have variance 0, and a density
    without end. S (d, d).
    """
    values, U = np.linalg.eigh(S)
    return (U * np.maximum(values, floor)) @ U.T


def _check_floor(floor):
    if not floor > 0:
        raise ValueError(f"floor is {floor!r}, expected a variance above 0")


# ---- a flat Gaussian ------------------------------------------------------------
class PCAGaussian(Density):
    """p(x) = N(x; mu, W W^T + sigma^2 I), W (d, q): x = mu + W z + sigma eps   (12.35).

    q directions of their own variance, one variance for all others: PCA as a density.
    The likeliest W and sigma are in closed form, from the eigenvalues lambda of the
    covariance and its eigenvectors U. Tipping and Bishop, "Probabilistic Principal
    Component Analysis", J. R. Statist. Soc. B 61, 1999. sigma^2 is at least `floor`.
    """

    def __init__(self, d, q=2, floor=1e-6):
        if not 0 < q < d:
            raise ValueError(f"q is {q!r}, expected a number of directions below d={d}")
        _check_floor(floor)
        self.floor, self.mu = floor, np.zeros(d)
        self.W, self.sigma2 = np.zeros((d, q)), np.ones(1)

    def fit(self, x, rng=None):
        """sigma^2 = mean of lambda_(q+1..d), W = U_q (Lambda_q - sigma^2 I)^(1/2)."""
        self.mu, values, U = principal(x)
        q = self.W.shape[1]
        self.sigma2 = np.maximum(values[q:].mean(keepdims=True), self.floor)  # (12.46)
        own = np.maximum(values[:q] - self.sigma2, 0)
        self.W = U[:, :q] * np.sqrt(own)  # (12.45), with R = I
        return self

    def num_parameters(self):
        """Mean, W up to rotations of z, and sigma."""
        d, q = self.W.shape
        return d + d * q - q * (q - 1) // 2 + 1

    def log_prob(self, x):
        """log p(x): (N, d) -> (N,)."""
        identity = np.diag(np.ones_like(self.mu))
        C = self.W @ self.W.T + self.sigma2 * identity  # (12.36)
        return ops.gaussian_log_prob(x, self.mu, C)

    def sample(self, n, rng=None):
        """mu + W z + sigma eps, both noises N(0, I): (n, d)."""
        d, q = self.W.shape
        noise = standard_normal(default_rng(rng), (n, q + d), self.mu)
        z, eps = noise[:, :q], noise[:, q:]
        return self.mu + z @ self.W.T + np.sqrt(self.sigma2) * eps


def principal(x):
    """Mean (d,), falling variances lambda (d,), and their directions U[:, j] (d, d)."""
    mu, S = _moments(x)
    values, U = np.linalg.eigh(S)
    return mu, values[::-1], U[:, ::-1]


# ---- several Gaussians ----------------------------------------------------------
class GaussianMixture(Density):
    """p(x) = sum_k pi_k N(x; mu_k, Sigma_k), fitted by EM   (9.7).

    covariance: "full", or "diagonal", independent coordinates within each of the K
    Gaussians. No variance is below `floor`, or else a Gaussian could shrink onto one
    sample and take the likelihood to infinity. The M step is the best choice among such
    covariances, so that no step of EM lowers the likelihood.
    """

    def __init__(self, d, K=10, covariance="full", floor=1e-6):
        if covariance not in ("full", "diagonal"):
            raise ValueError(
                f"covariance is {covariance!r}, expected 'full' or 'diagonal'"
            )
        _check_floor(floor)
        self.floor = floor
        self.pi, self.mu = np.full(K, 1 / K), np.zeros((K, d))
        one = np.eye(d) if covariance == "full" else np.ones(d)
        self.Sigma = np.tile(one, (K,) + one.ndim * (1,))  # (K, d, d) or (K, d)

    def num_parameters(self):
        """Weights that sum to 1, means, and symmetric or diagonal matrices."""
        K, d = self.mu.shape
        return K - 1 + K * d + K * (d * (d + 1) // 2 if self.Sigma.ndim == 3 else d)

    def fit(self, x, rng=None, steps=50):
        """So many steps of EM."""
        for _ in itertools.islice(self.em(x, rng), steps):
            pass
        return self

    def em(self, x, rng=None):
        """EM as a generator without end: the mean log-likelihood before each step."""
        while True:
            yield self.step(x, rng)

    def step(self, x, rng=None):
        """One E step and one M step; the mean log-likelihood before them."""
        if bool((self.mu == self.mu[0]).all()):  # EM can't tell equal ones apart
            self.begin(x, rng)
        r, log_likelihood = self.E(x)
        self.M(x, r)
        return log_likelihood

    def begin(self, x, rng=None):
        """Each sample belongs to the nearest of K of them, picked far apart."""
        K, N = len(self.pi), len(x)
        if N < K:
            raise ValueError(f"{K} Gaussians need at least {K} samples, got {N}")
        closest = squared_distances(x, plus_plus(x, K, rng)).argmin(axis=1)
        self.M(x, (closest[:, None] == np.arange(K, like=closest)).astype(float))

    def E(self, x):
        """r_nk = pi_k N(x_n; mu_k, Sigma_k) / p(x_n)   (9.23); mean of log p."""
        log_joint = self._log_joint(x)
        log_p = ops.logsumexp(log_joint, axis=1)  # (N,)
        return np.exp(log_joint - log_p[:, None]), float(log_p.mean())

    def M(self, x, r):
        """The likeliest parameters if sample n belongs to Gaussian k by r_nk of it."""
        N_k = r.sum(axis=0) + np.finfo(float).tiny  # (9.27)
        self.pi = N_k / N_k.sum()  # (9.26)
        self.mu = r.T @ x / N_k[:, None]  # (9.24)
        self.Sigma = np.stack(
            [self._covariance(x - m, w / n) for m, w, n in zip(self.mu, r.T, N_k)]
        )

    def _covariance(self, c, w):
        """sum_n w_n c_n c_n^T, with no variance below the floor   (9.25)."""
        if self.Sigma.ndim == 2:
            return np.maximum(w @ (c * c), self.floor)
        return at_least(self.floor, (w[:, None] * c).T @ c)

    def _log_joint(self, x):
        """log pi_k + log N(x_n; mu_k, Sigma_k): (N, K)."""
        parts = [_log_normal(x, m, S) for m, S in zip(self.mu, self.Sigma)]
        return np.stack(parts, axis=1) + np.log(self.pi)

    def log_prob(self, x):
        """log p(x): (N, d) -> (N,)."""
        return ops.logsumexp(self._log_joint(x), axis=1)

    def sample(self, n, rng=None):
        """One of the Gaussians by its weight, then a point of it: (n, d)."""
        rng = default_rng(rng)
        counts = rng.multinomial(n, to_device(self.pi, "cpu"))
        matrices = self.Sigma
        if matrices.ndim == 2:
            matrices = matrices[:, :, None] * np.diag(np.ones_like(self.mu[0]))
        parts = [_draw(*some, rng) for some in zip(self.mu, matrices, counts.tolist())]
        x = np.concatenate(parts)
        return x[beside(rng.permutation(n), x)]


def _log_normal(x, mu, Sigma):
    """log N(x; mu, Sigma), Sigma (d, d) or the diagonal of one (d,): (N,)."""
    if Sigma.ndim == 2:
        return ops.gaussian_log_prob(x, mu, Sigma)
    squared = (x - mu) ** 2 / Sigma
    return -0.5 * (squared + np.log(2 * math.pi * Sigma)).sum(axis=1)


def plus_plus(x, K, rng=None):
    """K of the samples, each next one drawn by its squared distance to those before.

    k-means++: Arthur and Vassilvitskii, SODA 2007. x (N, d) -> (K, d).
    """
    rng = default_rng(rng)
    i = int(rng.integers(len(x)))
    centres = x[i : i + 1]
    for _ in range(K - 1):
        up_to = np.cumsum(squared_distances(x, centres).min(axis=1))
        i = int(np.searchsorted(up_to, rng.random() * float(up_to[-1])))
        i = min(i, len(x) - 1)
        centres = np.concatenate([centres, x[i : i + 1]])
    return centres
