"""The symmetry check: what passes, what fails, and what it says; and WL's test."""

import numpy as np
import pytest
from drawn_graphs import graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import data, nn, ops, symmetry
from scratchnn.models import graph as G
from scratchnn.models import spectral
from scratchnn.models import weisfeiler_lehman as wl


def seeded(seed=0):
    return np.random.default_rng(seed)


# ---- translations ---------------------------------------------------------------
def around(x, w):
    """A convolution that wraps around the edges."""
    x = np.concatenate([x[..., -1:], x, x[..., :1]], axis=-1)
    x = np.concatenate([x[..., -1:, :], x, x[..., :1, :]], axis=-2)
    return ops.conv2d(x, w)


def test_a_convolution_that_wraps_around_is_equivariant():
    rng = seeded()
    x, w = rng.standard_normal((1, 2, 8, 6)), rng.standard_normal((3, 2, 3, 3))
    report = symmetry.check(
        lambda x: around(x, w), symmetry.Translations(), x, rng=rng
    )
    assert report and report.tolerance == 1e-12
    assert str(report).startswith("equivariant under Translations: worst ")


def test_padding_breaks_it_at_the_edge_only():
    rng = seeded()
    x, w = rng.standard_normal((1, 1, 9, 9)), rng.standard_normal((1, 1, 3, 3))

    def f(x):
        return ops.conv2d(x, w, padding=1)

    report = symmetry.check(f, symmetry.Translations(), x, rng=rng)
    assert not report and report.worst > 0.05
    assert "pixels down" in str(report) and "f(g x) is" in str(report)
    inside = symmetry.Translations(margin=1)
    assert symmetry.check(f, inside, x, rng=rng)


def test_stride_breaks_it_but_for_moves_by_the_stride():
    rng = seeded()
    x = rng.standard_normal((1, 1, 8, 8))

    def f(x):
        return ops.avg_pool2d(x, 2)

    with pytest.raises(ValueError, match="nothing to compare"):
        symmetry.check(f, symmetry.Translations(margin=9), x, rng=rng)
    assert not symmetry.check(f, symmetry.Translations(scale=0.5), x, rng=rng)
    by_two = symmetry.Translations(by=2, scale=0.5)
    assert symmetry.check(f, by_two, x, rng=rng)


def test_the_mean_of_a_picture_is_invariant():
    x = seeded().standard_normal((2, 1, 5, 5)).astype(np.float32)
    report = symmetry.check(
        lambda x: x.mean(axis=(1, 2, 3)), symmetry.Translations(), x, invariant=True,
        rng=seeded(),
    )  # fmt: skip
    assert report and "invariant" in str(report)


# ---- rows, signs, rotations -----------------------------------------------------
def test_rows_of_an_array_are_permuted():
    x = seeded().standard_normal((5, 3))
    assert symmetry.check(np.tanh, symmetry.Permutations(), x, rng=seeded())
    report = symmetry.check(
        lambda x: np.cumsum(x, axis=0), symmetry.Permutations(), x, rng=seeded()
    )
    assert not report and "the order [" in str(report)
    i = report.where
    order = report.element
    assert report.given == np.cumsum(x[order], axis=0)[i]
    assert report.expected == np.cumsum(x, axis=0)[order][i]


def test_eigenvectors_have_no_sign_and_their_squares_do_not_care():
    _, U = spectral.fourier_basis(spectral.laplacian(data.karate_club()))
    flips = symmetry.SignFlips()
    some = U[:, 1:5]
    plain = symmetry.check(lambda U: U.sum(axis=1), flips, some, True, rng=seeded())
    assert not plain and "the signs [" in str(plain)
    assert symmetry.check(lambda U: np.abs(U), flips, some, True, rng=seeded())
    assert symmetry.check(lambda U: U * (U**2), flips, some, rng=seeded())


def test_waves_of_equal_frequency_have_no_basis_but_a_plane():
    """On a ring each frequency comes twice: any turned pair of waves is as good."""
    Lambda, U = spectral.fourier_basis(spectral.laplacian(data.ring_graph(9)))
    assert Lambda[1] == pytest.approx(Lambda[2])
    pair, turns = U[:, 1:3], symmetry.Rotations(moves=False)
    for turned in (turns.act(g, pair) for g in turns.elements(pair, 5, seeded())):
        L = spectral.laplacian(data.ring_graph(9)).to_dense()
        np.testing.assert_allclose(L @ turned, Lambda[1] * turned, atol=1e-6)
    assert not symmetry.check(lambda U: np.abs(U), turns, pair, True, rng=seeded())
    plane = symmetry.check(lambda U: U @ U.T, turns, pair, True, rng=seeded())
    assert plane, str(plane)


def test_distances_are_invariant_under_rotations():
    x = seeded().standard_normal((4, 3))

    def distances(x):
        return ((x[:, None] - x) ** 2).sum(axis=-1)

    everything = symmetry.Rotations()
    assert symmetry.check(distances, everything, x, True, 1e-10, rng=seeded())
    volume = symmetry.check(
        lambda x: np.array([np.linalg.det(x[1:] - x[0])]), everything, x, True, 1e-10,
        rng=seeded(),
    )  # fmt: skip
    assert not volume and "reflection" in str(volume)
    turns = symmetry.Rotations(reflections=False)
    assert symmetry.check(
        lambda x: np.array([np.linalg.det(x[1:] - x[0])]), turns, x, True, 1e-10,
        rng=seeded(),
    )  # fmt: skip


@given(st.integers(0, 999), st.integers(2, 4))
def test_a_rotation_is_orthogonal(seed, D):
    x = np.zeros((1, D))
    for reflections in (True, False):
        group = symmetry.Rotations(reflections, moves=False)
        (element,) = group.elements(x, 1, seeded(seed))
        Q, move = element
        np.testing.assert_allclose(Q @ Q.T, np.eye(D), atol=1e-12)
        assert reflections or np.linalg.det(Q) > 0
        assert not move.any()


def test_another_shape_is_no_symmetry():
    x = seeded().standard_normal((4, 2))
    sizes = iter(range(1, 99))
    with pytest.raises(ValueError, match="a symmetry needs equal ones"):
        symmetry.check(lambda x: np.ones(next(sizes)), symmetry.Permutations(), x,
                       rng=seeded())  # fmt: skip


def test_nan_is_never_a_symmetry():
    x = np.ones((3, 1))
    report = symmetry.check(
        lambda x: np.where(x > 0, np.nan, x), symmetry.Permutations(), x, rng=seeded()
    )
    assert not report


def test_float32_and_float64_have_their_own_tolerance():
    x = seeded().standard_normal((3, 2)).astype(np.float32)
    report = symmetry.check(np.exp, symmetry.Permutations(), x, rng=seeded())
    assert report.tolerance == 1e-5
    layer = nn.Linear(2, 2, rng=seeded())
    assert symmetry.check(layer, symmetry.Permutations(), x, rng=seeded())


# ---- Weisfeiler and Lehman ------------------------------------------------------
def two_triangles():
    return data.together([data.ring_graph(3)] * 2).changed(batch=None, num_graphs=1)


@given(graphs(), st.integers(0, 99))
@settings(deadline=None)
def test_the_test_takes_a_graph_for_itself_by_other_numbers(graph, seed):
    graph = graph.changed(edge_weight=None)
    other = graph.relabelled(seeded(seed).permutation(graph.num_nodes))
    assert wl.distinguishes(graph, other) is None


def test_the_test_and_gin_confuse_a_hexagon_with_two_triangles():
    pair = data.ring_graph(6), two_triangles()
    assert wl.distinguishes(*pair) is None
    model = G.GIN(1, 3, rng=seeded()).eval()
    a, b = (
        model(np.ones((6, 1), np.float32), g.adjacency(), np.zeros(6, int), 1).data
        for g in pair
    )
    np.testing.assert_allclose(a, b, rtol=1e-5)
    # The spectrum knows: a graph in two parts has the eigenvalue 0 twice.
    zeros = [
        (spectral.fourier_basis(spectral.laplacian(g))[0] < 1e-6).sum() for g in pair
    ]
    assert zeros == [1, 2]


def test_a_mean_confuses_what_a_sum_tells_apart():
    """A star and a pair: GCN-like means see equal neighbours; GIN counts them."""
    star = data.Graph(edge_index=[[0, 1, 0, 2], [1, 0, 2, 0]], num_nodes=3)
    pair = data.Graph(edge_index=[[0, 1], [1, 0]], num_nodes=2)
    assert wl.distinguishes(star, data.Graph(num_nodes=3)) == 1
    ones = np.ones((3, 1), np.float32)
    mean = [
        g.normalized_adjacency(kind="mean") @ ones[: g.num_nodes] for g in (star, pair)
    ]
    assert np.allclose(mean[0], 1) and np.allclose(mean[1], 1)
    assert (star.adjacency() @ ones)[0] == 2 and (pair.adjacency() @ ones[:2])[0] == 1


def test_colours_tell_a_paths_ends_from_its_middle():
    path = data.Graph(edge_index=[[0, 1, 2, 3], [1, 2, 3, 4]], num_nodes=5)
    *_, last = wl.refine(path.to_undirected())
    assert last.tolist() == [last[0], last[1], last[2], last[1], last[0]]
    assert len(set(last)) == 3
    first, *_ = wl.refine(path, colours=[5, 5, 7, 5, 5])
    assert first.tolist() == [0, 0, 1, 0, 0]
    assert wl.distinguishes(path, data.ring_graph(4)) == 0


# ---- the spectrum ---------------------------------------------------------------
@given(graphs(undirected=True, loops=False))
@settings(deadline=None)
def test_a_laplacian_sums_squared_differences_along_edges(graph):
    L = spectral.laplacian(graph, normalized=False)
    x = graph.x[:, 0]
    j, i = graph.edge_index
    wanted = (graph.edge_weight * (x[i] - x[j]) ** 2).sum() / 2  # each edge twice
    assert np.isclose(x @ (L @ x), wanted)
    Lambda, U = spectral.fourier_basis(spectral.laplacian(graph))
    assert Lambda.min() > -1e-9 and Lambda.max() < 2 + 1e-9
    back = spectral.inverse_fourier(U, spectral.fourier(U, graph.x))
    np.testing.assert_allclose(back, graph.x, atol=1e-9)


def test_waves_on_a_ring_are_the_waves_of_fourier():
    Lambda, _ = spectral.fourier_basis(spectral.laplacian(data.ring_graph(12), False))
    k = np.arange(12)
    np.testing.assert_allclose(
        Lambda, np.sort(2 - 2 * np.cos(2 * np.pi * k / 12)), atol=1e-9
    )


def test_a_directed_graph_has_no_laplacian():
    one_way = data.Graph(edge_index=[[0], [1]], num_nodes=2)
    with pytest.raises(ValueError, match="between nodes 0 and 1 differ by direction"):
        spectral.laplacian(one_way)
