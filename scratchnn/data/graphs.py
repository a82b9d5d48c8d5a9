"""Graphs: who is joined to whom, and what is known of each node.

>>> from scratchnn import data
>>> graph = data.Graph(edge_index=[[0, 1, 2], [1, 2, 0]], num_nodes=4)
>>> graph.degree()  # of the edges that arrive at each node
array([1., 1., 1., 0.], dtype=float32)

An edge j -> i is the entry A[i, j] of the adjacency matrix, so that A @ x sums, for
each node i, what arrives there.
"""

import numpy as np

from ..errors import ShapeError
from ..ops.sparse import SparseMatrix


class Graph:
    """Nodes 0 to n - 1 with features x, and edges between them.

    x             (n, F) an array or a SparseMatrix; None if nodes have no features
    edge_index    (2, E) integers: edge e goes from node edge_index[0, e] to node
                  edge_index[1, e]. An undirected edge takes two columns, one each way
    y             (n,) a class for each node, or one for each graph of a batch
    edge_weight   (E,), 1 if None
    edge_attr     (E, D) features of the edges
    num_nodes     n, needed where neither x nor `batch` tell it
    train, val, test   numbers of the nodes whose y may be learnt from, compared with
                  while training, and asked for in the end
    batch         (n,) to which graph a node belongs, 0 if None; see `together`
    num_graphs    how many graphs a batch holds, the last of which may have no nodes

    Raises ShapeError, TypeError, IndexError or ValueError for what doesn't fit, and
    names the edge or the node.
    """

    def __init__(
        self, x=None, edge_index=((), ()), y=None, edge_weight=None, edge_attr=None,
        num_nodes=None, train=None, val=None, test=None, batch=None, num_graphs=None,
    ):  # fmt: skip
        self.x = x if x is None or isinstance(x, SparseMatrix) else np.asarray(x)
        self.batch = None if batch is None else np.asarray(batch)
        self.num_nodes = _number_of_nodes(self.x, self.batch, num_nodes)
        if num_graphs is None:
            num_graphs = 1 if batch is None else int(self.batch.max(initial=-1)) + 1
        self.num_graphs = num_graphs
        self.edge_index = _edges(edge_index, self.num_nodes)
        E = self.num_edges
        self.edge_weight = _for_each("edge_weight", edge_weight, E, "edge")
        self.edge_attr = _for_each("edge_attr", edge_attr, E, "edge")
        self.y = None if y is None else np.asarray(y)
        if self.y is not None and len(self.y) not in (self.num_nodes, self.num_graphs):
            raise ShapeError(
                "Graph", f"y has {len(self.y)} labels, expected one for each of "
                f"{self.num_nodes} nodes or {self.num_graphs} graphs",
            )  # fmt: skip
        self.train, self.val, self.test = (
            None if part is None else _nodes(name, part, self.num_nodes)
            for name, part in (("train", train), ("val", val), ("test", test))
        )
        if self.x is not None:
            _finite("x", getattr(self.x, "values", self.x), "node", self.x)

    # ---- counting ---------------------------------------------------------------
    @property
    def num_edges(self):
        """E, the columns of edge_index: both ways of an undirected edge count."""
        return self.edge_index.shape[1]

    @property
    def weights(self):
        """edge_weight, or ones: (E,)."""
        if self.edge_weight is not None:
            return self.edge_weight
        return np.ones(self.num_edges, np.float32)

    def degree(self):
        """d_i = sum over edges j -> i of their weight: (n,)."""
        n, arriving = self.num_nodes, self.edge_index[1]
        return np.bincount(arriving, self.weights, n).astype(self.weights.dtype)

    def __repr__(self):
        sizes = [f"{self.num_nodes} nodes", f"{self.num_edges} edges"]
        if self.x is not None:
            sizes.append(f"x {self.x.shape}")
        if self.batch is not None:
            sizes.append(f"{self.num_graphs} graphs")
        return f"Graph({', '.join(sizes)})"

    # ---- graphs from this one ---------------------------------------------------
    def changed(self, **parts):
        """A graph with some of its parts replaced: changed(x=other)."""
        names = ("x", "edge_index", "y", "edge_weight", "edge_attr", "num_nodes",
                 "train", "val", "test", "batch", "num_graphs")  # fmt: skip
        return Graph(**({name: getattr(self, name) for name in names} | parts))

    def add_self_loops(self, weight=1.0):
        """The graph with one more edge i -> i for each node: A + weight I.

        A loop that is there stays beside the new one. edge_attr of loops is 0.
        """
        n, own = self.num_nodes, np.arange(self.num_nodes)
        loops = np.full(n, weight, self.weights.dtype)
        attr = self.edge_attr
        if attr is not None:
            attr = np.concatenate([attr, np.zeros((n, *attr.shape[1:]), attr.dtype)])
        return self.changed(
            edge_index=np.concatenate([self.edge_index, [own, own]], axis=1),
            edge_weight=np.concatenate([self.weights, loops]),
            edge_attr=attr,
        )

    def to_undirected(self):
        """Each edge both ways, and none twice: sorted, with the larger weight.

        Edges' features go with them. Loops stay.
        """
        j, i = self.edge_index
        both = np.concatenate([j, i]), np.concatenate([i, j])
        weights = np.concatenate([self.weights, self.weights])
        order = np.lexsort((-weights, both[1], both[0]))  # the heaviest of equals first
        j, i = both[0][order], both[1][order]
        new = np.ones(len(j), bool)
        new[1:] = (j[1:] != j[:-1]) | (i[1:] != i[:-1])
        order = order[new]
        attr = self.edge_attr
        return self.changed(
            edge_index=np.stack([both[0][order], both[1][order]]),
            edge_weight=None if self.edge_weight is None else weights[order],
            edge_attr=None if attr is None else np.concatenate([attr, attr])[order],
        )

    def relabelled(self, order):
        """The same graph by other numbers: new node i is what was order[i].

        order: each of 0 to n - 1 once. Symmetry is that a network does not care.
        """
        order = np.asarray(order)
        if not np.array_equal(np.sort(order), np.arange(self.num_nodes)):
            raise ValueError(
                f"order must hold each of 0 to {self.num_nodes - 1} once, got {order}"
            )
        new = np.empty_like(order)
        new[order] = np.arange(len(order))  # what was node j is now new[j]
        parts = {name: new[getattr(self, name)] for name in ("train", "val", "test")
                 if getattr(self, name) is not None}  # fmt: skip
        if self.x is not None:
            parts["x"] = _rows(self.x, order)
        if self.y is not None and len(self.y) == self.num_nodes:
            parts["y"] = self.y[order]
        if self.batch is not None:
            parts["batch"] = self.batch[order]
        return self.changed(edge_index=new[self.edge_index], **parts)

    # ---- matrices ---------------------------------------------------------------
    def adjacency(self):
        """A (n, n), A[i, j] the weight of the edge j -> i: a SparseMatrix."""
        j, i = self.edge_index
        return SparseMatrix(i, j, self.weights, (self.num_nodes, self.num_nodes))

    def normalized_adjacency(self, self_loops=True, kind="symmetric"):
        """A_hat = D^(-1/2) (A + I) D^(-1/2), D the degrees of A + I: a SparseMatrix.

        Kipf and Welling, arXiv:1609.02907, equation (2). self_loops=False leaves I out.
        kind "mean": D^(-1) (A + I), the mean over what arrives. A node without edges
        gets a row of zeros. Raises ValueError for a degree below 0.
        """
        if kind not in ("symmetric", "mean"):
            raise ValueError(f"kind is {kind!r}, expected 'symmetric' or 'mean'")
        graph = self.add_self_loops() if self_loops else self
        d, (j, i) = graph.degree(), graph.edge_index
        if (d < 0).any():
            node = int(np.argmax(d < 0))
            raise ValueError(
                f"node {node} has degree {d[node]:g}; a normalised matrix needs "
                "degrees of at least 0: take the absolute values of edge_weight"
            )
        lone = d == 0
        power = np.where(lone, 1, d) ** (-0.5 if kind == "symmetric" else -1.0)
        power = np.where(lone, 0, power).astype(d.dtype)
        values = graph.weights * power[i]
        if kind == "symmetric":
            values = values * power[j]
        return SparseMatrix(i, j, values, (self.num_nodes, self.num_nodes))


def together(graphs):
    """Many graphs as one, in which no edge joins two of them: a Graph with `batch`.

    The nodes of the second are numbered on from the first's. y: one for each graph,
    where each graph's y is one number.
    """
    graphs = list(graphs)
    if not graphs:
        raise ValueError("there are no graphs to put together")
    sizes = [graph.num_nodes for graph in graphs]
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])  # each graph's first node
    edges = [graph.edge_index + n for graph, n in zip(graphs, first)]
    return Graph(
        x=_joined("x", [graph.x for graph in graphs]),
        edge_index=np.concatenate(edges, axis=1),
        y=_joined("y", [graph.y for graph in graphs]),
        edge_weight=_joined("edge_weight", [graph.edge_weight for graph in graphs]),
        edge_attr=_joined("edge_attr", [graph.edge_attr for graph in graphs]),
        num_nodes=sum(sizes),
        batch=np.repeat(np.arange(len(graphs)), sizes),
        num_graphs=len(graphs),
    )


def _joined(name, parts):
    """Arrays below each other; None if there are none."""
    missing = [k for k, part in enumerate(parts) if part is None]
    if len(missing) == len(parts):
        return None
    if missing:
        raise ValueError(
            f"graph {missing[0]} has no {name} and others have; give all of them one"
        )
    return np.concatenate([np.atleast_1d(part) for part in parts])


def _rows(x, order):
    """Rows of an array or of a SparseMatrix in another order."""
    if not isinstance(x, SparseMatrix):
        return x[order]
    new = np.empty_like(order)
    new[order] = np.arange(len(order))
    return SparseMatrix(new[x.pattern.rows], x.pattern.columns, x.values, x.shape)


# ---- what must hold -------------------------------------------------------------
def _number_of_nodes(x, batch, num_nodes):
    """n, by whatever tells it."""
    told = {name: n for name, n in (
        ("x", None if x is None else x.shape[0]),
        ("batch", None if batch is None else len(batch)),
        ("num_nodes", num_nodes),
    ) if n is not None}  # fmt: skip
    if x is not None and len(x.shape) != 2:
        raise ShapeError(
            "Graph", f"x has shape {x.shape}, expected (n, F): a row for each node"
        )
    if not told:
        raise ValueError(
            "how many nodes are there? Give x (n, F), or num_nodes: isolated nodes "
            "are in no edge"
        )
    if len(set(told.values())) > 1:
        counts = ", ".join(f"{name} {n}" for name, n in told.items())
        raise ShapeError("Graph", f"the numbers of nodes differ: {counts}")
    return int(next(iter(told.values())))


def _edges(edge_index, n):
    """(2, E) integers from 0 to n - 1, or an error that names the edge."""
    edges = np.asarray(edge_index)
    if edges.ndim != 2 or edges.shape[0] != 2:
        hint = "; give edge_index.T" if edges.shape[1:] == (2,) else ""
        raise ShapeError(
            "Graph",
            f"edge_index has shape {edges.shape}, expected (2, E): senders above "
            f"receivers, a column for each edge{hint}",
        )
    if edges.size and edges.dtype.kind not in "iu":
        raise TypeError(
            f"Graph: edge_index is {edges.dtype}, expected integers, the numbers of "
            "nodes; convert with edge_index.astype(int)"
        )
    bad = ((edges < 0) | (edges >= n)).any(axis=0)
    if bad.any():
        e = int(bad.argmax())
        raise IndexError(
            f"Graph: edge {e} goes from node {edges[0, e]} to node {edges[1, e]}; "
            + (f"there are nodes 0 to {n - 1}" if n else "there are no nodes")
        )
    return edges.astype(np.int64, copy=False)


def _for_each(name, values, n, what):
    """An array of a number, or a row, for each edge."""
    if values is None:
        return None
    values = np.asarray(values)
    if values.shape[:1] != (n,):
        raise ShapeError(
            "Graph", f"{name} has shape {values.shape}, expected ({n}, ...): one for "
            f"each {what}",
        )  # fmt: skip
    _finite(name, values, what)
    return values


def _nodes(name, nodes, n):
    """Numbers of nodes; a mask of booleans says the same."""
    nodes = np.asarray(nodes)
    if nodes.dtype == bool and nodes.shape == (n,):
        nodes = np.flatnonzero(nodes)
    bad = (nodes < 0) | (nodes >= n)
    if bad.any():
        raise IndexError(
            f"Graph: {name} holds node {nodes[bad.argmax()]}; there are nodes 0 to "
            f"{n - 1}"
        )
    return nodes.astype(np.int64, copy=False)


def _finite(name, values, what, matrix=None):
    """No NaN, no infinity, or an error that names the edge or the node."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    place = int(np.argmax(~np.isfinite(values.reshape(len(values), -1)).all(axis=1)))
    value = values[place][~np.isfinite(values[place])].flat[0]
    if isinstance(matrix, SparseMatrix):  # the entry's row is the node
        place = int(matrix.pattern.rows[place])
    raise ValueError(
        f"Graph: {name} of {what} {place} is {value}; replace it, such as by the mean "
        "of the others"
    )
