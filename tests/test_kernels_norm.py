"""The norms in one pass equal the readable ones, by any number of threads."""

import numpy as np
import pytest
from helpers import both, normal

import scratchnn as snn
from scratchnn import TABLE, Tensor, kernels
from scratchnn.ops.norm import channel_statistics

kernel = pytest.importorskip("scratchnn.kernels.norm", reason="kernels need numba")
RNG = np.random.default_rng(0)
float32 = normal(RNG)
EPS = np.finfo(np.float32).eps


@pytest.fixture(autouse=True, params=[10**9, 0], ids=["one thread", "all threads"])
def whatever_the_size(request, monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 0)
    monkeypatch.setattr(kernel, "PARALLEL", request.param)
    with np.errstate(all="ignore"):
        yield


def gradients(f, g, *arrays):
    """Output and all gradients, with kernels and without."""

    def run():
        leaves = [a if a is None else Tensor(a, requires_grad=True) for a in arrays]
        y = f(*leaves)
        y.backward(g)
        return [y.data, *(t.grad for t in leaves if t is not None)]

    return zip(*both(run))


NORMS = {
    "layer": lambda x, w, b: snn.layer_norm(x, x.shape[-1], w, b, eps=1e-3),
    "group": lambda x, w, b: snn.group_norm(x, 3, w, b, eps=1e-3),
    "batch": lambda x, w, b: snn.batch_norm(x, None, None, w, b, True, eps=1e-3),
}
CASES = [
    ("layer", (257, 131)), ("layer", (5, 3, 128)), ("layer", (3, 2, 5, 1021)),
    ("layer", (3, 1)), ("group", (5, 6, 7, 7)), ("group", (1, 3, 2, 2)),
    ("group", (7, 9)), ("group", (2, 12, 211)), ("batch", (16, 5, 7, 7)),
    ("batch", (3, 2, 5)), ("batch", (1, 3, 1021)), ("batch", (2, 1, 1, 3)),
]  # fmt: skip


# Entries are of order 1; a sum of n such terms rounds about sqrt(n) times to a part of
# its size, sqrt(n), in one order or another.
@pytest.mark.parametrize("given", ["weight and bias", "weight", "bias", "neither"])
@pytest.mark.parametrize("name, shape", CASES)
def test_a_norm_and_its_three_gradients_equal_the_reference(name, shape, given):
    n = shape[-1] if name == "layer" else shape[1]
    weight = 1 + 0.5 * float32(n) if "weight" in given else None
    bias = float32(n) if "bias" in given else None
    x, g = 3 * float32(*shape) + 2, float32(*shape)
    summed = np.prod(shape) / n
    for fast, slow in gradients(NORMS[name], g, x, weight, bias):
        assert fast.dtype == np.float32 and fast.shape == slow.shape
        close = 32 * EPS * max(summed, n) ** 0.5
        np.testing.assert_allclose(fast, slow, rtol=close, atol=close)


@pytest.mark.parametrize("name", NORMS)
def test_the_kernels_run(name):
    x, v = float32(5, 6, 7, 6), float32(6)
    calls, share = [], kernel.share
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "share", lambda *a: calls.append(a) or share(*a))
        t = Tensor(x, requires_grad=True)
        NORMS[name](t, Tensor(v, requires_grad=True), v).backward(x)
    assert len(calls) == 2  # forward, and one for both gradients


@pytest.mark.parametrize("name", NORMS)
def test_only_the_gradients_asked_for_come_back(name):
    x, v = float32(5, 6, 7, 6), float32(6)
    w = Tensor(v, requires_grad=True)
    y = NORMS[name](x, w, v)
    y.backward(np.ones_like(y.data))
    assert w.grad.shape == (6,)


def test_strided_and_float64_weights_are_read_right():
    x, g, v = float32(64, 33), float32(33, 64).T, float32(66)
    for weight in (v[::2], v[:33].astype(np.float64), v[32::-1]):
        for fast, slow in gradients(NORMS["layer"], g, x, weight, None):
            np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-4)


def test_a_bad_entry_spoils_what_it_is_averaged_with_and_no_more():
    x, v, g = float32(4, 6, 5, 5), float32(6), float32(4, 6, 5, 5)
    x[2, 1, 0, 0] = np.nan
    for name in NORMS:
        some = v[:5] if name == "layer" else v
        (fast, slow), (gx, slow_gx), *_ = gradients(NORMS[name], g, x, some, some)
        np.testing.assert_array_equal(np.isnan(fast), np.isnan(slow))
        np.testing.assert_array_equal(np.isnan(gx), np.isnan(slow_gx))
        assert np.isfinite(fast).any()


def test_an_offset_of_10000_costs_only_its_own_rounding():
    """x is rounded to 1e4 * 6e-8 = 6e-4, the mean to as much: not their squares."""
    x = float32(64, 6, 64) + np.float32(1e4)
    for name, f in NORMS.items():
        exact = f(x.astype(np.float64), None, None)
        np.testing.assert_allclose(f(x, None, None), exact, atol=2.5e-3)


@pytest.mark.parametrize("shape", [(16, 5, 7, 7), (2, 3, 1), (64, 32, 14, 14)])
def test_channel_statistics_in_one_pass_equal_the_reference(shape):
    x = 3 * float32(*shape) + 2
    assert TABLE["_channel_moments"].fast(x) is not NotImplemented
    exact = channel_statistics(x.astype(np.float64))
    for fast, slow in zip(channel_statistics(x), exact):
        np.testing.assert_allclose(fast, slow, rtol=8 * EPS, atol=8 * EPS)
