"""Fused elementwise, softmax, loss and norm kernels equal their bodies and rules."""

import numpy as np
import pytest
from helpers import both, normal

import scratchnn as snn
from scratchnn import TABLE, Tensor, kernels

pytest.importorskip("numba", reason="kernels need numba")
RNG = np.random.default_rng(0)
EPS = np.finfo(np.float32).eps
float32 = normal(RNG)


@pytest.fixture(autouse=True)
def whatever_the_size(monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 0)
    with np.errstate(all="ignore"):
        yield


def value_and_gradient(name, x, g, *args, **params):
    def run():
        t = Tensor(x, requires_grad=True)
        y = TABLE[name].call(t, *args, **params)
        y.backward(g)
        return y.data, t.grad

    return both(run)


def ran(name, x, *args, **params):
    return TABLE[name].fast(x, *args, **params) is not NotImplemented


ELEMENTWISE = {
    "exp": {},
    "tanh": {},
    "sigmoid": {},
    "softplus": {},
    "relu": {},
    "leaky_relu": {"negative_slope": 0.2},
    "silu": {},
    "_gelu_tanh": {},
}
of_elementwise = pytest.mark.parametrize("name", ELEMENTWISE)


# Each formula has at most 8 roundings of terms of the size of the result or of g. In
# gelu's reference 1 + tanh u cancels, which leaves eps / 2 times x u' = 30 at x = -4.
def tolerance(name):
    close = (64 if name == "_gelu_tanh" else 16) * EPS
    return {"rtol": close, "atol": close}


@pytest.mark.parametrize("shape", [(1,), (7, 1, 3), (0, 5), (3, 70_001)])
def test_sums_are_the_reference_to_the_bit_also_those_of_gradients(shape):
    a, b = float32(*shape), float32(*shape)
    assert ran("add", a, b)

    def run():
        t = Tensor(a, requires_grad=True)
        y = t + b
        (snn.exp(y) + snn.tanh(y)).backward(b)  # y's gradient is a sum
        return y.data, t.grad

    fast, slow = both(run)
    np.testing.assert_array_equal(fast[0], slow[0])
    np.testing.assert_allclose(fast[1], slow[1], rtol=16 * EPS, atol=16 * EPS)


def test_sums_of_other_types_and_shapes_are_left_to_numpy():
    a = float32(6, 4)
    others = a[0], 2.0, a.astype(np.float64), float32(4, 6).T, a.tolist(), a > 0
    for b in others:
        assert not ran("add", a, b)
        fast, slow = both(lambda: Tensor(a) + b)
        assert fast.dtype == slow.dtype
        np.testing.assert_array_equal(fast.data, slow.data)


@of_elementwise
@pytest.mark.parametrize("shape", [(257, 131), (1,), (7, 1, 3), (0, 5)])
def test_elementwise_kernels_and_rules_equal_the_reference(name, shape):
    x, g = 3 * float32(*shape), float32(*shape)
    params = ELEMENTWISE[name]
    assert ran(name, x, **params)
    for fast, slow in zip(*value_and_gradient(name, x, g, **params)):
        assert fast.dtype == np.float32 and fast.shape == shape
        np.testing.assert_allclose(fast, slow, **tolerance(name))


# g = 1 and x = +-1e4: the saturated ends, where a formula could overflow.
@of_elementwise
def test_elementwise_kernels_equal_the_reference_at_extremes(name):
    ends = [1e4, -1e4, 100, -100, 88.8, -88.8, 0, np.inf, -np.inf, np.nan]
    x = np.array(ends, np.float32)
    params = ELEMENTWISE[name]
    for fast, slow in zip(*value_and_gradient(name, x, np.ones_like(x), **params)):
        np.testing.assert_allclose(fast, slow, rtol=16 * EPS, atol=16 * EPS)


@of_elementwise
def test_rules_pass_an_infinite_or_missing_gradient_as_the_reference_does(name):
    x = np.array([0.5, -0.5, 0.5, -0.5, 0.5, -0.5], np.float32)
    g = np.array([np.nan, np.nan, np.inf, np.inf, -np.inf, -np.inf], np.float32)
    (_, fast), (_, slow) = value_and_gradient(name, x, g, **ELEMENTWISE[name])
    np.testing.assert_array_equal(fast, slow)


def chosen(x, y):
    """where(x > 0, x, y) and its gradients."""

    def run():
        a, b = (Tensor(v, requires_grad=True) if np.ndim(v) else v for v in (x, y))
        z = snn.where(a > 0, a, b) + snn.where(a > 1, b, a)
        z.backward(np.full(z.shape, np.inf, np.float32))
        return [z.data, a.grad] + ([b.grad] if np.ndim(y) else [])

    return both(run)


@pytest.mark.parametrize("shape", [(257, 131), (1,), (0, 5)])
def test_where_equals_the_reference_also_for_infinite_gradients(shape):
    x, y = float32(*shape), float32(*shape)
    assert ran("where", x > 0, x, y) and ran("where", x > 0, 0, y)
    for other in (y, 0, 0.5, -np.inf):
        for fast, slow in zip(*chosen(x, other)):
            assert fast.dtype == slow.dtype == np.float32
            np.testing.assert_array_equal(fast, slow)


def test_where_of_other_types_and_shapes_is_left_to_numpy():
    x = float32(5, 3)
    c = x > 0
    for args in (
        (c, x, x[0]), (c[0], x, x), (c, x, x.astype(np.float64)), (c, x, c),
        (c, x, np.float64(0)), (x, x, x), (True, x, x), (c, np.float32(1), x),
    ):  # fmt: skip
        assert not ran("where", *args)
        fast, slow = both(lambda: snn.where(*args))
        assert fast.dtype == slow.dtype and np.array_equal(fast, slow)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_rules_made_of_where_keep_a_gradient_out_of_the_other_input(name):
    x, y = float32(64, 33), float32(64, 33)
    y[3], x[5, 6] = x[3], np.nan
    g = np.full((64, 33), np.inf, np.float32)

    def run():
        a, b = Tensor(x, requires_grad=True), Tensor(y, requires_grad=True)
        TABLE[name].call(a, b).backward(g)
        return a.grad, b.grad

    for fast, slow in zip(*both(run)):
        np.testing.assert_array_equal(fast, slow)


ROWS = ["softmax", "log_softmax"]
SHAPES = [(257, 131), (64, 4, 3, 24), (5, 1), (65,), (0, 5), (2, 3, 1021)]


# A sum of d terms rounds about sqrt(d) times; entries are of order 1, and those of
# log_softmax of order 10.
@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_kernels_and_rules_equal_the_reference(name, shape):
    x, g = 3 * float32(*shape), float32(*shape)
    close = 16 * EPS * np.sqrt(shape[-1])
    assert ran(name, x, axis=-1)
    for fast, slow in zip(*value_and_gradient(name, x, g, axis=-1)):
        assert fast.dtype == np.float32
        np.testing.assert_allclose(fast, slow, rtol=close, atol=close)


@pytest.mark.parametrize("name", ROWS)
def test_softmax_kernels_equal_the_reference_at_extremes(name):
    x = float32(6, 19)
    x[0, 3], x[1, 4], x[2, :] = 1e4, -1e4, -np.inf
    x[3, 5], x[4, 6], x[5, 7] = np.inf, np.nan, -np.inf
    for fast, slow in zip(*value_and_gradient(name, x, float32(6, 19), axis=-1)):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("axis", [0, 1, -2])
def test_softmax_along_another_axis_is_declined(name, axis):
    x = float32(4, 5, 6)
    assert not ran(name, x, axis=axis)
    fast, slow = both(lambda: TABLE[name].call(x, axis=axis))
    np.testing.assert_array_equal(fast, slow)


def test_softmax_of_empty_rows_is_left_to_numpy():
    assert not ran("softmax", float32(3, 0), axis=-1)


def binary(reduction, x, target, weight=None):
    def run():
        a, t = Tensor(x, requires_grad=True), Tensor(target, requires_grad=True)
        y = snn.bce_with_logits(a, t, weight, reduction=reduction)
        y.sum().backward()
        return y.data, a.grad, t.grad

    return both(run)


@pytest.mark.parametrize("shape", [(128, 97), (1,), (0, 5)])
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_binary_cross_entropy_and_its_rules_equal_the_reference(shape, reduction):
    x, target = 3 * float32(*shape), RNG.random(shape, dtype=np.float32)
    for fast, slow in zip(*binary(reduction, x, target)):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=16 * EPS)


def test_binary_cross_entropy_equals_the_reference_at_extremes():
    ends = [1e4, -1e4, 100, -100, 0, np.inf, -np.inf, np.nan]
    x = np.repeat(np.array(ends, np.float32), 2)
    target = np.tile(np.array([0.25, 0.75], np.float32), 8)
    for fast, slow in zip(*binary("none", x, target)):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=16 * EPS)


def test_binary_cross_entropy_declines_a_target_of_another_type():
    x = float32(3, 5)
    assert ran("_bce", x, x)
    assert not ran("_bce", x, x.astype(np.float64))
    assert not ran("_bce", x, x[:1])


def classes(x, target, **params):
    def run():
        t = Tensor(x, requires_grad=True)
        loss = snn.cross_entropy(t, target, **params)
        loss.sum().backward()
        return loss.data, t.grad

    return both(run)


CASES = {
    "plain": {},
    "each": {"reduction": "none"},
    "weighted": {"weight": RNG.random(65, dtype=np.float32) + 0.5},
    "ignoring class 3": {"ignore_index": 3},
    "smoothed": {"label_smoothing": 0.2},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", [1, 257])
def test_cross_entropy_equals_the_reference(case, n):
    x, target = 3 * float32(n, 65), RNG.integers(0, 65, n)
    target[0] = 4  # one at least that is not ignored
    for fast, slow in zip(*classes(x, target, **CASES[case])):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=64 * EPS)


def test_cross_entropy_of_images_is_left_to_numpy_and_right():
    x, target = float32(2, 7, 3, 5), RNG.integers(0, 7, (2, 3, 5))
    assert not ran("_surprisal", x, target, axis=1)
    for fast, slow in zip(*classes(x, target)):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=16 * EPS)


def test_cross_entropy_equals_the_reference_at_extremes():
    x, target = float32(6, 19), np.array([3, 3, 4, 5, 6, 7])
    x[0, 3], x[1, 4], x[2, 4] = 1e4, 1e4, -1e4
    x[3, 5], x[4, 6], x[5, 7] = np.inf, np.nan, -np.inf
    for fast, slow in zip(*classes(x, target, reduction="none")):
        np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=16 * EPS)


def test_a_class_that_does_not_exist_never_reaches_the_kernel():
    x = float32(4, 5)
    for bad in (5, -1):
        target = np.array([0, 1, 2, bad])
        assert not ran("_surprisal", x, target, axis=1)
        with pytest.raises(IndexError, match=f"target.3. is {bad}; the classes are"):
            snn.cross_entropy(x, target)


# y and g are of order 1; a sum of n terms rounds about sqrt(n) times.
@pytest.mark.parametrize(
    "shape", [(16, 5, 7, 7), (3, 2, 5), (1, 3, 1021), (2, 1, 1, 3)]
)
def test_standardize_by_channel_and_its_rule_equal_the_reference(shape):
    x, g = 3 * float32(*shape) + 2, float32(*shape)
    params = {"axis": (0, *range(2, len(shape))), "eps": 1e-3}
    close = 16 * EPS * np.sqrt(x.size // shape[1])
    assert ran("standardize", x, **params)
    for fast, slow in zip(*value_and_gradient("standardize", x, g, **params)):
        assert fast.dtype == np.float32
        np.testing.assert_allclose(fast, slow, rtol=close, atol=close)


def test_a_bad_pixel_spoils_its_channel_only():
    x = float32(8, 3, 5, 5)
    x[2, 1, 0, 0] = np.nan
    fast, slow = both(lambda: TABLE["standardize"].call(x, axis=(0, 2, 3)))
    np.testing.assert_array_equal(np.isnan(fast), np.isnan(slow))
    assert np.isnan(fast[:, 1]).all() and np.isfinite(fast[:, [0, 2]]).all()


def test_a_strided_gradient_is_read_right():
    x, g = float32(64, 33), float32(33, 64).T
    for name in ("tanh", "silu", "softmax", "standardize"):
        params = {"axis": -1} if name in ("softmax", "standardize") else {}
        (_, fast), (_, slow) = value_and_gradient(name, x, g, **params)
        np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)


def test_rules_run_though_the_graph_dropped_an_input_that_they_do_not_read():
    """relu, sigmoid, softmax read y only; kernels must not decline for want of x."""
    x = Tensor(float32(64, 128), requires_grad=True)
    y = snn.sigmoid(x)
    (hollow,) = y.node.inputs
    assert not isinstance(hollow.data, np.ndarray)
    g = np.ones_like(y.data)
    gx = TABLE["sigmoid"].fast_rule(g, y.data, [True], hollow.data)
    np.testing.assert_allclose(gx[0], y.data * (1 - y.data), atol=4 * EPS)


def test_a_slope_for_each_channel_is_left_to_numpy():
    x, slopes = float32(5, 3), np.array([0.1, 0.2, 0.3], np.float32)
    assert not ran("leaky_relu", x, negative_slope=slopes)
    g = np.ones_like(x)
    found = value_and_gradient("leaky_relu", x, g, negative_slope=slopes)
    for fast, slow in zip(*found):
        np.testing.assert_array_equal(fast, slow)


def test_unaligned_memory_is_read_right():
    raw = np.zeros(4 * 1000 + 1, np.uint8)
    x = raw[1:].view(np.float32)
    x[:] = float32(1000)
    fast, slow = both(lambda: snn.sigmoid(x))
    np.testing.assert_allclose(fast, slow, atol=4 * EPS)
