"""Losses: equations, PyTorch with every option, extremes, errors."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parity import same_as_torch

import scratchnn as snn
from scratchnn import ShapeError, Tensor
from scratchnn.ops.examples import away

rng = np.random.default_rng(0)
of_every_reduction = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
# Loops and arrays round in other orders, some tens of steps of 2e-16 each.
CLOSE = {"rtol": 1e-13, "atol": 1e-13}


# ---- regression -----------------------------------------------------------------
@of_every_reduction
@pytest.mark.parametrize("shape", [(), (5,), (3, 5), (2, 3, 4)])
def test_regression_losses_equal_pytorch(shape, reduction):
    x = rng.standard_normal(shape)
    x, t = np.asarray(x), np.asarray(x + away(*shape)(rng))  # away from |r| = 0
    for name, options in (
        ("mse_loss", {}),
        ("l1_loss", {}),
        ("huber_loss", {}),
        ("huber_loss", {"delta": 0.3}),
    ):
        same_as_torch(
            lambda x, t: getattr(snn, name)(x, t, reduction, **options),
            lambda F, x, t: getattr(F, name)(x, t, reduction=reduction, **options),
            x,
            t,
        )


def test_huber_is_half_a_square_inside_delta_and_a_line_outside():
    r = np.array([-2.0, -0.5, 0.0, 0.5, 2.0])
    y = snn.huber_loss(r, np.zeros(5), "none", delta=0.5)
    np.testing.assert_allclose(y, [0.875, 0.125, 0, 0.125, 0.875])


# ---- binary cross-entropy -------------------------------------------------------
@of_every_reduction
@pytest.mark.parametrize("weight", [None, (3, 5), (5,)])
@pytest.mark.parametrize("pos_weight", [None, (5,), (3, 5)])
def test_bce_equals_pytorch(weight, pos_weight, reduction):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    w, p = (s and rng.uniform(0.5, 3, s) for s in (weight, pos_weight))

    def theirs(F, x, t):
        constants = {
            "weight": None if w is None else torch.tensor(w),
            "pos_weight": None if p is None else torch.tensor(p),
        }
        return F.binary_cross_entropy_with_logits(
            x, t, reduction=reduction, **constants
        )

    same_as_torch(
        lambda x, t: snn.bce_with_logits(x, t, w, reduction, p),
        theirs,
        rng.standard_normal((3, 5)),
        rng.uniform(0, 1, (3, 5)),
    )


def test_bce_is_its_equation():
    x, t, w, p = rng.standard_normal(5), rng.uniform(0, 1, 5), 0.7, 2.5
    y = snn.bce_with_logits(x, t, w, "none", p)
    for i in range(5):
        s = 1 / (1 + math.exp(-x[i]))
        loss = -w * (p * t[i] * math.log(s) + (1 - t[i]) * math.log(1 - s))
        np.testing.assert_allclose(y[i], loss, **CLOSE)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pos_weight", [None, 2.0])
def test_bce_is_finite_for_huge_logits(dtype, pos_weight):
    x = Tensor(np.array([1e4, 1e4, -1e4, -1e4], dtype), requires_grad=True)
    t = np.array([1, 0, 1, 0], dtype)
    y = snn.bce_with_logits(x, t, reduction="none", pos_weight=pos_weight)
    p = pos_weight or 1
    np.testing.assert_array_equal(y.data, [0, 1e4, p * 1e4, 0])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 1, -p, 0])
    assert y.dtype == x.grad.dtype == dtype


# ---- cross-entropy --------------------------------------------------------------
SHAPES = [((5,), ()), ((3, 5), (3,)), ((3, 5, 2), (3, 2)), ((2, 5, 3, 2), (2, 3, 2))]


def weights(given):
    return rng.uniform(0.5, 3, 5) if given else None


@of_every_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("ignored", [-100, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape, target_shape", SHAPES)
def test_cross_entropy_of_indices_equals_pytorch(
    shape, target_shape, weighted, ignored, smoothing, reduction
):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    w = weights(weighted)
    target = np.asarray(rng.integers(0, 5, target_shape))
    if target.ndim:
        target.flat[0], target.flat[1] = 2, 4  # one ignored, one not
    else:
        target = np.asarray(4)
    options = {
        "ignore_index": ignored,
        "reduction": reduction,
        "label_smoothing": smoothing,
    }
    same_as_torch(
        lambda x, t: snn.cross_entropy(x, t, w, **options),
        lambda F, x, t: F.cross_entropy(
            x, t, None if w is None else torch.tensor(w), **options
        ),
        rng.standard_normal(shape),
        target,
    )


@of_every_reduction
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 5, 3, 2)])
def test_cross_entropy_of_probabilities_equals_pytorch(
    shape, weighted, smoothing, reduction
):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    w = weights(weighted)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    same_as_torch(
        lambda x, t: snn.cross_entropy(x, t, w, **options),
        lambda F, x, t: F.cross_entropy(
            x, t, None if w is None else torch.tensor(w), **options
        ),
        rng.standard_normal(shape),
        rng.uniform(0, 1, shape),
    )


@of_every_reduction
@pytest.mark.parametrize("ignored", [-100, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape, target_shape", SHAPES)
def test_nll_loss_equals_pytorch(shape, target_shape, weighted, ignored, reduction):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    w = weights(weighted)
    target = np.asarray(rng.integers(0, 5, target_shape))
    target.flat[-1] = 4
    same_as_torch(
        lambda x, t: snn.nll_loss(x, t, w, ignored, reduction),
        lambda F, x, t: F.nll_loss(
            x,
            t,
            None if w is None else torch.tensor(w),
            ignore_index=ignored,
            reduction=reduction,
        ),
        rng.standard_normal(shape),
        target,
    )


def test_cross_entropy_is_its_equation():
    x, w = rng.standard_normal((4, 5)), rng.uniform(0.5, 3, 5)
    target, e = np.array([2, 0, -1, 2]), 0.1
    total = weight = 0.0
    for n in range(4):
        if target[n] == -1:
            continue
        z = sum(math.exp(v) for v in x[n])
        for c in range(5):
            q = (1 - e) * (c == target[n]) + e / 5
            total -= w[c] * q * math.log(math.exp(x[n, c]) / z)
        weight += w[target[n]]
    y = snn.cross_entropy(x, target, w, ignore_index=-1, label_smoothing=e)
    np.testing.assert_allclose(y, total / weight, **CLOSE)


def test_gradient_of_cross_entropy_is_softmax_minus_one_hot():
    x = Tensor(rng.standard_normal((3, 5)), requires_grad=True)
    target = np.array([4, 0, 4])
    snn.cross_entropy(x, target, reduction="sum").backward()
    expected = snn.softmax(x.data) - np.eye(5)[target]
    np.testing.assert_allclose(x.grad, expected, **CLOSE)


@given(st.integers(0, 999), st.floats(-1e4, 1e4))
def test_cross_entropy_ignores_a_shift_of_the_scores(seed, shift):
    r = np.random.default_rng(seed)
    x, t = r.standard_normal((3, 5)), r.integers(0, 5, 3)
    a, b = snn.cross_entropy(x, t), snn.cross_entropy(x + shift, t)
    np.testing.assert_allclose(b, a, atol=1e-11)  # x + shift is rounded at 1e4 * 2e-16


def test_one_hot_probabilities_mean_the_same_as_indices():
    x, t = rng.standard_normal((3, 5)), np.array([4, 0, 4])
    np.testing.assert_allclose(
        snn.cross_entropy(x, np.eye(5)[t]), snn.cross_entropy(x, t), **CLOSE
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_is_finite_for_huge_scores(dtype):
    x = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    x = Tensor(x, requires_grad=True)
    y = snn.cross_entropy(x, np.array([0, 1, 2]), reduction="none")
    np.testing.assert_allclose(y.data, [0, 2e4, math.log(3)], rtol=1e-6)
    y.sum().backward()
    third = 1 / 3
    expected = [[0, 0, 0], [1, -1, 0], [third, third, third - 1]]
    np.testing.assert_allclose(x.grad, expected, rtol=1e-6)
    assert y.dtype == x.grad.dtype == dtype


def test_impossible_classes_cost_nothing_where_another_is_right():
    inf = np.inf
    x = Tensor(np.array([[-inf, 3.0, -inf], [1.0, -inf, 1.0]]), requires_grad=True)
    y = snn.cross_entropy(x, np.array([1, 2]), reduction="none")
    np.testing.assert_allclose(y.data, [0, math.log(2)])
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [[0, 0, 0], [0.5, 0, -0.5]])
    assert snn.cross_entropy(x.data, np.array([0, 2]), reduction="none")[0] == inf


def test_an_ignored_sample_may_hold_anything():
    x = Tensor(np.array([[-np.inf, 3.0], [1.0, 2.0]]), requires_grad=True)
    snn.cross_entropy(x, np.array([-100, 1])).backward()
    np.testing.assert_array_equal(x.grad[0], 0)
    alone = snn.cross_entropy(x.data[1:], np.array([1]))
    assert snn.cross_entropy(x.data, np.array([-100, 1])) == alone


def test_the_mean_over_no_samples_is_nan():
    with pytest.warns(RuntimeWarning, match="invalid value"):
        y = snn.cross_entropy(np.ones((2, 3)), np.array([-100, -100]))
    assert np.isnan(y)


def test_targets_may_be_small_integers_or_tensors():
    x, t = rng.standard_normal((3, 5)), np.array([4, 0, 4])
    expected = snn.cross_entropy(x, t)
    assert snn.cross_entropy(x, t.astype(np.uint8)) == expected
    assert snn.cross_entropy(x, Tensor(t)) == expected
    assert snn.nll_loss(snn.log_softmax(x), Tensor(t)) == expected


# ---- the KL divergence of the VAE -----------------------------------------------
def test_gaussian_kl_is_its_equation():
    mu, logvar = rng.standard_normal((2, 3, 5))
    y = snn.gaussian_kl(mu, logvar)
    assert y.shape == (3,)
    for n in range(3):
        terms = (1 + v - m * m - math.exp(v) for m, v in zip(mu[n], logvar[n]))
        np.testing.assert_allclose(y[n], -sum(terms) / 2, **CLOSE)


def test_gaussian_kl_is_the_mean_log_ratio_of_samples():
    """Monte Carlo within 5 standard errors: chance fails it once in two million."""
    mu, logvar, n = np.array([0.5, -1.0]), np.array([0.3, -0.7]), 100_000
    std = np.exp(logvar / 2)
    z = mu + std * np.random.default_rng(0).standard_normal((n, 2))
    log_q = (-0.5 * ((z - mu) / std) ** 2 - logvar / 2).sum(1)
    ratio = log_q - (-0.5 * z**2).sum(1)
    error = ratio.std() / math.sqrt(n)
    assert error < 0.01  # else the test could not see a wrong factor
    assert abs(ratio.mean() - snn.gaussian_kl(mu, logvar)) < 5 * error


def test_gaussian_kl_is_zero_at_the_standard_normal_only():
    zero = np.zeros(3)
    assert snn.gaussian_kl(zero, zero) == 0
    for mu, logvar in itertools.product((-0.1, 0, 0.1), repeat=2):
        if mu or logvar:
            assert snn.gaussian_kl(zero + mu, zero + logvar) > 0


def test_gaussian_kl_equals_pytorch():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")

    def theirs(F, mu, logvar):
        q = torch.distributions.Normal(mu, (logvar / 2).exp())
        return torch.distributions.kl_divergence(
            q, torch.distributions.Normal(0.0, 1.0)
        ).sum(-1)

    same_as_torch(snn.gaussian_kl, theirs, *rng.standard_normal((2, 3, 5)))


# ---- float32 and errors ---------------------------------------------------------
def test_losses_stay_float32():
    x = rng.standard_normal((3, 5)).astype(np.float32)
    t, w = np.array([4, 0, 2]), np.ones(5, np.float32)
    for y in (
        snn.mse_loss(x, x + 1),
        snn.huber_loss(x, x + 1, delta=0.5),
        snn.bce_with_logits(x, x, w, pos_weight=w),
        snn.cross_entropy(x, t, w, 0, label_smoothing=0.1),
        snn.cross_entropy(x, t, ignore_index=0, label_smoothing=0.1),
        snn.cross_entropy(x, x, w, label_smoothing=0.1),
        snn.gaussian_kl(x, x),
    ):
        assert y.dtype == np.float32


@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "huber_loss", "bce_with_logits"]
)
def test_unequal_shapes_are_refused_not_broadcast(name):
    f = getattr(snn, name)
    with pytest.raises(ShapeError) as e:
        f(np.ones((5, 1)), np.ones(5))
    assert str(e.value) == (
        f"{name}: x (5, 1) and target (5,) must have the same shape: write "
        "target.reshape(x.shape)"
    )
    with pytest.raises(ShapeError) as e:
        f(np.ones((5, 3)), np.ones(5))
    assert str(e.value) == (
        f"{name}: x (5, 3) and target (5,) must have the same shape"
    )


@pytest.mark.parametrize(
    "reduction, end",
    [
        ("man", "; did you mean 'mean'?"),
        (None, "; did you mean 'none'?"),
        ("average", ""),
    ],
)
def test_a_wrong_reduction_suggests_the_nearest(reduction, end):
    text = f"reduction is {reduction!r}, expected 'none', 'mean' or 'sum'{end}"
    x, t = np.ones((3, 5)), np.array([4, 0, 2])
    for call in (
        lambda: snn.mse_loss(x, x, reduction),
        lambda: snn.bce_with_logits(x, x, reduction=reduction),
        lambda: snn.cross_entropy(x, t, reduction=reduction),
        lambda: snn.cross_entropy(x, x, reduction=reduction),
        lambda: snn.nll_loss(x, t, reduction=reduction),
    ):
        with pytest.raises(ValueError) as e:
            call()
        assert str(e.value) == text


CLASS_ERRORS = [
    (
        (3, 5),
        np.array([4, 7, 0]),
        IndexError,
        "target[1] is 7; the classes are 0 to 4, or ignore_index=-100",
    ),
    (
        (2, 5, 3),
        np.array([[0, 1, 2], [3, -1, 9]]),
        IndexError,
        "target[1, 1] is -1; the classes are 0 to 4, or ignore_index=-100",
    ),
    (
        (5,),
        np.array(5),
        IndexError,
        "target is 5; the classes are 0 to 4, or ignore_index=-100",
    ),
    (
        (3, 5),
        np.array([[4], [0], [2]]),
        ShapeError,
        "target (3, 1) needs shape (3,) for scores (3, 5)",
    ),
    (
        (3, 5),
        np.eye(3, 5, dtype=int),
        ShapeError,
        "target (3, 5) needs shape (3,) for scores (3, 5); as class probabilities it "
        "must be floating point",
    ),
]


@pytest.mark.parametrize("shape, target, kind, text", CLASS_ERRORS)
def test_wrong_classes_are_named(shape, target, kind, text):
    with pytest.raises(kind) as e:
        snn.cross_entropy(np.ones(shape), target)
    assert str(e.value) == f"cross_entropy: {text}"


def test_class_indices_as_floats_are_refused():
    x, t = np.ones((3, 5)), np.array([4.0, 0.0, 2.0])
    with pytest.raises(ShapeError) as e:
        snn.cross_entropy(x, t)
    assert str(e.value) == (
        "cross_entropy: target (3,) is float64. Class probabilities need the shape of "
        "x, (3, 5); class indices must be integers: target.astype(int)"
    )
    with pytest.raises(TypeError) as e:
        snn.nll_loss(x, t)
    assert str(e.value) == (
        "nll_loss: class indices must be integers, got float64; convert with "
        "target.astype(int)"
    )


@pytest.mark.parametrize("target", [np.array([4, 0, 2]), np.ones((3, 5))])
def test_weights_must_be_one_for_each_class(target):
    with pytest.raises(ShapeError) as e:
        snn.cross_entropy(np.ones((3, 5)), target, np.ones(1))
    assert str(e.value) == (
        "cross_entropy: weight (1,) needs shape (5,), one for each class"
    )


def test_label_smoothing_outside_0_to_1_is_refused():
    with pytest.raises(ValueError) as e:
        snn.cross_entropy(np.ones((3, 5)), np.array([4, 0, 2]), label_smoothing=1.5)
    assert str(e.value) == "cross_entropy: label_smoothing is 1.5, expected 0 to 1"
