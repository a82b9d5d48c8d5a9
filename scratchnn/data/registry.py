"""Every data set by name, with what a reader should know before using it."""

import difflib
from collections.abc import Callable
from typing import NamedTuple

from . import images, included, toy
from .download import RemoteFile, is_local


class DataSet(NamedTuple):
    """The entry of one data set: what it is, whose it is and how to load it.

    kind is "images", "2-D" or "graph"; files are those it needs from the network.
    """

    name: str
    kind: str
    counts: str
    licence: str
    source: str
    load: Callable
    files: tuple[RemoteFile, ...] = ()

    @property
    def status(self):
        """One of "bundled", "generated", "downloaded" and "not downloaded"."""
        if self.kind == "2-D":
            return "generated"
        if not self.files:
            return "bundled"
        return "downloaded" if all(map(is_local, self.files)) else "not downloaded"


def _generated(load, counts):
    return DataSet(load.__name__, "2-D", counts, "MIT", "drawn by scratchnn", load)


_SETS = (
    DataSet(
        "digits", "images", "1,797 images 8x8, 10 classes", "CC BY 4.0",
        "Alpaydin and Kaynak 1998 (UCI)", included.digits,
    ),
    DataSet(
        "mnist", "images", "60,000 + 10,000 images 28x28, 10 classes",
        "CC BY-SA 3.0", "LeCun et al. 1998", images.mnist,
        sum(images.MNIST.values(), ()),
    ),
    DataSet(
        "fashion_mnist", "images", "60,000 + 10,000 images 28x28, 10 classes",
        "MIT", "Xiao, Rasul, Vollgraf 2017 (Zalando)", images.fashion_mnist,
        sum(images.FASHION_MNIST.values(), ()),
    ),
    DataSet(
        "karate_club", "graph", "34 nodes, 78 undirected edges, 2 classes",
        "none stated", "Zachary 1977", included.karate_club,
    ),
    _generated(toy.moons, "n points, 2 classes"),
    _generated(toy.circles, "n points, 2 classes"),
    _generated(toy.spirals, "n points, 2 classes"),
    _generated(toy.swiss_roll, "n points, 3 half turns"),
    _generated(toy.checkerboard, "n points, 8 squares"),
    _generated(toy.ring, "n points, 8 modes"),
    _generated(toy.grid, "n points, 25 modes"),
)  # fmt: skip

DATASETS = {entry.name: entry for entry in _SETS}


def available():
    """Name and status of every data set, without touching the network: a dict."""
    return {name: entry.status for name, entry in DATASETS.items()}


def load(name, *args, **kwargs):
    """The data set called `name`: load("mnist", "test") is mnist("test").

    Raises ValueError for an unknown name, with the nearest one.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(str(name), DATASETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"no data set named {name!r}{hint} There are: {', '.join(sorted(DATASETS))}"
        )
    return DATASETS[name].load(*args, **kwargs)
