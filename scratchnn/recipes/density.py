"""`scratchnn train density`: the defaults and pictures around density and gaussians."""

import math
from argparse import ArgumentTypeError

import numpy as np

from .. import data, metrics, plot
from ..models import density
from ..models.gaussians import Gaussian, GaussianMixture, PCAGaussian, principal
from . import OptionError, choice, load, positive, weight, whole

UNIT = "nats per sample"
LOSS = (
    "the loss is how surprised the model is by a sample, in nats: less is better. Of a "
    "density it can be below 0"
)
PICTURES = ("samples.png", "density.png", "dimensions.png")

RULES = "held_out", "scott", "silverman"
KINDS = "mixture", "gaussian", "pca_gaussian", "parzen", "histogram"
_MODEL = dict(
    kind="mixture", K=10, covariance="full", q=10, bandwidth="held_out", bins=32,
    alpha=0.1,
)  # fmt: skip
_POINTS = dict(shape=[2], epochs=60, batch=10_000, **_MODEL, floor=1e-6)
_POINTS |= dict(K=20, q=1)
_LARGE = dict(shape=[28, 28], epochs=3, batch=10_000, **_MODEL, floor=1e-2)
_LARGE |= dict(q=50)

DATA = {
    "digits": dict(shape=[8, 8], epochs=40, batch=1437, **_MODEL, floor=1e-2),
    "mnist": _LARGE,
    "fashion_mnist": _LARGE,
    "moons": _POINTS,
    "circles": _POINTS,
    "spirals": _POINTS,
    "swiss_roll": _POINTS,
    "checkerboard": _POINTS,
    "ring": _POINTS,
    "grid": _POINTS | dict(K=50),
}


def _few(text):
    return whole(text, most=1000)


def _bandwidth(text):
    if text in RULES:
        return text
    try:
        return positive(text)
    except ArgumentTypeError:
        expected = f"{', '.join(RULES)} or a number above 0"
        raise ArgumentTypeError(f"expected {expected}, got {text!r}") from None


OPTIONS = {
    "kind": (choice(*KINDS), f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"),
    "K": (_few, "Gaussians in a mixture"),
    "covariance": (choice("full", "diagonal"), "full or diagonal, of a mixture"),
    "q": (whole, "directions of a pca_gaussian"),
    "bandwidth": (_bandwidth, "of parzen: held_out, scott, silverman or a number"),
    "bins": (whole, "of a histogram, along each axis"),
    "alpha": (weight, "added to each count of a histogram"),
    "floor": (positive, "least variance in any direction of a Gaussian"),
}


def build(config, rng):
    """The model; there is nothing beside it that must be kept."""
    d, kind = int(np.prod(config["shape"])), config["kind"]
    make = {
        "mixture": (GaussianMixture, "K", "covariance", "floor"),
        "gaussian": (Gaussian, "floor"),
        "pca_gaussian": (PCAGaussian, "q", "floor"),
        "parzen": (density.ParzenWindow, "bandwidth"),
        "histogram": (density.Histogram, "bins", "alpha"),
    }
    model, *names = make[kind]
    if kind == "mixture" and config["batch"] < config["K"]:
        raise OptionError(
            f"--K {config['K']} Gaussians need a --batch of at least as many samples, "
            f"got {config['batch']}; best is all there are"
        )
    try:
        return model(d, *(config[name] for name in names)), {}
    except ValueError as error:
        raise OptionError(f"--kind {kind} on {config['data']}: {error}") from None


def train(model, optimizers, batches, config, rng):
    """The loss of each step: EM's, or of a new fit. A batch is best all data."""
    return density.train(model, map(_flat, batches), rng)


def losses(model, batch, config, rng):
    """The loss of a batch of held-out samples."""
    return density.Loss(-float(model.log_prob(_flat(batch)).mean()))


def words(loss, config):
    """The loss in a sentence."""
    if math.isinf(loss.loss):
        return "some samples lie outside of all cells, where the density is 0"
    return f"{loss.loss:.2f} nats per sample: a log-likelihood of {-loss.loss:.2f}"


def sample(model, config, n, rng):
    """n new samples: a sheet of pictures, or points."""
    points = load(config["data"])[1].x if config["shape"] == [2] else None
    return plot.samples(snapshot(model, config, rng, n), points)


def snapshot(model, config, rng, n=100):
    """n samples (n, *shape)."""
    n = max(n, 1000) if config["shape"] == [2] else n
    return model.sample(n, rng).reshape(n, *config["shape"])


def figures(model, config, test, rng):
    """Samples; what the model finds likely; and what breaks as dimensions grow."""
    yield sample(model, config, 100, rng)
    yield (_map if config["shape"] == [2] else _likely)(model, config, test, rng)
    yield _dimensions(rng)


def _map(model, config, test, rng):
    """The plane, shaded by the density."""
    low, high, places = plot.places(test.x)
    p = np.exp(model.log_prob(places))
    parts = ()
    if config["kind"] == "mixture":
        full = [np.diag(S) if S.ndim == 1 else S for S in model.Sigma]
        parts = list(zip(model.mu, full))
    return plot.density(p, low, high, test.x[:2000], parts)


def _likely(model, config, test, rng, n=10):
    """Samples over the nearest training pictures; likely and unlikely held-out ones."""
    train, x = load(config["data"])[0].x, model.sample(n, rng)
    closest = train[metrics.nearest(x, train).index]
    some = test.x[:1000]
    order = np.argsort(model.log_prob(some.reshape(len(some), -1)))
    rows = {
        "samples": x.reshape(n, *config["shape"]),
        "nearest\nin training": closest,
        "likely": some[order[::-1][:n]],
        "unlikely": some[order[:n]],
    }
    return plot.rows(rows)


def _dimensions(rng):
    """Distances in 2, 8, 64 dimensions; three densities of more and more of digits."""
    distances = {
        d: density.distances(rng.standard_normal((1000, d))) for d in (2, 8, 64)
    }
    train, test = (data.digits(s).x.reshape(-1, 64) for s in ("train", "test"))
    mu, _, U = principal(train)
    train, test = (train - mu) @ U, (test - mu) @ U
    dims, floor = (1, 2, 4, 8, 16, 32, 64), DATA["digits"]["floor"]
    gains = {"ten Gaussians": [], "a bump on every sample": []}
    for d in dims:
        x, one = train[:, :d], Gaussian(d, floor).fit(train[:, :d])
        ten = GaussianMixture(d, 10, floor=floor).fit(x, rng, steps=15)
        bumps = density.ParzenWindow(d).fit(x, rng)
        base = one.log_prob(test[:, :d]).mean()
        for model, y in zip((ten, bumps), gains.values()):
            y.append(model.log_prob(test[:, :d]).mean() - base)
    return plot.dimensions(distances, {k: (dims, y) for k, y in gains.items()})


def _flat(batch):
    """The samples of a batch (x, y) as rows (N, d)."""
    return batch[0].reshape(len(batch[0]), -1)
