"""Points in space that turn with their world: an E(n)-equivariant graph network.

If the points are rotated, reflected or moved, what the network says of their features h
stays, and where it puts them is rotated, reflected or moved too. It is built in: only
distances enter the features, and points move along the lines between them.

Satorras, Hoogeboom and Welling, "E(n) Equivariant Graph Neural Networks", ICML 2021,
arXiv:2102.09844, equations (3) to (6).
"""

import numpy as np

from .. import nn, ops
from ..device import beside
from .graph import message_passing


class EGNNLayer(nn.Module):
    """(h, x, A) -> (h', x'), with m_ij = phi_e(h_i, h_j, ||x_i - x_j||^2).

    x'_i = x_i + mean_j (x_i - x_j) phi_x(m_ij);  h'_i = phi_h(h_i, sum_j m_ij), over
    the edges j -> i. h (n, d) features, x (n, D) places; h' (n, d_out). A place moves
    by a mean, so that the number of neighbours does not blow it up.
    """

    def __init__(self, d, d_out=None, hidden=32, rng=None):
        d_out = d if d_out is None else d_out
        sizes = [2 * d + 1, hidden, hidden]
        self.phi_e = nn.Sequential(nn.MLP(sizes, nn.SiLU, rng=rng), nn.SiLU())
        self.phi_x = nn.MLP([hidden, hidden, 1], nn.SiLU, rng=rng)
        self.phi_h = nn.MLP([d + hidden, hidden, d_out], nn.SiLU, rng=rng)

    def forward(self, h, x, A):
        i, j = (beside(places, h) for places in (A.pattern.rows, A.pattern.columns))
        apart = x[i] - x[j]  # (E, D)
        squared = ops.square(apart).sum(axis=1, keepdims=True)
        m = self.phi_e(ops.concatenate([h[i], h[j], squared], axis=1))  # (E, hidden)
        moves = apart * self.phi_x(m)
        x = x + message_passing(A, x, lambda *_: moves, "mean")
        heard = message_passing(A, h, lambda *_: m)
        return self.phi_h(ops.concatenate([h, heard], axis=1)), x


class EGNN(nn.Module):
    """Layers in turn: features h (n, d), places x (n, D), A (n, n) -> (h', x')."""

    def __init__(self, d, d_out=None, hidden=32, layers=2, rng=None):
        widths = [d] * layers + [d if d_out is None else d_out]
        self.layers = nn.ModuleList(
            [EGNNLayer(n, m, hidden, rng) for n, m in zip(widths, widths[1:])]
        )

    def forward(self, h, x, A):
        for layer in self.layers:
            h, x = layer(h, x, A)
        return h, x


def complete(n):
    """edge_index (2, n (n - 1)) of the graph in which each node hears all others."""
    i, j = np.nonzero(~np.eye(n, dtype=bool))
    return np.stack([j, i])
