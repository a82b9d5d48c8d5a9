"""Diffusion model: data drowned in noise step by step, and a network that finds the
way back.

Going forwards needs no learning: x_t is x_0, faded, plus noise. The network learns one
small thing, to say which noise is in x_t. Going backwards from pure noise with what it
says, a little at a time, makes new data.

Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020,
arXiv:2006.11239 (DDPM); the numbers of equations and algorithms are theirs where no
other paper is named. Schedules of noise are in noise.py, networks in denoisers.py.
"""

from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside, standard_normal
from ..random import default_rng
from ..recording import no_grad
from ..tensor import Tensor

TARGETS = ("eps", "x_0", "v")


class Diffusion(nn.Module):
    """p(x_0) by a network that looks through noise.

    network(x_t, t, y=None): x_t (N, *shape); t (N,) whole numbers in 1..T, a NumPy
    array; y (N,) labels, or None. It returns (N, *shape), a guess of its target: "eps",
    the noise in x_t; "x_0", the data in it; or "v" between the two, see Schedule.v. A
    network that takes labels 0..C-1 has `classes` = C, and label C means "any".
    schedule: how fast data drowns, such as noise.linear(T=1000).
    shape: that of one sample, such as (2,) or (1, 28, 28). Data should have a deviation
    of about 1, or lie in [-1, 1].
    """

    def __init__(self, network, schedule, shape, target="eps"):
        if target not in TARGETS:
            raise ValueError(f"target is {target!r}, expected 'eps', 'x_0' or 'v'")
        self.network, self.schedule = network, schedule
        self.shape, self.target = tuple(shape), target

    @property
    def classes(self):
        """How many labels the network knows; None if it takes none."""
        return getattr(self.network, "classes", None)

    def noise(self, n, rng=None):
        """x_T ~ N(0, I), n of them: (n, *shape)."""
        weights = self.parameters()
        like = weights[0].data if weights else np.zeros(1)
        return standard_normal(default_rng(rng), (n, *self.shape), like)

    @no_grad()
    def predict(self, x_t, t, y=None, guidance=0.0, clip=None):
        """(eps, x_0_hat): the noise in x_t and the data in it, both (N, *shape).

        x_t an array, t one step for all of it. y: labels (N,), one label for all, or
        None. guidance: the w of classifier-free guidance, eps~ = (1 + w) eps(x, y) -
        w eps(x) (Ho and Salimans, arXiv:2207.12598, eq. 6): 0 is the model given y, and
        -1 the one that ignores y. clip: keep x_0_hat in [-clip, clip], and eps to match
        it; 1 for pictures in [-1, 1].
        """
        if guidance and y is None:
            raise ValueError(
                f"guidance is {guidance}, but no y is given; say which label to guide "
                "towards, such as y=7"
            )
        steps, y = np.full(len(x_t), t), self._labels(y, x_t)
        if guidance == 0:
            out = _array(self.network(x_t, steps, y))
        else:  # given y and any, in one batch of 2 N
            both = np.concatenate([y, np.full_like(y, self.classes)])
            out = self.network(np.concatenate([x_t, x_t]), np.tile(steps, 2), both)
            given, any_ = np.split(_array(out), 2)
            out = (1 + guidance) * given - guidance * any_
        eps, x_0_hat = self.schedule.eps_and_x_0(self.target, out, x_t, t)
        if clip is not None:
            x_0_hat = np.clip(x_0_hat, -clip, clip)
            eps = self.schedule.eps_of(x_0_hat, x_t, t)
        return eps, x_0_hat

    def _labels(self, y, x_t):
        """Labels (N,) beside x_t; any, if none are given to a network that has them."""
        C = self.classes
        if y is None:
            return None if C is None else beside(np.full(len(x_t), C), x_t)
        if C is None:
            raise ValueError(
                "y is given, but the network takes no labels; make it with classes=..."
            )
        if np.ndim(y) == 0 and not 0 <= y <= C:
            raise ValueError(
                f"y is {y}, expected a label from 0 to {C - 1}, or {C} for any"
            )
        return beside(np.full(len(x_t), y) if np.ndim(y) == 0 else y, x_t)


def _array(x):
    return x.data if isinstance(x, Tensor) else x


# ---- training -------------------------------------------------------------------
class Loss(NamedTuple):
    """L_simple: the mean squared error of the network's guess, over all numbers."""

    loss: float


def l_simple(model, x_0, y=None, p_uncond=0.1, rng=None):
    """E ||eps - eps_theta(x_t, t)||^2, where x_t is x_0 under the noise eps   (14).

    The mean over a batch x_0 (N, *shape), each with a t and an eps of its own, and over
    its numbers: the paper's sum divided by their count. In place of eps it may be x_0
    or v that the network guesses. A network that takes labels loses each of y (N,) with
    probability p_uncond, so that it learns to do without. Returns a Tensor.
    """
    rng, schedule = default_rng(rng), model.schedule
    t = rng.integers(1, schedule.T + 1, len(x_0))  # 3: t ~ Uniform({1, ..., T})
    eps = standard_normal(rng, x_0.shape, x_0)  # 4: eps ~ N(0, I)
    x_t = schedule.q_sample(x_0, t, eps)
    goal = {"eps": eps, "x_0": x_0, "v": schedule.v(x_0, eps, t)}[model.target]
    y = None if model.classes is None else drop_labels(y, model.classes, p_uncond, rng)
    return ops.square(goal - model.network(x_t, t, y)).mean()


def drop_labels(y, classes, p_uncond=0.1, rng=None):
    """y (N,), where each label is replaced by `classes` with probability p_uncond.

    Of captions (N, L) whole ones are: all their tokens. Ho and Salimans,
    arXiv:2207.12598, algorithm 1, line 3.
    """
    if y is None:
        raise ValueError(
            f"the network takes {classes} labels, but the batch has none; give "
            "batches (x_0, y)"
        )
    dropped = beside(default_rng(rng).random(len(y)) < p_uncond, y)
    dropped = dropped.reshape(len(y), *[1] * (y.ndim - 1))
    return np.where(dropped, classes, y)


def train(model, batches, optimizer, ema=None, p_uncond=0.1, rng=None):
    """Algorithm 1, as a generator: one Loss for each minibatch.

    batches: an iterable of arrays x_0 (N, *shape), or of pairs (x_0, y), as many as
    there shall be steps. ema: an optim.EMA of the weights, moved after each step.
    """
    for batch in batches:  # 1: repeat, 2: x_0 ~ q(x_0)
        x_0, y = batch if isinstance(batch, tuple) else (batch, None)
        loss = l_simple(model, x_0, y, p_uncond, rng)  # 3 and 4, inside
        optimizer.zero_grad()
        loss.backward()  # 5: a gradient step on (14)
        optimizer.step()
        if ema is not None:
            ema.update()
        yield Loss(float(loss))


# ---- sampling -------------------------------------------------------------------
class Step(NamedTuple):
    """Where a sampler is: x_t at step t, and the x_0_hat that led there; t = 0 is data.

    Both arrays (N, *shape).
    """

    t: int
    x_t: np.ndarray
    x_0_hat: np.ndarray


def ddpm(model, x_T, variance="beta", rng=None, **how):
    """Algorithm 2, as a generator: a Step for each t from T - 1 down to 0.

    x_T (N, *shape) is model.noise(N). variance of the noise that is added on the way:
    "beta", right if x_0 were N(0, I), or "beta_tilde", right if x_0 were one point
    (section 3.2). how: y, guidance and clip, see Diffusion.predict.
    """
    x_t = x_T  # 1: x_T ~ N(0, I)
    for t in range(model.schedule.T, 0, -1):  # 2: for t = T, ..., 1
        step = reverse_step(model, x_t, t, variance, rng, **how)  # 3, 4
        yield step
        x_t = step.x_t  # 5, 6: x_0 at the end


def reverse_step(model, x_t, t, variance="beta", rng=None, **how):
    """x_{t-1} from x_t: lines 3 and 4 of algorithm 2. Returns Step(t - 1, ...).

    x_{t-1} = (x_t - beta_t / sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_t) + sigma_t z,
    z ~ N(0, I), but z = 0 for t = 1; the first term is the mean   (11).
    """
    schedule = model.schedule
    eps, x_0_hat = model.predict(x_t, t, **how)
    beta, alpha, alpha_bar = schedule.at(t)
    x = (x_t - beta / (1 - alpha_bar) ** 0.5 * eps) / alpha**0.5
    if t > 1:  # 3: at the last step z = 0: data has no noise left in it
        sigma = schedule.variance(t, variance).item() ** 0.5
        x = x + sigma * standard_normal(default_rng(rng), x.shape, x)  # 4
    return Step(t - 1, x, x_0_hat)


def ddim(model, x_T, steps=50, eta=0.0, rng=None, **how):
    """x_s from x_t along a few of the T steps, as a generator of `steps` Steps.

    x_s = sqrt(alpha_bar_s) x_0_hat + sqrt(1 - alpha_bar_s - sigma^2) eps + sigma z,
    sigma = eta sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t))
                sqrt(1 - alpha_bar_t / alpha_bar_s):  equations (12) and (16) of Song,
    Meng and Ermon, "Denoising Diffusion Implicit Models", arXiv:2010.02502.

    eta = 0 draws no noise: x_T says what comes out. eta = 1 in all T steps is DDPM with
    beta_tilde. eta = "hat" goes the way of eta = 1, but multiplies z by sigma_hat =
    sqrt(1 - alpha_bar_t / alpha_bar_s), which in all T steps is DDPM with beta. No
    noise is added at the last step. how: y, guidance and clip, see Diffusion.predict.
    """
    if eta != "hat" and not (isinstance(eta, (int, float)) and 0 <= eta <= 1):
        raise ValueError(f"eta is {eta!r}, expected a number from 0 to 1, or 'hat'")
    rng, x_t, alpha_bar = default_rng(rng), x_T, model.schedule.alpha_bar.tolist()
    tau = times(model.schedule.T, steps)
    for t, s in zip(tau, tau[1:]):  # from t to s < t
        eps, x_0_hat = model.predict(x_t, t, **how)
        a_t, a_s = alpha_bar[t], alpha_bar[s]
        sigma_hat = (1 - a_t / a_s) ** 0.5
        sigma = ((1 - a_s) / (1 - a_t)) ** 0.5 * sigma_hat
        sigma *= 1 if eta == "hat" else eta
        x_t = a_s**0.5 * x_0_hat + max(0.0, 1 - a_s - sigma**2) ** 0.5 * eps
        if s > 0 and eta != 0:
            z = standard_normal(rng, x_t.shape, x_t)
            x_t = x_t + (sigma_hat if eta == "hat" else sigma) * z
        yield Step(s, x_t, x_0_hat)


def times(T, steps):
    """tau: steps + 1 whole numbers from T down to 0, as evenly as can be."""
    if not 1 <= steps <= T:
        raise ValueError(f"steps is {steps}, expected from 1 to {T}, the model's T")
    return np.round(np.linspace(T, 0, steps + 1)).astype(int).tolist()


def inpaint(model, x_0, known, resample=1, variance="beta", rng=None, **how):
    """New data in the holes of x_0, as a generator of Steps.

    Algorithm 1 of Lugmayr et al., "RePaint", arXiv:2201.09865. x_0 (N, *shape); known:
    booleans that broadcast against it, True where x_0 holds. After each step back the
    known part is replaced by x_0 under a fresh noise of that step, from q(x_{t-1} |
    x_0), so that the rest grows to fit it. resample: go over each step so many times,
    with a step of noise in between; 1 is fast, 10 makes the two parts agree. how: y,
    guidance and clip, see Diffusion.predict.
    """
    if resample < 1:
        raise ValueError(f"resample is {resample}, expected a number of at least 1")
    rng, schedule = default_rng(rng), model.schedule
    x_t = standard_normal(rng, x_0.shape, x_0)  # 1: x_T ~ N(0, I)
    for t in range(schedule.T, 0, -1):  # 2: for t = T, ..., 1
        for u in range(resample):  # 3: for u = 1, ..., U
            eps = standard_normal(rng, x_0.shape, x_0)  # 4
            x_known = schedule.q_sample(x_0, t - 1, eps)  # 5: x_0 itself at the end
            step = reverse_step(model, x_t, t, variance, rng, **how)  # 6, 7
            x_t = np.where(known, x_known, step.x_t)  # 8
            if t > 1 and u < resample - 1:  # 9, 10: x_t ~ q(x_t | x_{t-1})
                z = standard_normal(rng, x_0.shape, x_0)
                beta, alpha, _ = schedule.at(t)
                x_t = alpha**0.5 * x_t + beta**0.5 * z
        yield Step(t - 1, x_t, step.x_0_hat)


def sample(model, n, steps=None, eta=0.0, variance="beta", rng=None, **how):
    """n new samples, an array (n, *shape).

    By algorithm 2 in all T steps if steps is None; else by DDIM in so many, with eta.
    The same seed starts both at the same x_T. how: y, guidance and clip, see
    Diffusion.predict.
    """
    rng = default_rng(rng)
    x_T = model.noise(n, rng)
    if steps is None:
        walk = ddpm(model, x_T, variance, rng, **how)
    else:
        walk = ddim(model, x_T, steps, eta, rng, **how)
    for step in walk:
        pass
    return step.x_t


# ---- likelihood -----------------------------------------------------------------
class Bound(NamedTuple):
    """What describes a sample to within the model, in nats: an upper bound on -log p.

    total = L_T + sum L_t + L_0, means over the batch. L_t (T - 1,) stands for
    t = 2..T. bits: total in bits per dimension.
    """

    total: float
    L_T: float
    L_t: np.ndarray
    L_0: float
    bits: float


def bound(model, x_0, y=None, variance="beta", levels=None, rng=None):
    """E[KL(q(x_T|x_0) || p(x_T)) + sum_{t>1} KL(q(x_{t-1}|x_t, x_0) || p(x_{t-1}|x_t))
    - log p(x_0|x_1)]   (5); one x_t is drawn for each t and each of x_0 (N, *shape).

    levels: pixels have so many grey levels from -1 to 1, and p(x_0|x_1) is what falls
    nearest to each (13). None: x_0 is continuous, p(x_0|x_1) a density, and the bound
    may be below 0. Its variance sigma_1^2 is beta_1, since beta_tilde_1 is 0.
    """
    rng, schedule = default_rng(rng), model.schedule
    T = schedule.T
    data, noise = schedule.shares(T, x_0)
    L_T = gaussian_kl(data * x_0, noise**2, 0.0, 1.0)
    L_t = []
    for t in range(T, 0, -1):
        x_t = schedule.q_sample(x_0, t, standard_normal(rng, x_0.shape, x_0))
        _, x_0_hat = model.predict(x_t, t, y)
        mu, _ = schedule.posterior(x_0_hat, x_t, t)  # the same as (11)
        if t > 1:
            sigma2 = schedule.variance(t, variance).item()
            L_t.append(gaussian_kl(*schedule.posterior(x_0, x_t, t), mu, sigma2))
    sigma2 = schedule.variance(1, "beta").item()
    if levels is None:
        L_0 = 0.5 * ((x_0 - mu) ** 2 / sigma2 + np.log(2 * np.pi * sigma2))
        L_0 = L_0.reshape(len(x_0), -1).sum(axis=1)
    else:
        L_0 = _discretised(x_0, mu, sigma2**0.5, levels)
    L_T, L_0 = float(L_T.mean()), float(L_0.mean())
    L_t = np.array([float(kl.mean()) for kl in reversed(L_t)])
    total = L_T + L_t.sum() + L_0
    return Bound(total, L_T, L_t, L_0, total / np.log(2) / np.prod(model.shape))


def gaussian_kl(mu_q, variance_q, mu_p, variance_p):
    """KL(N(mu_q, variance_q I) || N(mu_p, variance_p I)) in nats, for each sample."""
    each = (variance_q + (mu_q - mu_p) ** 2) / variance_p
    each = 0.5 * (each - 1 - np.log(variance_q / variance_p))
    return each.reshape(len(each), -1).sum(axis=1)


def _discretised(x_0, mu, sigma, levels):
    """-log of what N(mu, sigma^2) gives to the grey level x_0, in nats   (13).

    A level takes all that is nearer to it than to any other; the darkest and the
    lightest reach to infinity.
    """
    half = 1 / (levels - 1)
    below, above = (ops.erf((x_0 + d - mu) / (sigma * 2**0.5)) for d in (-half, half))
    below = np.where(x_0 < -1 + half, -1.0, below)
    above = np.where(x_0 > 1 - half, 1.0, above)
    p = np.maximum((above - below) / 2, 1e-12)  # the paper's own code has this floor
    return -np.log(p).reshape(len(x_0), -1).sum(axis=1)
