"""Reductions by group: loops, PyTorch, ties, empty groups, bad ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import same_as_torch

import scratchnn as snn
from scratchnn import ShapeError, Tensor

rng = np.random.default_rng(0)
ROWS = (7, 2)
SEGMENTS = np.array([3, 0, 3, 1, 0, 3, 1])  # of 5: 2 and 4 are empty
OPS = ("segment_sum", "segment_mean", "segment_max", "segment_softmax")
of_every_op = pytest.mark.parametrize("name", OPS)


# ---- the equations, as loops ----------------------------------------------------
def loop(name, x, segments, num_segments):
    y = np.zeros((num_segments, *x.shape[1:]))
    for s in range(num_segments):
        rows = [x[e] for e in range(len(x)) if segments[e] == s]
        if rows:
            total = sum(rows)
            y[s] = {
                "segment_sum": total,
                "segment_mean": total / len(rows),
                "segment_max": np.max(rows, axis=0),
                "segment_softmax": sum(np.exp(row) for row in rows),
            }[name]
    if name == "segment_softmax":
        rows = [np.exp(v) / y[s] for v, s in zip(x, segments)]
        return np.reshape(rows, x.shape)
    return y


@st.composite
def groups(draw):
    n, e = draw(st.integers(1, 6)), draw(st.integers(0, 12))
    segments = draw(st.lists(st.integers(0, n - 1), min_size=e, max_size=e))
    shape = (e, *draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,)])))
    x = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(shape)
    return x, np.array(segments, dtype=int), n


@of_every_op
@given(group=groups())
def test_op_is_its_equation(name, group):
    # at most 12 terms of order 1, each rounded at 2e-16
    np.testing.assert_allclose(
        getattr(snn, name)(*group), loop(name, *group), rtol=1e-13, atol=1e-14
    )


@of_every_op
def test_order_of_rows_does_not_matter(name):
    f, x, p = getattr(snn, name), rng.standard_normal(ROWS), rng.permutation(7)
    y, z = f(x, SEGMENTS, 5), f(x[p], SEGMENTS[p], 5)
    np.testing.assert_allclose(z, y[p] if name == "segment_softmax" else y, rtol=1e-14)


# ---- parity with PyTorch --------------------------------------------------------
def reduced(how):
    def reduce(F, x, segments):
        index = segments.reshape(-1, *(1 for _ in x.shape[1:])).expand(x.shape)
        zeros = x.new_zeros(5, *x.shape[1:])
        return zeros.scatter_reduce(0, index, x, how, include_self=False)

    return reduce


def torch_softmax(F, x, segments):
    total = x.new_zeros(5, *x.shape[1:]).index_add(0, segments, x.exp())
    return x.exp() / total[segments]


THEIRS = {
    "segment_sum": reduced("sum"),
    "segment_mean": reduced("mean"),
    "segment_max": reduced("amax"),
    "segment_softmax": torch_softmax,
}


@of_every_op
@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_op_equals_pytorch_to_second_order(name, shape):
    same_as_torch(
        lambda x, s: getattr(snn, name)(x, s, 5),
        THEIRS[name],
        rng.standard_normal((7, *shape)),
        SEGMENTS,
    )


# ---- extremes -------------------------------------------------------------------
@of_every_op
def test_no_rows_give_zeros_or_nothing(name):
    y = getattr(snn, name)(np.zeros((0, 2)), np.zeros(0, int), 3)
    shape = (0, 2) if name == "segment_softmax" else (3, 2)
    np.testing.assert_array_equal(y, np.zeros(shape))


def test_empty_segments_are_zero_and_pass_no_gradient():
    for name in OPS[:3]:
        x = Tensor(-np.ones(ROWS), requires_grad=True)
        y = getattr(snn, name)(x, SEGMENTS, 5)
        assert not y.data[[2, 4]].any() and y.data[[0, 1, 3]].all()
        y[np.array([2, 4])].sum().backward()
        assert not x.grad.any()


def test_ties_of_segment_max_share_the_gradient():
    x = Tensor(np.array([1.0, 5.0, 1.0, 0.0, 5.0, 1.0, 2.0]), requires_grad=True)
    snn.segment_max(x, SEGMENTS, 5).backward(np.arange(1.0, 6.0))
    np.testing.assert_allclose(x.grad, [4 / 3, 0.5, 4 / 3, 0, 0.5, 4 / 3, 2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_segment_softmax_can_not_overflow(dtype):
    x = np.array([1e4, -1e4, -1e4, 3e4, -np.inf, -np.inf, 3e4], dtype)
    x = Tensor(x, requires_grad=True)
    y = snn.segment_softmax(x, SEGMENTS, 5)
    np.testing.assert_array_equal(y.data, [1, 1, 0, 0.5, 0, 0, 0.5])
    y.backward(np.arange(7, dtype=dtype))
    np.testing.assert_array_equal(x.grad, [0, 0, 0, -0.75, 0, 0, 0.75])


def test_weights_of_segment_softmax_sum_to_one():
    y = snn.segment_softmax(10 * rng.standard_normal(ROWS), SEGMENTS, 5)
    sums = snn.segment_sum(y, SEGMENTS, 5)
    np.testing.assert_allclose(sums[[0, 1, 3]], 1, rtol=1e-14)


@of_every_op
def test_ids_may_be_small_integers_a_list_or_a_tensor(name):
    """300 rows of width 3: the last flat place, 599, is beyond uint8."""
    f, x = getattr(snn, name), rng.standard_normal((300, 3))
    ids = rng.integers(0, 200, 300)
    expected = f(x, ids, 200)
    for same in (ids.astype(np.uint8), ids.tolist(), Tensor(ids)):
        np.testing.assert_array_equal(f(x, same, 200), expected)


def test_scatter_does_not_overflow_small_integers():
    """The gradient of an embedding indexed by uint8 tokens."""
    x, ids = rng.standard_normal((300, 3)), rng.integers(0, 200, 300)
    y = snn.scatter(x, index=ids.astype(np.uint8), shape=(200, 3))
    np.testing.assert_allclose(y, snn.segment_sum(x, ids, 200), rtol=1e-13, atol=1e-14)


@of_every_op
def test_layout_of_rows_does_not_matter(name):
    f, x = getattr(snn, name), rng.standard_normal(ROWS)
    y = f(x, SEGMENTS, 5)
    np.testing.assert_array_equal(f(np.asfortranarray(x), SEGMENTS, 5), y)
    np.testing.assert_array_equal(f(x.repeat(2, axis=0)[::2], SEGMENTS, 5), y)


@of_every_op
def test_op_runs_where_its_rows_are(name, device):
    x = rng.standard_normal(ROWS)
    y = getattr(snn, name)(device.put(x), device.put(SEGMENTS), 5)
    assert isinstance(y, device.array)
    np.testing.assert_allclose(
        y.get(), getattr(snn, name)(x, SEGMENTS, 5), rtol=1e-12
    )


# ---- errors ---------------------------------------------------------------------
@of_every_op
@pytest.mark.parametrize("bad", [-1, 5])
def test_an_id_out_of_range_is_named_with_its_place(name, bad):
    segments = SEGMENTS.copy()
    segments[4] = bad
    with pytest.raises(IndexError) as e:
        getattr(snn, name)(np.ones(ROWS), segments, 5)
    text = f"{name}: segments[4] is {bad}; with num_segments=5 they are 0 to 4"
    assert str(e.value) == text


@of_every_op
def test_ids_that_do_not_fit_the_rows_are_refused(name):
    with pytest.raises(ShapeError) as e:
        getattr(snn, name)(np.ones((6, 2)), SEGMENTS, 5)
    assert str(e.value) == (
        f"{name}: segments (7,) needs one entry for each row of x (6, 2): shape (6,)"
    )


@of_every_op
def test_ids_must_be_integers(name):
    with pytest.raises(TypeError) as e:
        getattr(snn, name)(np.ones(ROWS), SEGMENTS.astype(float), 5)
    assert str(e.value) == (
        f"{name}: segments must be integers, got float64; convert with "
        "segments.astype(int)"
    )
