"""The mask of dropout: as good as coin throws, the same from kernel and body.

Thresholds are 5 standard deviations of the coin's own statistic: a right mask fails a
test once in two million seeds, and the seeds here are fixed.
"""

import numpy as np
import pytest
from helpers import both

import scratchnn as snn
from scratchnn import TABLE, Tensor, kernels
from scratchnn.random import keep_mask

HERE = np.zeros(0)
SEEDS = [0, 1, 2**32, 2**64 - 1, 0x9E3779B97F4A7C15]


def mask(n, p=0.5, seed=0):
    return keep_mask((n,), p, seed, like=HERE)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_a_share_p_is_dropped(p, seed):
    n = 200_000
    close = 5 * (p * (1 - p) / n) ** 0.5
    assert abs(mask(n, p, seed).mean() - (1 - p)) < close


def test_the_number_kept_varies_from_seed_to_seed_as_for_coins():
    """Counts have variance n / 4; its estimate from m seeds is off by sqrt(2 / m)."""
    n, m = 1000, 2000
    for step in (1, 2**32):  # as alike as seeds can be
        counts = [mask(n, seed=step * k).sum() for k in range(m)]
        assert abs(np.mean(counts) - n / 2) < 5 * (n / 4 / m) ** 0.5
        assert abs(np.var(counts) / (n / 4) - 1) < 5 * (2 / m) ** 0.5


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lag", [1, 2, 3, 16, 1433, 4096, 65536])
def test_neighbours_agree_half_the_time(lag, seed):
    m = mask(300_000, seed=seed)
    agree = (m[lag:] == m[:-lag]).mean()
    assert abs(agree - 0.5) < 5 * 0.5 / (len(m) - lag) ** 0.5


@pytest.mark.parametrize("bit", range(64))
def test_one_bit_of_the_seed_changes_half_of_the_mask(bit):
    n, seed = 40_000, 0x123456789ABCDEF
    a, b = mask(n, seed=seed), mask(n, seed=seed ^ 1 << bit)
    for shift in (0, 1 << min(bit, 12)):  # nor is one a part of the other
        agree = (a[shift:] == b[: n - shift]).mean()
        assert abs(agree - 0.5) < 5 * 0.5 / (n - shift) ** 0.5


def chi_square(counts, expected):
    """Of 256 cells: 255 on average, with standard deviation sqrt(2 * 255)."""
    return ((counts - expected) ** 2 / expected).sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_eight_in_a_row_are_every_pattern_equally_often(seed):
    patterns = np.packbits(mask(2**20, seed=seed))
    counts = np.bincount(patterns, minlength=256)
    assert abs(chi_square(counts, len(patterns) / 256) - 255) < 5 * 510**0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hash_falls_into_256_equal_ranges_equally_often(seed):
    n = 100_000
    kept = [mask(n, k / 256, seed).sum() for k in range(257)]
    assert abs(chi_square(-np.diff(kept), n / 256) - 255) < 5 * 510**0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_are_as_long_as_for_coins(seed):
    """A run of k more starts at an entry with probability 2^-k: log2 n, give or take.

    Longer than log2(n) + 21: one in two million. Shorter than log2(n) - 5: e^-16.
    """
    n = 2**20
    ends = np.flatnonzero(np.diff(mask(n, seed=seed)))
    assert 20 - 5 <= np.diff(ends).max() <= 20 + 21


def test_a_mask_is_a_whole_array_and_its_shape_only_arranges_it():
    m = mask(3 * 5 * 7)
    found = keep_mask((3, 5, 7), 0.5, 0, like=HERE)
    np.testing.assert_array_equal(found, m.reshape(3, 5, 7))
    assert keep_mask((), 0.5, 0, like=HERE).shape == ()


# ---- the kernel -----------------------------------------------------------------
@pytest.mark.parametrize("shape", [(0,), (1,), (4095,), (4097,), (301, 333), ()])
@pytest.mark.parametrize("p", [1e-9, 0.5, 0.9, 1])
def test_kernel_and_body_give_the_same_bits(shape, p, monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 0)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x = np.asarray(x)
    for seed in SEEDS:
        fast, slow = both(lambda: TABLE["_dropout"].run(x, p=p, seed=seed))
        assert fast.dtype == slow.dtype == np.float32
        np.testing.assert_array_equal(fast, slow)


def test_the_same_seed_gives_the_same_run_with_kernels_and_without():
    x = np.random.default_rng(0).standard_normal((300, 500)).astype(np.float32)
    x[7, 8], x[9, 10:20] = np.nan, np.inf

    def run():
        snn.manual_seed(3)
        t = Tensor(x, requires_grad=True)
        y = snn.dropout(t, 0.3)
        y.backward(x.T.copy().T)
        return y.data, t.grad

    with np.errstate(invalid="ignore"):  # inf * 0
        for fast, slow in zip(*both(run)):
            np.testing.assert_array_equal(fast, slow)


def test_the_kernel_serves_the_rule_which_reads_neither_x_nor_y(monkeypatch):
    kernel = pytest.importorskip("scratchnn.kernels.dropout", reason="needs numba")
    x = Tensor(np.ones((300, 500), np.float32), requires_grad=True)
    y = snn.dropout(x)
    calls, share = [], kernel.share
    monkeypatch.setattr(kernel, "share", lambda *a: calls.append(a) or share(*a))
    y.backward(np.ones((300, 500), np.float32))
    assert len(calls) == 1
    np.testing.assert_array_equal(x.grad, y.data)
