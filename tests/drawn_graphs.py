"""Graphs for tests: by hypothesis, with all that is odd about graphs."""

import numpy as np
from hypothesis import strategies as st

from scratchnn import data


@st.composite
def graphs(draw, d=3, dtype=np.float64, loops=True, undirected=False):
    """1 to 7 nodes, 0 to 15 edges: loops, repeats, lone nodes, weights above 0."""
    n = draw(st.integers(1, 7))
    E = draw(st.integers(0, 15))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edges = rng.integers(0, n, (2, E))
    if not loops:
        edges = edges[:, edges[0] != edges[1]]
    weight = rng.uniform(0.5, 2, edges.shape[1]).astype(dtype)
    if undirected:
        edges = np.concatenate([edges, edges[::-1]], axis=1)
        weight = np.concatenate([weight, weight])
    x = rng.standard_normal((n, d)).astype(dtype)
    attr = rng.standard_normal((edges.shape[1], 2)).astype(dtype)
    return data.Graph(x, edges, edge_weight=weight, edge_attr=attr)


def dense(A):
    """A SparseMatrix as an array."""
    M = np.zeros(A.shape)
    np.add.at(M, (A.pattern.rows, A.pattern.columns), np.asarray(A.values))
    return M
