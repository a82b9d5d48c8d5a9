"""The rules of pooling in one pass equal the readable ones."""

import numpy as np
import pytest
from helpers import both, normal

import scratchnn as snn
from scratchnn import TABLE, Tensor, kernels

kernel = pytest.importorskip("scratchnn.kernels.pool", reason="kernels need numba")
RNG = np.random.default_rng(0)
float32 = normal(RNG)


@pytest.fixture(autouse=True, params=[10**9, 0], ids=["one thread", "all threads"])
def whatever_the_size(request, monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 0)
    monkeypatch.setattr(kernel, "PARALLEL", request.param)


def gradient(f, x):
    """By x, with kernels and without, of f weighted at random."""
    g = float32(*f(x).shape)

    def run():
        t = Tensor(x, requires_grad=True)
        f(t).backward(g)
        return t.grad

    return both(run)


POOLS = {
    "max 2": lambda x: snn.max_pool2d(x, 2),
    "max 3 of stride 2": lambda x: snn.max_pool2d(x, 3, 2, 1),
    "max (2, 3)": lambda x: snn.max_pool2d(x, (2, 3), (1, 2), dilation=(2, 1)),
    "max of all": lambda x: snn.max_pool2d(x, x.shape[-2:], ceil_mode=True),
    "mean 2": lambda x: snn.avg_pool2d(x, 2),
    "mean 3 of stride 2": lambda x: snn.avg_pool2d(x, 3, 2, 1),
    "mean 2 of stride 3": lambda x: snn.avg_pool2d(x, (2, 1), 3),
}
pools = pytest.mark.parametrize("name", POOLS)


# At most 9 windows meet in an entry: 8 roundings of a sum of order 9.
@pools
@pytest.mark.parametrize("shape", [(5, 3, 9, 11), (3, 8, 7), (1, 5, 5), (0, 3, 9, 9)])
def test_a_rule_equals_the_reference(name, shape):
    fast, slow = gradient(POOLS[name], float32(*shape))
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, slow, rtol=0, atol=8 * 9 * 6e-8)


@pools
def test_equal_entries_and_bad_ones_are_treated_as_in_the_reference(name):
    x = RNG.integers(0, 3, (4, 3, 9, 9)).astype(np.float32)
    x[1, 0, 2, 3], x[2, 1, 5:8] = np.nan, -np.inf
    fast, slow = gradient(POOLS[name], x)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=8 * 9 * 6e-8)


def test_the_kernels_run_and_read_strided_gradients():
    x, g = float32(3, 8, 8), float32(4, 4, 3).T
    params = {"size": (2, 2), "stride": 2}
    y = TABLE["sum_windows"].body(x, **params)
    (gx,) = TABLE["sum_windows"].fast_rule(g, None, [True], x, **params)
    np.testing.assert_array_equal(gx, np.repeat(np.repeat(g, 2, 1), 2, 2))
    params["dilation"] = 1
    y = TABLE["max_windows"].body(x, **params)
    (gx,) = TABLE["max_windows"].fast_rule(g, y, [True], x, **params)
    np.testing.assert_array_equal(gx.sum((1, 2)).round(3), g.sum((1, 2)).round(3))
