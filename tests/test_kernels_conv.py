"""The convolution kernels equal the NumPy bodies, at every size and place."""

import numpy as np
import pytest
from helpers import reference, watching
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnn as snn
from scratchnn import Tensor, kernels

pytest.importorskip("numba", reason="kernels need numba")
conv = kernels.load("conv")
if conv is None:
    pytest.skip("no convolution kernels here", allow_module_level=True)
EPS = np.finfo(np.float32).eps


@st.composite
def cases(draw):
    """x, weight, bias, and how to convolve them: sizes that no tile divides."""
    integer = st.integers
    n, c = draw(integer(1, 5)), draw(integer(1, 5))
    o = draw(st.one_of(integer(1, 9), integer(10, 70)))
    stride = draw(integer(1, 3))
    size = [draw(integer(1, 5)) for _ in range(2)]
    padding = tuple(draw(integer(0, k - 1)) for k in size)
    x = [max(1, k - 2 * p) + draw(integer(0, 24)) for k, p in zip(size, padding)]
    rng = np.random.default_rng(draw(integer(0, 2**32)))
    shapes = (n, c, *x), (o, c, *size), (o,)
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    return (*arrays, {"stride": stride, "padding": padding})


def assert_close(fast, slow, terms):
    """Equal but for the order of a sum of `terms` products of normal numbers.

    After i terms a sum is near sqrt(i), and rounded by eps sqrt(i) / 2 at most, with a
    random sign: n terms together by a deviation below eps n / 3, a difference of two
    sums by eps n / 2. Five of these, and what single products of up to 32 lose.
    """
    assert fast.dtype == np.float32 and fast.shape == slow.shape
    np.testing.assert_allclose(fast, slow, rtol=0, atol=(2.5 * terms + 32) * EPS)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_all_three_products_equal_the_reference(case):
    x, weight, bias, how = case
    o, c, kh, kw = weight.shape
    own = how["stride"], *how["padding"]
    slow = reference(lambda: snn.conv2d(x, weight, bias, **how))
    g = np.random.default_rng([1, 2]).standard_normal(slow.shape, np.float32)
    assert_close(conv._convolve(x, weight, bias, *own), slow, c * kh * kw)

    def gradients():
        inputs = [Tensor(a, requires_grad=True) for a in (x, weight, bias)]
        snn.conv2d(*inputs, **how).backward(g)
        return [t.grad for t in inputs]

    gx, gw, gb = reference(gradients)
    dw, db = conv._contract(x, g, (kh, kw), *own)
    places = g[:, 0].size
    assert_close(dw, gw, places)
    assert_close(db, gb, places)
    spread = conv._spread(g, weight, None, x.shape[2:], *own)
    assert (spread is None) == (how["stride"] > min(kh, kw, *x.shape[2:]))
    if spread is not None:
        assert_close(spread, gx, o * kh * kw)


@pytest.mark.parametrize("shape", [(64, 5, 13, 15), (5, 60, 70)], ids=["batch", "one"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("f", ["conv2d", "conv_transpose2d"])
def test_ops_and_their_gradients_are_the_same_with_and_without_kernels(f, bias, shape):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape, np.float32)
    weight = rng.standard_normal((7, 5, 4, 4), np.float32)
    if f == "conv_transpose2d":
        weight = weight.swapaxes(0, 1).copy()
    b = rng.standard_normal(7, np.float32) if bias else None
    op = snn.TABLE[f]

    def run():
        inputs = [Tensor(a, requires_grad=True) for a in (x, weight)]
        inputs += [Tensor(b, requires_grad=True)] if bias else []
        y = op.call(*inputs, stride=2, padding=1)
        y.backward(np.ones_like(y.data) + y.data)
        return [y.data, *(t.grad for t in inputs)]

    with watching(op) as declined:
        found = run()
    assert declined == [False, False]
    for a, b in zip(found, reference(run)):
        assert a.shape == b.shape and a.flags.c_contiguous
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * abs(b).max())


@pytest.mark.parametrize(
    "change",
    [
        {"groups": 5, "weight": (5, 1, 3, 3)},
        {"dilation": 2},
        {"stride": (1, 2)},
        {"dtype": np.float64},
    ],
    ids=str,
)
def test_what_the_kernel_can_not_do_is_left_to_numpy(change):
    change = dict(change)
    x = np.ones((64, 5, 16, 16), change.pop("dtype", np.float32))
    weight = np.ones(change.pop("weight", (7, 5, 3, 3)), x.dtype)
    how = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **change}
    assert snn.TABLE["conv2d"].fast(x, weight, None, **how) is NotImplemented


def test_nan_stays_within_the_windows_that_see_it():
    x = np.ones((64, 3, 16, 16), np.float32)
    x[7, 1, 5, 5] = np.nan
    weight = np.ones((5, 3, 3, 3), np.float32)
    y = snn.conv2d(x, weight, padding=1)
    assert np.isnan(y[7, :, 4:7, 4:7]).all() and np.isnan(y).sum() == 5 * 9


def test_results_do_not_change_from_run_to_run():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((33, 6, 14, 14), np.float32)
    g = rng.standard_normal((33, 11, 14, 14), np.float32)
    first = snn.conv2d_weight(x, g, (3, 3), padding=1)
    for _ in range(5):
        assert np.array_equal(first, snn.conv2d_weight(x, g, (3, 3), padding=1))


def test_an_empty_batch_is_left_to_numpy():
    x, weight = np.ones((0, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    assert snn.conv2d(x, weight).shape == (0, 4, 6, 6)


def test_gradients_of_second_order_pass_by_the_kernel():
    rng = np.random.default_rng(3)
    x = Tensor(rng.standard_normal((32, 5, 12, 12), np.float32), requires_grad=True)
    weight = Tensor(rng.standard_normal((6, 5, 3, 3), np.float32), requires_grad=True)

    def penalty():
        y = snn.conv2d(x, weight, padding=1)
        g = snn.grad((y * y).sum(), x)
        return snn.grad((g * g).sum(), weight).data

    fast, slow = penalty(), reference(penalty)
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4 * abs(slow).max())


@pytest.mark.parametrize(
    "call",
    {
        "bias": lambda x, w: snn.conv2d(x, w, w[0, 0, 0]),
        "padding": lambda x, w: snn.conv2d(x, w, padding=-1),
        "stride": lambda x, w: snn.conv2d(x, w, stride=0),
        "kernel": lambda x, w: snn.conv2d(x[..., :2], w, stride=2),
        "bias, transposed": lambda x, w: snn.conv_transpose2d(x, w, w[0, 0, 0]),
        "dy": lambda x, w: snn.conv2d_weight(x, x, (3, 3)),
        "batch": lambda x, w: snn.conv2d_weight(x, x[:5, ..., 2:, 2:], (3, 3)),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_does_not_fit_is_refused_as_without_kernels(call):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((64, 5, 16, 16), np.float32)
    weight = rng.standard_normal((5, 5, 3, 3), np.float32)
    found = []

    def run():
        with pytest.raises(snn.ShapeError) as caught:
            call[1](x, weight)
        found.append(str(caught.value))

    run()
    reference(run)
    assert found[0] == found[1]
