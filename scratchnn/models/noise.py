"""How data drowns in noise: the forward process of a diffusion model, in closed form.

    q(x_t | x_{t-1}) = N(sqrt(alpha_t) x_{t-1}, beta_t I),  alpha_t = 1 - beta_t   (2)
    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)                   (4)

Numbers of equations: Ho, Jain and Abbeel, arXiv:2006.11239 (DDPM). Nothing here is
learnt, so all of it can be checked by hand.
"""

import numpy as np

from ..device import beside, standard_normal
from ..random import default_rng


class Schedule:
    """beta_t, alpha_t = 1 - beta_t and alpha_bar_t = alpha_1 ... alpha_t, t = 1..T.

    Made from beta_1..beta_T. Each array has T + 1 numbers in float64, so that beta[t]
    is beta_t, as in the paper; at 0 is clean data: beta[0] = 0 and alpha_bar[0] = 1.
    Where a method takes t, that is a whole number, or one for each sample, (N,).
    """

    def __init__(self, beta):
        beta = np.asarray(beta, np.float64)
        if beta.ndim != 1 or not beta.size or not np.all((0 < beta) & (beta < 1)):
            raise ValueError("beta must be a row of numbers above 0 and below 1")
        self.T = len(beta)
        self.beta = np.concatenate([[0.0], beta])
        self.alpha = 1 - self.beta
        self.alpha_bar = np.cumprod(self.alpha)

    def __repr__(self):
        end = self.alpha_bar[-1] ** 0.5
        return f"Schedule(T={self.T}, sqrt(alpha_bar_T)={end:.2g})"

    def at(self, t):
        """(beta_t, alpha_t, alpha_bar_t) of one step t in 1..T, as floats."""
        self._check(t)
        return tuple(a[t].item() for a in (self.beta, self.alpha, self.alpha_bar))

    def _check(self, t, least=1):
        if np.min(t) < least or np.max(t) > self.T:
            raise ValueError(f"t is {t}, expected whole numbers in {least}..{self.T}")

    def variance(self, t, name="beta"):
        """sigma_t^2 of the way back: "beta", or "beta_tilde" of (7); section 3.2."""
        self._check(t)
        if name not in ("beta", "beta_tilde"):
            raise ValueError(f"variance is {name!r}, expected 'beta' or 'beta_tilde'")
        if name == "beta":
            return self.beta[t]
        before = self.alpha_bar[np.subtract(t, 1)]
        return (1 - before) / (1 - self.alpha_bar[t]) * self.beta[t]

    # ---- forwards ---------------------------------------------------------------
    def shares(self, t, x):
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t): how much data, how much noise.

        t in 0..T; both shaped to multiply x (N, ...), in its dtype and where it is.
        """
        self._check(t, least=0)
        alpha_bar = self.alpha_bar[t]
        return _times(np.sqrt(alpha_bar), x), _times(np.sqrt(1 - alpha_bar), x)

    def q_sample(self, x_0, t, eps):
        """x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps   (4)."""
        data, noise = self.shares(t, x_0)
        return data * x_0 + noise * eps

    def forward(self, x_0, rng=None):
        """The chain (2), as a generator of x_0, x_1, ..., x_T; T + 1 arrays."""
        rng, x_t = default_rng(rng), x_0
        yield x_t
        for beta in self.beta[1:].tolist():
            z = standard_normal(rng, x_0.shape, x_0)
            x_t = (1 - beta) ** 0.5 * x_t + beta**0.5 * z
            yield x_t

    def posterior(self, x_0, x_t, t):
        """Mean and variance of q(x_{t-1} | x_t, x_0)   (6), (7).

        mu~ = sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t) x_0
            + sqrt(alpha_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) x_t,
        beta~ = (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) beta_t.
        """
        variance = self.variance(t, "beta_tilde")
        now, before = self.alpha_bar[t], self.alpha_bar[np.subtract(t, 1)]
        of_x_0 = np.sqrt(before) * self.beta[t] / (1 - now)
        of_x_t = np.sqrt(self.alpha[t]) * (1 - before) / (1 - now)
        mean = _times(of_x_0, x_t) * x_0 + _times(of_x_t, x_t) * x_t
        return mean, _times(variance, x_t)

    # ---- what a network may be asked for ----------------------------------------
    def v(self, x_0, eps, t):
        """v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0.

        The noise where there is much data, the data (negative) where there is much
        noise. Salimans and Ho, arXiv:2202.00512, section 4.
        """
        data, noise = self.shares(t, x_0)
        return data * eps - noise * x_0

    def eps_and_x_0(self, target, out, x_t, t):
        """(eps, x_0) from x_t and one of eps, x_0 and v: target says which out is."""
        if target == "eps":
            return out, self.x_0_of(out, x_t, t)
        if target == "x_0":
            return self.eps_of(out, x_t, t), out
        data, noise = self.shares(t, x_t)
        return noise * x_t + data * out, data * x_t - noise * out

    def x_0_of(self, eps, x_t, t):
        """x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t), from (4)."""
        data, noise = self.shares(t, x_t)
        return (x_t - noise * eps) / data

    def eps_of(self, x_0, x_t, t):
        """eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t), from (4)."""
        data, noise = self.shares(t, x_t)
        return (x_t - data * x_0) / noise


def _times(values, x):
    """Numbers (N,), or one, so that they multiply x (N, ...) sample by sample."""
    values = np.asarray(values, x.dtype)
    values = values.reshape(values.shape + (1,) * (x.ndim - 1) * values.ndim)
    return beside(values, x)  # (N, 1, ..., 1) or ()


# ---- schedules ------------------------------------------------------------------
def linear(T=1000):
    """beta_t evenly from 1e-4 to 0.02 if T = 1000 (DDPM, section 4).

    Other T: the same curve of alpha_bar over t / T, read at fewer or more places, so
    that its end stays at 4e-5. The same betas kept for T = 50 would end at
    sqrt(alpha_bar) = .78, where x_T still shows the data.
    """
    log_alpha_bar = np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000)))
    places = np.arange(_checked(T) + 1) * (1000 / T)
    log_alpha_bar = np.interp(places, np.arange(1001), [0.0, *log_alpha_bar])
    return Schedule(-np.expm1(np.diff(log_alpha_bar)))


def cosine(T=1000, s=0.008):
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2((t / T + s) / (1 + s) pi / 2).

    beta_t at most .999. Nichol and Dhariwal, arXiv:2102.09672, eq. (17). Near its end
    x_t is all but pure noise, so that eps says nothing of x_0: let the network guess v
    or x_0, or clip.
    """
    t = np.arange(_checked(T) + 1)
    f = np.cos((t / T + s) / (1 + s) * np.pi / 2) ** 2
    return Schedule(np.minimum(1 - f[1:] / f[:-1], 0.999))


SCHEDULES = {"linear": linear, "cosine": cosine}


def _checked(T):
    if not isinstance(T, (int, np.integer)) or T < 1:
        raise ValueError(f"T is {T!r}, expected a whole number of at least 1")
    return T
