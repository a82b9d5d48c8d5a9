"""A small convolutional classifier: which of C classes a picture x belongs to.

The odd one out among the models, which make pictures: it judges them. What it says of
samples gives their class balance, and the layer before its answer gives the features
for a Fréchet distance, precision and recall (metrics.py).

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
recognition", Proc. IEEE 86(11), 1998: convolutions and pooling in turn, as their
LeNet-5, here with ReLU, max pooling, Adam, and batch normalisation (Ioffe and Szegedy
2015), with which one pass over MNIST is enough for 99 %.
"""

import contextlib
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside
from ..random import default_rng
from ..recording import no_grad


class Classifier(nn.Module):
    """p(class | x) = softmax(W h(x) + b), with h(x) the features of a picture.

    x (N, H, W) with (H, W) = shape, both divisible by 4: a 3x3 convolution, batch
    normalisation, ReLU and 2x2 max pooling for each of two `channels`, then a layer of
    `width` features.
    """

    def __init__(
        self, shape=(28, 28), classes=10, channels=(16, 32), width=64, rng=None
    ):  # fmt: skip
        H, W = shape
        if H % 4 or W % 4:
            raise ValueError(
                f"shape is {tuple(shape)}, expected height and width divisible by 4: "
                "both are halved twice; pad the pictures"
            )
        self.classes = classes
        a, b = channels
        self.body = nn.Sequential(
            nn.Conv2d(1, a, 3, padding=1, bias=False, rng=rng),
            nn.BatchNorm2d(a),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, a, H / 2, W / 2)
            nn.Conv2d(a, b, 3, padding=1, bias=False, rng=rng),
            nn.BatchNorm2d(b),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, b, H / 4, W / 4)
            nn.Flatten(),
            nn.Linear(b * (H // 4) * (W // 4), width, bias=False, rng=rng),
            nn.BatchNorm1d(width),
            nn.ReLU(),
        )
        self.head = nn.Linear(width, classes, rng=rng)

    def features(self, x):
        """h(x), what the last layer sees: (N, H, W) -> (N, width), none below 0."""
        return self.body(ops.expand_dims(x, 1))  # a channel axis: (N, 1, H, W)

    def forward(self, x):
        """The logits W h(x) + b: (N, H, W) -> (N, classes)."""
        return self.head(self.features(x))


# ---- training -------------------------------------------------------------------
class Loss(NamedTuple):
    """-log p(class | x) in nats per picture, and the share that is classified wrong."""

    loss: float
    wrong: float


def losses(model, x, y):
    """Cross-entropy and share of mistakes: x (N, H, W), y (N,) in 0 .. classes - 1."""
    logits = model(x)
    wrong = (logits.data.argmax(axis=1) != y).mean()
    return Loss(ops.cross_entropy(logits, y), wrong)


def train(model, batches, optimizer, shift=0, rng=None):
    """Minimise the cross-entropy, as a generator: one Loss for each minibatch.

    batches: an iterable of (x, y), as many as there shall be steps. shift: each picture
    is moved by up to so many pixels both ways, by chance, so that few pictures count
    for more; rng draws the moves.
    """
    for x, y in batches:
        loss = losses(model, moved(x, shift, rng) if shift else x, y)
        optimizer.zero_grad()
        loss.loss.backward()
        optimizer.step()
        yield Loss(*map(float, loss))


def moved(x, most, rng=None):
    """Pictures (N, H, W), each moved down and right by -most .. most whole pixels.

    What leaves is lost; what comes in is paper, 0.
    """
    n, H, W = x.shape
    down, right = default_rng(rng).integers(-most, most + 1, (2, n))
    wide = np.pad(x, ((0, 0), (most, most), (most, most)))
    rows = most - down[:, None, None] + np.arange(H)[:, None]  # (N, H, 1)
    columns = most - right[:, None, None] + np.arange(W)  # (N, 1, W)
    index = np.arange(n)[:, None, None], rows, columns
    return wide[tuple(beside(i, x) for i in index)]


# ---- using the trained model ----------------------------------------------------
def features(model, x, block=1000):
    """h(x) of many pictures, a block at a time: (N, H, W) -> (N, width)."""
    return _in_blocks(model, model.features, x, block)


def probabilities(model, x, block=1000):
    """p(class | x) of many pictures, a block at a time: (N, H, W) -> (N, classes)."""
    return _in_blocks(model, lambda part: ops.softmax(model(part)), x, block)


def accuracy(model, x, y):
    """The share of pictures x (N, H, W) whose most probable class is y (N,)."""
    return float((probabilities(model, x).argmax(axis=1) == y).mean())


@no_grad()
def _in_blocks(model, f, x, block):
    """f of the pictures x, each judged apart from the others: by running statistics."""
    with _in_use(model):
        parts = [f(x[i : i + block]).data for i in range(0, len(x), block)]
    return np.concatenate(parts)


@contextlib.contextmanager
def _in_use(model):
    """Within this context the model is in evaluation mode."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
