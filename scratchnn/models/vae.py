"""Variational auto-encoder: a code z for each picture x, and pictures from new codes.

Encoder and decoder learn together to describe pictures in as few nats as possible,
by codes that fill a standard normal cloud. Any point of the cloud is then a picture.

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114;
the numbers of equations are theirs. beta: Higgins et al., "beta-VAE", ICLR 2017.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import standard_normal
from ..random import default_rng
from ..recording import no_grad


class VAE(nn.Module):
    """p(z) = N(0, I),  p(x|z) by the decoder,  q(z|x) = N(mu, exp(logvar)).

    x (N, x_dim); mu, logvar, z (N, z_dim). hidden: the widths of the encoder's layers,
    and in reverse of the decoder's; 784-400-20-400-784 is VAE(784, (400,), 20).
    likelihood: "bernoulli", pixels in [0, 1] that are ink with probability x_hat; or
    "gaussian", pixels x_hat plus noise of variance 1 / (2C).
    """

    def __init__(
        self, x_dim=784, hidden=(400,), z_dim=20, likelihood="bernoulli", C=1.0,
        rng=None,
    ):  # fmt: skip
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(
                f"likelihood is {likelihood!r}, expected 'bernoulli' or 'gaussian'"
            )
        self.z_dim, self.likelihood, self.C = z_dim, likelihood, C
        self.encoder = _layers([x_dim, *hidden], rng)
        self.mu = nn.Linear(hidden[-1], z_dim, rng=rng)
        self.logvar = nn.Linear(hidden[-1], z_dim, rng=rng)
        self.decoder = _layers([z_dim, *reversed(hidden)], rng)
        self.x_hat = nn.Linear(hidden[0], x_dim, rng=rng)  # logits, for "bernoulli"

    def encode(self, x):
        """mu and logvar of q(z|x): (N, x_dim) -> (N, z_dim) twice."""
        h = self.encoder(x)
        return self.mu(h), self.logvar(h)

    def decode(self, z):
        """x_hat, the mean of p(x|z): (N, z_dim) -> (N, x_dim)."""
        y = self.x_hat(self.decoder(z))
        return ops.sigmoid(y) if self.likelihood == "bernoulli" else y

    def surprise(self, x, z):
        """-log p(x|z) in nats, summed over the pixels: (N,).

        bernoulli: -sum_i x_i log x_hat_i + (1 - x_i) log (1 - x_hat_i)   (C.1)
        gaussian:  C ||x - x_hat||^2 + x_dim/2 log(pi / C),  sigma^2 = 1 / (2C)   (C.2)
        """
        y = self.x_hat(self.decoder(z))
        if self.likelihood == "bernoulli":
            return ops.bce_with_logits(y, x, reduction="none").sum(axis=1)
        constant = x.shape[1] / 2 * math.log(math.pi / self.C)
        return self.C * ops.square(x - y).sum(axis=1) + constant


def _layers(widths, rng):
    """Linear and ReLU in turn, from the first width to the last."""
    layers = []
    for n, m in zip(widths, widths[1:]):
        layers += [nn.Linear(n, m, rng=rng), nn.ReLU()]
    return nn.Sequential(*layers)


# ---- the loss -------------------------------------------------------------------
class Loss(NamedTuple):
    """-ELBO and its parts, in nats per image: loss = reconstruction + beta kl."""

    loss: float
    reconstruction: float
    kl: float


def noise(like, rng=None):
    """eps ~ N(0, I): a draw of its own for every row and coordinate of `like`."""
    return standard_normal(default_rng(rng), like.shape, like)


def reparametrise(mu, logvar, rng=None):
    """z = mu + sigma eps, where sigma = exp(logvar / 2) and eps ~ N(0, I)   (2.4)."""
    return mu + ops.exp(logvar / 2) * noise(mu, rng)


def negative_elbo(model, x, beta=1.0, rng=None):
    """E_q[-log p(x|z)] + beta KL(q(z|x) || p(z)), mean over the batch   (10), L = 1.

    x (N, x_dim). With the Gaussian likelihood this is C ||x - x_hat||^2 + KL and a
    constant. Returns a Loss of Tensors.
    """
    mu, logvar = model.encode(x)
    z = reparametrise(mu, logvar, rng)
    reconstruction = model.surprise(x, z).mean()
    kl = ops.gaussian_kl(mu, logvar).mean()  # appendix B, in closed form
    return Loss(reconstruction + beta * kl, reconstruction, kl)


def train(model, batches, optimizer, beta=1.0, rng=None):
    """Algorithm 1 of the paper (AEVB), as a generator: one Loss for each minibatch.

    batches: an iterable of arrays (N, x_dim), as many as there shall be steps.
    """
    for x in batches:  # 3: X^M <- random minibatch of M datapoints
        loss = negative_elbo(model, x, beta, rng)  # 4: eps <- p(eps), inside
        optimizer.zero_grad()
        loss.loss.backward()  # 5: g <- the gradient by theta and phi
        optimizer.step()  # 6: theta, phi <- updated with g
        yield Loss(*map(float, loss))


# ---- using the trained model ----------------------------------------------------
@no_grad()
def sample(model, n, rng=None):
    """n new pictures: z ~ p(z), then the mean of p(x|z). (n, x_dim)."""
    weight = model.mu.weight.data
    return model.decode(standard_normal(default_rng(rng), (n, model.z_dim), weight))


@no_grad()
def reconstruct(model, x):
    """Pictures through the code and back, without noise: decode(mu(x)). (N, x_dim)."""
    mu, _ = model.encode(x)
    return model.decode(mu)


@no_grad()
def interpolate(model, x_0, x_1, n=10):
    """n pictures along the straight line between two codes. x_0, x_1 (x_dim,)."""
    mu, _ = model.encode(np.stack([x_0, x_1]))
    t = np.linspace(0, 1, n, dtype=mu.dtype)[:, None]  # (n, 1)
    return model.decode((1 - t) * mu[0] + t * mu[1])


@no_grad()
def activity(model, x):
    """KL of each coordinate, mean over x, in nats: (z_dim,). Near 0: it is not used."""
    mu, logvar = model.encode(x)
    each = ops.gaussian_kl(mu[:, :, None], logvar[:, :, None])  # (N, z_dim)
    return each.mean(axis=0)


@no_grad()
def log_likelihood(model, x, k=100, rng=None):
    """log p(x) ~ log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x), z_i ~ q(z|x), in nats: (N,).

    Importance sampling with k draws; a lower bound on average, rising to log p(x) with
    k, and the ELBO at k = 1. Burda, Grosse, Salakhutdinov, arXiv:1509.00519, eq. (8).
    """
    mu, logvar = model.encode(x)
    log_w = []
    for _ in range(k):
        eps = noise(mu, rng)
        z = mu + ops.exp(logvar / 2) * eps
        log_p_over_q = 0.5 * (ops.square(eps) + logvar - ops.square(z)).sum(axis=1)
        log_w.append(log_p_over_q - model.surprise(x, z))
    return ops.logsumexp(ops.stack(log_w), axis=0) - math.log(k)
