"""The data sets inside the package. Sources and licences: bundled/README.md."""

from pathlib import Path

import numpy as np

from .graphs import Graph
from .records import Labelled

FOLDER = Path(__file__).parent / "bundled"
SPLITS = {"all": slice(None), "train": slice(None, 1437), "test": slice(1437, None)}


def digits(split="all"):
    """1,797 handwritten digits of 8x8 pixels: x (N, 8, 8) in [0, 1], y (N,) in 0..9.

    split "all" gives 1,797 images, "train" the first 1,437 and "test" the last 360, in
    the order of the file. Neighbours in the file look alike, so the test digits are
    harder than ones picked at random: the nearest training image has the right label
    for 95.6 % of them, against about 99 % after shuffling.

    Raises ValueError for another split. Source: Alpaydin and Kaynak 1998, CC BY 4.0.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected 'all', 'train' or 'test'")
    with np.load(FOLDER / "digits.npz", allow_pickle=False) as file:
        images, labels = file["images"][SPLITS[split]], file["labels"][SPLITS[split]]
    return Labelled(np.divide(images, 16, dtype=np.float32), labels.astype(np.int64))


def karate_club():
    """Zachary's karate club: 34 members, 78 friendships, and who joined which club.

    A Graph. x (34, 34) is the identity, since members have no features; edge_index (2,
    156) holds each friendship both ways, sorted; y (34,) is 0 for the instructor's club
    (node 0) and 1 for the officers' (node 33), as joined after the split. train: these
    two leaders; test: the others. Source: Zachary 1977, in the usual version with 78
    edges.
    """
    with np.load(FOLDER / "karate_club.npz", allow_pickle=False) as file:
        edges, club = file["edges"].astype(np.int64), file["club"].astype(np.int64)
    both_ways = np.concatenate([edges, edges[:, ::-1]])  # (156, 2)
    edge_index = np.unique(both_ways, axis=0).T.copy()  # (2, 156)
    n = len(club)
    return Graph(
        np.eye(n, dtype=np.float32), edge_index, club, train=[0, n - 1],
        test=np.arange(1, n - 1),
    )  # fmt: skip
