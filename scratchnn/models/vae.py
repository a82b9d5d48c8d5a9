"""Variational auto-encoder: a code z for each picture x, and pictures from new codes.

Encoder and decoder learn together to describe pictures in as few nats as possible,
by codes that fill a standard normal cloud. Any point of the cloud is then a picture.

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114;
the numbers of equations are theirs, where no other paper is named. Variants, each an
argument: beta (Higgins et al., "beta-VAE", ICLR 2017), free bits, a learnt variance,
labels, and the bound of k draws (IWAE). conv_vae.py has convolutional networks.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside, device_of, standard_normal
from ..random import default_rng
from ..recording import no_grad
from ..tensor import Tensor

LIKELIHOODS = ("bernoulli", "gaussian", "gaussian_learnt", "gaussian_pixel")


class VAE(nn.Module):
    """p(z) = N(0, I),  p(x|z) by the decoder,  q(z|x) = N(mu, exp(logvar)).

    x (N, x_dim); mu, logvar, z (N, z_dim). hidden: the widths of the encoder's layers,
    and in reverse of the decoder's; 784-400-20-400-784 is VAE(784, (400,), 20).

    likelihood: "bernoulli", pixels in [0, 1] that are ink with probability x_hat; or
    pixels x_hat plus Gaussian noise: "gaussian" of variance 1 / (2C), "gaussian_learnt"
    of a variance that is learnt as the weights are, "gaussian_pixel" of one such for
    each pixel (Rybkin, Daniilidis, Levine, "sigma-VAE", arXiv:2006.13202).

    classes: above 0, a conditional VAE, p(x|z, y) and q(z|x, y): encoder and decoder
    get the label y (N,), 0..classes - 1, as one-hot columns behind their input. Kingma,
    Rezende, Mohamed, Welling, arXiv:1406.5298, eq. (6), without the constant log p(y).

    networks: two functions that make other networks than these layers, such as
    conv_vae.networks(); see mlp_encoder and mlp_decoder for what they take and give.
    """

    def __init__(
        self, x_dim=784, hidden=(400,), z_dim=20, likelihood="bernoulli", C=1.0,
        rng=None, classes=0, networks=None,
    ):  # fmt: skip
        if likelihood not in LIKELIHOODS:
            names = ", ".join(map(repr, LIKELIHOODS))
            raise ValueError(f"likelihood is {likelihood!r}, expected one of {names}")
        self.z_dim, self.likelihood, self.C = z_dim, likelihood, C
        self.classes = classes
        encoder, decoder = networks or (mlp_encoder, mlp_decoder)
        self.encoder = encoder(x_dim, classes, hidden, rng)
        self.mu = nn.Linear(hidden[-1], z_dim, rng=rng)
        self.logvar = nn.Linear(hidden[-1], z_dim, rng=rng)
        self.decoder, self.x_hat = decoder(z_dim, classes, hidden, x_dim, rng)
        if likelihood in LIKELIHOODS[2:]:
            variances = 1 if likelihood == "gaussian_learnt" else x_dim
            raw = np.zeros(variances, np.float32)
            self.raw_log_sigma = Tensor(raw, requires_grad=True)

    def encode(self, x, y=None):
        """mu and logvar of q(z|x): (N, x_dim) -> (N, z_dim) twice."""
        h = self.encoder(self._labelled(x, y))
        return self.mu(h), self.logvar(h)

    def decode(self, z, y=None):
        """x_hat, the mean of p(x|z): (N, z_dim) -> (N, x_dim)."""
        x_hat = self.x_hat(self.decoder(self._labelled(z, y)))
        return ops.sigmoid(x_hat) if self.likelihood == "bernoulli" else x_hat

    def surprise(self, x, z, y=None):
        """-log p(x|z) in nats, summed over the pixels: (N,).

        bernoulli: -sum_i x_i log x_hat_i + (1 - x_i) log (1 - x_hat_i)   (C.1)
        gaussian:  C ||x - x_hat||^2 + x_dim/2 log(pi / C),  sigma^2 = 1 / (2C)   (C.2)
        gaussian_learnt, _pixel:  sum_i (x_i - x_hat_i)^2 / (2 sigma_i^2)
                                        + log sigma_i + 1/2 log(2 pi)   (C.2)
        """
        x_hat = self.x_hat(self.decoder(self._labelled(z, y)))
        if self.likelihood == "bernoulli":  # x_hat is still without its sigmoid
            return ops.bce_with_logits(x_hat, x, reduction="none").sum(axis=1)
        if self.likelihood == "gaussian":
            constant = x.shape[1] / 2 * math.log(math.pi / self.C)
            return self.C * ops.square(x - x_hat).sum(axis=1) + constant
        log_sigma = self.log_sigma()  # (1,) or (x_dim,)
        nats = ops.square((x - x_hat) * ops.exp(-log_sigma)) / 2 + log_sigma
        return (nats + 0.5 * math.log(2 * math.pi)).sum(axis=1)

    def log_sigma(self):
        """log sigma where the variance is learnt: (1,) or (x_dim,), above -6.

        The floor, softplus(raw + 6) - 6, is sigma-VAE's: a pixel that is always paper
        would be described ever better by a sigma that goes to 0.
        """
        return ops.softplus(self.raw_log_sigma + 6) - 6

    def _labelled(self, x, y):
        """The one-hot label behind each row: (N, D) -> (N, D + classes)."""
        if not self.classes:
            if y is not None:
                raise ValueError("y is given to a VAE without classes=")
            return x
        return ops.concatenate([x, _one_hot(y, self.classes, x)], axis=1)


def mlp_encoder(x_dim, classes, hidden, rng):
    """A network (N, x_dim + classes) -> (N, hidden[-1]): Linear and ReLU in turn."""
    return _layers([x_dim + classes, *hidden], rng)


def mlp_decoder(z_dim, classes, hidden, x_dim, rng):
    """All layers but the last, and the last: (N, z_dim + classes) -> (N, x_dim)."""
    layers = _layers([z_dim + classes, *reversed(hidden)], rng)
    return layers, nn.Linear(hidden[0], x_dim, rng=rng)


def _layers(widths, rng):
    """Linear and ReLU in turn, from the first width to the last."""
    layers = []
    for n, m in zip(widths, widths[1:]):
        layers += [nn.Linear(n, m, rng=rng), nn.ReLU()]
    return nn.Sequential(*layers)


def _one_hot(y, classes, x):
    """Labels as rows beside x: y (N,), or one label for all, -> (N, classes)."""
    if y is None:
        raise ValueError(
            f"this VAE is conditional: it needs labels y, {len(x)} numbers from 0 to "
            f"{classes - 1}"
        )
    y = y if hasattr(y, "dtype") else np.asarray(y)
    if device_of(y) == "cpu":  # a number, a list, or labels that stayed behind
        y = beside(np.broadcast_to(y, (len(x),)) if y.ndim == 0 else y, x)
    if len(y) != len(x) or not ((y >= 0) & (y < classes)).all():
        raise ValueError(
            f"y is {y}, expected {len(x)} labels from 0 to {classes - 1}, one for "
            "each row"
        )
    return ops.one_hot(y, classes).astype(x.dtype)


# ---- the loss -------------------------------------------------------------------
class Loss(NamedTuple):
    """-ELBO and its parts, in nats per image: loss = reconstruction + beta kl.

    With free bits, kl is what the loss counts; with k draws, loss is less than the sum.
    """

    loss: float
    reconstruction: float
    kl: float


def noise(like, rng=None):
    """eps ~ N(0, I): a draw of its own for every row and coordinate of `like`."""
    return standard_normal(default_rng(rng), like.shape, like)


def reparametrise(mu, logvar, rng=None):
    """z = mu + sigma eps, where sigma = exp(logvar / 2) and eps ~ N(0, I)   (2.4)."""
    return mu + ops.exp(logvar / 2) * noise(mu, rng)


def negative_elbo(model, x, beta=1.0, rng=None, y=None, free_bits=0.0):
    """E_q[-log p(x|z)] + beta KL(q(z|x) || p(z)), mean over the batch   (10), L = 1.

    x (N, x_dim); y (N,) for a conditional model. With the Gaussian likelihood this is
    C ||x - x_hat||^2 + KL and a constant. Returns a Loss of Tensors.

    free_bits: above 0, KL is sum_j max(free_bits, mean over the batch of KL_j), so that
    a coordinate's first nats cost nothing extra and no coordinate is given up. Kingma
    et al., "Improving Variational Inference with Inverse Autoregressive Flow",
    arXiv:1606.04934, eq. (15), each coordinate a group.
    """
    mu, logvar = model.encode(x, y)
    z = reparametrise(mu, logvar, rng)
    reconstruction = model.surprise(x, z, y).mean()
    kl = ops.gaussian_kl(mu, logvar).mean()  # appendix B, in closed form
    if free_bits:
        kl = ops.maximum(_kl_of_each(mu, logvar), free_bits).sum()
    return Loss(reconstruction + beta * kl, reconstruction, kl)


def _kl_of_each(mu, logvar):
    """KL of each coordinate, mean over the batch: (N, z_dim) twice -> (z_dim,)."""
    each = ops.gaussian_kl(mu[:, :, None], logvar[:, :, None])  # (N, z_dim)
    return each.mean(axis=0)


def log_weight(model, x, mu, logvar, rng=None, y=None):
    """log w = log p(x|z) + log p(z) - log q(z|x) of one draw z ~ q(z|x) each: (N,)."""
    eps = noise(mu, rng)
    z = mu + ops.exp(logvar / 2) * eps
    log_p_over_q = 0.5 * (ops.square(eps) + logvar - ops.square(z)).sum(axis=1)
    return log_p_over_q - model.surprise(x, z, y)


def negative_iwae(model, x, k, rng=None, y=None):
    """-log 1/k sum_i w_i,  w_i = p(x, z_i) / q(z_i|x),  z_i ~ q(z|x): mean over x.

    The importance-weighted bound: the ELBO at k = 1, nearer to log p(x) the larger k.
    Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", arXiv:1509.00519,
    eq. (8). Returns a Loss of Tensors whose reconstruction + kl is the ELBO's estimate
    from the same draws, never below the loss.
    """
    mu, logvar = model.encode(x, y)
    log_w = ops.stack([log_weight(model, x, mu, logvar, rng, y) for _ in range(k)])
    bound = ops.logsumexp(log_w, axis=0) - math.log(k)  # log_w (k, N)
    kl = ops.gaussian_kl(mu, logvar).mean()
    return Loss(-bound.mean(), -log_w.mean() - kl, kl)


def train(model, batches, optimizer, beta=1.0, rng=None, free_bits=0.0, k=1):
    """Algorithm 1 of the paper (AEVB), as a generator: one Loss for each minibatch.

    batches: an iterable of arrays (N, x_dim), or for a conditional model of tuples
    (x, y), as many as there shall be steps. k: above 1, the IWAE bound of k draws takes
    the ELBO's place; it has neither beta nor free bits (ValueError).
    """
    if k > 1 and (beta != 1 or free_bits):
        raise ValueError(
            f"k={k} trains on the bound of k draws, which has no beta ({beta:g} given) "
            f"and no free_bits ({free_bits:g} given); leave them out, or k"
        )
    for batch in batches:  # 3: X^M <- random minibatch of M datapoints
        x, y = batch if isinstance(batch, tuple) else (batch, None)
        if k == 1:  # 4: eps <- p(eps), inside
            loss = negative_elbo(model, x, beta, rng, y, free_bits)
        else:
            loss = negative_iwae(model, x, k, rng, y)
        optimizer.zero_grad()
        loss.loss.backward()  # 5: g <- the gradient by theta and phi
        optimizer.step()  # 6: theta, phi <- updated with g
        yield Loss(*map(float, loss))


def binarise(x, rng=None):
    """Black and white pictures: each pixel 1 with probability x, anew at every call.

    Dynamic binarisation, if done to each batch; a test set is drawn once and kept.
    Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief Networks",
    ICML 2008. x in [0, 1], any shape.
    """
    uniform = default_rng(rng).random(x.shape, dtype=np.float32)
    return (beside(uniform, x) < x).astype(x.dtype)


# ---- using the trained model ----------------------------------------------------
# y: where the model is conditional, labels (N,), or one label for all.
@no_grad()
def sample(model, n, rng=None, y=None):
    """n new pictures: z ~ p(z), then the mean of p(x|z). (n, x_dim)."""
    weight = model.mu.weight.data
    return model.decode(standard_normal(default_rng(rng), (n, model.z_dim), weight), y)


@no_grad()
def reconstruct(model, x, y=None):
    """Pictures through the code and back, without noise: decode(mu(x)). (N, x_dim)."""
    mu, _ = model.encode(x, y)
    return model.decode(mu, y)


@no_grad()
def interpolate(model, x_0, x_1, n=10, y=None):
    """n pictures along the straight line between two codes. x_0, x_1 (x_dim,)."""
    mu, _ = model.encode(np.stack([x_0, x_1]), y)
    t = np.linspace(0, 1, n, dtype=mu.dtype)[:, None]  # (n, 1)
    return model.decode((1 - t) * mu[0] + t * mu[1], y)


@no_grad()
def activity(model, x, y=None):
    """KL of each coordinate, mean over x, in nats: (z_dim,). Near 0: it is not used."""
    return _kl_of_each(*model.encode(x, y))


@no_grad()
def log_likelihood(model, x, k=100, rng=None, y=None):
    """log p(x) ~ log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x), z_i ~ q(z|x), in nats: (N,).

    Importance sampling with k draws; a lower bound on average, rising to log p(x) with
    k, and the ELBO at k = 1. Burda, Grosse, Salakhutdinov, arXiv:1509.00519, eq. (8).
    """
    mu, logvar = model.encode(x, y)
    log_w = [log_weight(model, x, mu, logvar, rng, y) for _ in range(k)]
    return ops.logsumexp(ops.stack(log_w), axis=0) - math.log(k)
