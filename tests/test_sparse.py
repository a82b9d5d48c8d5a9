"""Sparse products: dense products, PyTorch, sorting, kernels, bad places."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import same_as_torch

import scratchnn as snn
from scratchnn import TABLE, Pattern, ShapeError, SparseMatrix, Tensor, grad

RNG = np.random.default_rng(0)
EPS = np.finfo(np.float32).eps


@st.composite
def products(draw, widths=((), (1,), (3,), (2, 2), (0,))):
    """A matrix with repeated entries, empty rows or none at all, and x, g beside it."""
    n, m = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    size = draw(st.integers(0, 15)) if n and m else 0
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    rows, columns = rng.integers(0, n or 1, size), rng.integers(0, m or 1, size)
    if draw(st.booleans()):
        rows.sort()
    more = draw(st.sampled_from(widths))
    x, g = rng.standard_normal((m, *more)), rng.standard_normal((n, *more))
    return SparseMatrix(rows, columns, rng.standard_normal(size), (n, m)), x, g


def dense(A):
    y = np.zeros(A.shape)
    for i, j, value in zip(A.pattern.rows, A.pattern.columns, A.values):
        y[i, j] += value
    return y


def flat(x):
    return x.reshape(len(x), math.prod(x.shape[1:]))


def random_matrix(n, m, size):
    rows, columns = RNG.integers(0, n or 1, size), RNG.integers(0, m or 1, size)
    return SparseMatrix(rows, columns, float32(size), (n, m))


def float32(*shape):
    return RNG.standard_normal(shape, np.float32)


# ---- the equations --------------------------------------------------------------
# At most 15 products of order 1 in a sum, each rounded at 2e-16.
CLOSE = dict(rtol=1e-13, atol=1e-14)


@given(case=products())
def test_product_is_that_of_the_dense_matrix(case):
    A, x, g = case
    np.testing.assert_allclose(A.to_dense(), dense(A), **CLOSE)
    y, y_T = A @ x, A.T @ g
    assert y.shape == g.shape and y_T.shape == x.shape
    np.testing.assert_allclose(flat(y), dense(A) @ flat(x), **CLOSE)
    np.testing.assert_allclose(flat(y_T), dense(A).T @ flat(g), **CLOSE)


@given(case=products())
def test_sampled_product_is_the_dense_one_at_the_places(case):
    A, x, g = case
    y = snn.sampled_matmul(g, x, A.pattern)
    exact = flat(g) @ flat(x).T
    np.testing.assert_allclose(y, exact[A.pattern.rows, A.pattern.columns], **CLOSE)


@given(case=products())
def test_rows_are_found_by_their_starts(case):
    pattern = case[0].pattern
    starts, columns, order = pattern.by_row
    order = np.arange(len(pattern)) if order is None else order
    for i in range(pattern.shape[0]):
        entries = np.flatnonzero(pattern.rows == i)
        np.testing.assert_array_equal(order[starts[i] : starts[i + 1]], entries)
    np.testing.assert_array_equal(columns, pattern.columns[order])


def test_either_way_is_sorted_once():
    pattern = random_matrix(5, 7, 20).pattern
    assert pattern.T.by_row is pattern.T.by_row
    assert pattern.T.T.by_row is pattern.by_row
    assert pattern.T.shape == (7, 5)


def test_gradients_reach_x_and_values_through_the_matrix():
    A = random_matrix(5, 7, 20)
    values, x = (Tensor(v, requires_grad=True) for v in (A.values, float32(7, 3)))
    g = float32(5, 3)
    (A.with_values(values) @ x).backward(g)
    close = dict(atol=20 * EPS * 4)  # sums of 20 products of order 4
    np.testing.assert_allclose(x.grad, dense(A).T @ g, **close)
    wanted = (g @ x.data.T)[A.pattern.rows, A.pattern.columns]
    np.testing.assert_allclose(values.grad, wanted, **close)


def test_second_derivatives_mix_values_and_x():
    """d^2/dv dx of sum(y^2)/2 along directions: differences of the first."""
    A, x = random_matrix(5, 7, 20), RNG.standard_normal((7, 3))
    v, u, w = RNG.standard_normal((3, 20))

    def by_values(x, v):
        v = Tensor(v, requires_grad=True)
        y = A.with_values(v) @ x
        return grad((y * y).sum() / 2, v)

    t = Tensor(x, requires_grad=True)
    second = grad((by_values(t, v) * u).sum(), t).data
    step = 1e-5 * RNG.standard_normal(x.shape)
    slope = ((by_values(x + step, v) - by_values(x - step, v)).data * u).sum() / 2
    # centred differences of a quadratic are exact up to rounding: eps / step
    np.testing.assert_allclose((second * step).sum(), slope, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("shape", [(7,), (7, 3)])
def test_products_equal_pytorch_to_second_order(shape):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    A = random_matrix(5, 7, 20)
    places = tuple(map(torch.from_numpy, (A.pattern.rows, A.pattern.columns)))

    def theirs(F, values, x):
        zeros = torch.zeros(A.shape, dtype=values.dtype)
        return zeros.index_put(places, values, accumulate=True) @ x

    same_as_torch(
        lambda values, x: A.with_values(values) @ x,
        theirs,
        RNG.standard_normal(20),
        RNG.standard_normal(shape),
    )


def test_product_equals_pytorchs_sparse_one():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    A, x = random_matrix(50, 70, 400), float32(70, 3)
    at = torch.from_numpy(np.stack([A.pattern.rows, A.pattern.columns]))
    values = torch.from_numpy(A.values)
    matrix = torch.sparse_coo_tensor(at, values, A.shape, check_invariants=True)
    theirs = torch.sparse.mm(matrix, torch.from_numpy(x)).numpy()
    # rows of at most 30 products of order 4, each rounded once, and their sum
    np.testing.assert_allclose(A @ x, theirs, atol=30 * 4 * EPS)


def test_layout_and_type_of_inputs_do_not_matter():
    A, x = random_matrix(5, 7, 20), float32(7, 4)
    y = A @ x
    np.testing.assert_array_equal(A @ np.asfortranarray(x), y)
    np.testing.assert_array_equal(A @ x.repeat(2, axis=0)[::2], y)
    assert (A @ x).dtype == np.float32
    assert (A.with_values(A.values.astype(float)) @ x).dtype == np.float64
    p = A.pattern
    same = Pattern(p.rows.astype(np.uint8), p.columns.tolist(), [5, 7])
    np.testing.assert_array_equal(snn.sparse_matmul(A.values, x, same), y)


def test_a_pattern_can_be_saved():
    A, x = random_matrix(5, 7, 20), float32(7, 4)
    same = pickle.loads(pickle.dumps(A))
    np.testing.assert_array_equal(same.T.T @ x, A @ x)


# ---- kernels --------------------------------------------------------------------
numba = pytest.mark.skipif(
    TABLE["sparse_matmul"].fast is None, reason="kernels are off"
)
# No entries, no columns, no rows, nothing but repeats, rows longer than AHEAD.
SIZES = [
    (3, 2, 0), (2, 0, 0), (0, 2, 0), (1, 1, 9), (50, 40, 300), (300, 500, 9000),
    (2, 900, 9000),
]  # fmt: skip


def both(name, *args):
    """Results of kernel and body."""
    op = TABLE[name]
    return op.fast(*args), op.body(*args)


@numba
@pytest.mark.parametrize("width", [(), (1,), (7,), (16,), (64,), (127,), (2, 5), (0,)])
@pytest.mark.parametrize("size", SIZES)
def test_kernels_equal_their_bodies(size, width, monkeypatch):
    monkeypatch.setattr(snn.kernels, "SMALL", 0)
    A = random_matrix(*size)
    x, g = float32(A.shape[1], *width), float32(A.shape[0], *width)
    # Products are added in the same order, so every bit is the same.
    for v, x_, pattern in (A.values, x, A.pattern), (A.values, g, A.pattern.T):
        fast, slow = both("sparse_matmul", v, x_, pattern)
        np.testing.assert_array_equal(fast, slow)
        assert fast.dtype == np.float32 and fast.shape == slow.shape
    fast, slow = both("sampled_matmul", g, x, A.pattern)
    k = int(np.prod(width))  # products of order 4, added in another order
    np.testing.assert_allclose(fast, slow, atol=4 * k * EPS)


@numba
def test_nan_and_infinity_reach_their_rows_only(monkeypatch):
    monkeypatch.setattr(snn.kernels, "SMALL", 0)
    A, x = random_matrix(50, 40, 300), float32(40, 35)
    x[3, 4], x[5, 34] = np.nan, np.inf
    fast, slow = both("sparse_matmul", A.values, x, A.pattern)
    np.testing.assert_array_equal(fast, slow)
    assert np.isnan(fast).any() and not np.isnan(fast).all(axis=0).any()
    fast, slow = both("sampled_matmul", float32(50, 35), x, A.pattern)
    np.testing.assert_array_equal(np.isfinite(fast), np.isfinite(slow))


@numba
def test_threads_change_nothing():
    """A row is summed by one thread, in order: results don't depend on their number."""
    A, x = random_matrix(1000, 800, 40_000), float32(800, 64)
    g, before = float32(1000, 64), snn.get_num_threads()
    found = []
    try:
        for n in (1, 2, 2):
            snn.set_num_threads(n)
            found.append((A @ x, A.T @ g, snn.sampled_matmul(g, x, A.pattern)))
    finally:
        snn.set_num_threads(before)
    for ys in zip(*found):
        np.testing.assert_array_equal(ys[0], ys[1])
        np.testing.assert_array_equal(ys[0], ys[2])


@numba
@pytest.mark.parametrize(
    "change",
    [lambda x: x.astype(float), lambda x: x[:-1], lambda x: Tensor(x)],
    ids=["float64", "too few rows", "not an array"],
)
def test_kernels_decline_what_they_can_not_do(change):
    A, x, g = random_matrix(300, 200, 9000), float32(200, 8), float32(300, 8)
    multiply, sample = TABLE["sparse_matmul"], TABLE["sampled_matmul"]
    assert multiply.fast(A.values, x, A.pattern) is not NotImplemented
    assert multiply.fast(A.values, change(x), A.pattern) is NotImplemented
    assert multiply.fast(change(A.values), x, A.pattern) is NotImplemented
    assert sample.fast(g, change(x), A.pattern) is NotImplemented
    assert sample.fast(change(g), x, A.pattern) is NotImplemented


@numba
@pytest.mark.parametrize("width", [(), (7,), (3, 5)])
def test_joint_rules_equal_the_rules(width, monkeypatch):
    monkeypatch.setattr(snn.kernels, "SMALL", 0)
    A, e = random_matrix(30, 20, 200), float32(200)
    x, g = float32(20, *width), float32(30, *width)
    close = dict(atol=4 * 200 * EPS)  # at most 200 products of order 4
    for name, cotangent, inputs in [
        ("sparse_matmul", g, (A.values, x)),
        ("sampled_matmul", e, (g, x)),
    ]:
        op = TABLE[name]
        joint = op.fast_rule(cotangent, None, [True, True], *inputs, pattern=A.pattern)
        for rule, found in zip(op.rules, joint, strict=True):
            slow = rule(cotangent, None, *inputs, pattern=A.pattern)
            np.testing.assert_allclose(found, slow, **close)
            assert found.shape == slow.shape


# ---- errors ---------------------------------------------------------------------
def text_of(error, f, *args):
    with pytest.raises(error) as e:
        f(*args)
    return str(e.value)


def test_a_place_outside_is_named():
    text = text_of(IndexError, Pattern, [0, 4, 1], [0, 0, 0], (4, 5))
    assert text == "Pattern: rows[1] is 4; the shape has 4 rows, 0 to 3"
    text = text_of(IndexError, Pattern, [0, 1], [0, -1], (4, 5))
    assert text == "Pattern: columns[1] is -1; the shape has 5 columns, 0 to 4"
    text = text_of(IndexError, Pattern, [0], [0], (0, 5))
    assert text == "Pattern: rows[0] is 0; the shape has 0 rows"


def test_places_must_be_integers_in_pairs():
    text = text_of(TypeError, Pattern, [0.0], [0], (4, 5))
    assert "rows must be integers, got float64; convert with rows.astype(int)" in text
    text = text_of(ShapeError, Pattern, [0, 1], [0], (4, 5))
    assert "rows (2,) and columns (1,) need the same length" in text
    text = text_of(ShapeError, Pattern, [[0, 1]], [0], (4, 5))
    assert "rows needs one axis, got shape (1, 2)" in text


@pytest.mark.parametrize("wrap", [np.asarray, Tensor])
def test_what_does_not_fit_is_named(wrap):
    A, x = random_matrix(4, 5, 7), wrap(float32(6, 3))
    text = text_of(ShapeError, A.__matmul__, x)
    assert text == (
        "sparse_matmul: x (6, 3) needs 5 rows, as many as the matrix (4, 5) has columns"
    )
    text = text_of(ShapeError, A.with_values(float32(6)).__matmul__, x[:5])
    assert text == (
        "sparse_matmul: values (6,) needs one entry for each of the pattern's: shape "
        "(7,)"
    )
    text = text_of(ShapeError, snn.sampled_matmul, x, x, A.pattern)
    assert text.startswith("sampled_matmul: a (6, 3) needs 4 rows")
    text = text_of(ShapeError, snn.sampled_matmul, x[:4], x[:5, :1], A.pattern)
    assert text == (
        "sampled_matmul: a (4, 3) and b (5, 1) need the same width: axis 0 aside, "
        "equal shapes"
    )


def test_array_times_sparse_matrix_is_an_error():
    with pytest.raises(TypeError):
        float32(3, 4) @ random_matrix(4, 5, 7)


def test_places_with_strides_are_as_good_as_any():
    """np.nonzero's arrays are columns of one (E, 2): views with strides."""
    rng = np.random.default_rng(0)
    M = rng.standard_normal((300, 400)).astype(np.float32)
    M[rng.random(M.shape) < 0.5] = 0
    i, j = np.nonzero(M)
    values = M[i, j]
    assert not j.flags.c_contiguous
    x, g = float32(400, 64), float32(300, 64)  # enough to be shared among threads
    for rows, columns, entries, shape, b in (
        (i, j, values, (300, 400), x), (j, i, values, (400, 300), g),
    ):  # fmt: skip
        A = snn.SparseMatrix(rows, columns, entries, shape)
        wanted = (M if shape == M.shape else M.T) @ b
        np.testing.assert_allclose(A @ b, wanted, rtol=1e-4, atol=1e-4)
