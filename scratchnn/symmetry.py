"""Does f know that x, seen otherwise, is the same x?

f is equivariant under a group of changes g if f(g x) = g f(x), invariant if f(g x) =
f(x): relabel the nodes, and a graph convolution's rows are relabelled; its readout
stays.

>>> from scratchnn import data, nn, symmetry
>>> conv = nn.Conv2d(1, 4, 3)
>>> f = lambda x: conv(x)
>>> symmetry.check(f, symmetry.Translations(), images)   # doctest: +SKIP
not equivariant under Translations: worst 0.41 ...

`check` tries random elements of the group. What passes may still fail elsewhere; what
fails, fails.
"""

from typing import NamedTuple

import numpy as np

from .data.graphs import Graph
from .device import to_device
from .random import default_rng
from .tensor import Tensor


class Report(NamedTuple):
    """The worst violation that `check` found.

    worst: max |f(g x) - g f(x)| over the entries, divided by max |f(x)|, so that 0 is
    perfect and 1 is as wrong as f is large. element: the g it was found at; where: the
    entry of what was compared; given and expected: f(g x) and g f(x) there. A Report is
    true if worst is at most tolerance.
    """

    worst: float
    tolerance: float
    element: object
    where: tuple
    given: float
    expected: float
    group: object
    invariant: bool

    def __bool__(self):
        return self.worst <= self.tolerance

    def __str__(self):
        what = "invariant" if self.invariant else "equivariant"
        group = type(self.group).__name__
        if self:
            return f"{what} under {group}: worst {self.worst:.1e}"
        formula = "f(x)" if self.invariant else "g f(x)"
        return (
            f"not {what} under {group}: worst {self.worst:.2g} of f's size, at entry "
            f"{self.where}: f(g x) is {self.given:.4g}, {formula} is "
            f"{self.expected:.4g}, for g = {self.group.words(self.element)}"
        )

    __repr__ = __str__


def check(f, group, x, invariant=False, tolerance=None, n=20, rng=None):
    """Hold f(g x) against g f(x), or against f(x) if invariant, for n random g: Report.

    f: from what the group acts on to an array or Tensor, or a tuple of them. group:
    Permutations(), Translations(), Rotations() or SignFlips(), or anything with
    elements(x, n, rng), act(g, x) and answer(g, y), see Group. tolerance: 1e-5 in
    float32, 1e-12 in float64 if None. Raises ValueError if f's answer has another shape
    for g x than for x.
    """
    y = _arrays(f(x))
    if tolerance is None:
        tolerance = 1e-12 if all(part.dtype == np.float64 for part in y) else 1e-5
    size = [max(np.abs(part).max(initial=0), np.finfo(part.dtype).tiny) for part in y]
    worst = None
    for g in group.elements(x, n, default_rng(rng)):
        given = _arrays(f(group.act(g, x)))
        shapes = [[part.shape for part in parts] for parts in (given, y)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"f(g x) has the shapes {shapes[0]} and f(x) {shapes[1]}; a symmetry "
                "needs equal ones"
            )
        wanted = y if invariant else _arrays(group.answer(g, y))
        for k, (a, b) in enumerate(zip(given, wanted)):
            a, b = group.compared(g, a), group.compared(g, b)
            off = np.abs(a - b) / size[k]
            if not off.size:
                continue
            off = np.where(np.isfinite(off), off, np.inf)
            place = np.unravel_index(off.argmax(), off.shape)
            found = Report(
                float(off[place]), tolerance, g, tuple(map(int, place)),
                float(a[place]), float(b[place]), group, invariant,
            )  # fmt: skip
            if worst is None or found.worst > worst.worst:
                worst = found
    if worst is None:
        raise ValueError("nothing to compare: f's answer or the group is empty")
    return worst


def _arrays(y):
    """A tuple of arrays, on the CPU."""
    y = y if isinstance(y, tuple) else (y,)
    y = (part.data if isinstance(part, Tensor) else part for part in y)
    y = (part if hasattr(part, "dtype") else np.asarray(part) for part in y)
    return tuple(to_device(part, "cpu") for part in y)


class Group:
    """Changes of x under which something is to stay the same."""

    def elements(self, x, n, rng):
        """n random elements g for this x."""
        raise NotImplementedError

    def act(self, g, x):
        """g x"""
        raise NotImplementedError

    def answer(self, g, y):
        """g f(x), from the arrays y of f(x); f's answer changes as x does if not said.
        """
        return tuple(self.act(g, part) for part in y)

    def compared(self, g, y):
        """The part of an array of answers that is compared: all of it."""
        return y

    def words(self, g):
        """g, as a reader wants to see it."""
        return str(g)


class Permutations(Group):
    """Nodes or rows by other numbers. x: a Graph, or rows in an array (n, ...)."""

    def elements(self, x, n, rng):
        nodes = x.num_nodes if isinstance(x, Graph) else len(x)
        return [rng.permutation(nodes) for _ in range(n)]

    def act(self, g, x):
        return x.relabelled(g) if isinstance(x, Graph) else x[g]

    def words(self, g):
        shown = ", ".join(map(str, g[:8])) + (", ..." if len(g) > 8 else "")
        return f"the order [{shown}]"


class Translations(Group):
    """Pictures (..., H, W), moved by whole pixels; what leaves comes in opposite.

    by: moves are its multiples. scale: how far f's picture moves when x moves by one: a
    network that halves its pictures is at best equivariant by=2, scale=0.5.
    margin: compare only pixels that have kept so far from the edge of f's picture,
    since padding with zeros is not cyclic; None for all.
    """

    def __init__(self, by=1, scale=1.0, margin=None):
        self.by, self.scale, self.margin = by, scale, margin

    def elements(self, x, n, rng):
        H, W = x.shape[-2:]
        down = rng.integers(-(H // 2 // self.by), H // 2 // self.by + 1, n)
        right = rng.integers(-(W // 2 // self.by), W // 2 // self.by + 1, n)
        return [(int(a) * self.by, int(b) * self.by) for a, b in zip(down, right)]

    def act(self, g, x):
        return np.roll(x, g, axis=(-2, -1))

    def answer(self, g, y):
        moves = tuple(int(round(self.scale * move)) for move in g)
        return tuple(np.roll(part, moves, axis=(-2, -1)) for part in y)

    def compared(self, g, y):
        if self.margin is None:
            return y
        m, (down, right) = self.margin, (int(round(self.scale * move)) for move in g)
        H, W = y.shape[-2:]
        return y[
            ...,
            m + max(down, 0) : max(H - m + min(down, 0), 0),
            m + max(right, 0) : max(W - m + min(right, 0), 0),
        ]

    def words(self, g):
        return f"{g[0]} pixels down and {g[1]} right"


class Rotations(Group):
    """Rotations of points x (n, D) about 0; with reflections and moves if asked.

    features: f takes and gives (h, x), of which only x is turned. Then x is that tuple.
    """

    def __init__(self, reflections=True, moves=True):
        self.reflections, self.moves = reflections, moves

    def elements(self, x, n, rng):
        return [self._element(_places(x), rng) for _ in range(n)]

    def _element(self, x, rng):
        D = x.shape[-1]
        Q, R = np.linalg.qr(rng.standard_normal((D, D)))
        Q = Q * np.sign(np.diag(R))  # uniform among the orthogonal matrices
        if np.linalg.det(Q) < 0 and not self.reflections:
            Q[:, 0] = -Q[:, 0]
        move = rng.standard_normal(D) if self.moves else np.zeros(D)
        return Q.astype(x.dtype), move.astype(x.dtype)

    def act(self, g, x):
        if isinstance(x, tuple):  # features stay
            return (*x[:-1], self.act(g, x[-1]))
        Q, move = g
        return x @ Q.T + move

    def answer(self, g, y):
        return (*y[:-1], self.act(g, y[-1]))

    def words(self, g):
        Q, move = g
        kind = "reflection" if np.linalg.det(Q) < 0 else "rotation"
        moved = " and a move by " + str(np.round(move, 2)) if move.any() else ""
        return f"a {kind}{moved}"


class SignFlips(Group):
    """Columns of x (n, k) times 1 or -1: an eigenvector's sign is anyone's choice.

    f's answer is asked to stay, with check(..., invariant=True); as equivariance, its
    columns are to flip with those of x.
    """

    def elements(self, x, n, rng):
        return [rng.choice([-1, 1], x.shape[-1]).astype(x.dtype) for _ in range(n)]

    def act(self, g, x):
        return x * g

    def words(self, g):
        return f"the signs {g.astype(int).tolist()}"


def _places(x):
    return x[-1] if isinstance(x, tuple) else x
