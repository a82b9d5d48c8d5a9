"""erf, relu and its kin, dropout: values, kinks, extremes, PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import same_as_torch

import scratchnn as snn
from scratchnn import Tensor, grad
from scratchnn.ops.examples import away

rng = np.random.default_rng(0)


# ---- erf ------------------------------------------------------------------------
@pytest.fixture(scope="module")
def scipy_erf():
    return pytest.importorskip("scipy.special", reason="compares with scipy").erf


def test_erf_is_within_2e_15_of_scipy(scipy_erf):
    x = np.linspace(-8, 8, 100_001)
    assert np.abs(snn.erf(x) - scipy_erf(x)).max() <= 2e-15


def test_erf_is_relatively_exact_near_zero(scipy_erf):
    x = np.logspace(-300, 0, 10_001)  # SciPy itself rounds at 2e-16
    assert np.abs(snn.erf(x) / scipy_erf(x) - 1).max() <= 1e-15


def test_erf_is_within_1e_7_in_float32(scipy_erf):
    x = np.linspace(-8, 8, 100_001, dtype=np.float32)
    y = snn.erf(x)
    assert y.dtype == np.float32
    # 1.2e-7 is one unit in the last place of numbers from 1 to 2, twice one below 1
    assert np.abs(y - scipy_erf(x.astype(np.float64))).max() <= 1.2e-7


def test_erf_saturates_without_warnings():
    x = np.array([np.inf, 1e308, 50.0, 6.0, -6.0, -50.0, -1e308, -np.inf])
    assert snn.erf(x).tolist() == [1, 1, 1, 1, -1, -1, -1, -1]
    assert snn.erf(x[[0, 2, 4, 7]].astype(np.float32)).tolist() == [1, 1, -1, -1]
    assert np.isnan(snn.erf(np.array(np.nan)))


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_erf_is_odd_and_increasing(a, b):
    assert snn.erf(-a) == -snn.erf(a)
    assert snn.erf(max(a, b)) >= snn.erf(min(a, b)) - 4e-16  # one rounding each
    assert -1 <= snn.erf(a) <= 1


# ---- parity with PyTorch --------------------------------------------------------
PAIRS = {
    "erf": (snn.erf, lambda F, x: x.erf()),
    "relu": (snn.relu, lambda F, x: F.relu(x)),
    "leaky_relu": (snn.leaky_relu, lambda F, x: F.leaky_relu(x)),
    "leaky_relu 0.2": (
        lambda x: snn.leaky_relu(x, 0.2),
        lambda F, x: F.leaky_relu(x, 0.2),
    ),
    "leaky_relu -0.5": (
        lambda x: snn.leaky_relu(x, negative_slope=-0.5),
        lambda F, x: F.leaky_relu(x, -0.5),
    ),
    "elu": (snn.elu, lambda F, x: F.elu(x)),
    "elu 0.7": (lambda x: snn.elu(x, alpha=0.7), lambda F, x: F.elu(x, 0.7)),
    "gelu": (snn.gelu, lambda F, x: F.gelu(x)),
    "gelu tanh": (
        lambda x: snn.gelu(x, approximate="tanh"),
        lambda F, x: F.gelu(x, approximate="tanh"),
    ),
    "silu": (snn.silu, lambda F, x: F.silu(x)),
}
of_every_pair = pytest.mark.parametrize(
    "ours, theirs", PAIRS.values(), ids=list(PAIRS)
)


@of_every_pair
@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 3, 4, 1), (0, 3)])
def test_activation_equals_pytorch_to_second_order(ours, theirs, shape):
    same_as_torch(ours, theirs, np.asarray(2 * away(*shape)(rng)))


@of_every_pair
def test_slope_at_the_kink_is_pytorchs(ours, theirs):
    same_as_torch(ours, theirs, np.zeros(3), second=False)


@of_every_pair
def test_large_inputs_give_the_limit_and_a_finite_slope(ours, theirs):
    same_as_torch(ours, theirs, np.array([-1e4, -40.0, 40.0, 1e4]))


def test_gelu_variants_differ_by_less_than_5e_4():
    x = np.linspace(-6, 6, 1001)
    difference = np.abs(snn.gelu(x) - snn.gelu(x, approximate="tanh")).max()
    assert 1e-4 < difference < 5e-4


def test_relu_keeps_its_output_only():
    """A network of relus then holds one array per layer, not two."""
    x = Tensor(rng.standard_normal((100, 100)), requires_grad=True)
    y = snn.relu(x)
    assert isinstance(y.node.inputs[0].data, snn.tensor.Shape)
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad, x.data > 0)


def test_gelu_suggests_the_variant():
    with pytest.raises(ValueError) as e:
        snn.gelu(np.ones(3), approximate="tan")
    assert str(e.value) == (
        "gelu: approximate is 'tan', expected 'none' or 'tanh'; did you mean 'tanh'?"
    )


# ---- dropout --------------------------------------------------------------------
def test_dropout_drops_p_of_the_entries_and_keeps_the_mean():
    n, p = 100_000, 0.3
    y = snn.dropout(np.ones(n), p, rng=np.random.default_rng(0))
    dropped = np.mean(y == 0)
    assert abs(dropped - p) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p))


def test_dropout_uses_one_mask_forward_and_in_every_derivative():
    x = Tensor(np.full(1000, 2.0), requires_grad=True)
    y = snn.dropout(x, 0.5, rng=np.random.default_rng(0))
    (first,) = grad((y * y).sum(), [x])  # y = m x: d/dx = 2 m^2 x
    (second,) = grad(first.sum(), [x])  # 2 m^2
    mask = y.data / 2.0
    assert set(mask.tolist()) == {0.0, 2.0}
    np.testing.assert_array_equal(first.data, 2 * mask * mask * 2.0)
    np.testing.assert_array_equal(second.data, 2 * mask * mask)


def test_dropout_repeats_with_the_same_rng_and_follows_manual_seed():
    x = np.ones(100)
    a, b = (snn.dropout(x, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    snn.manual_seed(5)
    c = snn.dropout(x)
    assert (snn.dropout(x) != c).any()
    snn.manual_seed(5)
    np.testing.assert_array_equal(snn.dropout(x), c)


def test_dropout_without_training_or_with_p_0_is_x_itself():
    x = Tensor(np.ones(3))
    assert snn.dropout(x, training=False) is x
    assert snn.dropout(x, p=0) is x


def test_dropout_of_everything_is_zero_with_zero_slope():
    x = Tensor(np.ones(5), requires_grad=True)
    y = snn.dropout(x, p=1)
    y.sum().backward()
    assert not y.data.any() and not x.grad.any()


@pytest.mark.parametrize("shape", [(), (0, 3), (4, 5)])
def test_dropout_keeps_dtype_and_shape(shape):
    for dtype in (np.float32, np.float64):
        x = np.ones(shape, dtype)
        y = snn.dropout(x, 0.5)
        assert y.dtype == dtype and y.shape == shape


def test_dropout_draws_beside_its_input(device):
    y = snn.dropout(device.put(np.ones(100)), rng=np.random.default_rng(1))
    assert isinstance(y, device.array)
    expected = snn.dropout(np.ones(100), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(y.get(), expected)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError) as e:
        snn.dropout(np.ones(3), p)
    assert str(e.value) == f"dropout: p is {p}, expected a probability from 0 to 1"


def test_dropout_refuses_a_bare_seed():
    with pytest.raises(TypeError, match="rng=numpy.random.default_rng"):
        snn.dropout(np.ones(3), rng=0)
