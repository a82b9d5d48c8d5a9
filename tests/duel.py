"""A recipe for the tests of training: two networks, two optimizers, averages, noise.

It learns nothing of use, but has all that a recipe can have. `install` makes it known.
"""

import itertools
import sys
from typing import NamedTuple

import numpy as np

from scratchnn import nn, ops, optim, plot, recipes

UNIT = "points"
LOSS = "the loss is what the tests want"
PICTURES = ("samples.png",)
DATA = {
    "moons": dict(shape=[2], steps=60, batch=1000, lr=1e-2, k=2, decay=0.9, far=None),
    "digits": dict(
        shape=[8, 8], epochs=1, batch=500, lr=1e-2, k=1, decay=0.9, far=None
    ),
}
OPTIONS = {
    "k": (recipes.whole, "steps of D for one of G"),
    "decay": (recipes.share, "of the averages"),
    "far": (recipes.weight, "how far; not if not asked for"),
}
SAMPLE = {
    "label": (lambda text: recipes.whole(text, least=0, most=9), "which digit"),
    "two_words": (recipes.switch, "an option of two words"),
}


class Loss(NamedTuple):
    """What G loses and what D loses."""

    loss: float
    d: float


class Duel(nn.Module):
    """G moves noise, D looks at points; D has dropout and running statistics."""

    def __init__(self, size, rng):
        self.G = nn.Linear(size, size, rng=rng)
        self.D = nn.Sequential(
            nn.Linear(size, 5, rng=rng), nn.BatchNorm1d(5), nn.Dropout(0.5),
            nn.Linear(5, 1, rng=rng),
        )  # fmt: skip


load = recipes.load


def batches(config):
    """Each step of G has k of D, each with a batch of its own."""
    return config["k"]


def build(config, rng):
    """The two networks, an optimizer for each, and averages of G."""
    if config["k"] == 13:
        raise recipes.OptionError("--k 13 brings bad luck; take --k 12")
    model = Duel(int(np.prod(config["shape"])), rng)
    return model, {
        "G": optim.Adam(model.G.parameters(), lr=config["lr"]),
        "D": optim.SGD(model.D.parameters(), lr=config["lr"], momentum=0.5),
        "ema": optim.EMA(model.G, decay=config["decay"]),
    }


def train(model, optimizers, batches, config, rng):
    """k steps of D, one of G."""
    model.D[2].rng = rng
    batches = iter(batches)
    while group := list(itertools.islice(batches, config["k"])):
        assert model.training
        for x, _ in group:
            loss = _losses(model, _flat(x), rng)
            optimizers["D"].zero_grad()
            loss.d.backward()
            optimizers["D"].step()
        loss = _losses(model, _flat(x), rng)
        optimizers["G"].zero_grad()
        loss.loss.backward()
        optimizers["G"].step()
        optimizers["ema"].update()
        yield Loss(*map(float, loss))


def losses(model, batch, config, rng):
    """The losses of a held-out batch."""
    assert not model.training and not model.D[1].training
    return _losses(model, _flat(batch[0]), rng)


def _losses(model, x, rng):
    fake = model.G(rng.standard_normal(x.shape).astype(np.float32))
    real, made = model.D(x).mean(), model.D(fake).mean()
    return Loss(ops.square(fake).mean() - made, ops.square(made - real + 1))


def words(loss, config):
    """A sentence."""
    return f"G {loss.loss:.3f}, D {loss.d:.3f}"


def figures(model, config, test, rng):
    """Samples."""
    assert not model.training
    yield plot.samples(_draw(model, config, 50, rng))


def sample(model, config, n, rng, label=None, two_words=None):
    """n samples; label 7 can't be had."""
    assert not model.training
    if label == 7:
        raise recipes.OptionError("--label 7 needs a model with labels")
    return plot.samples(_draw(model, config, n, rng))


def snapshot(model, config, rng):
    """What G draws."""
    assert not model.training
    return _draw(model, config, 30, rng)


def chain(model, config, rng):
    """From noise to what G draws, half the way at a time."""
    x = _draw(model, config, 20, rng)
    for t in (4, 2, 1):
        yield f"t = {t}", x / t


def _draw(model, config, n, rng):
    size = int(np.prod(config["shape"]))
    x = model.G(rng.standard_normal((n, size)).astype(np.float32))
    return x.reshape(n, *config["shape"]).numpy()


def _flat(x):
    return x.reshape(len(x), -1)


def install(monkeypatch):
    """Make `scratchnn train duel` known for one test; the module."""
    module = sys.modules[__name__]
    monkeypatch.setitem(recipes.RECIPES, "duel", "two networks that only tests train")
    monkeypatch.setitem(sys.modules, "scratchnn.recipes.duel", module)
    return module
