"""`scratchnn train gcn`: the defaults and pictures around models/graph.py.

A step sees the whole graph; its "batch" is the nodes that tell their class. Held out
are the nodes of graph.test.
"""

import functools
from typing import NamedTuple

import numpy as np

from .. import data, nn, optim, plot
from ..device import beside
from ..models import graph as graphs
from ..recording import no_grad
from . import OptionError, choice, draw_from, share, switch, weight, whole

UNIT = ""  # the loss is in nats per node, what is wrong a share
LOSS = (
    "the loss is how surprised it is, in nats, when it learns the right class of a "
    "node: less is better"
)
PICTURES = ("graph.png", "nodes.png", "confusion.png")

SETS = {"karate": "karate_club"}  # where the name differs from data's
NETS = "gcn", "sage", "gat", "mlp"
_CITATIONS = dict(
    steps=200, lr=0.01, net="gcn", hidden=16, layers=2, heads=8, dropout=0.5,
    weight_decay=5e-4, residual=False,
)  # fmt: skip
DATA = {
    "karate": _CITATIONS | dict(dropout=0.2),
    "cora": _CITATIONS,
    "citeseer": _CITATIONS,
    "pubmed": _CITATIONS,
}
OPTIONS = {
    "net": (choice(*NETS), "gcn, sage, gat, or mlp, which does not see the edges"),
    "hidden": (whole, "numbers that a node has between the layers"),
    "layers": (whole, "how many: a node hears so many steps away"),
    "heads": (whole, "of gat's first layers, which share --hidden"),
    "dropout": (share, "part of what a layer hears that a step leaves out"),
    "weight_decay": (weight, "of the first layer's weights"),
    "residual": (switch, "on or off: what a node knew is added to what it hears"),
}


# ---- data -----------------------------------------------------------------------
@functools.cache
def graph_of(name):
    """The graph of a data set, with features whose rows sum to 1."""
    graph = data.load(SETS.get(name, name))
    x = graph.x
    if isinstance(x, np.ndarray):
        return graph.changed(x=x / np.maximum(x.sum(axis=1, keepdims=True), 1e-12))
    rows = x.pattern.rows
    sums = np.bincount(rows, x.values, len(graph.y))[rows]
    return graph.changed(x=x.with_values((x.values / sums).astype(x.values.dtype)))


class Nodes(NamedTuple):
    """Some nodes of the graph, by number."""

    nodes: np.ndarray


def load(name):
    """The nodes that are learnt from, and those that are asked for."""
    graph = graph_of(name)
    return Nodes(graph.train), Nodes(graph.test)


def loader(dataset, batch, config, rng=None):
    """One batch: all nodes."""
    return [dataset]


def counted(config):
    """What is counted in len(train)."""
    return "nodes with a known class"


@functools.cache
def _matrix(name, net):
    """What a net wants of the graph."""
    graph = graph_of(name)
    if net == "gcn":
        return graph.normalized_adjacency()
    return (graph.add_self_loops() if net == "gat" else graph).adjacency()


def _inputs(config, model):
    """(x, A, y) of the graph, on the model's device."""
    graph, p = graph_of(config["data"]), next(iter(model.parameters()))
    A, x = _matrix(config["data"], config["net"]), graph.x
    A = A.with_values(beside(A.values, p))
    if isinstance(x, np.ndarray):
        return beside(x, p), A, beside(graph.y, p)
    return x.with_values(beside(x.values, p)), A, beside(graph.y, p)


# ---- the model ------------------------------------------------------------------
class Lone(nn.Module):
    """H' = H W + b, whatever the edges: what a GCN is without its graph."""

    def __init__(self, d_in, d_out, rng=None):
        self.layer = graphs.GCNLayer(d_in, d_out, rng)

    def forward(self, H, A):
        return H @ self.layer.W + self.layer.b


def build(config, rng):
    """The network and its optimizer."""
    graph = graph_of(config["data"])
    classes, hidden, heads = graph.y.max() + 1, config["hidden"], config["heads"]
    if config["net"] == "gat" and hidden % heads:
        raise OptionError(
            f"--heads {heads} must divide --hidden {hidden}: each head has as many "
            "numbers"
        )
    widths = [graph.x.shape[1], *[hidden] * (config["layers"] - 1), int(classes)]
    last = len(widths) - 2
    made = {
        "gcn": lambda n, m, _: graphs.GCNLayer(n, m, rng),
        "sage": lambda n, m, _: graphs.SAGELayer(n, m, rng=rng),
        "mlp": lambda n, m, _: Lone(n, m, rng),
        "gat": lambda n, m, k: graphs.GATLayer(
            n, m if k == last else m // heads, 1 if k == last else heads,
            dropout=config["dropout"], rng=rng,
        ),
    }[config["net"]]  # fmt: skip
    layers = [made(n, m, k) for k, (n, m) in enumerate(zip(widths, widths[1:]))]
    how = config["dropout"], config["residual"]
    model = graphs.GNN(layers, dropout=how[0], residual=how[1], rng=rng)
    first, *others = (layer.parameters() for layer in layers)
    groups = [{"params": first, "weight_decay": config["weight_decay"]}]
    groups += [{"params": rest} for rest in others]
    return model, optim.Adam(groups, lr=config["lr"])


def train(model, optimizer, batches, config, rng):
    """The losses of each step."""
    draw_from(model, rng)
    some = (batch.nodes for batch in batches)
    return graphs.train(model, *_inputs(config, model), some, optimizer)


def losses(model, batch, config, rng):
    """The losses of held-out nodes."""
    nodes = batch.nodes
    x, A, y = _inputs(config, model)
    return graphs.losses(model(x, A)[nodes], y[nodes])


def words(loss, config):
    """The losses in a sentence."""
    n = len(graph_of(config["data"]).test)
    right = round(n * (1 - loss.wrong))
    return (
        f"{right:,} of {n:,} held-out nodes right ({100 * (1 - loss.wrong):.1f} %), "
        f"{loss.loss:.3f} nats per node"
    )


# ---- pictures -------------------------------------------------------------------
@no_grad()
def _known(model, config):
    """(graph, scores (n, classes), what nodes know before the last layer (n, d))."""
    x, A, _ = _inputs(config, model)
    *hidden, scores = model.hidden(x, A)
    inner = hidden[-1] if hidden else scores
    return graph_of(config["data"]), scores.data, inner.data


def principal(H):
    """Rows in the plane of their two largest directions: (n, d) -> (n, 2).

    The first number of each direction is above 0, so that pictures don't flip.
    """
    H = H - H.mean(axis=0)
    _, _, V = np.linalg.svd(H, full_matrices=False)
    V = np.pad(V[:2], ((0, max(0, 2 - len(V))), (0, 0)))
    sign = np.sign(V[np.arange(2), abs(V).argmax(axis=1)])
    return H @ (V * np.where(sign == 0, 1, sign)[:, None]).T


def figures(model, config, test, rng):
    """The graph by its predictions, what nodes know, and what is taken for what."""
    graph, scores, inner = _known(model, config)
    guess, test = scores.argmax(axis=1), test.nodes
    yield _drawn(graph, guess, inner)
    some = graph.y >= 0
    title = "what nodes know before the last layer, by true class"
    yield plot.embedding(principal(inner)[some], graph.y[some], title)
    classes = scores.shape[1]
    counts = np.bincount(graph.y[test] * classes + guess[test], minlength=classes**2)
    names = [str(k) for k in range(classes)]
    yield plot.confusion(counts.reshape(classes, classes), names)


def _drawn(graph, guess, inner):
    wrong = np.flatnonzero((guess != graph.y) & (graph.y >= 0))
    places = plot.spring(graph) if graph.num_nodes <= 500 else principal(inner)
    right = (graph.y >= 0).sum() - len(wrong)
    title = f"predicted classes: {right:,} of {graph.num_nodes:,} right"
    return plot.network(graph, places, guess, title, graph.train, wrong)


def sample(model, config, n, rng):
    """Nothing is drawn by chance: the graph, by what its nodes are taken for."""
    graph, scores, inner = _known(model, config)
    return _drawn(graph, scores.argmax(axis=1), inner)


def snapshot(model, config, rng):
    """What nodes know before the last layer, in the plane: (n, 2)."""
    return principal(_known(model, config)[2]).astype(np.float32)


def colours(config):
    """The true class of each node."""
    return graph_of(config["data"]).y
