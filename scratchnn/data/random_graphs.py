"""Graphs that are drawn or built here: communities, grids, rings, molecules."""

import numpy as np

from ..random import default_rng
from .graphs import Graph

ATOMS = "C", "N", "O"


def stochastic_block_model(sizes, p_in=0.2, p_out=0.02, rng=None):
    """Communities: nodes of one are joined with probability p_in, of two with p_out.

    sizes: how many nodes each community has; y (n,) is the community. x is I (n, n).
    Holland, Laskey and Leinhardt 1983. Raises ValueError for a probability outside
    [0, 1].
    """
    for name, p in (("p_in", p_in), ("p_out", p_out)):
        if not 0 <= p <= 1:
            raise ValueError(f"{name} is {p}, expected a probability from 0 to 1")
    y = np.repeat(np.arange(len(sizes)), sizes)
    n = len(y)
    i, j = np.triu_indices(n, 1)  # each pair once
    joined = default_rng(rng).random(len(i)) < np.where(y[i] == y[j], p_in, p_out)
    return Graph(np.eye(n, dtype=np.float32), _both_ways(i[joined], j[joined]), y)


def grid_graph(height, width):
    """The pixels of a picture, each joined with those beside, above and below it.

    Node r width + c is the pixel in row r and column c.
    """
    nodes = np.arange(height * width).reshape(height, width)
    beside = nodes[:, :-1].ravel(), nodes[:, 1:].ravel()
    below = nodes[:-1].ravel(), nodes[1:].ravel()
    i, j = (np.concatenate(both) for both in zip(beside, below))
    return Graph(edge_index=_both_ways(i, j), num_nodes=height * width)


def ring_graph(n):
    """n nodes in a circle, each joined with the one before and the one after it."""
    if n < 3:
        raise ValueError(f"a ring needs at least 3 nodes, got {n}")
    i = np.arange(n)
    return Graph(edge_index=_both_ways(i, (i + 1) % n), num_nodes=n)


def molecules(n=1000, rng=None):
    """n made-up molecules: has it a ring of six atoms, y 1, or of five only, y 0?

    A list of Graphs: a ring with a tree of 2 to 8 more atoms on it. x (atoms, 3) is the
    one-hot code of carbon, nitrogen, oxygen, drawn alike for both; edge_attr (E, 2)
    that of a bond in the ring or elsewhere. Counts of atoms don't tell y: the tree of a
    ring of five has one atom more.
    """
    rng = default_rng(rng)
    return [_molecule(int(six), rng) for six in rng.integers(0, 2, n)]


def _molecule(six, rng):
    ring, size = 5 + six, int(rng.integers(8, 15))
    i, j = [*range(ring)], [*range(1, ring), 0]
    for node in range(ring, size):  # a tree: each atom hangs on one that is there
        i.append(node)
        j.append(int(rng.integers(node)))
    bonds = np.repeat(np.array([[1, 0], [0, 1]], np.float32), [ring, size - ring], 0)
    kinds = rng.choice(len(ATOMS), size, p=[0.7, 0.15, 0.15])
    x = np.eye(len(ATOMS), dtype=np.float32)[kinds]
    edges = np.array([i + j, j + i])
    return Graph(x, edges, [six], edge_attr=np.concatenate([bonds, bonds]))


def _both_ways(i, j):
    return np.stack([np.concatenate([i, j]), np.concatenate([j, i])]).astype(np.int64)
