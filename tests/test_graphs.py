"""Graphs: what they count, what they refuse, and their matrices."""

import os
import pickle

import numpy as np
import pytest
from drawn_graphs import dense, graphs
from hypothesis import given
from hypothesis import strategies as st

from scratchnn import data
from scratchnn.data import planetoid
from scratchnn.errors import ShapeError

real = pytest.mark.skipif(
    not os.environ.get("SCRATCHNN_DATA"), reason="needs the graphs in SCRATCHNN_DATA"
)


def shuffled(n, seed):
    return np.random.default_rng(seed).permutation(n)


# ---- what does not fit ----------------------------------------------------------
@pytest.mark.parametrize(
    "given, error, words",
    [
        (dict(edge_index=[[0, 1], [1, 5]], num_nodes=3), IndexError,
         "Graph: edge 1 goes from node 1 to node 5; there are nodes 0 to 2"),
        (dict(edge_index=[[0], [-1]], num_nodes=3), IndexError,
         "edge 0 goes from node 0 to node -1"),
        (dict(edge_index=[[0], [0]], num_nodes=0), IndexError, "there are no nodes"),
        (dict(edge_index=np.zeros((5, 2), int), num_nodes=3), ShapeError,
         "(5, 2), expected (2, E): senders above receivers, a column for each edge; "
         "give edge_index.T"),
        (dict(edge_index=[[0.0], [1.0]], num_nodes=2), TypeError,
         "edge_index is float64, expected integers"),
        (dict(x=[[1.0], [np.nan]]), ValueError, "x of node 1 is nan"),
        (dict(x=[[1.0], [np.inf]]), ValueError, "x of node 1 is inf"),
        (dict(x=[1.0, 2.0]), ShapeError, "x has shape (2,), expected (n, F)"),
        (dict(x=np.ones((3, 2)), num_nodes=4), ShapeError, "x 3, num_nodes 4"),
        (dict(), ValueError, "how many nodes are there"),
        (dict(x=np.ones((3, 1)), y=[0, 1]), ShapeError, "y has 2 labels"),
        (dict(edge_index=[[0], [1]], num_nodes=2, edge_weight=[1.0, 2.0]), ShapeError,
         "edge_weight has shape (2,), expected (1, ...)"),
        (dict(edge_index=[[0], [1]], num_nodes=2, edge_weight=[np.nan]), ValueError,
         "edge_weight of edge 0 is nan"),
        (dict(num_nodes=3, train=[0, 3]), IndexError, "train holds node 3"),
    ],
)  # fmt: skip
def test_an_error_names_the_edge_or_the_node(given, error, words):
    with pytest.raises(error) as raised:
        data.Graph(**given)
    assert words in str(raised.value)


def test_a_nan_in_sparse_features_names_its_node():
    x = data_matrix([0, 2], [1, 0], [1.0, np.nan], (3, 2))
    with pytest.raises(ValueError, match="x of node 2 is nan"):
        data.Graph(x)


def data_matrix(*args):
    import scratchnn as snn

    rows, columns, values, shape = args
    return snn.SparseMatrix(rows, columns, np.array(values), shape)


# ---- matrices -------------------------------------------------------------------
@given(graphs())
def test_the_normalised_matrix_is_the_formulas(graph):
    A = np.zeros((graph.num_nodes,) * 2)
    for (j, i), w in zip(graph.edge_index.T, graph.edge_weight):
        A[i, j] += w
    assert np.allclose(dense(graph.adjacency()), A)
    A += np.eye(graph.num_nodes)
    D = np.diag(1 / np.sqrt(A.sum(axis=1)))
    assert np.allclose(dense(graph.normalized_adjacency()), D @ A @ D, atol=1e-12)
    mean = dense(graph.normalized_adjacency(kind="mean"))
    assert np.allclose(mean, A / A.sum(axis=1, keepdims=True), atol=1e-12)


@given(graphs(undirected=True))
def test_no_eigenvalue_of_the_normalised_matrix_exceeds_1(graph):
    values = np.linalg.eigvalsh(dense(graph.normalized_adjacency()))
    assert np.isclose(values.max(), 1) and values.min() > -1 - 1e-12


def test_a_lone_node_gets_a_row_of_zeros_without_loops():
    graph = data.Graph(edge_index=[[0], [1]], num_nodes=3)
    A = dense(graph.normalized_adjacency(self_loops=False, kind="mean"))
    assert A.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_a_degree_below_0_is_refused_with_its_node():
    graph = data.Graph(edge_index=[[0], [1]], num_nodes=2, edge_weight=[-3.0])
    with pytest.raises(ValueError, match="node 1 has degree -2"):
        graph.normalized_adjacency()
    with pytest.raises(ValueError, match="'symmetric' or 'mean'"):
        graph.normalized_adjacency(kind="rows")


@given(graphs())
def test_undirected_is_symmetric_has_no_repeats_and_stays(graph):
    both = graph.to_undirected()
    pairs = list(map(tuple, both.edge_index.T))
    assert len(set(pairs)) == len(pairs) and pairs == sorted(pairs)
    assert {(j, i) for i, j in pairs} == set(pairs)
    given = set(map(tuple, graph.edge_index.T.tolist()))
    assert set(pairs) == given | {(j, i) for i, j in given}
    A = dense(both.adjacency())
    assert np.array_equal(A, A.T)
    again = both.to_undirected()
    assert np.array_equal(again.edge_index, both.edge_index)
    assert np.array_equal(again.edge_weight, both.edge_weight)


@given(graphs(), st.integers(0, 99))
def test_relabelling_permutes_rows_and_columns(graph, seed):
    order = shuffled(graph.num_nodes, seed)
    graph = graph.changed(y=np.arange(graph.num_nodes), train=[0])
    other = graph.relabelled(order)
    A, B = dense(graph.adjacency()), dense(other.adjacency())
    assert np.allclose(B, A[order][:, order])
    assert np.array_equal(other.x, graph.x[order])
    assert np.array_equal(other.y, order)
    assert order[other.train[0]] == 0
    assert np.array_equal(other.edge_attr, graph.edge_attr)


def test_an_order_must_be_one():
    graph = data.Graph(num_nodes=3)
    with pytest.raises(ValueError, match="each of 0 to 2 once"):
        graph.relabelled([0, 0, 1])


# ---- many graphs as one ---------------------------------------------------------
@given(st.lists(graphs(), min_size=1, max_size=4))
def test_together_is_block_diagonal(some):
    some = [graph.changed(y=[k]) for k, graph in enumerate(some)]
    one = data.together(some)
    A, start = dense(one.adjacency()), 0
    for k, graph in enumerate(some):
        own = slice(start, start + graph.num_nodes)
        assert np.allclose(A[own, own], dense(graph.adjacency()))
        A[own, own] = 0
        assert np.array_equal(one.x[own], graph.x)
        assert (one.batch[own] == k).all()
        start = own.stop
    assert not A.any() and one.num_graphs == len(some)
    assert one.y.tolist() == list(range(len(some)))


def test_together_says_what_is_missing():
    a, b = data.Graph(np.ones((1, 2))), data.Graph(num_nodes=1)
    with pytest.raises(ValueError, match="graph 1 has no x and others have"):
        data.together([a, b])
    with pytest.raises(ValueError, match="no graphs"):
        data.together([])
    empty = data.together([b, data.Graph(num_nodes=0)])
    assert empty.num_graphs == 2 and empty.num_nodes == 1


# ---- drawn and built ------------------------------------------------------------
def test_communities_have_the_density_asked_for():
    rng = np.random.default_rng(0)
    graph = data.stochastic_block_model([150, 250], 0.2, 0.02, rng)
    A, y = dense(graph.adjacency()), graph.y
    assert np.array_equal(A, A.T) and not np.diag(A).any()
    same = y[:, None] == y
    pairs = ~np.eye(400, dtype=bool)
    assert A[same & pairs].mean() == pytest.approx(0.2, abs=0.01)
    assert A[~same].mean() == pytest.approx(0.02, abs=0.003)
    with pytest.raises(ValueError, match="p_out is 2"):
        data.stochastic_block_model([3], 0.5, 2)


def test_grid_and_ring_join_neighbours():
    A = dense(data.grid_graph(3, 4).adjacency()).reshape(3, 4, 3, 4)
    assert A[1, 1].tolist() == [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]]
    assert A[0, 0].sum() == 2 and A[0, 1].sum() == 3
    ring = data.ring_graph(5)
    assert (ring.degree() == 2).all() and ring.num_edges == 10
    with pytest.raises(ValueError, match="at least 3"):
        data.ring_graph(2)


def test_a_molecule_has_one_ring_and_y_is_its_size():
    some = data.molecules(50, np.random.default_rng(0))
    for graph in some:
        assert graph.num_edges == 2 * graph.num_nodes  # a tree with one bond more
        in_ring = graph.edge_attr[:, 0].sum() / 2
        assert in_ring == 5 + graph.y[0]
    assert 10 < sum(int(graph.y[0]) for graph in some) < 40


# ---- published ------------------------------------------------------------------
@real
@pytest.mark.parametrize(
    "name, n, words, pairs, split",
    [("cora", 2708, 1433, 5278, 140), ("citeseer", 3327, 3703, 4552, 120),
     ("pubmed", 19717, 500, 44324, 60)],
)  # fmt: skip
def test_citations_have_the_published_counts(name, n, words, pairs, split):
    graph = data.load(name)
    assert graph.x.shape == (n, words) and graph.num_edges == 2 * pairs
    assert len(graph.train) == split and len(graph.val) == 500
    assert len(graph.test) == 1000
    train, val, test = map(set, (graph.train, graph.val, graph.test))
    assert not train & val and not val & test
    classes = np.bincount(graph.y[graph.train])
    assert (classes == 20).all()
    if name == "citeseer":
        assert (graph.y < 0).sum() == 15
        assert (graph.degree() == 0).sum() == 48


@real
@pytest.mark.parametrize("name", ["cora", "citeseer", "pubmed"])
def test_citations_equal_the_same_as_npz(name):
    path = os.path.join(os.environ["SCRATCHNN_DATA"], "planetoid", f"{name}.npz")
    graph = data.load(name)
    with np.load(path, allow_pickle=False) as other:
        ours = graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]]
        theirs = other["edges"] if other["edges"].shape[0] == 2 else other["edges"].T
        assert np.array_equal(ours, np.unique(theirs, axis=1))
        assert np.array_equal(graph.y, other["labels"])
        assert np.array_equal(graph.test, np.sort(other["test_idx"]))
        rows = np.repeat(np.arange(len(graph.y)), np.diff(other["x_indptr"]))
        x = np.zeros(graph.x.shape, np.float32)
        x[rows, other["x_indices"]] = other["x_data"]
        assert np.array_equal(dense(graph.x).astype(np.float32), x)


@real
@pytest.mark.parametrize(
    "name, number, nodes, classes",
    [("mutag", 188, 17.93, 2), ("proteins", 1113, 39.06, 2),
     ("enzymes", 600, 32.63, 6)],
)  # fmt: skip
def test_small_graphs_have_the_published_counts(name, number, nodes, classes):
    some = data.load(name)
    assert len(some) == number
    assert np.mean([g.num_nodes for g in some]) == pytest.approx(nodes, abs=0.005)
    assert {int(g.y[0]) for g in some} == set(range(classes))
    for graph in some[:20]:
        A = dense(graph.adjacency())
        assert np.array_equal(A, A.T)


class Evil:
    def __reduce__(self):
        return os.system, ("echo bitten",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capfd):
    path = tmp_path / "ind.cora.x"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(pickle.UnpicklingError, match=r"asks for \w+.system"):
        planetoid._read(path)
    assert "bitten" not in capfd.readouterr().out


@pytest.mark.parametrize("name", ["eval", "exec", "getattr", "__import__"])
def test_no_builtin_but_list_and_object_is_admitted(name):
    text = f"c__builtin__\n{name}\n.".encode()
    import io

    with pytest.raises(pickle.UnpicklingError):
        planetoid._Unpickler(io.BytesIO(text)).load()


def test_the_readers_constructors_make_arrays_and_matrices_only():
    with pytest.raises(pickle.UnpicklingError, match="an array of"):
        planetoid._empty(np.matrix, (0,), b"b")
    with pytest.raises(pickle.UnpicklingError, match="an object of"):
        planetoid._object(dict, object, None)
