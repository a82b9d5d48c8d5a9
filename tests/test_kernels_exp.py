"""Our float32 exp and what is built on it: error in ulps over all floats, edges."""

import numpy as np
import pytest

numba = pytest.importorskip("numba", reason="kernels need numba")
from scratchnn.kernels import elementwise, exp, softmax  # noqa: E402

FLOAT = np.finfo(np.float32)

# Every 1009th of the 2^32 bit patterns: all exponents and signs, subnormals, nan.
EVERY = np.arange(0, 2**32, 1009, dtype=np.int64).astype(np.uint32).view(np.float32)
EVERY = EVERY[np.isfinite(EVERY)]


def ulps(y, exact):
    """|y - exact| in units of the last place that a float32 near `exact` has."""
    size = np.maximum(np.abs(exact), FLOAT.tiny)  # subnormals have the unit of tiny
    return np.abs(y.astype(np.float64) - exact) / 2.0 ** (np.floor(np.log2(size)) - 23)


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(over="ignore", under="ignore"):
        yield


# Rounding of the polynomial's last addition is 1/2 ulp, or 1 where the sum is below 1
# and so in finer units; all the rest, 2^-6 of that.
def test_exp_is_within_1_02_ulps_everywhere():
    exact = np.exp(EVERY.astype(np.float64))
    y = elementwise.exp_forward(EVERY)
    finite = exact <= float(FLOAT.max)
    assert ulps(y[finite], exact[finite]).max() < 1.02
    assert np.isinf(y[exact > 2.0**128]).all()


def test_exp_is_within_1_02_ulps_where_it_is_subnormal():
    x = np.linspace(-103.97, -87.34, 100_003).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    y = elementwise.exp_forward(x)
    assert ulps(y, exact).max() < 1.02
    assert (0 < y).all() and (y < FLOAT.tiny).all()


def test_exp_overflows_and_underflows_where_numpy_does():
    edge = np.float32(88.72283172607422)  # the largest float32 whose exp is finite
    low = np.float32(-103.97207641601562)  # the smallest whose exp isn't 0
    x = np.array(
        [edge, np.nextafter(edge, np.float32(99)), low - 1, np.inf, -np.inf, 0, -0.0]
        + [FLOAT.max, -FLOAT.max, FLOAT.smallest_subnormal],
        np.float32,
    )
    y = elementwise.exp_forward(x)
    assert np.isfinite(y[0])
    np.testing.assert_array_equal(y[1:], [np.inf, 0, np.inf, 0, 1, 1, np.inf, 0, 1])


def test_nan_stays_nan():
    x = np.array([np.nan, -np.nan, 1.0], np.float32)
    for name in ("exp", "tanh", "sigmoid", "softplus", "relu", "silu", "gelu_tanh"):
        y = getattr(elementwise, f"{name}_forward")(x)
        assert np.isnan(y[:2]).all() and np.isfinite(y[2]), name


@pytest.mark.parametrize(
    "name, exact, limit, lowest",
    [
        ("tanh", np.tanh, 1.4, -np.inf),
        ("softplus", lambda x: np.logaddexp(0, x), 2.8, -np.inf),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), 2.4, -88),
    ],
    ids=["tanh", "softplus", "sigmoid"],
)
def test_what_is_built_on_exp_keeps_its_stated_error(name, exact, limit, lowest):
    x = EVERY[EVERY >= lowest]
    y = getattr(elementwise, f"{name}_forward")(x)
    expected = exact(x.astype(np.float64))
    assert ulps(y, expected).max() < limit


def test_sigmoid_below_minus_88_is_0_to_within_the_smallest_normal_number():
    y = elementwise.sigmoid_forward(EVERY[EVERY < -88])
    assert (0 <= y).all() and (y < FLOAT.tiny).all()


def test_the_polynomials_are_fits_of_what_they_say():
    """The largest relative error of each result, with the coefficients as stored."""
    r = np.linspace(-np.log(2) / 2, np.log(2) / 2, 2001)
    p = np.polyval([exp.E4, exp.E3, exp.E2, exp.E1, exp.E0], r)
    assert np.abs((p * r * r + r + 1) / np.exp(r) - 1).max() < 2**-27
    s = np.linspace(1e-3, 1 / 3, 2001)
    a = 2 * s + s**3 * np.polyval([exp.A3, exp.A2, exp.A1, exp.A0], s * s)
    assert np.abs(a / (2 * np.arctanh(s)) - 1).max() < 2**-27
    x = np.linspace(1e-3, 0.625, 2001)
    t = x + x**3 * np.polyval([exp.T4, exp.T3, exp.T2, exp.T1, exp.T0], x * x)
    assert np.abs(t / np.tanh(x) - 1).max() < 2**-26


def test_ln2_is_split_so_that_n_times_the_high_part_is_exact():
    n = np.arange(-150, 129, dtype=np.float32)
    high, low = np.float32(exp.HIGH), np.float32(exp.LOW)
    np.testing.assert_array_equal((n * high).astype(float), n.astype(float) * high)
    assert abs(float(high) + float(low) - np.log(2)) < 2**-36


def test_the_largest_entry_of_a_row_is_found_whatever_the_signs():
    top_of = numba.njit(lambda row: softmax.top_of(row))
    rows = [[-1, -2, -0.5], [0, -0.0, -1], [-np.inf, -3e38, -np.inf], [1e-40, 0, 0]]
    for row in np.array(rows, np.float32):
        assert top_of(row) == row.max()
    assert np.isnan(top_of(np.array([1, np.nan, np.inf], np.float32)))
