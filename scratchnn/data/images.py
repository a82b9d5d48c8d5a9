"""MNIST and Fashion-MNIST: 70,000 grey images of 28x28 pixels in 10 classes each."""

import numpy as np

from .download import RemoteFile, fetch
from .idx import read_idx
from .records import Labelled

MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
            "master/data/fashion/"
        ),
    ),
}


def _file(folder, name, size, sha256):
    return RemoteFile(f"{folder}/{name}-ubyte.gz", size, sha256, MIRRORS[folder])


MNIST = {  # split: (images, labels)
    "train": (
        _file("mnist", "train-images-idx3", 9912422,
              "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        _file("mnist", "train-labels-idx1", 28881,
              "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    ),
    "test": (
        _file("mnist", "t10k-images-idx3", 1648877,
              "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        _file("mnist", "t10k-labels-idx1", 4542,
              "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
}  # fmt: skip

FASHION_MNIST = {
    "train": (
        _file("fashion-mnist", "train-images-idx3", 26421880,
              "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        _file("fashion-mnist", "train-labels-idx1", 29515,
              "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    ),
    "test": (
        _file("fashion-mnist", "t10k-images-idx3", 4422102,
              "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        _file("fashion-mnist", "t10k-labels-idx1", 5148,
              "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
}  # fmt: skip

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def mnist(split="train"):
    """Handwritten digits: x (N, 28, 28) in [0, 1], 1 is ink; y (N,) in 0..9.

    split "train" has N = 60,000, "test" 10,000. The files come from SCRATCHNN_DATA,
    the cache or the network (see data.download).
    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to
    document recognition", Proc. IEEE 86(11), 1998.
    """
    return _read(MNIST, split)


def fashion_mnist(split="train"):
    """Pictures of clothes, in the format of MNIST; class names: FASHION_CLASSES.

    x (N, 28, 28) in [0, 1], y (N,) in 0..9; N = 60,000 for "train", 10,000 for "test".
    Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST", arXiv:1708.07747, 2017.
    """
    return _read(FASHION_MNIST, split)


def _read(files, split):
    if split not in files:
        raise ValueError(f"split is {split!r}, expected 'train' or 'test'")
    images, labels = (read_idx(fetch(file)) for file in files[split])
    return Labelled(np.divide(images, 255, dtype=np.float32), labels.astype(np.int64))
