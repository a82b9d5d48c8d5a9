"""Layer, group and batch normalisation: equations, PyTorch, the known mistake."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import same_as_torch

import scratchnn as snn
from scratchnn import ShapeError, Tensor, grad, op
from scratchnn.op import TABLE
from scratchnn.ops.norm import channel_statistics

rng = np.random.default_rng(0)
EPS = 1e-5
# Loops and arrays round in other orders, a few hundred steps of 2e-16 each.
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


# ---- the equations, as loops ----------------------------------------------------
def standardized(values, eps):
    values = list(values)
    mean = sum(values) / len(values)
    var = sum((v - mean) ** 2 for v in values) / len(values)
    return [(v - mean) / (var + eps) ** 0.5 for v in values]


def test_layer_norm_is_its_equation():
    x, weight, bias = (rng.standard_normal(s) for s in ((3, 7), (7,), (7,)))
    for eps in (EPS, 0.3):
        y = snn.layer_norm(x, 7, weight, bias, eps)
        for n in range(3):
            row = standardized(x[n], eps)
            for i in range(7):
                expected = weight[i] * row[i] + bias[i]
                np.testing.assert_allclose(y[n, i], expected, **CLOSE)


def test_group_norm_is_its_equation():
    x, weight, bias = (rng.standard_normal(s) for s in ((3, 6, 5), (6,), (6,)))
    y = snn.group_norm(x, 2, weight, bias)
    for n, group in itertools.product(range(3), range(2)):
        channels = range(3 * group, 3 * group + 3)
        places = list(itertools.product(channels, range(5)))
        flat = standardized((x[n, c, i] for c, i in places), EPS)
        for (c, i), value in zip(places, flat):
            expected = weight[c] * value + bias[c]
            np.testing.assert_allclose(y[n, c, i], expected, **CLOSE)


def test_batch_norm_is_its_equation_in_training():
    x, weight, bias = (rng.standard_normal(s) for s in ((3, 4, 5), (4,), (4,)))
    y = snn.batch_norm(x, weight=weight, bias=bias, training=True)
    for c in range(4):
        places = list(itertools.product(range(3), range(5)))
        flat = standardized((x[n, c, i] for n, i in places), EPS)
        for (n, i), value in zip(places, flat):
            expected = weight[c] * value + bias[c]
            np.testing.assert_allclose(y[n, c, i], expected, **CLOSE)


def test_batch_norm_is_its_equation_in_use():
    x, mean, weight, bias = (rng.standard_normal(s) for s in ((3, 4), 4, 4, 4))
    var = rng.uniform(0.5, 2, 4)
    y = snn.batch_norm(x, mean, var, weight, bias)
    for n, c in itertools.product(range(3), range(4)):
        expected = weight[c] * (x[n, c] - mean[c]) / (var[c] + EPS) ** 0.5 + bias[c]
        np.testing.assert_allclose(y[n, c], expected, **CLOSE)


# ---- what they leave alone ------------------------------------------------------
@given(st.floats(-5, 5), st.floats(0.1, 10), st.integers(0, 1000))
def test_standardize_ignores_shift_and_scale(shift, scale, seed):
    x = np.random.default_rng(seed).standard_normal((3, 8))
    y = snn.standardize(scale * x + shift, axis=1, eps=0)
    np.testing.assert_allclose(y, snn.standardize(x, axis=1, eps=0), atol=1e-11)


def test_gradients_of_standardize_have_no_mean_and_none_along_y():
    x = Tensor(rng.standard_normal((3, 8)), requires_grad=True)
    y = snn.standardize(x, axis=1, eps=0)
    y.backward(rng.standard_normal((3, 8)))
    np.testing.assert_allclose(x.grad.sum(1), 0, atol=1e-14)
    np.testing.assert_allclose((x.grad * y.data).sum(1), 0, atol=1e-14)


def test_group_norm_of_one_group_is_layer_norm_of_the_sample():
    x = rng.standard_normal((2, 6, 3, 5))
    np.testing.assert_allclose(
        snn.group_norm(x, 1), snn.layer_norm(x, (6, 3, 5)), **CLOSE
    )


def test_group_norm_of_single_channels_is_batch_norm_of_each_sample():
    x = rng.standard_normal((2, 6, 3, 5))
    each = [snn.batch_norm(x[n : n + 1], training=True) for n in range(2)]
    np.testing.assert_allclose(snn.group_norm(x, 6), np.concatenate(each), **CLOSE)


def test_batch_norm_in_use_treats_samples_alone():
    x, mean, var = rng.standard_normal((4, 3)), np.ones(3), np.full(3, 2.0)
    y = snn.batch_norm(x, mean, var)
    np.testing.assert_array_equal(y[1:2], snn.batch_norm(x[1:2], mean, var))


def test_a_large_offset_costs_float32_only_its_own_rounding():
    """E[x^2] - E[x]^2 would lose all digits here: 1e8 has no room for a variance of 1.

    x itself is rounded to 1e4 * 6e-8 = 6e-4, the mean to as much.
    """
    x = rng.standard_normal((3, 1000)) + 1e4
    y = snn.standardize(x.astype(np.float32), axis=1)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, snn.standardize(x, axis=1), atol=2.5e-3)


# ---- the known mistake ----------------------------------------------------------
def second_derivative_error(f):
    """Of sum(f(x)^3) along one direction, against differences; relative."""
    x0, u = rng.standard_normal((2, 3, 5))

    def slope(x):
        x = Tensor(x, requires_grad=True)
        y = f(x)
        (g,) = grad((y * y * y).sum(), [x])
        return x, (g * u).sum()

    x, along = slope(x0)
    (analytic,) = grad(along, [x])
    h = 1e-5
    numeric = (slope(x0 + h * u)[1].item() - slope(x0 - h * u)[1].item()) / (2 * h)
    return abs((analytic.data * u).sum() / numeric - 1)


@pytest.fixture
def stashing():
    """The mistake: a rule that reads the standard deviation as a plain array."""

    def rule(g, y, x, axis):
        plain = getattr(x, "_data", x)
        std = np.sqrt(plain.var(axis, keepdims=True) + EPS)
        along_y = snn.mean(g * y, axis=axis, keepdims=True)
        return (g - snn.mean(g, axis=axis, keepdims=True) - y * along_y) / std

    @op
    def stashing_norm(x, axis):
        """As standardize."""
        return snn.standardize(x, axis)

    stashing_norm.rules(x=rule)
    yield lambda x: stashing_norm(x, axis=1)
    del TABLE["stashing_norm"]


NORMS = {
    "layer": lambda x: snn.layer_norm(x, 5),
    "group": lambda x: snn.group_norm(x, 1),
    "batch": lambda x: snn.batch_norm(x, training=True),
}


@pytest.mark.parametrize("f", NORMS.values(), ids=list(NORMS))
def test_second_derivatives_see_the_statistics(f):
    assert second_derivative_error(f) < 1e-6


def test_a_stashed_statistic_is_seen_in_the_second_derivative(stashing):
    assert second_derivative_error(stashing) > 1e-2


# ---- parity with PyTorch --------------------------------------------------------
def drawn(*shapes):
    return [s if s is None else rng.standard_normal(s) for s in shapes]


@pytest.mark.parametrize("affine", ["weight and bias", "weight", "bias", "neither"])
@pytest.mark.parametrize(
    "shape, normalized", [((3, 5), (5,)), ((2, 3, 5), (3, 5)), ((2, 3, 1, 7), (7,))]
)
def test_layer_norm_equals_pytorch(shape, normalized, affine):
    weight = normalized if "weight" in affine else None
    bias = normalized if "bias" in affine else None
    for eps in (EPS, 0.1):
        same_as_torch(
            lambda x, w, b: snn.layer_norm(x, normalized, w, b, eps),
            lambda F, x, w, b: F.layer_norm(x, normalized, w, b, eps),
            *drawn(shape, weight, bias),
            second=affine != "bias",  # PyTorch 2.13 raises an internal error there
        )


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    "shape, groups", [((3, 6), 2), ((2, 6, 5), 6), ((2, 4, 3, 5), 1), ((2, 6, 2, 3), 3)]
)
def test_group_norm_equals_pytorch(shape, groups, affine):
    vector = shape[1:2] if affine else None
    same_as_torch(
        lambda x, w, b: snn.group_norm(x, groups, w, b, eps=0.01),
        lambda F, x, w, b: F.group_norm(x, groups, w, b, eps=0.01),
        *drawn(shape, vector, vector),
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 5), (2, 3, 4, 5)])
def test_batch_norm_equals_pytorch(shape, affine, training):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    vector = shape[1:2] if affine else None
    mean, var = rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    same_as_torch(
        lambda x, w, b: snn.batch_norm(x, mean, var, w, b, training, eps=0.01),
        lambda F, x, w, b: F.batch_norm(
            x, torch.tensor(mean), torch.tensor(var), w, b, training, eps=0.01
        ),
        *drawn(shape, vector, vector),
    )


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 5), (2, 3, 4, 5)])
def test_channel_statistics_are_what_pytorch_moves_towards(shape):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    x = rng.standard_normal(shape)
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    torch.nn.functional.batch_norm(torch.tensor(x), mean, var, training=True)
    batch_mean, batch_var = channel_statistics(Tensor(x))
    np.testing.assert_allclose(0.1 * batch_mean, mean, **CLOSE)
    np.testing.assert_allclose(0.9 + 0.1 * batch_var, var, **CLOSE)


# ---- errors ---------------------------------------------------------------------
ERRORS = {
    "layer_norm: input (3, 5) needs last axes normalized_shape=(4,)": (
        lambda x: snn.layer_norm(x, 4)
    ),
    "layer_norm: bias (5, 1) needs shape (5,)": (
        lambda x: snn.layer_norm(x, 5, bias=np.ones((5, 1)))
    ),
    "group_norm: the 5 channels (axis 1) of input (3, 5) do not divide into "
    "num_groups=2 equal groups": lambda x: snn.group_norm(x, 2),
    "group_norm: input (5,) needs axes (N, C, ...), at least two": (
        lambda x: snn.group_norm(x[0], 5)
    ),
    "batch_norm: weight (3,) needs shape (5,) to match the channels (axis 1) of input "
    "(3, 5)": lambda x: snn.batch_norm(x, weight=np.ones(3), training=True),
    "standardize: axis 2 does not exist in shape (3, 5); it has axes 0 to 1": (
        lambda x: snn.standardize(x, axis=2)
    ),
}


@pytest.mark.parametrize("text", ERRORS)
def test_shape_errors_say_what_would_fit(text):
    with pytest.raises(ShapeError) as e:
        ERRORS[text](np.ones((3, 5)))
    assert str(e.value) == text


def test_batch_norm_asks_for_the_running_statistics():
    with pytest.raises(ValueError) as e:
        snn.batch_norm(np.ones((3, 5)))
    assert str(e.value) == (
        "batch_norm: needs running_mean and running_var, or training=True to use the "
        "batch's own"
    )


@pytest.mark.parametrize("f", [channel_statistics, NORMS["batch"]])
def test_one_value_per_channel_has_no_variance(f):
    with pytest.raises(ValueError) as e:
        f(np.ones((1, 5)))
    assert str(e.value) == (
        "batch_norm: input (1, 5) has one value per channel, so no variance; train on "
        "larger batches, or call with training=False"
    )
