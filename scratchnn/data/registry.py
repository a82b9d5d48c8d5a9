"""Every data set by name, with what a reader should know before using it."""

import difflib
from collections.abc import Callable
from typing import NamedTuple

from . import (
    images, included, planetoid, random_graphs, tasks, text, toy, tu,
)  # fmt: skip
from .download import RemoteFile, is_local


class DataSet(NamedTuple):
    """The entry of one data set: what it is, whose it is and how to load it.

    kind is "images", "2-D", "graph", "graphs", "text" or "pairs" (of texts); files are
    those it needs from the network.
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
        if self.source == _OURS:
            return "generated"
        if not self.files:
            return "bundled"
        return "downloaded" if all(map(is_local, self.files)) else "not downloaded"


_OURS = "drawn by scratchnn"


def _generated(load, counts, kind="2-D"):
    return DataSet(load.__name__, kind, counts, "MIT", _OURS, load)


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
    DataSet(
        "cora", "graph", "2,708 nodes, 5,278 undirected edges, 7 classes",
        "MIT", "Sen et al. 2008, Yang et al. 2016", planetoid.cora,
        tuple(planetoid.FILES["cora"].values()),
    ),
    DataSet(
        "citeseer", "graph", "3,327 nodes, 4,552 undirected edges, 6 classes",
        "MIT", "Sen et al. 2008, Yang et al. 2016", planetoid.citeseer,
        tuple(planetoid.FILES["citeseer"].values()),
    ),
    DataSet(
        "pubmed", "graph", "19,717 nodes, 44,324 undirected edges, 3 classes",
        "MIT", "Namata et al. 2012, Yang et al. 2016", planetoid.pubmed,
        tuple(planetoid.FILES["pubmed"].values()),
    ),
    DataSet(
        "mutag", "graphs", "188 molecules, 2 classes", "none stated",
        "Debnath et al. 1991", tu.mutag, (tu.FILES["MUTAG"],),
    ),
    DataSet(
        "proteins", "graphs", "1,113 proteins, 2 classes", "none stated",
        "Borgwardt et al. 2005", tu.proteins, (tu.FILES["PROTEINS"],),
    ),
    DataSet(
        "enzymes", "graphs", "600 proteins, 6 classes", "none stated",
        "Borgwardt et al. 2005", tu.enzymes, (tu.FILES["ENZYMES"],),
    ),
    DataSet(
        "python", "text", "0.5 million characters, about 100 different ones", "PSF",
        "Python's reference, inside Python", text.python,
    ),
    DataSet(
        "shakespeare", "text", "1,115,394 characters, 65 different ones",
        "public domain", "Karpathy 2015 (char-rnn)", text.shakespeare,
        (text.SHAKESPEARE,),
    ),
    DataSet(
        "names", "text", "32,033 first names", "MIT", "Karpathy 2022 (makemore)",
        text.names, (text.NAMES,),
    ),
    DataSet(
        "multi30k", "pairs", "29,000 + 1,014 + 1,000 sentences, de, en, fr",
        "research use", "Elliott et al. 2016", text.multi30k,
        tuple(text.MULTI30K.values()),
    ),
    _generated(tasks.copying, "n pairs of 10 letters", "pairs"),
    _generated(tasks.reversing, "n pairs of 10 letters", "pairs"),
    _generated(tasks.addition, "n sums of two numbers", "pairs"),
    _generated(tasks.dates, "n dates and their ISO form", "pairs"),
    _generated(random_graphs.molecules, "n graphs, 2 classes", "graphs"),
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
