"""Measures of samples: held against SciPy, double loops and closed forms.

Planted collapses, copies and diverged models must show.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import Tensor, data, metrics

RNG = np.random.default_rng
SIZES = dict(
    seed=st.integers(0, 2**32), n=st.integers(5, 12), m=st.integers(5, 12),
    d=st.integers(1, 4),
)  # fmt: skip
few = settings(max_examples=30, deadline=None, derandomize=True)


def clouds(seed, n, m, d):
    """Two small clouds of points, and the generator that drew them."""
    rng = RNG(seed)
    return rng.normal(size=(n, d)), 0.5 + 2 * rng.normal(size=(m, d)), rng


def rotation(d, rng):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


DISTANCES = {
    "mmd": metrics.mmd,
    "energy": metrics.energy_distance,
    "frechet": metrics.frechet_distance,
    "sliced": lambda x, y: metrics.sliced_wasserstein(x, y, 20, rng=RNG(0)),
}
each_distance = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


# ---- what all distances have in common ------------------------------------------
@each_distance
@few
@given(**SIZES)
def test_distances_are_symmetric_and_know_no_order(distance, seed, n, m, d):
    x, y, rng = clouds(seed, n, m, d)
    expected = pytest.approx(distance(x, y), rel=1e-9, abs=1e-9)
    assert distance(y, x) == expected
    assert distance(rng.permutation(x), rng.permutation(y)) == expected


@each_distance
@few
@given(**SIZES)
def test_distances_stay_when_both_clouds_move(distance, seed, n, m, d):
    x, y, rng = clouds(seed, n, m, d)
    v = 1e6 * rng.normal(size=d)
    assert distance(x + v, y + v) == pytest.approx(distance(x, y), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", ["mmd", "energy", "frechet"])
@few
@given(**SIZES)
def test_distances_stay_when_both_clouds_turn(name, seed, n, m, d):
    x, y, rng = clouds(seed, n, m, d)
    Q, distance = rotation(d, rng), DISTANCES[name]
    assert distance(x @ Q, y @ Q) == pytest.approx(distance(x, y), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "name, power", [("mmd", 0), ("energy", 1), ("frechet", 2), ("sliced", 1)]
)
@few
@given(**SIZES)
def test_distances_have_the_unit_that_they_say(name, power, seed, n, m, d):
    x, y, _ = clouds(seed, n, m, d)
    found, expected = DISTANCES[name](3 * x, 3 * y), 3**power * DISTANCES[name](x, y)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["energy", "frechet", "sliced"])
@few
@given(**SIZES)
def test_a_cloud_is_at_no_distance_from_itself(name, seed, n, m, d):
    x, _, rng = clouds(seed, n, m, d)
    # Rounding: sqrt(1e-16) of a distance of a point to itself, or of a variance.
    assert 0 <= DISTANCES[name](x, rng.permutation(x)) < 1e-6


# ---- modes ----------------------------------------------------------------------
def test_real_points_cover_all_modes_with_the_share_of_three_sigma():
    centres, n = data.ring_centres(), 2500
    found = metrics.modes(data.ring(n, rng=RNG(0)).x, centres, 0.02)
    p = 1 - math.exp(-9 / 2)  # of a Gaussian in the plane, within 3 sigma
    assert found.covered == 8
    assert abs(found.high_quality - p) < 5 * math.sqrt(p * (1 - p) / n)
    assert found.counts.sum() == round(found.high_quality * n)
    assert np.all(abs(found.counts - n / 8) < 5 * math.sqrt(n / 8))


def test_a_collapse_to_one_mode_covers_one():
    centres = data.grid_centres()
    found = metrics.modes(np.tile(centres[7], (2500, 1)), centres, 0.05)
    assert found.covered == 1 and found.high_quality == 1 and found.counts[7] == 2500


def test_samples_between_the_modes_cover_none():
    centres = data.grid_centres()
    found = metrics.modes(centres + 1.0, centres, 0.05)
    assert found.covered == 0 and found.high_quality == 0


def test_the_limit_is_three_sigma_and_one_sample_covers_a_mode():
    centres = np.array([[0.0, 0.0], [10.0, 0.0]])
    samples = [[0.0, 2.999], [0.0, 3.001], [10.0, 0.0], [10.0, 2.0], [5.0, 0.0]]
    found = metrics.modes(np.array(samples), centres, 1.0)
    assert found == (2, 3 / 5, found.counts) and found.counts.tolist() == [1, 2]


# ---- class balance --------------------------------------------------------------
def test_balance_of_known_labels():
    stats = pytest.importorskip("scipy.stats", reason="the entropy is SciPy's")
    y = np.array([0] * 5 + [1] * 3 + [2] * 2)
    found = metrics.class_balance(y, 3)
    np.testing.assert_allclose(found.shares, [0.5, 0.3, 0.2])
    assert found.factor == pytest.approx(1 / (3 * 0.2))  # above 3 x 0.5
    assert found.entropy == pytest.approx(stats.entropy([5, 3, 2]))


def test_uniform_labels_a_missing_class_and_a_collapse():
    uniform = metrics.class_balance(np.arange(1000) % 10, 10)
    assert uniform.factor == pytest.approx(1)
    assert uniform.entropy == pytest.approx(math.log(10))
    assert metrics.class_balance(np.arange(1000) % 9, 10).factor == math.inf
    one = metrics.class_balance(np.full(50, 3), 10)
    assert one.factor == math.inf and one.entropy == 0 and one.shares[3] == 1


def test_probabilities_count_for_their_largest():
    p = np.array([[0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3], [0.2, 0.5, 0.3]])
    found = metrics.class_balance(p)
    np.testing.assert_allclose(found.shares, [0.5, 0.25, 0.25])
    assert found.factor == pytest.approx(1.5)


@pytest.mark.parametrize(
    "y, classes",
    [([], 3), ([0, 3], 3), ([-1, 0], 3), ([0.5], 3), ([[1.0, 0]], 3), ([0, 1], None)],
)
def test_labels_that_are_none_are_refused(y, classes):
    with pytest.raises(ValueError, match="expected"):
        metrics.class_balance(np.array(y), classes)


# ---- maximum mean discrepancy ---------------------------------------------------
@few
@given(**SIZES)
def test_mmd_is_its_double_sum(seed, n, m, d):
    x, y, _ = clouds(seed, n, m, d)
    points = np.concatenate([x, y])
    pairs = [math.dist(a, b) for a, b in itertools.combinations(points, 2)]
    h = np.median(pairs)

    def k(a, b):
        return math.exp(-(math.dist(a, b) ** 2) / (2 * h**2))

    def within(z):
        return np.mean([k(a, b) for a, b in itertools.permutations(z, 2)])

    across = np.mean([k(a, b) for a, b in itertools.product(x, y)])
    expected = within(x) + within(y) - 2 * across
    assert metrics.median_distance(x, y) == pytest.approx(h)
    assert metrics.mmd(x, y) == pytest.approx(expected, abs=1e-10)
    assert metrics.mmd(x, y, bandwidth=h) == pytest.approx(expected, abs=1e-10)


def test_mmd_is_unbiased_and_its_value_for_gaussians_is_known():
    d, n, h, shift, repeats = 3, 40, 1.5, 0.7, 400
    rng = RNG(0)
    x, y = rng.normal(size=(2, repeats, n, d))
    # E k of N(a, I) and N(b, I): a Gaussian of variance h^2 + 2, in the unit of k.
    c = (h**2 / (h**2 + 2)) ** (d / 2)
    for move in (0.0, shift):
        found = [metrics.mmd(a, b + move, h) for a, b in zip(x, y)]
        expected = 2 * c * (1 - math.exp(-d * move**2 / (2 * (h**2 + 2))))
        error = np.std(found) / math.sqrt(repeats)
        assert abs(np.mean(found) - expected) < 5 * error
        assert 5 * error < 2 * (1 - c) / n / 2  # by which the biased sum is too large


def test_points_that_coincide_have_no_median_distance():
    with pytest.raises(ValueError, match="bandwidth is 0.0, expected .* above 0"):
        metrics.mmd(np.zeros((9, 2)), np.zeros((9, 2)))


# ---- energy distance ------------------------------------------------------------
@few
@given(**SIZES)
def test_energy_distance_is_its_double_sum_and_scipys_in_one_dimension(seed, n, m, d):
    stats = pytest.importorskip("scipy.stats", reason="the distance is SciPy's")
    x, y, _ = clouds(seed, n, m, d)

    def mean(a, b):
        return np.mean([math.dist(p, q) for p, q in itertools.product(a, b)])

    expected = 2 * mean(x, y) - mean(x, x) - mean(y, y)
    assert metrics.energy_distance(x, y) == pytest.approx(expected, abs=1e-8)
    root = stats.energy_distance(x[:, 0], y[:, 0])  # SciPy's is the square root
    found = metrics.energy_distance(x[:, :1], y[:, :1])
    assert found == pytest.approx(root**2, abs=1e-8)


def test_two_samples_of_one_distribution_are_as_far_apart_as_the_docstring_says():
    n, repeats = 50, 400
    x, y = RNG(0).normal(size=(2, repeats, n, 1))
    found = [metrics.energy_distance(a, b) for a, b in zip(x, y)]
    error = np.std(found) / math.sqrt(repeats)
    expected = 2 * (2 / math.sqrt(math.pi)) / n  # E |x - x'| = 2 / sqrt(pi)
    assert abs(np.mean(found) - expected) < 5 * error < expected / 2


# ---- sliced Wasserstein ---------------------------------------------------------
@few
@given(**SIZES)
def test_on_a_line_it_is_scipys_wasserstein_distance(seed, n, m, d):
    stats = pytest.importorskip("scipy.stats", reason="the distance is SciPy's")
    x, y, rng = clouds(seed, n, m, 1)
    expected = stats.wasserstein_distance(x[:, 0], y[:, 0])
    found = metrics.sliced_wasserstein(x, y, projections=3, p=1, rng=rng)
    assert found == pytest.approx(expected)


@few
@given(**SIZES, p=st.sampled_from([1, 2, 3]))
def test_sliced_wasserstein_is_the_mean_over_directions_of_sorted_points(
    seed, n, m, d, p
):
    x, y, _ = clouds(seed, n, m, d)
    theta = RNG(seed).standard_normal((7, d))
    costs = []
    for direction in theta / np.linalg.norm(theta, axis=1)[:, None]:
        a = np.repeat(np.sort(x @ direction), m)  # n m points each: sizes now agree
        b = np.repeat(np.sort(y @ direction), n)
        costs.append(np.mean(abs(a - b) ** p))
    found = metrics.sliced_wasserstein(x, y, 7, p, RNG(seed))
    assert found == pytest.approx(np.mean(costs) ** (1 / p))


def test_sliced_wasserstein_of_known_gaussians():
    n, d, s = 20_000, 3, 1.5
    shift = np.array([1.0, -0.5, 2.0])
    x, y = RNG(0).normal(size=(2, n, d))
    found = metrics.sliced_wasserstein(x, shift + s * y, 2000, rng=RNG(1))
    expected = math.sqrt((shift**2).sum() / d + (1 - s) ** 2)
    # The mean of (theta.shift)^2 over 2,000 theta errs by 1.3 % of |shift|^2 / d at one
    # standard error, so its root with the rest by less than 1 %.
    assert found == pytest.approx(expected, rel=0.04)


# ---- Fréchet distance -----------------------------------------------------------
def textbook_frechet(a, b):
    """The formula, with SciPy's matrix square root."""
    linalg = pytest.importorskip("scipy.linalg", reason="the square root is SciPy's")
    C_a, C_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = linalg.sqrtm(C_a @ C_b)
    apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return apart + np.trace(C_a + C_b - 2 * root.real)


@few
@given(**SIZES)
def test_frechet_distance_is_the_formula_with_scipys_square_root(seed, n, m, d):
    a, b, _ = clouds(seed, n + d, m + d, d)
    expected = textbook_frechet(a, b)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_correlated_features_of_a_real_size():
    rng = RNG(0)
    a = rng.normal(size=(1000, 64)) @ rng.normal(size=(64, 64))
    b = np.maximum(rng.normal(size=(800, 64)) @ rng.normal(size=(64, 64)), 0)
    expected = textbook_frechet(a, b)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


@few
@given(**SIZES)
def test_frechet_distance_of_a_moved_and_a_stretched_cloud(seed, n, m, d):
    a, _, rng = clouds(seed, n, m, d)
    v = rng.normal(size=d)
    assert metrics.frechet_distance(a, a + v) == pytest.approx((v**2).sum(), abs=1e-6)
    wide = a.mean(axis=0) + 3 * (a - a.mean(axis=0))
    expected = (3 - 1) ** 2 * a.var(axis=0, ddof=1).sum()
    assert metrics.frechet_distance(a, wide) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_with_fewer_samples_than_features():
    rng = RNG(0)
    a = np.zeros((9, 40))
    b = np.ones((9, 40))
    a[:, :20], b[:, 20:] = rng.normal(size=(2, 9, 20))  # nothing varies in both
    spread = a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum()
    expected = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + spread
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet_distance(a, a) < 1e-6
    constant = np.ones((5, 40))  # a generator that always says the same
    assert metrics.frechet_distance(constant, constant) == 0


# ---- precision and recall -------------------------------------------------------
@few
@given(**SIZES, k=st.integers(1, 4))
def test_precision_and_recall_are_the_papers_algorithm_in_a_slow_loop(
    seed, n, m, d, k
):
    real, fake, _ = clouds(seed, n, m, d)

    def share(points, others):
        inside = 0
        for point in points:
            for i, other in enumerate(others):
                rest = [math.dist(other, o) for j, o in enumerate(others) if j != i]
                if math.dist(point, other) <= sorted(rest)[k - 1]:
                    inside += 1
                    break
        return inside / len(points)

    found = metrics.precision_recall(real, fake, k)
    assert found == (share(fake, real), share(real, fake))


def test_a_collapse_costs_recall_and_noise_costs_precision():
    real, fresh = (data.ring(800, noise=0.1, rng=RNG(s)) for s in (0, 1))
    honest = metrics.precision_recall(real.x, fresh.x)
    assert min(honest) > 0.9
    one_mode = fresh.x[fresh.y == 3]
    collapsed = metrics.precision_recall(real.x, one_mode)
    share = (real.y == 3).mean()
    assert collapsed.precision > 0.9 and collapsed.recall <= share + 0.01
    noise = metrics.precision_recall(real.x, RNG(2).uniform(-4, 4, (800, 2)))
    assert noise.precision < 0.2 and noise.recall > 0.5
    still = metrics.precision_recall(real.x, np.zeros((800, 2)))
    assert still == (0, 0)
    assert metrics.precision_recall(real.x, real.x) == (1, 1)


# ---- Parzen windows -------------------------------------------------------------
def test_parzen_log_likelihood_is_scipys_mixture_of_windows():
    stats = pytest.importorskip("scipy.stats", reason="the density is SciPy's")
    special = pytest.importorskip("scipy.special")
    samples, test, _ = clouds(0, 30, 20, 3)
    sigma = 0.4
    terms = [stats.norm.logpdf(test, s, sigma).sum(axis=1) for s in samples]
    each = special.logsumexp(terms, axis=0) - math.log(len(samples))
    found = metrics.parzen_log_likelihood(samples, test, sigma)
    assert found.mean == pytest.approx(each.mean())
    assert found.error == pytest.approx(each.std() / math.sqrt(len(test)))


def test_parzen_windows_far_from_the_data_do_not_underflow():
    found = metrics.parzen_log_likelihood(np.zeros((2, 3)), np.full((1, 3), 100.0), 0.1)
    expected = -3 * 100**2 / (2 * 0.1**2) - 1.5 * math.log(2 * math.pi * 0.1**2)
    assert found.mean == pytest.approx(expected) and found.error == 0


def test_the_window_is_chosen_on_other_data_than_the_samples():
    rng = RNG(0)
    centres = 10 * rng.normal(size=(20, 2))
    validation = np.repeat(centres, 50, axis=0) + 0.3 * rng.normal(size=(1000, 2))
    assert metrics.choose_sigma(centres, validation, [0.1, 0.2, 0.3, 0.4, 0.5]) == 0.3
    # The samples themselves would choose the narrowest window there is.
    assert metrics.choose_sigma(validation, validation) == pytest.approx(0.1)
    tried = np.logspace(-1, 0, 10)
    means = [metrics.parzen_log_likelihood(centres, validation, s).mean for s in tried]
    assert metrics.choose_sigma(centres, validation) == tried[np.argmax(means)]


# ---- memorisation ---------------------------------------------------------------
def test_nearest_neighbours_are_those_of_scipys_tree():
    spatial = pytest.importorskip("scipy.spatial", reason="the tree is SciPy's")
    x, y, _ = clouds(0, 300, 400, 5)
    distance, index = spatial.cKDTree(y).query(x)
    found = metrics.nearest(x, y)
    np.testing.assert_allclose(found.distance, distance)
    np.testing.assert_array_equal(found.index, index)


def test_copies_are_at_distance_0_also_far_from_the_origin():
    train = 1e6 + RNG(0).normal(size=(50, 8))
    found = metrics.nearest(train[[7, 3]], train)
    assert found.index.tolist() == [7, 3] and found.distance.tolist() == [0, 0]


def test_fresh_samples_copies_and_nonsense_are_told_apart():
    rng = RNG(0)
    train, test, fresh = rng.normal(size=(3, 500, 4))
    expected_error = math.sqrt((500 + 500 + 1) / (12 * 500 * 500))  # Mann and Whitney
    assert abs(metrics.memorisation(fresh, train, test) - 0.5) < 5 * expected_error
    assert metrics.memorisation(train[:100], train, test) == 1
    assert metrics.memorisation(fresh + 50, train, test) == 0
    half = np.concatenate([fresh[:50], train[:50]])
    assert metrics.memorisation(half, train, test) == pytest.approx(0.75, abs=0.1)


def test_memorisation_is_mann_and_whitneys_share_with_ties():
    stats = pytest.importorskip("scipy.stats", reason="the statistic is SciPy's")
    samples, test = RNG(0).integers(0, 4, (2, 30, 1)).astype(float)
    train = np.array([[0.0], [9.0]])
    u = stats.mannwhitneyu(test[:, 0], samples[:, 0]).statistic  # distances to 0
    assert metrics.memorisation(samples, train, test) == pytest.approx(u / 900)


# ---- inputs ---------------------------------------------------------------------
def test_blocks_of_any_size_give_the_same(monkeypatch):
    x, y, _ = clouds(0, 40, 30, 2)

    def all_of_them():
        nearest = metrics.nearest(x, y)
        return np.array([
            metrics.mmd(x, y),
            metrics.energy_distance(x, y),
            *metrics.precision_recall(x, y),
            *metrics.parzen_log_likelihood(x, y, 0.5),
            nearest.distance.sum(),
            nearest.index.sum(),
        ])  # fmt: skip

    whole = all_of_them()
    monkeypatch.setattr(metrics, "_BLOCK", 70)
    np.testing.assert_allclose(all_of_them(), whole, rtol=1e-12)


def test_pictures_tensors_and_float32_are_rows_of_numbers_and_stay_as_they_are():
    x, y = (data.digits(s).x[:50] for s in ("train", "test"))
    before = x.copy(), y.copy()
    flat = [a.reshape(50, -1).astype(np.float64) for a in (x, y)]
    for distance in DISTANCES.values():
        expected = distance(*flat)
        assert distance(x, y) == pytest.approx(expected, rel=1e-12)
        assert distance(Tensor(x), Tensor(y)) == pytest.approx(expected, rel=1e-12)
        assert isinstance(expected, float)
    assert np.array_equal(x, before[0]) and np.array_equal(y, before[1])


GOOD = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: metrics.mmd(GOOD, GOOD[:, :1]), "x has 2 numbers .* y has 1"),
        (lambda: metrics.mmd(GOOD, GOOD[:1]), "y has 1 samples, expected at least 2"),
        (lambda: metrics.energy_distance(GOOD[:, 0], GOOD), r"write x\[:, None\]"),
        (lambda: metrics.energy_distance(GOOD * np.nan, GOOD), "x holds NaN"),
        (lambda: metrics.frechet_distance(GOOD, GOOD[:1]), "b has 1 samples"),
        (lambda: metrics.precision_recall(GOOD, GOOD[:3]), "fake has 3 .* at least 4"),
        (lambda: metrics.sliced_wasserstein(GOOD, GOOD, p=0), "p is 0, expected"),
        (lambda: metrics.modes(GOOD, GOOD, 0), "sigma is 0, expected"),
        (lambda: metrics.parzen_log_likelihood(GOOD, GOOD, -1), "sigma is -1, expect"),
        (lambda: metrics.nearest(GOOD[:0], GOOD), "samples has 0 samples"),
    ],
)
def test_errors_say_what_was_given_and_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
