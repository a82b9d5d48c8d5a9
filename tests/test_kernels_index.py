"""Kernels that work on rows found by index equal their bodies, and x[index] NumPy's."""

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import TABLE, kernels

RNG = np.random.default_rng(0)
EPS = np.finfo(np.float32).eps
SCATTER, LARGEST = TABLE["scatter"], TABLE["_segment_max"]
numba = pytest.mark.skipif(SCATTER.fast is None, reason="kernels are off")

# Fewer rows than are asked for ahead, more, one place, empty segments; odd widths.
SIZES = [(1, 1), (7, 3), (300, 1), (300, 41), (9000, 5000)]
WIDTHS = [(2,), (7,), (33,), (2, 5)]
of_sizes = pytest.mark.parametrize("size", SIZES, ids=str)
of_widths = pytest.mark.parametrize("width", WIDTHS, ids=str)


def float32(*shape):
    return RNG.standard_normal(shape, np.float32)


@pytest.fixture(autouse=True)
def small_too(monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 0)


def drawn(size, width):
    n, places = size
    return float32(n, *width), RNG.integers(0, places, n), places


@numba
@of_sizes
@of_widths
def test_rows_are_added_in_order(size, width):
    """Each sum in the order of the rows, as in the body: equal to the bit."""
    x, index, places = drawn(size, width)
    shape = (places, *width)
    for i in (index, index - places, index.astype(np.uint16)):
        fast, slow = SCATTER.fast(x, i, shape), SCATTER.body(x, index, shape)
        np.testing.assert_array_equal(fast, slow)
        assert fast.dtype == np.float32


@numba
@of_sizes
@of_widths
def test_largest_rows_and_their_rule_equal_the_bodies(size, width):
    x, segments, places = drawn(size, width)
    x = np.round(4 * x) / 4  # ties
    y = LARGEST.fast(x, segments, places)
    np.testing.assert_array_equal(y, LARGEST.body(x, segments, places))
    g = float32(*y.shape)
    params = dict(segments=segments, num_segments=places)
    (fast,) = LARGEST.fast_rule(g, y, [True], x, **params)
    slow = LARGEST.rules[0](g, y, x, **params)
    np.testing.assert_allclose(fast, slow, rtol=2 * EPS)  # (g / n), not g (1 / n)


@numba
def test_nan_and_infinity_are_the_largest_as_in_the_body():
    x, segments = float32(200, 9), RNG.integers(0, 20, 200)
    x[3, 4], x[7, 5], x[9, 6] = np.nan, np.inf, -np.inf
    x[segments == 5, 8] = -np.inf
    y = LARGEST.fast(x, segments, 20)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(y, LARGEST.body(x, segments, 20))
    params = dict(segments=segments, num_segments=20)
    (fast,) = LARGEST.fast_rule(np.ones_like(y), y, [True], x, **params)
    with np.errstate(invalid="ignore"):
        slow = LARGEST.rules[0](np.ones_like(y), y, x, **params)
    np.testing.assert_allclose(fast, slow, rtol=2 * EPS)
    assert np.isnan(fast[segments == segments[3], 4]).all()


@numba
def test_kernels_decline_what_they_can_not_do_or_not_faster():
    x, index = float32(300, 8), RNG.integers(0, 41, 300)
    assert LARGEST.fast(x, index, 41) is not NotImplemented
    for x_, i in [
        (x[:0], index[:0]),
        (x[:, 0].copy(), index),
        (x[:, :1].copy(), index),
        (x[::2], index[::2]),
        (x.astype(float), index),
    ]:
        assert LARGEST.fast(x_, i, 41) is NotImplemented
        assert SCATTER.fast(x_, i, (41, *x_.shape[1:])) is NotImplemented


@pytest.mark.parametrize(
    "index",
    [[2, 0, -1], [[0, 1], [2, 2]], np.uint8([1, 1]), np.zeros(0, int), np.array(1)],
    ids=["negative", "2-d", "uint8", "none", "0-d"],
)
@pytest.mark.parametrize("change", [np.array, np.asfortranarray, lambda x: x[:, ::2]])
def test_rows_by_index_are_numpys(index, change):
    x, index = change(float32(3, 5, 4)), np.asarray(index)
    np.testing.assert_array_equal(snn.getitem(x, index), x[index])
    assert snn.getitem(x, index).shape == x[index].shape


def test_a_row_out_of_range_is_still_an_error():
    with pytest.raises(IndexError, match="getitem: index 3 is out of bounds"):
        snn.getitem(float32(3, 5), np.array([0, 3]))
