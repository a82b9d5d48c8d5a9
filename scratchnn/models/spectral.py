"""Waves on a graph: its Laplacian, its Fourier transform, and filters.

On a line of pixels, waves of low frequency change little from one pixel to the next.
On a graph, "next" are the neighbours, and the eigenvectors of the Laplacian take the
part of waves: their eigenvalues say how much a wave changes along the edges. Here is
the road from there to graph convolution: a filter by all eigenvectors, then by a
polynomial, which needs none (graph.ChebLayer), then of degree one (graph.GCNLayer).

Bruna, Zaremba, Szlam and LeCun, arXiv:1312.6203; Defferrard et al., arXiv:1606.09375.
Arrays, not Tensors, but for `spectral_filter`.
"""

import numpy as np

from ..ops.sparse import SparseMatrix


def laplacian(graph, normalized=True):
    """L = I - D^(-1/2) A D^(-1/2), or D - A: a SparseMatrix (n, n).

    x^T L x = sum over edges of w (x_i / sqrt(d_i) - x_j / sqrt(d_j))^2, each undirected
    edge once; without D, of w (x_i - x_j)^2. Eigenvalues are 0 to 2 if normalized. A
    node without edges has a row of zeros. Raises ValueError for a directed graph.
    """
    _undirected(graph.adjacency())
    if normalized:
        A = graph.normalized_adjacency(self_loops=False)
        ends = (graph.degree() > 0).astype(A.values.dtype)
    else:
        A, ends = graph.adjacency(), graph.degree()
    return _plus_diagonal(A.with_values(-A.values), ends)


def scaled_laplacian(graph, lambda_max=2.0):
    """L_tilde = 2 L / lambda_max - I, L normalized: eigenvalues in [-1, 1].

    lambda_max: L's largest eigenvalue, or 2, which none exceeds; then L_tilde is
    -D^(-1/2) A D^(-1/2) where all nodes have edges. A SparseMatrix (n, n).
    """
    L = laplacian(graph)
    L = L.with_values(L.values * np.asarray(2 / lambda_max, L.values.dtype))
    return _plus_diagonal(L, np.full(graph.num_nodes, -1, L.values.dtype))


def fourier_basis(L):
    """Lambda (n,), U (n, n): L = U diag(Lambda) U^T, frequencies in rising order.

    Column k of U is the wave of frequency Lambda_k. Its sign is anyone's choice, and of
    waves of equal frequency so is the basis: see symmetry.SignFlips.
    """
    dense = L.to_dense() if isinstance(L, SparseMatrix) else L
    return np.linalg.eigh(np.asarray(dense, np.float64))


def fourier(U, x):
    """x_hat = U^T x: how much of each wave x has. x (n, ...) -> (n, ...)."""
    return np.tensordot(U.T, x, axes=1)


def inverse_fourier(U, x_hat):
    """x = U x_hat, what the waves add up to."""
    return np.tensordot(U, x_hat, axes=1)


def spectral_filter(U, g, x):
    """g * x = U diag(g) U^T x: wave k by g_k. U (n, n), g (n,), x (n, d) -> (n, d).

    Arrays or Tensors. All waves are needed, and g fits this graph alone.
    """
    return U @ (g[:, None] * (U.T @ x))


def chebyshev(x, K):
    """T_0(x), ..., T_K(x): (K + 1, ...). T_k(cos a) = cos(k a)."""
    T = [np.ones_like(x), x]
    for _ in range(2, K + 1):
        T.append(2 * x * T[-1] - T[-2])
    return np.stack(T[: K + 1])


def dirichlet_energy(H, L):
    """tr(H^T L H) / ||H||^2: how much neighbours differ, from 0 to L's largest.

    H (n, d). 0 if all of a connected graph say the same: what a deep GCN ends in, over-
    smoothing. Cai and Wang, arXiv:2006.13318.
    """
    return float((H * (L @ H)).sum() / max((H**2).sum(), np.finfo(H.dtype).tiny))


def _plus_diagonal(A, diagonal):
    """A + diag(diagonal), as a SparseMatrix with more entries."""
    own, n = np.arange(len(diagonal)), A.shape[0]
    rows = np.concatenate([A.pattern.rows, own])
    columns = np.concatenate([A.pattern.columns, own])
    return SparseMatrix(rows, columns, np.concatenate([A.values, diagonal]), (n, n))


def _undirected(A):
    """ValueError, with an edge, if A is not symmetric."""
    i, j, n = A.pattern.rows, A.pattern.columns, A.shape[0]
    both = np.concatenate([i * n + j, j * n + i])
    places, inverse = np.unique(both, return_inverse=True)
    there, back = inverse[: len(i)], inverse[len(i) :]
    size = len(places)
    sums = np.bincount(there, A.values, size) - np.bincount(back, A.values, size)
    if (abs(sums) > 1e-5).any():
        place = places[np.argmax(abs(sums) > 1e-5)]
        raise ValueError(
            f"the edges between nodes {place // n} and {place % n} differ by direction;"
            " a Laplacian needs an undirected graph: graph.to_undirected()"
        )
