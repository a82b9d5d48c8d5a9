"""Graph layers: equal to a loop over nodes, blind to numbering, kin to what we know."""

import numpy as np
import pytest
from drawn_graphs import dense, graphs
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnn as snn
from scratchnn import data, nn, ops, symmetry
from scratchnn.models import attention, spectral
from scratchnn.models import graph as G
from scratchnn.models.equivariant import EGNN, complete

D_IN, D_OUT = 3, 4


def seeded(seed=0):
    return np.random.default_rng(seed)


def double(model):
    """The model in float64."""
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    for b in model.modules():
        for name, value in vars(b).items():
            if isinstance(value, np.ndarray) and value.dtype == np.float32:
                setattr(b, name, value.astype(np.float64))
    return model


def made(name, rng, d=D_IN, d_out=D_OUT):
    """A layer, and the matrix it wants of a graph."""
    plain = data.Graph.adjacency
    return {
        "gcn": (G.GCNLayer(d, d_out, rng), data.Graph.normalized_adjacency),
        "cheb": (G.ChebLayer(d, d_out, 2, rng), plain),
        "sage mean": (G.SAGELayer(d, d_out, "mean", rng), plain),
        "sage max": (G.SAGELayer(d, d_out, "max", rng), plain),
        "gat": (G.GATLayer(d, d_out, 2, rng=rng),
                lambda g: g.add_self_loops().adjacency()),
        "gat mean": (G.GATLayer(d, d_out, 2, False, rng=rng), plain),
        "gin": (G.GINLayer(nn.MLP([d, 5, d_out], rng=rng), 0.3), plain),
    }[name]  # fmt: skip


LAYERS = ("gcn", "cheb", "sage mean", "sage max", "gat", "gat mean", "gin")


# ---- each layer is a loop over nodes and their edges ----------------------------
def by_nodes(name, layer, graph):
    """h'_i by the node-wise formula of the layer's docstring, in Python."""
    n, H = graph.num_nodes, graph.x
    w = graph.edge_weight
    edges = [[] for _ in range(n)]  # (j, weight) of the edges that arrive at i
    for (j, i), a in zip(graph.edge_index.T, w):
        edges[i].append((j, a))
    out = []
    for i in range(n):
        heard = edges[i]
        if name == "gcn":
            d = [1 + sum(a for _, a in edges[k]) for k in range(n)]
            y = sum(a * H[j] / np.sqrt(d[i] * d[j]) for j, a in [*heard, (i, 1.0)])
            out.append(y @ layer.W.data + layer.b.data)
        elif name == "sage mean":
            y = np.mean([H[j] for j, _ in heard], axis=0) if heard else 0 * H[i]
            out.append(H[i] @ layer.W_self.data + y @ layer.W.data + layer.b.data)
        elif name == "sage max":
            pooled = [
                np.maximum(H[j] @ layer.W_pool.data + layer.b_pool.data, 0)
                for j, _ in heard
            ]
            y = np.max(pooled, axis=0) if heard else 0 * H[i]
            out.append(H[i] @ layer.W_self.data + y @ layer.W.data + layer.b.data)
        elif name == "gin":
            y = 1.3 * H[i] + sum((a * H[j] for j, a in heard), 0 * H[i])
            out.append(layer.f(y[None]).data[0])
        elif name in ("gat", "gat mean"):
            heads = []
            if name == "gat":
                heard = [*heard, (i, 1.0)]
            for k in range(2):
                W = layer.W.data.reshape(D_IN, 2, D_OUT)[:, k]
                a_i, a_j = layer.a_i.data[k], layer.a_j.data[k]
                e = np.array([a_i @ (H[i] @ W) + a_j @ (H[j] @ W) for j, _ in heard])
                e = np.where(e > 0, e, 0.2 * e)
                alpha = np.exp(e) / np.exp(e).sum()
                y = sum((p * (H[j] @ W) for p, (j, _) in zip(alpha, heard)), 0 * W[0])
                heads.append(y)
            both = np.concatenate(heads) if name == "gat" else np.mean(heads, axis=0)
            out.append(both + layer.b.data)
        elif name == "cheb":
            A = dense(graph.adjacency())
            T = [np.eye(n), A, 2 * A @ A - np.eye(n)]
            y = sum(T_k[i] @ H @ W_k.data for T_k, W_k in zip(T, layer.W))
            out.append(y + layer.b.data)
    return np.array(out)


@pytest.mark.parametrize("name", LAYERS)
@given(graph=graphs())
@settings(max_examples=30, deadline=None)
def test_a_layer_is_its_formula_by_nodes(name, graph):
    layer, matrix = made(name, seeded(1))
    double(layer)
    given = layer(graph.x, matrix(graph)).data
    assert given.dtype == np.float64
    np.testing.assert_allclose(given, by_nodes(name, layer, graph), atol=1e-12)


@given(graph=graphs())
@settings(max_examples=30, deadline=None)
def test_an_edge_layer_multiplies_by_the_edges_own_matrix(graph):
    layer = double(G.EdgeLayer(D_IN, D_OUT, 2, 6, seeded(1)))
    given = layer(graph.x, graph.adjacency(), graph.edge_attr).data
    wanted = graph.x @ layer.W.data + layer.b.data
    for (j, i), e in zip(graph.edge_index.T, graph.edge_attr):
        Theta = layer.Theta(e[None]).data.reshape(D_IN, D_OUT)
        wanted[i] += graph.x[j] @ Theta
    np.testing.assert_allclose(given, wanted, atol=1e-12)


def test_an_edge_layer_wants_a_row_for_each_edge():
    layer, graph = G.EdgeLayer(1, 1, 2), data.ring_graph(3)
    with pytest.raises(ValueError, match="edge_attr has 5 rows and A 6 entries"):
        layer(np.ones((3, 1), np.float32), graph.adjacency(), np.ones((5, 2)))


@given(graphs())
def test_a_plain_message_is_a_product_with_the_matrix(graph):
    A = graph.adjacency()
    by_rows = G.message_passing(A, graph.x, G.weighted)
    np.testing.assert_allclose(G.message_passing(A, graph.x), by_rows, atol=1e-12)
    np.testing.assert_allclose(by_rows, dense(A) @ graph.x, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layers_derivatives_are_right(name):
    layer, matrix = made(name, seeded(1))
    double(layer)
    rng = seeded(2)
    graph = data.Graph(
        rng.standard_normal((5, D_IN)),
        [[0, 1, 2, 3, 3, 1, 0, 2], [1, 0, 1, 2, 2, 1, 4, 3]],
        edge_weight=rng.uniform(0.5, 2, 8),
    )
    A = matrix(graph)
    snn.gradcheck(lambda x: layer(x, A), graph.x)


# ---- symmetry -------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
@given(graph=graphs())
@settings(max_examples=20, deadline=None)
def test_other_numbers_give_the_same_rows(name, dtype, graph):
    layer, matrix = made(name, seeded(1))
    if dtype == np.float64:
        double(layer)
    graph = graph.changed(
        x=graph.x.astype(dtype), edge_weight=graph.edge_weight.astype(dtype)
    )

    def f(graph):
        return layer(graph.x, matrix(graph))

    report = symmetry.check(f, symmetry.Permutations(), graph, n=5, rng=seeded())
    assert report.tolerance == (1e-5 if dtype == np.float32 else 1e-12)
    assert report, str(report)


@pytest.mark.parametrize("how", ["sum", "mean", "max", "attention"])
@given(graph=graphs())
@settings(max_examples=20, deadline=None)
def test_a_readout_does_not_see_numbers(how, graph):
    layer, read = double(G.EdgeLayer(D_IN, D_OUT, 2, 6, seeded(1))), None
    if how == "attention":
        read = double(G.AttentionReadout(D_OUT, seeded(3)))

    def f(graph):
        H = layer(graph.x, graph.adjacency(), graph.edge_attr)
        where = np.zeros(graph.num_nodes, int), 1
        return read(H, *where) if read else G.readout(H, *where, how)

    report = symmetry.check(
        f, symmetry.Permutations(), graph, invariant=True, n=5, rng=seeded()
    )
    assert report.tolerance == 1e-12
    assert report, str(report)


def test_an_mlp_on_the_matrix_has_no_such_symmetry():
    graph = data.karate_club()
    W = seeded().standard_normal((34, 2)).astype(np.float32)

    def f(graph):
        return dense(graph.adjacency()).astype(np.float32) @ W  # rows of A as features

    report = symmetry.check(f, symmetry.Permutations(), graph, rng=seeded())
    assert not report and report.worst > 0.5
    assert "not equivariant under Permutations" in str(report)


def test_attention_readout_is_a_weighted_mean_in_each_graph():
    read = double(G.AttentionReadout(2, seeded()))
    H, batch = seeded(1).standard_normal((5, 2)), np.array([0, 0, 1, 1, 1])
    out = read(H, batch, 3).data
    for k, own in enumerate([H[:2], H[2:]]):
        alpha = np.exp(own @ read.q.data)
        np.testing.assert_allclose(out[k], (alpha / alpha.sum() * own).sum(axis=0))
    assert not out[2].any()  # a graph without nodes


# ---- what is what ---------------------------------------------------------------
def test_single_query_attention_over_the_neighbours_is_a_graph_layer():
    """Algorithm 3, with a node's neighbours as the context."""
    rng, graph = seeded(), data.ring_graph(6)
    x = rng.standard_normal((6, 3))
    W_q, W_k, W_v = (rng.standard_normal((3, 3)) for _ in range(3))
    b_q, b_k, b_v = (rng.standard_normal(3) for _ in range(3))
    A = graph.add_self_loops().adjacency()
    q, k, v = x @ W_q.T + b_q, x @ W_k.T + b_k, x @ W_v.T + b_v

    i, j = A.pattern.rows, A.pattern.columns
    scores = (q[i] * k[j]).sum(axis=1) / np.sqrt(3)
    alpha = ops.segment_softmax(scores, i, 6)
    given = G.message_passing(A.with_values(alpha), v)
    for node in range(6):
        heard = j[i == node]
        wanted = attention.single_query_attention(
            x[node], x[heard], W_q, b_q, W_k, b_k, W_v, b_v
        )
        np.testing.assert_allclose(given[node], wanted, atol=1e-12)


def test_gat_drops_weights_of_edges_and_numbers_of_what_they_carry():
    # Each node hears itself alone, so alpha is 1: kept or not, for the whole row.
    edges = np.tile(np.arange(200), (2, 1))
    A = data.Graph(edge_index=edges, num_nodes=200).adjacency()
    layer = G.GATLayer(3, 5, dropout=0.5, rng=seeded())
    H = seeded(1).normal(size=(200, 3)).astype(np.float32)
    kept = layer(H, A).data / (H @ layer.W.data)
    assert set(np.round(np.unique(kept), 3)) == {0, 4}  # 1 / (1 - p)^2
    whole = (kept == 0).all(axis=1)
    assert 70 < whole.sum() < 135  # half of the rows, and 1 in 32 of the others
    assert 0.4 < (kept[~whole] == 0).mean() < 0.6
    np.testing.assert_allclose(layer.eval()(H, A).data, H @ layer.W.data, rtol=1e-5)


def test_gat_is_single_query_attention_with_another_score():
    """One head: what differs from algorithm 3 is LeakyReLU(a.[q, k]) for q.k."""
    graph, layer = data.ring_graph(5), double(G.GATLayer(3, 3, rng=seeded()))
    x, A = seeded(1).standard_normal((5, 3)), graph.adjacency()
    alpha = layer.attention(x, A)[:, 0]
    for node in range(5):
        assert alpha[A.pattern.rows == node].sum() == pytest.approx(1)
    v = x @ layer.W.data
    wanted = G.message_passing(A.with_values(alpha), v) + layer.b.data
    np.testing.assert_allclose(layer(x, A).data, wanted, atol=1e-12)


def test_a_gcn_on_a_grid_is_a_convolution():
    """Inside, all nodes have 5 neighbours with themselves: a cross of 1 / 5."""
    layer, x = double(G.GCNLayer(1, 1, seeded())), seeded(1).standard_normal((6, 7))
    A = data.grid_graph(6, 7).normalized_adjacency()
    H = layer(x.reshape(-1, 1), A.with_values(A.values.astype(np.float64)))
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5 * layer.W.item()
    wanted = ops.conv2d(x[None, None], cross[None, None])[0, 0]
    inside = H.data.reshape(6, 7)[2:-2, 2:-2]  # whose neighbours are inside too
    np.testing.assert_allclose(inside, wanted[1:-1, 1:-1], atol=1e-6)


def test_a_transformer_without_positions_is_a_gnn_on_the_complete_graph():
    from scratchnn.models.transformer import MHAttention

    rng = seeded()
    heads, x = double(MHAttention(4, 2, rng)), seeded(1).standard_normal((5, 4))
    A = data.Graph(edge_index=complete(5), num_nodes=5).add_self_loops().adjacency()
    Q, K, V = np.split(heads.W_qkv(x).data, 3, axis=1)
    i, j = A.pattern.rows, A.pattern.columns
    out = []
    for h in (slice(0, 2), slice(2, 4)):
        scores = (Q[i, h] * K[j, h]).sum(axis=1) / np.sqrt(2)
        alpha = ops.segment_softmax(scores, i, 5)
        out.append(G.message_passing(A.with_values(alpha), V[:, h]))
    wanted = heads.W_o(np.concatenate(out, axis=1)).data
    np.testing.assert_allclose(heads(x[None]).data[0], wanted, atol=1e-12)


@given(graphs(undirected=True, loops=False))
@settings(deadline=None)
def test_a_chebyshev_layer_is_a_filter_of_the_spectrum(graph):
    """sum_k c_k T_k(L_tilde) x = U (sum_k c_k T_k(Lambda)) U^T x."""
    layer = double(G.ChebLayer(D_IN, 1, 3, seeded()))
    L_tilde = spectral.scaled_laplacian(graph)
    Lambda, U = spectral.fourier_basis(L_tilde)
    assert Lambda.min() > -1 - 1e-9 and Lambda.max() < 1 + 1e-9
    T = spectral.chebyshev(Lambda, 3)
    wanted = layer.b.data + sum(
        spectral.spectral_filter(U, T_k, graph.x) @ W_k.data
        for T_k, W_k in zip(T, layer.W)
    )
    np.testing.assert_allclose(layer(graph.x, L_tilde).data, wanted, atol=1e-9)


def test_points_that_turn_are_heard_alike():
    rng = seeded()
    model = double(EGNN(3, rng=rng))
    A = data.Graph(edge_index=complete(6), num_nodes=6).adjacency()
    points = rng.standard_normal((6, 3)), rng.standard_normal((6, 3))
    report = symmetry.check(
        lambda both: model(*both, A), symmetry.Rotations(), points, rng=rng,
        tolerance=1e-10,
    )  # fmt: skip
    assert report, str(report)

    def absolute(both):  # a layer that looks at the places themselves
        return both[0] + both[1] @ np.ones((3, 3)), both[1]

    assert not symmetry.check(absolute, symmetry.Rotations(), points, rng=rng)


# ---- networks -------------------------------------------------------------------
def test_sparse_features_give_what_dense_ones_do():
    rng = seeded()
    x = rng.standard_normal((34, 6)) * (rng.random((34, 6)) < 0.4)
    i, j = np.nonzero(x)
    X = snn.SparseMatrix(i, j, x[i, j].astype(np.float32), x.shape)
    graph = data.karate_club()
    A = graph.normalized_adjacency()
    for model in (
        G.gcn(6, 2, rng=seeded()), G.gat(6, 2, rng=seeded()),
        G.GNN([G.SAGELayer(6, 2, "mean", seeded())]),
    ):  # fmt: skip
        model.eval()
        dense_ = model(x.astype(np.float32), A).data
        np.testing.assert_allclose(model(X, A).data, dense_, atol=1e-5)


def test_dropout_of_sparse_features_keeps_their_mean_and_leaves_with_eval():
    rows = np.arange(20_000)
    X = snn.SparseMatrix(rows, rows * 0, np.ones(20_000, np.float32), (20_000, 1))
    model = G.GNN([], dropout=0.5, rng=seeded())
    dropped = model._dropped(X).values
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert (model.eval()._dropped(X).values == 1).all()


def test_a_residual_adds_what_was_there():
    graph, rng = data.karate_club(), seeded()
    x = rng.standard_normal((34, 4)).astype(np.float32)
    A = graph.normalized_adjacency()
    model = G.gcn(4, 4, hidden=4, layers=2, dropout=0, residual=True, rng=rng)
    first = ops.relu(model.layers[0](x, A)) + x
    np.testing.assert_allclose(
        model(x, A).data, model.layers[1](first, A).data, rtol=1e-5
    )


def test_gin_sums_its_readouts_over_layers():
    some = data.molecules(5, seeded())
    batch = data.together(some)
    model = G.GIN(3, 2, hidden=8, layers=3, rng=seeded(1)).eval()
    A = batch.adjacency()
    given = model(batch.x, A, batch.batch, 5).data
    for k, graph in enumerate(some):  # each alone gives the same
        one = data.together([graph])
        alone = model(one.x, one.adjacency(), one.batch, 1).data[0]
        np.testing.assert_allclose(given[k], alone, atol=1e-5)


@pytest.mark.parametrize("name, value", [("SAGE", "sum")])
def test_an_unknown_aggregate_is_refused(name, value):
    with pytest.raises(ValueError, match="'mean' or 'max'"):
        G.SAGELayer(2, 2, value)


@pytest.mark.parametrize("seed", range(3))
def test_two_known_members_tell_the_rest_of_the_club(seed):
    graph, rng = data.karate_club(), seeded(seed)
    A = graph.normalized_adjacency()
    model = G.gcn(34, 2, rng=rng)
    adam = snn.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    for _ in G.train(model, graph.x, A, graph.y, [graph.train] * 200, adam):
        pass
    right = G.scores(model, graph.x, A).argmax(axis=1) == graph.y
    assert right.sum() >= 30
    assert model.training
    lone = G.scores(model, graph.x, A.with_values(0 * A.values)).argmax(axis=1)
    assert len(set(lone)) == 1  # without the graph all others look alike


def test_depth_smooths_until_all_nodes_say_the_same():
    graph = data.karate_club()
    A, L = graph.normalized_adjacency(), spectral.laplacian(graph.add_self_loops())
    H, energies = seeded().standard_normal((34, 8)), []
    for _ in range(33):
        energies.append(spectral.dirichlet_energy(H, L))
        H = A @ H
    assert energies[0] > 0.5 and energies[2] < energies[1] < energies[0]
    assert energies[32] < 0.02 * energies[0]


@given(graph=graphs(), rounds=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_max_of_no_neighbours_is_zero(graph, rounds):
    A = graph.adjacency()
    H = graph.x
    for _ in range(rounds):
        H = G.message_passing(A, H, aggregate="max")
    lone = graph.degree() == 0
    assert not H[lone].any() and np.isfinite(H).all()
