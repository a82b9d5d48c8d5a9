"""Captioned digits: pictures of one or two digits, and what they show in words.

    images, texts, labels = captions(1000)
    texts[0]          # "a small seven, slanted left, on the right"

The pictures are composed from the bundled digits on a canvas of 16x16 pixels. Each
caption follows from five choices, a `Scene`, and `scenes()` lists all 150 of them, so
that a model can be asked for what it never saw put together.
"""

from typing import NamedTuple

import numpy as np

from ..random import default_rng
from .included import digits

SIZE = 16
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip


class Scene(NamedTuple):
    """What a picture shows: `count` times the digit, `slant` and `side` "" if neither.

    digit 0..9; count 1 or 2; size "small" or "large"; slant and side "left", "right" or
    "". Only one small digit has a side; two digits are always small.
    """

    digit: int
    count: int = 1
    size: str = "small"
    slant: str = ""
    side: str = ""

    @property
    def text(self):
        """The caption: "a large seven, slanted left", "two small threes"."""
        name = NUMBERS[self.digit]
        if self.count == 2:
            name += "es" if name.endswith("x") else "s"
        words = f"{('a', 'two')[self.count - 1]} {self.size} {name}"
        words += f", slanted {self.slant}" if self.slant else ""
        return words + (f", on the {self.side}" if self.side else "")


def scenes():
    """All 150 scenes: 10 digits, 3 slants, and 5 of count, size and side together."""
    ways = [
        (1, "large", ""), (1, "small", ""), (1, "small", "left"), (1, "small", "right"),
        (2, "small", ""),
    ]  # fmt: skip
    return [
        Scene(digit, count, size, slant, side)
        for digit in range(10)
        for count, size, side in ways
        for slant in ("", "left", "right")
    ]


class Captioned(NamedTuple):
    """Pictures with captions: `images, texts, labels = data.captions()`.

    images (N, 16, 16) float32 in [0, 1], 1 is ink; texts, a list of N str; labels
    (N, 2) int64: the digit, and how many of it.
    """

    images: np.ndarray
    texts: list
    labels: np.ndarray


def captions(n=1000, split="train", of=None, rng=None):
    """n pictures of random scenes, each equally likely, with what they show.

    of: a list of scenes to choose from; all, if None. split: "train" or "test", which
    says what bundled digits are used; see data.digits. Returns Captioned(images,
    texts, labels).
    """
    rng = default_rng(rng)
    of = scenes() if of is None else list(of)
    chosen = [of[i] for i in rng.integers(len(of), size=n)]
    images = draw(chosen, split, rng)
    labels = [(scene.digit, scene.count) for scene in chosen]
    labels = np.array(labels, dtype=np.int64).reshape(n, 2)
    return Captioned(images, [scene.text for scene in chosen], labels)


# ---- drawing --------------------------------------------------------------------
SLANT = 0.3  # columns to the right for each row up
STRETCH = 1.6  # of a large digit: its 8 rows become about 13


def draw(scenes, split="train", rng=None):
    """One picture of each scene, of digits picked at random: (N, 16, 16) in [0, 1].

    A slanted digit leans by SLANT, others stand upright. One without a side is in the
    middle, and of two one is on each side. Size, slant and place vary a little.
    """
    rng, n = default_rng(rng), len(scenes)
    slant = SLANT * np.array([_SIGN[s.slant] for s in scenes])
    stretch = np.array([STRETCH if s.size == "large" else 1.0 for s in scenes])
    two = np.array([s.count == 2 for s in scenes], dtype=bool)
    column = 4 * np.array([_SIGN[s.side] for s in scenes])
    first = _layer(scenes, split, slant, stretch, np.where(two, -4, column), rng)
    second = _layer(scenes, split, slant, stretch, np.full(n, 4), rng)
    return np.where(two[:, None, None], np.maximum(first, second), first)


_SIGN = {"left": -1, "": 0, "right": 1}


def _layer(scenes, split, slant, stretch, column, rng):
    """A digit for each scene, its middle at a column: (N, 16, 16)."""
    n = len(scenes)
    x, y = digits(split)
    order = np.argsort(y, kind="stable")
    counts = np.bincount(y, minlength=10)
    of = np.array([s.digit for s in scenes], dtype=np.int64)
    nth = (rng.random(n) * counts[of]).astype(np.int64)
    pick = order[np.cumsum(counts)[of] - counts[of] + nth]
    leans = lean(x)
    usual = np.bincount(y, leans) / counts  # a 7 leans by its shape
    straight = (usual[y] - leans)[pick]
    large = stretch > 1
    row = rng.uniform(-1, 1, n) * np.where(large, 0.5, 3)
    column = column + rng.uniform(-1, 1, n)
    return _warp(
        x[pick],
        stretch * np.where(large, rng.uniform(0.95, 1.05, n), 1),
        slant + straight + rng.uniform(-0.05, 0.05, n),
        np.where(large, row, np.round(row)),  # whole pixels keep small digits sharp
        np.where(large, column, np.round(column)),
    )


def lean(images):
    """Columns to the right for each row up, by the moments of the ink: (N,)."""
    v, u = np.indices(images.shape[1:])
    ink = images.sum(axis=(1, 2))
    v, u = (p - _of_all(images, p, ink)[:, None, None] for p in (v, u))  # (N, H, W)
    return -_of_all(images, v * u, ink) / _of_all(images, v * v, ink)


def _of_all(images, values, ink):
    """The mean of some values over the ink of each image: (N,)."""
    return (images * values).sum(axis=(1, 2)) / ink


def _warp(images, stretch, slant, row, column):
    """Images (N, h, w) on the canvas, their middles moved from its own: (N, 16, 16).

    Each pixel of the canvas looks up where it comes from, between four pixels there.
    """
    n, h, w = images.shape
    stretch, slant, row, column = (
        np.reshape(a, (n, 1, 1)) for a in (stretch, slant, row, column)
    )
    v, u = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    v = (v - row) / stretch  # (N, 16, 16): in pixels of the digit, from its middle
    u = (u - column) / stretch + slant * v
    v, u = v + (h - 1) / 2, u + (w - 1) / 2
    top, left = np.floor(v).astype(int), np.floor(u).astype(int)
    canvas = np.zeros((n, SIZE, SIZE), np.float32)
    paper = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    for r in (top, top + 1):
        for c in (left, left + 1):
            share = (1 - abs(v - r)) * (1 - abs(u - c))
            i, j = np.clip(r, -1, h) + 1, np.clip(c, -1, w) + 1
            canvas += share * paper[np.arange(n)[:, None, None], i, j]
    return np.minimum(canvas, 1)
