"""Tensor as a NumPy user meets it: values, indexing, printing, other libraries."""

import copy
import subprocess
import sys

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import Tensor


def test_python_floats_become_float32_and_arrays_keep_their_type():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(3.5).dtype == np.float32
    assert Tensor(np.array([1.0])).dtype == np.float64
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor([1.0], dtype=np.float64).dtype == np.float64


def test_a_numpy_number_becomes_an_array_of_its_type():
    t = Tensor(np.float64(3.0), requires_grad=True)
    assert type(t.data) is np.ndarray and t.dtype == np.float64
    t.data -= 1.0
    assert t.item() == 2.0


def test_an_array_is_not_copied():
    a = np.zeros(3)
    Tensor(a)[0] = 1.0
    assert a[0] == 1.0


def test_what_is_no_rectangle_of_numbers_is_refused():
    with pytest.raises(ValueError, match="rows of data have different lengths"):
        Tensor([[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="data must be numbers, got <U5"):
        Tensor("hello")


@pytest.mark.parametrize(
    "make, text",
    [
        (
            lambda: Tensor([[1.0, 2.0], [3.0, 4.0]]),
            "Tensor([[1., 2.],\n        [3., 4.]], shape=(2, 2), dtype=float32)",
        ),
        (
            lambda: Tensor([1.0], requires_grad=True),
            "Tensor([1.], shape=(1,), dtype=float32, requires_grad=True)",
        ),
        (
            lambda: (Tensor([1.0, 2.0], requires_grad=True) * 2).sum(),
            "Tensor(6., shape=(), dtype=float32, op=sum)",
        ),
    ],
)
def test_repr_shows_value_shape_type_and_op(make, text):
    assert repr(make()) == text


X = np.arange(24.0).reshape(2, 3, 4)
INDICES = [
    1,
    -1,
    (0, 2),
    slice(None, None, -1),
    (slice(0, 1), slice(1, None, 2)),
    (Ellipsis, 0),
    (None, 1),
    (0, None, Ellipsis),
    np.array([1, 0, 1]),
    (np.array([0, 1, 1]), np.array([2, 0, 0])),
    (slice(None), np.array([[0, 2], [2, 2]])),
    X > 7,
    (0, X[0] > 5),
    [0, 1],
    (np.int64(1), 0),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_reads_as_numpy_and_its_gradient_counts_the_reads(index):
    t = Tensor(X, requires_grad=True)
    y = t[index]
    np.testing.assert_array_equal(y.data, X[index])
    w = np.random.default_rng(0).standard_normal(X[index].shape)
    (y * w).sum().backward()
    expected = np.zeros_like(X)
    np.add.at(expected, index, w)
    np.testing.assert_allclose(t.grad, expected)


def test_tensors_may_be_indices():
    t = Tensor(X, requires_grad=True)
    np.testing.assert_array_equal(t[t > 7].data, X[X > 7])
    np.testing.assert_array_equal(t[Tensor([1, 0])].data, X[[1, 0]])


def test_iteration_and_length():
    t = Tensor(X, requires_grad=True)
    rows = list(t)
    assert len(t) == len(rows) == 2
    (rows[0].sum() + 2 * rows[1].sum()).backward()
    np.testing.assert_array_equal(t.grad[0], np.ones((3, 4)))
    np.testing.assert_array_equal(t.grad[1], 2 * np.ones((3, 4)))
    with pytest.raises(TypeError, match="0-d Tensor; use .item"):
        iter(Tensor(1.0))


def test_comparisons_are_elementwise_and_not_recorded():
    a, b = Tensor([1.0, 2.0, 3.0], requires_grad=True), np.float32([2, 2, 2])
    for compare in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
        result = getattr(a, compare)(b)
        assert result.node is None
        np.testing.assert_array_equal(result.data, getattr(a.data, compare)(b))


def test_truth_of_many_values_is_refused():
    assert bool(Tensor([2.0]) > 1)
    with pytest.raises(ValueError, match=r"truth of a Tensor of shape \(2,\)"):
        bool(Tensor([1.0, 2.0]))


def test_numpy_item_and_asarray():
    t = Tensor([[1.0, 2.0]])
    assert type(t.numpy()) is np.ndarray and t.numpy() is not None
    assert np.asarray(t).shape == (1, 2)
    assert Tensor(2.5).item() == 2.5 and float(Tensor([2.5])) == 2.5
    assert f"{Tensor(2.5):.2f}" == "2.50"
    with pytest.raises(ValueError, match=r"this Tensor has shape \(1, 2\)"):
        t.item()


def test_a_recorded_tensor_does_not_become_an_array_by_itself():
    t = Tensor([1.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"use\s+t.detach\(\).numpy\(\)"):
        np.asarray(t)
    assert np.asarray(t.detach()) == [1.0]


def test_numpys_functions_accept_tensors_and_are_recorded():
    t = Tensor(X, requires_grad=True)
    for numpy_way, our_way in [
        (np.exp(t), snn.exp(t)),
        (np.add(X, t), snn.add(X, t)),
        (np.sum(t, axis=1), t.sum(axis=1)),
        (np.concatenate([t, t]), snn.concatenate([t, t])),
        (np.ones_like(X) * t, t * 1.0),
        (np.float64(2.0) * t, t * 2.0),
    ]:
        assert type(numpy_way) is Tensor
        np.testing.assert_array_equal(numpy_way.data, our_way.data)
        assert numpy_way.node.op is our_way.node.op
    with pytest.raises(TypeError, match="np.fft has no counterpart"):
        np.fft.fft(t)
    with pytest.raises(TypeError, match="np.arctan has no counterpart"):
        np.arctan(t)


def test_arithmetic_reads_the_same_from_both_sides():
    t = Tensor(np.array([2.0, 4.0]))
    for ours, theirs in [
        (3 - t, 3 - t.data),
        (3 / t, 3 / t.data),
        (3**t, 3**t.data),
        (X[0, :, :2] @ t, X[0, :, :2] @ t.data),
        (X[0, 0, :2] - t, X[0, 0, :2] - t.data),
        (-abs(-t), -t.data),
    ]:
        np.testing.assert_array_equal(ours.data, theirs)


def test_dlpack_both_ways_shares_memory():
    torch = pytest.importorskip("torch", reason="DLPack is tried with torch")
    t = Tensor(np.zeros(3, np.float32))
    seen = torch.from_dlpack(t)
    seen[0] = 1.0
    assert t.data[0] == 1.0
    back = snn.from_dlpack(torch.arange(3.0))
    np.testing.assert_array_equal(back.data, [0, 1, 2])
    with pytest.raises(BufferError, match="export t.detach"):
        torch.from_dlpack(Tensor([1.0], requires_grad=True))


def test_a_deep_copy_has_its_own_values_and_gradient():
    t = Tensor([1.0, 2.0], requires_grad=True)
    (t * t).sum().backward()
    other = copy.deepcopy(t)
    other.data += 1
    other.grad *= 0
    np.testing.assert_array_equal(t.data, [1, 2])
    np.testing.assert_array_equal(t.grad, [2, 4])
    assert other.requires_grad


def test_a_typo_on_a_tensor_is_answered_with_the_nearest_name():
    # by Python itself: a __getattr__ of ours would cost 0.2 us in every op
    code = "import scratchnn; scratchnn.Tensor([1.0]).shpae"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "'Tensor' object has no attribute 'shpae'. Did you mean: 'shape'?" in (
        run.stderr
    )


def test_the_graph_of_a_result_lists_nodes_in_time_order():
    w = Tensor(np.ones((5, 3), np.float32), requires_grad=True)
    x = np.ones((2, 3), np.float32)
    graph = snn.graph_of((snn.linear(x, w) * 2.0).sum())
    assert str(graph) == (
        "  0  leaf      (5, 3)           float32 \n"
        "  1  constant  (2, 3)           float32 \n"
        "  2  linear    (2, 5)           float32   <- 1, 0\n"
        "  3  multiply  (2, 5)           float32   <- 2\n"
        "  4  sum       ()               float32   <- 3"
    )
    with pytest.raises(snn.GraphError, match="nothing was recorded"):
        snn.graph_of(Tensor([1.0]))


def test_a_graph_with_a_shared_node_has_both_edges():
    x = Tensor([2.0], requires_grad=True)
    h = x * 3
    graph = snn.graph_of(h * h + h)
    assert [n.name for n in graph.nodes] == ["leaf", "multiply", "multiply", "add"]
    assert graph.edges == [(0, 1), (1, 2), (1, 2), (2, 3), (1, 3)]


def test_numpys_functions_mean_with_tensors_what_they_mean_without():
    t = Tensor(X)
    for call in (
        lambda a: np.clip(a, 0, 7),
        lambda a: np.sum(a, 1),
        lambda a: np.swapaxes(a, 0, 2),
        lambda a: np.reshape(a, (4, 6)),
        lambda a: np.where(a > 3, a, 0),
        lambda a: np.trace(a[:, :2]),
        lambda a: np.linalg.norm(a, axis=1),
        lambda a: np.einsum("ijk->j", a),
        lambda a: np.stack([a, a], 1),
        lambda a: np.take(a, np.array([0, 2]), 1),
    ):
        np.testing.assert_allclose(call(t).data, call(X))
    for call in (
        lambda: np.linalg.norm(t, 1),
        lambda: np.pad(t, 1, "constant"),
        lambda: np.add(t, 1, out=X),
        lambda: np.add.reduce(t),
        lambda: np.dot(t, t),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()


def test_bit_operators_join_booleans_only():
    t = Tensor([1.0, 2.0, 3.0])
    inside = (t > 1) & (t.data < 3) | False
    np.testing.assert_array_equal(inside.data, [False, True, False])
    np.testing.assert_array_equal((np.array([True] * 3) & (t > 1)).data, t.data > 1)
    np.testing.assert_array_equal(((t > 1) ^ True).data, t.data <= 1)
    with pytest.raises(TypeError, match="& joins booleans"):
        Tensor([6]) & Tensor([3])
    with pytest.raises(TypeError, match="~ joins booleans"):
        ~t


def test_sigmoid_keeps_its_relative_accuracy_far_out():
    x = np.array([-700.0, -38.0, -20.0, -1.0, 0.0, 1.0, 40.0])
    exact = np.exp(x) / (1 + np.exp(x))
    np.testing.assert_allclose(snn.sigmoid(x), exact, rtol=1e-15)
    np.testing.assert_allclose(
        snn.sigmoid(np.float32([-20, -80])), np.exp([-20.0, -80.0]), rtol=1e-6
    )


def test_shape_ops_take_numpys_forms_of_their_numbers():
    t = Tensor(X, requires_grad=True)
    snn.roll(t, [1, 2], [0, 1]).sum().backward()
    np.testing.assert_array_equal(t.grad, np.ones_like(X))
    assert [part.shape for part in snn.split(X, np.int64(2))] == [(1, 3, 4)] * 2
    with pytest.raises(ValueError, match="does not divide into 0 equal parts"):
        snn.split(X, 0)
    with pytest.raises(TypeError, match="repeats must be one whole number"):
        snn.repeat(X, [1, 2], axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        assert np.isnan(snn.var(np.ones(1), ddof=1))  # 0 / 0, as NumPy's
