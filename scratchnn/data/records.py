"""What a data set looks like to its user: named arrays that also unpack."""

from typing import NamedTuple

import numpy as np


class Labelled(NamedTuple):
    """Samples and their labels: `x, y = data.digits()`, or `.x` and `.y`.

    x (N, ...) float32, y (N,) int64: sample i is x[i], its class is y[i].
    """

    x: np.ndarray
    y: np.ndarray


class Graph(NamedTuple):
    """One graph with labelled nodes: features, edges, classes.

    x (N, F) float32, edge_index (2, E) int64, y (N,) int64. Column e of edge_index is
    an edge from node edge_index[0, e] to node edge_index[1, e]; an undirected edge
    takes two columns, one each way.
    """

    x: np.ndarray
    edge_index: np.ndarray
    y: np.ndarray
