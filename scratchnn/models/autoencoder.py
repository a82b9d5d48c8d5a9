"""Auto-encoder: a picture squeezed through a few numbers, the code, and drawn again.

Encoder f and decoder g learn together to lose as little as possible. Nothing is asked
of the codes themselves, so that between them are holes: places that no picture was ever
sent to, where g draws what it likes. `codes` picks random places, `holes` measures what
is drawn there. (The VAE, in vae.py, leaves no holes.)

Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks",
Science 313, 2006. With linear f and g the best code is PCA's: Baldi and Hornik, "Neural
networks and principal component analysis", Neural Networks 2, 1989.
"""

from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside, standard_normal
from ..metrics import nearest
from ..random import default_rng
from ..recording import no_grad
from .gaussians import Gaussian, principal


class AutoEncoder(nn.Module):
    """x_hat = g(f(x)): f makes a code z of a picture x, and g a picture of a code.

    x (N, x_dim), z (N, z_dim). hidden: the widths of the encoder's layers, and in
    reverse of the decoder's; 64-128-2-128-64 is AutoEncoder(64, (128,), 2), and without
    any the model is linear. error: "squared", or "bce" for pixels in [0, 1] that are
    ink with probability x_hat.
    """

    def __init__(
        self, x_dim=784, hidden=(400,), z_dim=2, error="squared", rng=None
    ):  # fmt: skip
        self._check(error)
        self.z_dim, self.error = z_dim, error
        self.f = nn.MLP([x_dim, *hidden, z_dim], rng=rng)
        self.g = nn.MLP([z_dim, *reversed(hidden), x_dim], rng=rng)

    def _check(self, error):
        if error not in ("squared", "bce"):
            raise ValueError(f"error is {error!r}, expected 'squared' or 'bce'")

    def encode(self, x):
        """z = f(x): (N, x_dim) -> (N, z_dim)."""
        return self.f(x)

    def decode(self, z):
        """x_hat = g(z): (N, z_dim) -> (N, x_dim)."""
        y = self.g(z)
        return ops.sigmoid(y) if self.error == "bce" else y

    def loss(self, x):
        """What is lost of each picture on the way through its code, summed over pixels.

        squared: ||x - x_hat||^2;  bce: -sum_i x_i log x_hat_i + (1 - x_i) log (1 -
        x_hat_i), in nats. (N, x_dim) -> (N,).
        """
        y = self.g(self.f(x))
        if self.error == "bce":
            return ops.bce_with_logits(y, x, reduction="none").sum(axis=1)
        return ops.square(x - y).sum(axis=1)


class ConvAutoEncoder(AutoEncoder):
    """The same with convolutions: each of the encoder's halves both sides of a picture.

    shape (H, W); x (N, H W) is a picture row by row. channels: those after each
    convolution, and in reverse in the decoder. (28, 28) with (16, 32) goes 1x28x28,
    16x14x14, 32x7x7, z. Raises ValueError if the sides can't be halved so often.
    """

    def __init__(
        self, shape=(28, 28), channels=(16, 32), z_dim=2, error="squared", rng=None
    ):  # fmt: skip
        self._check(error)
        H, W, times = *shape, 2 ** len(channels)
        if H % times or W % times:
            raise ValueError(
                f"pictures of {H}x{W} can't be halved {len(channels)} times, once for "
                f"each of channels={list(channels)}; take fewer channels"
            )
        self.z_dim, self.error = z_dim, error
        small = channels[-1], H // times, W // times
        size, widths = int(np.prod(small)), [1, *channels]
        f, g = [nn.Unflatten(1, (1, H, W))], []  # (N, H W) -> (N, 1, H, W)
        for c_in, c_out in zip(widths, widths[1:]):
            f += [nn.Conv2d(c_in, c_out, 4, 2, 1, rng=rng), nn.ReLU()]
            back = nn.ConvTranspose2d(c_out, c_in, 4, 2, 1, rng=rng)
            g = [nn.ReLU(), back, *g]
        self.f = nn.Sequential(*f, nn.Flatten(), nn.Linear(size, z_dim, rng=rng))
        first = nn.Linear(z_dim, size, rng=rng), nn.Unflatten(1, small)
        self.g = nn.Sequential(*first, *g, nn.Flatten())


# ---- training -------------------------------------------------------------------
class Loss(NamedTuple):
    """What is lost of a picture on average, as `error` of the model measures it."""

    loss: float


def train(model, batches, optimizer):
    """Train f and g as a generator: one Loss for each minibatch (N, x_dim)."""
    for x in batches:
        loss = model.loss(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield Loss(float(loss))


# ---- using the trained model ----------------------------------------------------
@no_grad()
def reconstruct(model, x):
    """Pictures through the code and back: (N, x_dim)."""
    return model.decode(model.encode(x))


def squared_error(x, x_hat):
    """||x - x_hat||^2 of each picture, arrays: (N, x_dim) -> (N,)."""
    return ((x - x_hat) ** 2).sum(axis=1)


def pca(train, x, q):
    """The best that q numbers can do if all is linear: mu + U_q U_q^T (x - mu).

    mu and the q principal directions U_q are those of train (M, x_dim); x (N, x_dim).
    """
    mu, _, U = principal(train)
    U_q = U[:, :q]
    return (mu + (x - mu) @ U_q @ U_q.T).astype(x.dtype)


# ---- holes ----------------------------------------------------------------------
CODES = ("fitted", "box", "normal")


@no_grad()
def codes(model, x, n, kind="fitted", rng=None):
    """n random codes, where those of the pictures x (N, x_dim) might be: (n, z_dim).

    "fitted": from the Gaussian with their mean and covariance; "box": anywhere between
    the least and the largest value of each coordinate; "normal": from N(0, I), which is
    right for a VAE and has nothing to do with an auto-encoder.
    """
    if kind not in CODES:
        raise ValueError(f"kind of codes is {kind!r}, expected one of {CODES}")
    rng, z = default_rng(rng), model.encode(x).data
    if kind == "normal":
        return standard_normal(rng, (n, model.z_dim), z)
    if kind == "fitted":
        return Gaussian(model.z_dim).fit(z).sample(n, rng).astype(z.dtype)
    low, high = z.min(axis=0), z.max(axis=0)
    u = beside(rng.random((n, model.z_dim)).astype(z.dtype), z)
    return low + u * (high - low)


@no_grad()
def sample(model, x, n, kind="fitted", rng=None):
    """n pictures drawn from random codes: (n, x_dim). See `codes`."""
    return model.decode(codes(model, x, n, kind, rng))


class Holes(NamedTuple):
    """Distance ||x - x'|| from a drawn picture to the nearest real one, on average.

    reconstructed: of real pictures; the rest: of random codes, as `codes` picks them.
    """

    reconstructed: float
    fitted: float
    box: float
    normal: float


def holes(model, x, real, n=1000, rng=None):
    """How far from any real picture g draws: Holes, by n random codes of each kind.

    x (N, x_dim): the pictures whose codes are looked at; real (M, x_dim): those that
    the distances are to.
    """
    drawn = [reconstruct(model, x)] + [sample(model, x, n, k, rng) for k in CODES]
    return Holes(*(float(nearest(y.data, real)[0].mean()) for y in drawn))
