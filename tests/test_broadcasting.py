"""Broadcasting: ops repeat their inputs, the engine sums the gradients back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import scratchnn
from scratchnn import Tensor
from scratchnn.backward import _fit

OPS = {
    "add": lambda f, a, b: a + b,
    "subtract": lambda f, a, b: a - b,
    "multiply": lambda f, a, b: a * b,
    "divide": lambda f, a, b: a / b,
    "maximum": lambda f, a, b: f.maximum(a, b),
    "where": lambda f, a, b: f.where(np.False_, a, b) + f.where(np.True_, a, b),
}
seeds = st.integers(0, 2**32 - 1)
of_every_op = pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))


def shapes(n):
    return mutually_broadcastable_shapes(num_shapes=n, max_dims=4, min_side=0)


def summed_back(g, shape):
    """g summed over the axes along which `shape` was repeated, one at a time."""
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def values(rng, shape, dtype=np.float64):
    """Away from 0, where division and a > b are touchy."""
    return (rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)


@of_every_op
@settings(max_examples=60, deadline=None)
@given(shapes(2), seeds)
def test_implicit_broadcasting_equals_explicit(op, drawn, seed):
    rng = np.random.default_rng(seed)
    (s, t), full = drawn
    a, b = (Tensor(values(rng, n), requires_grad=True) for n in (s, t))
    wide = [
        Tensor(np.broadcast_to(x.data, full).copy(), requires_grad=True) for x in (a, b)
    ]
    y, z = op(scratchnn, a, b), op(scratchnn, *wide)
    assert y.shape == full
    np.testing.assert_array_equal(y.data, z.data)
    g = rng.standard_normal(full)
    y.backward(g)
    z.backward(g)
    for x, w in zip((a, b), wide):
        assert x.grad.shape == x.shape
        # sums of up to 4^4 terms of order 10, in another order
        np.testing.assert_allclose(
            x.grad, summed_back(w.grad, x.shape), rtol=1e-12, atol=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(shapes(3), seeds)
def test_where_broadcasts_its_condition_too(drawn, seed):
    rng = np.random.default_rng(seed)
    (c, s, t), full = drawn
    condition = rng.random(c) < 0.5
    a, b = (Tensor(values(rng, n), requires_grad=True) for n in (s, t))
    y = scratchnn.where(condition, a, b)
    np.testing.assert_array_equal(y.data, np.where(condition, a.data, b.data))
    g = rng.standard_normal(full)
    y.backward(g)
    chosen = np.broadcast_to(condition, full)
    for x, mask in ((a, chosen), (b, ~chosen)):
        expected = summed_back(np.where(mask, g, 0), x.shape)
        np.testing.assert_allclose(x.grad, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(shapes(1), st.integers(0, 2), seeds)
def test_fit_sums_repeated_axes(drawn, lead, seed):
    ((shape,), _) = drawn
    rng = np.random.default_rng(seed)
    x = np.zeros(shape)
    full = tuple(rng.integers(2, 4, lead)) + tuple(n if n != 1 else 3 for n in shape)
    g = rng.standard_normal(full)
    fitted = _fit(g, x)
    assert fitted.shape == shape
    np.testing.assert_allclose(fitted, summed_back(g, shape), rtol=1e-12, atol=1e-13)


@settings(max_examples=200, deadline=None)
@given(shapes(1), seeds)
def test_fit_repeats_along_axes_that_were_summed(drawn, seed):
    ((shape,), _) = drawn
    rng = np.random.default_rng(seed)
    kept = tuple(1 if rng.random() < 0.5 else n for n in shape)
    g = rng.standard_normal(kept)
    for on_tensors in (False, True):
        fitted = _fit(Tensor(g) if on_tensors else g, np.zeros(shape))
        fitted = fitted.data if on_tensors else fitted
        np.testing.assert_array_equal(fitted, np.broadcast_to(g, shape))


def test_fit_repeats_a_scalar_over_all_axes():
    fitted = _fit(np.float64(3), np.zeros((2, 5)))
    np.testing.assert_array_equal(fitted, np.full((2, 5), 3))


@of_every_op
@pytest.mark.parametrize("data", [np.float64, np.float16, np.int64, np.bool_])
def test_gradient_has_the_type_of_its_input(op, data):
    p = Tensor(np.full((2, 1), 1.5, np.float32), requires_grad=True)
    x = np.ones((3, 1, 5), data)
    y = op(scratchnn, p, x)
    y.backward(np.ones(y.shape, y.dtype))
    assert p.grad.dtype == np.float32 and p.grad.shape == (2, 1)


def test_a_float64_loss_gives_float32_gradients_through_two_layers():
    w = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    h = scratchnn.tanh(Tensor(np.ones((4, 3), np.float32)) @ w)
    loss = ((h - np.zeros((4, 2))) ** 2).sum()
    assert loss.dtype == np.float64
    loss.backward()
    assert w.grad.dtype == np.float32
