"""`scratchnn train classifier`: the defaults and pictures around models/classifier.py.

It makes no pictures: it judges them, also those that the other models make.
"""

from argparse import ArgumentTypeError

import numpy as np

from .. import data, optim, plot
from ..models import classifier
from . import load, whole, widths

UNIT = ""  # the loss is in nats per image, what is wrong a share
LOSS = (
    "the loss is how surprised it is, in nats, when it learns the right class: "
    "less is better, and log 10 = 2.3 is guessing"
)
PICTURES = ("confusion.png", "mistakes.png")

_LARGE = dict(
    shape=[28, 28], epochs=2, batch=64, lr=2e-3, channels=[16, 32], width=64, shift=0
)
DATA = {
    "digits": dict(
        shape=[8, 8], epochs=20, batch=32, lr=1e-3, channels=[32, 64], width=64, shift=1
    ),
    "mnist": _LARGE,
    "fashion_mnist": _LARGE,
}


def _pair(text):
    """Two whole numbers with a comma between them."""
    numbers = widths(text)
    if len(numbers) != 2:
        raise ArgumentTypeError(f"expected two numbers, such as 16,32, got {text!r}")
    return numbers


OPTIONS = {
    "channels": (_pair, "of both convolutions, such as 16,32"),
    "width": (whole, "features of a picture, from which the class is read off"),
    "shift": (
        lambda text: whole(text, least=0, most=7),
        "pixels by which pictures are moved in training; 0 for none",
    ),
}


def build(config, rng):
    """The model and its optimizer."""
    sizes = (config[name] for name in ("channels", "width"))
    model = classifier.Classifier(config["shape"], 10, *sizes, rng=rng)
    return model, optim.Adam(model.parameters(), lr=config["lr"])


def train(model, optimizer, batches, config, rng):
    """The losses of each step."""
    return classifier.train(model, batches, optimizer, config["shift"], rng)


def losses(model, batch, config, rng):
    """The losses of a batch of held-out pictures."""
    return classifier.losses(model, *batch)


def words(loss, config):
    """The losses in a sentence."""
    return (
        f"{100 * (1 - loss.wrong):.1f} % of pictures classified right, "
        f"{loss.loss:.3f} nats per image"
    )


def sample(model, config, n, rng):
    """A classifier draws nothing: n held-out pictures by chance, and its guesses."""
    test = load(config["data"])[1]
    some = rng.choice(len(test.y), min(n, len(test.y)), replace=False)
    x, y = test.x[some], test.y[some]
    return plot.guesses(x, y, classifier.probabilities(model, x), _names(config))


def figures(model, config, test, rng):
    """Which class is taken for which, and the pictures that it errs on most."""
    p = classifier.probabilities(model, test.x)
    guess, classes = p.argmax(axis=1), model.classes
    counts = np.bincount(test.y * classes + guess, minlength=classes**2)
    yield plot.confusion(counts.reshape(classes, classes), _names(config))
    worst = np.argsort(p[np.arange(len(p)), test.y])[:20]  # least sure of the truth
    yield plot.guesses(test.x[worst], test.y[worst], p[worst], _names(config))


def _names(config):
    fashion = config["data"] == "fashion_mnist"
    return list(data.FASHION_CLASSES) if fashion else [str(c) for c in range(10)]
