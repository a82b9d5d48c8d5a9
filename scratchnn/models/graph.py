"""Graph networks: each node hears from its neighbours, and all nodes do alike.

A is the matrix of the graph (Graph.adjacency, a SparseMatrix): A[i, j] is the weight of
the edge j -> i, so that (A H)_i sums over the neighbours of node i. H (n, d) has the
features of node i in row i. A layer is (H, A) -> H', and each has the same symmetry:
nodes numbered otherwise give the same rows, numbered otherwise (symmetry.py).

Layers first, then how a whole graph is read off, then networks and their training.
"""

from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside
from ..nn import init
from ..ops.sparse import SparseMatrix
from ..recording import no_grad
from ..tensor import Tensor

AGGREGATES = {
    "sum": ops.segment_sum,
    "mean": ops.segment_mean,
    "max": ops.segment_max,
}


def message_passing(A, H, message=None, aggregate="sum"):
    """h'_i = aggregate over the edges j -> i of message(h_i, h_j, a_ij).

    H (n, ...) -> (n, ...). message gets a row for each edge: h_i, h_j (E, ...) and the
    weights a_ij (E,), in the order of A's entries; None stands for a_ij h_j. aggregate:
    "sum", "mean" or "max"; a node that hears nothing gets 0. Gilmer et al.,
    arXiv:1704.01212, equation (1).
    """
    if message is None and aggregate == "sum":
        return A @ H  # a sum of a_ij h_j is a product of matrices: no row for each edge
    i, j = (beside(places, H) for places in (A.pattern.rows, A.pattern.columns))
    if message is None:
        message = weighted
    return AGGREGATES[aggregate](message(H[i], H[j], A.values), i, A.shape[0])


def weighted(h_i, h_j, a_ij):
    """a_ij h_j, the plain message."""
    return a_ij.reshape(-1, *(1 for _ in h_j.shape[1:])) * h_j


def _weight(*shape, rng=None):
    """A matrix of parameters, by Glorot and Bengio's rule."""
    W = Tensor(np.empty(shape, np.float32), requires_grad=True)
    return init.xavier_uniform_(W, rng=rng)


def _bias(n):
    return Tensor(np.zeros(n, np.float32), requires_grad=True)


# ---- layers ---------------------------------------------------------------------
class GCNLayer(nn.Module):
    """H' = A_hat H W + b;  h'_i = b + sum_j h_j W / sqrt(d_i d_j), over j -> i and i.

    H (n, d_in), A_hat = graph.normalized_adjacency() (n, n) -> (n, d_out); W (d_in,
    d_out). Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional
    Networks", ICLR 2017, arXiv:1609.02907, equation (2).
    """

    def __init__(self, d_in, d_out, rng=None):
        self.W, self.b = _weight(d_in, d_out, rng=rng), _bias(d_out)

    def forward(self, H, A_hat):
        return message_passing(A_hat, H @ self.W) + self.b


class ChebLayer(nn.Module):
    """H' = sum_k T_k(L_tilde) H W_k + b, k = 0, ..., K: hears K steps away.

    T_0 = 1, T_1(x) = x, T_k(x) = 2 x T_(k-1)(x) - T_(k-2)(x), Chebyshev's polynomials.
    By node, T_1: (L_tilde h)_i = sum_j L_tilde[i, j] h_j. L_tilde (n, n), eigenvalues
    in [-1, 1], is spectral.scaled_laplacian(graph). H (n, d_in) -> (n, d_out), each W_k
    (d_in, d_out). Defferrard, Bresson and Vandergheynst, NeurIPS 2016,
    arXiv:1606.09375, equation (4). K = 1 and one W for both terms make a GCN.
    """

    def __init__(self, d_in, d_out, K=2, rng=None):
        self.W = [_weight(d_in, d_out, rng=rng) for _ in range(K + 1)]
        self.b = _bias(d_out)

    def forward(self, H, L_tilde):
        T, out = [H], H @ self.W[0]
        for W_k in self.W[1:]:
            T_k = message_passing(L_tilde, T[-1])
            T.append(T_k if len(T) == 1 else 2 * T_k - T[-2])
            out = out + T[-1] @ W_k
        return out + self.b


class SAGELayer(nn.Module):
    """H' = H W_self + mean(H) W + b;  h'_i = h_i W_self + mean_j h_j W + b, by j -> i.

    aggregate "mean", or "max": then neighbours go through a layer first, and h'_i has
    max_j relu(h_j W_pool + b_pool) W, entry by entry. Weights of edges don't count. H
    (n, d_in) -> (n, d_out). Hamilton, Ying and Leskovec, "Inductive Representation
    Learning on Large Graphs", NeurIPS 2017, arXiv:1706.02216, algorithm 1 and equations
    (2), (3); W_self and W are their one matrix for the two rows beside each other.
    """

    def __init__(self, d_in, d_out, aggregate="mean", rng=None):
        if aggregate not in ("mean", "max"):
            raise ValueError(f"aggregate is {aggregate!r}, expected 'mean' or 'max'")
        self.aggregate = aggregate
        if aggregate == "max":
            self.W_pool, self.b_pool = _weight(d_in, d_in, rng=rng), _bias(d_in)
        self.W_self, self.W = (_weight(d_in, d_out, rng=rng) for _ in range(2))
        self.b = _bias(d_out)

    def forward(self, H, A):
        H_j = H
        if self.aggregate == "max":
            H_j = ops.relu(H @ self.W_pool + self.b_pool)
        elif isinstance(H, SparseMatrix):  # rows of it can't be picked: W comes first
            return self._mean(H, A)
        heard = message_passing(A, H_j, _plain, self.aggregate)
        return H @ self.W_self + heard @ self.W + self.b

    def _mean(self, H, A):
        heard = message_passing(A, H @ self.W, _plain, "mean")  # mean(H) W = mean(H W)
        return H @ self.W_self + heard + self.b


def _plain(h_i, h_j, a_ij):
    """h_j, whatever the weight."""
    return h_j


class GATLayer(nn.Module):
    """H' = alpha H W + b, by head;  h'_i = sum_j alpha_ij h_j W + b, over j -> i.

    alpha_ij = softmax over j of LeakyReLU(a_i . W h_i + a_j . W h_j): attention, but
    only to neighbours (a node hears itself if A has loops; weights don't count). H
    (n, d_in) -> (n, heads d_out), the heads beside each other, or (n, d_out), their
    mean, if not concat. dropout: of each alpha, and of each number of W h_j on its way
    out, as in the authors' program; the paper names the first alone. Velickovic et al.,
    "Graph Attention Networks", ICLR 2018, arXiv:1710.10903, equations (1) to (6); their
    one vector a is a_i above a_j.
    """

    def __init__(
        self, d_in, d_out, heads=1, concat=True, dropout=0.0, slope=0.2, rng=None
    ):
        self.heads, self.concat, self.slope = heads, concat, slope
        self.W = _weight(d_in, heads * d_out, rng=rng)
        self.a_i, self.a_j = (_weight(heads, d_out, rng=rng) for _ in range(2))
        self.b = _bias(heads * d_out if concat else d_out)
        self.dropout = nn.Dropout(dropout, rng)

    def forward(self, H, A):
        Z = self._heads(H)
        alpha = self.dropout(self._alpha(Z, A))[..., None]  # (E, heads, 1)
        Z = self.dropout(Z)
        out = message_passing(A, Z, lambda _, z_j, a: alpha * z_j)  # (n, heads, d_out)
        out = out.reshape(len(out), -1) if self.concat else out.mean(axis=1)
        return out + self.b

    @no_grad()
    def attention(self, H, A):
        """alpha (E, heads), in the order of A's entries: who listens how much to whom.

        The weights of the edges that arrive at a node sum to 1, in each head.
        """
        return self._alpha(self._heads(H), A).data

    def _heads(self, H):
        """H W, (n, heads, d_out)."""
        Z = H @ self.W
        return Z.reshape(len(Z), self.heads, -1)

    def _alpha(self, Z, A):
        s_i, s_j = ((Z * a).sum(axis=-1) for a in (self.a_i, self.a_j))  # (n, heads)
        i, j = (beside(places, Z) for places in (A.pattern.rows, A.pattern.columns))
        scores = ops.leaky_relu(s_i[i] + s_j[j], self.slope)  # (E, heads)
        return ops.segment_softmax(scores, i, A.shape[0])


class GINLayer(nn.Module):
    """H' = f((1 + eps) H + A H);  h'_i = f((1 + eps) h_i + sum_j h_j), over j -> i.

    f: a module, such as MLP([d_in, d, d_out]). H (n, d_in) -> (n, d_out). A sum, since
    a mean can't count neighbours: with it a layer tells apart what the test of
    Weisfeiler and Lehman does (weisfeiler_lehman.py). eps is learnt if train_eps. Xu,
    Hu, Leskovec and Jegelka, "How Powerful are Graph Neural Networks?", ICLR 2019,
    arXiv:1810.00826, equation (4.1).
    """

    def __init__(self, f, eps=0.0, train_eps=False):
        self.f = f
        self.eps = eps
        if train_eps:
            self.eps = Tensor(np.array(eps, np.float32), requires_grad=True)

    def forward(self, H, A):
        return self.f((1 + self.eps) * H + message_passing(A, H))


class EdgeLayer(nn.Module):
    """h'_i = h_i W + sum_j h_j Theta(e_ij) + b, over j -> i: the edge says how to hear.

    Theta: a network from the features of an edge to a matrix (d_in, d_out). H (n,
    d_in), edge_attr (E, d_edge) in the order of A's entries -> (n, d_out). Simonovsky
    and Komodakis, CVPR 2017, arXiv:1704.02901, equation (1), with the sum of Gilmer et
    al., arXiv:1704.01212, section 5.
    """

    def __init__(self, d_in, d_out, d_edge, hidden=32, rng=None):
        self.W, self.b = _weight(d_in, d_out, rng=rng), _bias(d_out)
        self.Theta = nn.MLP([d_edge, hidden, d_in * d_out], rng=rng)

    def forward(self, H, A, edge_attr):
        Theta = self.Theta(edge_attr).reshape(-1, *self.W.shape)  # (E, d_in, d_out)
        if len(Theta) != len(A.pattern):
            raise ValueError(
                f"edge_attr has {len(Theta)} rows and A {len(A.pattern)} entries; give "
                "one for each edge"
            )
        heard = message_passing(
            A, H, lambda _, h_j, a: (h_j[:, None, :] @ Theta)[:, 0]
        )  # (n, d_out)
        return H @ self.W + heard + self.b


# ---- a whole graph --------------------------------------------------------------
def readout(H, batch, num_graphs, how="sum"):
    """One row for each graph, whatever the order of its nodes: the sum, mean or max.

    H (n, d), batch (n,) the graph of each node -> (num_graphs, d).
    """
    return AGGREGATES[how](H, batch, num_graphs)


class AttentionReadout(nn.Module):
    """sum_i alpha_i h_i,  alpha = softmax over the nodes of a graph of q . h_i.

    H (n, d), batch (n,) -> (num_graphs, d). After Li et al., arXiv:1511.05493, equation
    (7), with a softmax for their sigmoid.
    """

    def __init__(self, d, rng=None):
        self.q = _weight(d, 1, rng=rng)

    def forward(self, H, batch, num_graphs):
        alpha = ops.segment_softmax(H @ self.q, batch, num_graphs)  # (n, 1)
        return ops.segment_sum(alpha * H, batch, num_graphs)


# ---- networks -------------------------------------------------------------------
class GNN(nn.Module):
    """H_(l+1) = f(layer_l(H_l, A)), the last layer without f: a row for each node.

    layers: modules (H, A) -> H'. activation: f. dropout: of what enters each layer.
    residual: H_l is added to f(...) where their widths are equal, so that depth does
    not wash out what a node knows of itself.
    """

    def __init__(
        self, layers, activation=ops.relu, dropout=0.0, residual=False, rng=None
    ):
        self.layers = nn.ModuleList(layers)
        self.activation, self.residual = activation, residual
        self.dropout = nn.Dropout(dropout, rng)

    def forward(self, X, A):
        """X (n, F) an array or a SparseMatrix, A (n, n) -> (n, d_out)."""
        *_, out = self.hidden(X, A)
        return out

    def hidden(self, X, A):
        """What nodes know after each layer, a generator; the last are the scores."""
        H, last = X, len(self.layers) - 1
        for l, layer in enumerate(self.layers):  # noqa: E741, as in the papers
            out = layer(self._dropped(H), A)
            if l < last:
                out = self.activation(out)
                if self.residual and out.shape == H.shape:
                    out = out + H
            H = out
            yield H

    def _dropped(self, H):
        if isinstance(H, SparseMatrix):  # zeros stay zeros: the others are enough
            return H.with_values(self.dropout(H.values))
        return self.dropout(H)


def gcn(d_in, classes, hidden=16, layers=2, dropout=0.5, residual=False, rng=None):
    """A GNN of GCNLayers; the sizes of Kipf and Welling are the defaults."""
    widths = [d_in, *[hidden] * (layers - 1), classes]
    made = [GCNLayer(n, m, rng) for n, m in zip(widths, widths[1:])]
    return GNN(made, dropout=dropout, residual=residual, rng=rng)


def gat(d_in, classes, hidden=8, heads=8, out_heads=1, dropout=0.6, rng=None):
    """Two GATLayers and ELU: Velickovic et al., section 3.3."""
    made = [
        GATLayer(d_in, hidden, heads, dropout=dropout, rng=rng),
        GATLayer(heads * hidden, classes, out_heads, False, dropout, rng=rng),
    ]
    return GNN(made, ops.elu, dropout, rng=rng)


class GIN(nn.Module):
    """A class for each graph: the sums over its nodes after each layer, added up.

    scores = sum_l readout(H_l) W_l + b_l, H_0 = X, each H_l by a GINLayer whose f is
    two linear layers with batch normalisation and ReLU. layers counts X too. Xu et al.,
    arXiv:1810.00826, section 4.2 and equation (4.2).
    """

    def __init__(
        self, d_in, classes, hidden=32, layers=5, dropout=0.0, how="sum", rng=None
    ):
        self.how, self.dropout = how, nn.Dropout(dropout, rng)
        widths = [d_in, *[hidden] * (layers - 1)]
        self.layers = nn.ModuleList(
            [GINLayer(_f(n, m, rng)) for n, m in zip(widths, widths[1:])]
        )
        self.out = nn.ModuleList([nn.Linear(n, classes, rng=rng) for n in widths])

    def forward(self, X, A, batch, num_graphs):
        """X (n, F), A (n, n), batch (n,) -> (num_graphs, classes)."""
        H, scores = X, 0.0
        for l, out in enumerate(self.out):  # noqa: E741
            if l > 0:
                H = self.layers[l - 1](H, A)
            scores = scores + self.dropout(out(readout(H, batch, num_graphs, self.how)))
        return scores


def _f(d_in, d_out, rng):
    """Two linear layers, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Linear(d_in, d_out, rng=rng), nn.BatchNorm1d(d_out), nn.ReLU(),
        nn.Linear(d_out, d_out, rng=rng), nn.BatchNorm1d(d_out), nn.ReLU(),
    )  # fmt: skip


# ---- training -------------------------------------------------------------------
class Loss(NamedTuple):
    """-log p(class | node) in nats per node, and the share that is classified wrong."""

    loss: float
    wrong: float


def losses(scores, y):
    """Cross-entropy and share of mistakes: scores (N, classes), y (N,)."""
    wrong = (scores.data.argmax(axis=1) != y).mean()
    return Loss(ops.cross_entropy(scores, y), wrong)


def train(model, x, A, y, batches, optimizer):
    """Learn the classes of some nodes, as a generator: a Loss for each batch.

    All nodes, x (n, F), are seen in each step, with their edges, A (n, n). A batch is
    the nodes that tell their class in this step: y (n,) of the others is not looked at.
    """
    for nodes in batches:
        found = losses(model(x, A)[nodes], y[nodes])
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
        yield Loss(*map(float, found))


@no_grad()
def scores(model, x, A):
    """The scores of all nodes (n, classes), in use: without dropout."""
    before = model.training
    model.eval()
    try:
        return model(x, A).data
    finally:
        model.train(before)
