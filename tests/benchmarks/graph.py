"""Random graphs, as NumPy arrays for every framework alike."""

import numpy as np


def normalised(nodes, edges, rng):
    """D^-1/2 (A + I) D^-1/2 of a random undirected graph: rows, columns, values."""
    source, goal = rng.integers(0, nodes, (2, edges))
    loops = np.arange(nodes)
    rows = np.concatenate([source, goal, loops])
    columns = np.concatenate([goal, source, loops])
    degree = np.bincount(rows)
    values = 1 / np.sqrt(degree[rows] * degree[columns])
    return rows, columns, values.astype(np.float32)


def cora_like(nodes=2708, edges=5429, features=1433, classes=7):
    """A random graph of Cora's sizes: its matrix, x, labels, training nodes."""
    rng = np.random.default_rng(0)
    matrix = normalised(nodes, edges, rng)
    x = np.zeros((nodes, features), np.float32)
    for row in x:
        row[rng.choice(features, 18, replace=False)] = 1 / 18
    return matrix, x, rng.integers(0, classes, nodes), rng.choice(nodes, 140, False)
