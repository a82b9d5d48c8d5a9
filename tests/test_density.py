"""Densities: each equation held against SciPy, a slow loop, an integral or sklearn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import data, metrics
from scratchnn.models import density, gaussians
from scratchnn.models.density import Histogram, ParzenWindow
from scratchnn.models.gaussians import Gaussian, GaussianMixture, PCAGaussian

RNG = np.random.default_rng
MAKE = {
    "histogram": lambda d: Histogram(d, bins=20),
    "histogram alpha 0": lambda d: Histogram(d, bins=20, alpha=0),
    "parzen held out": lambda d: ParzenWindow(d),
    "parzen scott": lambda d: ParzenWindow(d, "scott"),
    "parzen 0.3": lambda d: ParzenWindow(d, 0.3),
    "gaussian": Gaussian,
    "pca": lambda d: PCAGaussian(d, 1),
    "mixture": lambda d: GaussianMixture(d, 3),
    "mixture diagonal": lambda d: GaussianMixture(d, 3, "diagonal"),
}
every_2d = pytest.mark.parametrize("name", MAKE)
every = pytest.mark.parametrize("name", [name for name in MAKE if name != "pca"])


def stats():
    return pytest.importorskip("scipy.stats", reason="SciPy's densities to compare")


def cloud(n=300, d=2, seed=0):
    """Two lumps, stretched and turned, away from the origin."""
    rng = RNG(seed)
    A = rng.standard_normal((2, d, d))
    y = rng.integers(2, size=n)
    return np.einsum("nij,nj->ni", A[y], rng.standard_normal((n, d))) + 3.0 * y[:, None]


def fitted(name, x):
    return MAKE[name](x.shape[1]).fit(x, RNG(1))


# ---- what every density must do -------------------------------------------------
@every
@pytest.mark.parametrize("fit", [True, False], ids=["fitted", "fresh"])
def test_a_density_integrates_to_1_in_one_dimension(name, fit):
    x = cloud(d=1)
    model = fitted(name, x) if fit else MAKE[name](1)
    # midpoints between the edges of the cells, so that no cell is cut
    low, high = -30.0, 30.0
    if "histogram" in name:
        low, high = model.low, model.high
    t = (np.arange(40_000) + 0.5) / 40_000
    t = low + t[:, None] * (high - low)
    p = np.exp(model.log_prob(t))
    assert p.mean() * np.prod(high - low) == pytest.approx(1, abs=1e-6)


@every_2d
@pytest.mark.parametrize("fit", [True, False], ids=["fitted", "fresh"])
def test_a_density_integrates_to_1_in_two_dimensions(name, fit):
    x = cloud(100)
    model = fitted(name, x) if fit else MAKE[name](2)
    low, high = np.full(2, -16.0), np.full(2, 16.0)
    if "histogram" in name:
        low, high = model.low, model.high
    side = 300 if "parzen" in name else 800  # a bump is wide, and there are many
    t = (np.arange(side) + 0.5) / side
    grid = low + np.stack(np.meshgrid(t, t), -1).reshape(-1, 2) * (high - low)
    total = np.exp(model.log_prob(grid)).mean() * np.prod(high - low)
    assert total == pytest.approx(1, abs=1e-4)


@every_2d
def test_samples_have_the_moments_of_the_density(name):
    model = fitted(name, cloud(100))
    s = model.sample(40_000, RNG(2))
    assert s.shape == (40_000, 2)
    low, high = s.min(axis=0) - 3, s.max(axis=0) + 3
    t = (np.arange(250) + 0.5) / 250
    grid = low + np.stack(np.meshgrid(t, t), -1).reshape(-1, 2) * (high - low)
    p = np.exp(model.log_prob(grid))
    p /= p.sum()
    mean = p @ grid
    cov = (grid - mean).T @ (p[:, None] * (grid - mean))
    sd = np.sqrt(np.diag(cov))
    assert np.all(abs(s.mean(axis=0) - mean) < 5 * sd / 200 + 0.01 * sd)
    # A variance of lumps has an error below sqrt(8 / N) of itself: 0.014, times 5.
    assert np.all(abs(np.cov(s.T) - cov) < 0.08 * np.outer(sd, sd))


@every_2d
def test_samples_are_drawn_as_often_as_the_density_says(name):
    model = fitted(name, cloud())
    s, new = model.sample(20_000, RNG(3)), model.sample(20_000, RNG(4))
    log_p = model.log_prob(s)  # E log p: a mean of one draw agrees with another's
    error = log_p.std() * math.sqrt(2 / len(s))
    assert abs(log_p.mean() - model.log_prob(new).mean()) < 5 * error
    assert np.array_equal(model.sample(7, RNG(3)), model.sample(7, RNG(3)))
    assert not np.array_equal(model.sample(7, RNG(3)), model.sample(7, RNG(4)))


@pytest.mark.parametrize("name", [n for n in MAKE if "histogram" not in n])
def test_far_away_nothing_underflows(name):
    model = fitted(name, cloud())
    far = np.array([[1e3, -2e3], [1e6, 1e6]])
    with np.errstate(all="raise", under="ignore"):
        log_p = model.log_prob(far)
    assert np.isfinite(log_p).all() and log_p[0] > log_p[1] and log_p[0] < -1e3


@every_2d
def test_the_state_of_a_density_is_all_of_it(name, tmp_path):
    from scratchnn import checkpoint

    x = cloud()
    model = fitted(name, x)
    checkpoint.save(tmp_path / "m.safetensors", model.state_dict())
    again = MAKE[name](2)
    again.load_state_dict(checkpoint.load(tmp_path / "m.safetensors")[0])
    np.testing.assert_array_equal(again.log_prob(x), model.log_prob(x))


@every_2d
def test_inputs_are_not_changed_and_float32_gives_nearly_the_same(name):
    x = cloud().astype(np.float32)
    before = x.copy()
    log_p = fitted(name, x).log_prob(x)
    assert np.array_equal(x, before) and log_p.dtype == np.float64
    wide = fitted(name, x.astype(np.float64)).log_prob(x.astype(np.float64))
    np.testing.assert_allclose(log_p, wide, atol=2e-3)


def test_train_yields_a_loss_for_each_batch():
    x = cloud()
    model = GaussianMixture(2, 3)
    losses = [loss.loss for loss in density.train(model, [x] * 6, RNG(0))]
    em = [-value for _, value in zip(range(6), GaussianMixture(2, 3).em(x, RNG(0)))]
    assert losses == em
    one = Gaussian(2)
    (loss,) = density.train(one, [x])
    assert loss.loss == pytest.approx(-one.log_prob(x).mean())


# ---- histogram ------------------------------------------------------------------
def test_a_histogram_is_numpys():
    x = cloud(d=2)
    model = Histogram(2, bins=7, alpha=0).fit(x)
    edges = [np.linspace(a, b, 8) for a, b in zip(model.low, model.high)]
    counts, *_ = np.histogramdd(x, edges, density=True)
    i = [np.searchsorted(e, x[:, j]) - 1 for j, e in enumerate(edges)]
    np.testing.assert_allclose(np.exp(model.log_prob(x)), counts[i[0], i[1]])


def test_alpha_keeps_empty_cells_possible_and_outside_stays_impossible():
    x = np.array([[0.0, 0.0], [1.0, 1.0]])
    empty, outside = np.array([[0.0, 1.0]]), np.array([[0.5, 1.2]])
    assert Histogram(2, 4, alpha=0).fit(x).log_prob(empty)[0] == -np.inf
    model = Histogram(2, 4, alpha=0.5).fit(x)
    assert model.log_prob(outside)[0] == -np.inf
    volume = 1.1**2 / 16
    expected = math.log(0.5 / (2 + 0.5 * 16) / volume)
    assert model.log_prob(empty)[0] == pytest.approx(expected)


def test_a_histogram_of_64_pixels_is_refused_with_the_number_of_its_cells():
    with pytest.raises(ValueError, match="64 axes has about 10.64 cells.*fewer axes"):
        Histogram(64, bins=10)
    with pytest.raises(ValueError, match="has 11,390,625 cells"):
        Histogram(6, bins=15)


# ---- parzen ---------------------------------------------------------------------
@pytest.mark.parametrize("rule", ["scott", "silverman"])
def test_in_one_dimension_parzen_is_scipys_gaussian_kde(rule):
    x = cloud(50, d=1)
    # SciPy's variance is that of N - 1
    kde = stats().gaussian_kde(x[:, 0], rule)
    model = ParzenWindow(1, rule).fit(x)
    ratio = math.sqrt(len(x) / (len(x) - 1))
    theirs = float(kde.covariance[0, 0]) ** 0.5
    assert float(model.h[0]) * ratio == pytest.approx(theirs)
    model.h = model.h * ratio
    t = np.linspace(-4, 8, 41)
    np.testing.assert_allclose(model.log_prob(t[:, None]), kde.logpdf(t), rtol=1e-9)


def test_parzen_is_the_slow_loop_and_the_measure_in_metrics():
    x, t, h = cloud(13, 3), cloud(5, 3, seed=1), 0.7
    norm = stats().multivariate_normal
    expected = [
        math.log(sum(norm(x_i, h**2 * np.eye(3)).pdf(y) for x_i in x) / 13) for y in t
    ]
    found = ParzenWindow(3, h).fit(x).log_prob(t)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert found.mean() == pytest.approx(metrics.parzen_log_likelihood(x, t, h).mean)


def left_out(x, h):
    """The mean log density of each sample under the bumps of all others, slowly."""
    total = 0.0
    for n in range(len(x)):
        squared = ((x - x[n]) ** 2).sum(axis=1)
        others = np.delete(np.exp(-squared / (2 * h**2)), n)
        total += math.log(others.mean() / (2 * math.pi * h**2) ** (x.shape[1] / 2))
    return total / len(x)


def test_held_out_finds_the_width_that_is_likeliest_on_what_it_leaves_out():
    x = cloud(80)
    h = float(ParzenWindow(2).fit(x).h[0])
    best = max(left_out(x, w) for w in np.geomspace(h / 4, h * 4, 81))
    assert best - 1e-3 < left_out(x, h) <= best + 1e-9 + 1e-3


def test_the_held_out_likelihood_never_falls_and_is_what_step_returns():
    x = cloud(80)
    model, found = ParzenWindow(2), []
    for _ in range(12):
        before = float(model.h[0]) if found else None
        found.append(model.step(x))
        if before:
            assert found[-1] == pytest.approx(left_out(x, before), abs=1e-9)
    assert np.all(np.diff(found) > -1e-12) and found[-1] > found[0] + 1e-3


def test_a_sample_that_was_not_kept_is_held_out_as_it_is():
    x, new = cloud(80), cloud(30, seed=5)
    model = ParzenWindow(2).fit(x)
    expected = model.log_prob(new).mean()
    assert model._widen(new) == pytest.approx(expected)


def test_equal_samples_do_not_make_a_width_of_0():
    x = np.repeat(cloud(20), 2, axis=0)
    model = ParzenWindow(2).fit(x)
    assert model.h[0] > 0 and np.isfinite(model.log_prob(x)).all()


@pytest.mark.parametrize("bandwidth", ["scot", 0, -1.0, float("nan")])
def test_another_bandwidth_is_refused(bandwidth):
    with pytest.raises(ValueError, match="bandwidth is .*'held_out'"):
        ParzenWindow(2, bandwidth)


def test_distances_are_the_slow_ones_even_far_from_the_origin():
    a, b = cloud(5, 3) + 1e6, cloud(4, 3, seed=1) + 1e6
    slow = [[((p - q) ** 2).sum() for q in b] for p in a]
    np.testing.assert_allclose(density.squared_distances(a, b), slow, rtol=1e-8)


@pytest.mark.parametrize("d", [2, 8, 64])
def test_distances_between_gaussian_points_grow_alike_with_dimension(d):
    found = density.distances(RNG(0).standard_normal((1000, d)))
    # ||x - x'|| / sqrt(2) is a chi: mean sqrt(2) Gamma((d+1)/2) / Gamma(d/2), E^2 = d
    mean = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))
    expected = math.sqrt(d - mean**2) / mean
    assert found.std() / found.mean() == pytest.approx(expected, rel=0.05)


# ---- one Gaussian ---------------------------------------------------------------
def test_a_gaussian_is_scipys_with_the_moments_of_the_samples():
    x, t = cloud(50, 3), cloud(7, 3, seed=1)
    norm = stats().multivariate_normal(x.mean(0), np.cov(x.T, bias=True))
    np.testing.assert_allclose(Gaussian(3).fit(x).log_prob(t), norm.logpdf(t))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_covariance_above_the_floor_is_likelier_than_that_of_at_least(seed):
    rng = RNG(seed)
    d, floor = int(rng.integers(1, 5)), 0.5
    S = np.cov(rng.standard_normal((d, 6)) * rng.uniform(0, 2, (d, 1))).reshape(d, d)

    def log_likelihood(Sigma):
        return -np.linalg.slogdet(Sigma)[1] - np.trace(np.linalg.solve(Sigma, S))

    best = gaussians.at_least(floor, S)
    assert np.linalg.eigvalsh(best)[0] > floor - 1e-12
    for _ in range(20):
        B = 0.3 * rng.standard_normal((d, d))
        other = gaussians.at_least(floor, best + B + B.T)
        assert log_likelihood(other) <= log_likelihood(best) + 1e-9


def test_a_pixel_that_never_changes_gets_the_floor_as_variance():
    x = np.concatenate([cloud(50), np.zeros((50, 1))], axis=1)
    model = Gaussian(3, floor=0.01).fit(x)
    assert model.Sigma[2, 2] == pytest.approx(0.01)
    np.testing.assert_allclose(model.Sigma[:2, :2], np.cov(x[:, :2].T, bias=True))


@pytest.mark.parametrize("make", [Gaussian, PCAGaussian, GaussianMixture])
def test_a_floor_of_0_is_refused(make):
    with pytest.raises(ValueError, match="floor is 0, expected a variance above 0"):
        make(3, floor=0)


# ---- PCA as a density -----------------------------------------------------------
def test_pca_gaussian_is_sklearns_pca():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x, t = cloud(60, 7), cloud(9, 7, seed=1)
    pca = decomposition.PCA(3, svd_solver="full").fit(x)
    model = PCAGaussian(7, 3).fit(x)
    N = len(x)  # sklearn divides by N - 1
    model.W, model.sigma2 = (
        model.W * math.sqrt(N / (N - 1)),
        model.sigma2 * N / (N - 1),
    )
    np.testing.assert_allclose(model.log_prob(t), pca.score_samples(t), rtol=1e-6)


def test_no_other_W_and_sigma_are_likelier():
    x, rng = cloud(60, 5), RNG(0)
    model = PCAGaussian(5, 2).fit(x)
    best, W, sigma2 = model.log_prob(x).mean(), model.W, model.sigma2
    for scale in (0.3, 0.03, 0.003):
        for _ in range(20):
            model.W = W + scale * rng.standard_normal(W.shape)
            model.sigma2 = sigma2 * np.exp(scale * rng.standard_normal(1))
            assert model.log_prob(x).mean() < best


def test_with_all_but_one_direction_it_is_the_gaussian():
    x = cloud(60, 4)
    one, flat = Gaussian(4).fit(x), PCAGaussian(4, 3).fit(x)
    np.testing.assert_allclose(flat.log_prob(x), one.log_prob(x))


@pytest.mark.parametrize("q", [0, 4, 5])
def test_as_many_directions_as_axes_are_refused(q):
    with pytest.raises(ValueError, match=f"q is {q}, expected .* below d=4"):
        PCAGaussian(4, q)


# ---- EM -------------------------------------------------------------------------
def slow_em_step(pi, mu, Sigma, x):
    """(9.23) to (9.26) of Bishop in loops."""
    norm, N, K = stats().multivariate_normal, len(x), len(pi)
    p = [[pi[k] * norm(mu[k], Sigma[k]).pdf(y) for k in range(K)] for y in x]
    gamma = np.array([[q / sum(row) for q in row] for row in p])
    log_likelihood = np.mean([math.log(sum(row)) for row in p])
    new = np.zeros_like(pi), np.zeros_like(mu), np.zeros_like(Sigma)
    for k in range(K):
        N_k = sum(gamma[n, k] for n in range(N))
        new[0][k] = N_k / N
        new[1][k] = sum(gamma[n, k] * x[n] for n in range(N)) / N_k
        for n in range(N):
            r = x[n] - new[1][k]
            new[2][k] += gamma[n, k] * np.outer(r, r) / N_k
    return log_likelihood, *new


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_step_of_em_is_the_slow_one(covariance):
    x, model = cloud(40, 3), GaussianMixture(3, 2, covariance)
    for _ in range(3):
        model.step(x, RNG(0))
    Sigma = model.Sigma
    if covariance == "diagonal":
        Sigma = np.array([np.diag(s) for s in Sigma])
    expected, pi, mu, Sigma = slow_em_step(model.pi, model.mu, Sigma, x)
    assert model.step(x) == pytest.approx(expected)
    np.testing.assert_allclose(model.pi, pi)
    np.testing.assert_allclose(model.mu, mu)
    if covariance == "diagonal":
        Sigma = np.array([np.diag(s) for s in Sigma])
    np.testing.assert_allclose(model.Sigma, Sigma)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    covariance=st.sampled_from(["full", "diagonal"]),
    K=st.integers(1, 8),
)
def test_em_never_lowers_the_likelihood_not_even_at_the_floor(seed, covariance, K):
    rng = RNG(seed)
    d = int(rng.integers(1, 5))
    x = cloud(30, d, seed) * (rng.random(d) > 0.2)  # some axes hold zeros only
    model = GaussianMixture(d, K, covariance, floor=0.01)
    found = [value for _, value in zip(range(30), model.em(x, rng))]
    assert np.all(np.diff(found) > -1e-9)
    assert model.pi.sum() == pytest.approx(1)


def test_a_component_can_not_collapse_onto_one_sample():
    x = np.concatenate([cloud(50), np.full((1, 2), 1e3)])
    model = GaussianMixture(2, 5, floor=0.01).fit(x, RNG(0), steps=30)
    least = min(np.linalg.eigvalsh(S)[0] for S in model.Sigma)
    assert least > 0.01 - 1e-12 and np.isfinite(model.log_prob(x)).all()


def test_two_far_lumps_are_found_with_their_own_moments():
    rng = RNG(0)
    y = rng.integers(2, size=2000)
    x = rng.standard_normal((2000, 2)) * [[1.0, 0.2]] + 50.0 * y[:, None]
    model = GaussianMixture(2, 2).fit(x, RNG(1), steps=20)
    for k in range(2):
        own = x[y == int(model.mu[k, 0] > 25)]
        np.testing.assert_allclose(model.mu[k], own.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(model.Sigma[k], np.cov(own.T, bias=True), atol=1e-6)
        assert model.pi[k] == pytest.approx(len(own) / len(x))


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_em_ends_where_sklearns_ends(covariance):
    mixture = pytest.importorskip("sklearn.mixture")
    x, t = cloud(200, 3), cloud(11, 3, seed=1)
    model = GaussianMixture(3, 2, covariance)
    model.begin(x, RNG(0))
    weights, means = model.pi.copy(), model.mu.copy()
    inverse = np.linalg.inv(model.Sigma) if covariance == "full" else 1 / model.Sigma
    kind = {"full": "full", "diagonal": "diag"}[covariance]
    theirs = mixture.GaussianMixture(
        2, covariance_type=kind, weights_init=weights, means_init=means,
        precisions_init=inverse, reg_covar=1e-12, tol=1e-12, max_iter=500,
    ).fit(x)  # fmt: skip
    model.fit(x, steps=500)
    np.testing.assert_allclose(model.log_prob(t), theirs.score_samples(t), rtol=1e-4)


def test_fewer_samples_than_components_are_refused():
    with pytest.raises(ValueError, match="10 Gaussians need .* 10 samples, got 9"):
        GaussianMixture(2).fit(cloud(9))
    with pytest.raises(ValueError, match="covariance is 'diag', expected 'full' or"):
        GaussianMixture(2, 3, "diag")


def test_k_means_plus_plus_draws_by_squared_distance():
    x = np.array([[0.0], [1.0], [3.0]])
    draws = np.array([gaussians.plus_plus(x, 2, RNG(s))[:, 0] for s in range(6000)])
    after_0 = draws[draws[:, 0] == 0, 1]
    error = 5 * math.sqrt(0.1 * 0.9 / len(after_0))
    assert 0 not in after_0  # its distance is 0
    assert abs((after_0 == 1).mean() - 0.1) < error  # 1 / (1 + 9)


def test_k_means_plus_plus_reaches_every_one_of_25_far_lumps_more_often_than_chance():
    x = data.grid(1000, rng=RNG(0)).x

    def covered(centres):
        return metrics.modes(centres, data.grid_centres(), 0.05).covered

    spread = [covered(gaussians.plus_plus(x, 25, RNG(s))) for s in range(10)]
    chance = [covered(x[RNG(s).choice(1000, 25)]) for s in range(10)]
    assert np.mean(spread) > 24 > 20 > np.mean(chance)  # chance: 25 (1 - 1/e) = 15.8


# ---- real data, other devices ---------------------------------------------------
def test_ten_gaussians_describe_digits_best_and_bumps_no_better_than_one():
    train, test = (data.digits(s).x.reshape(-1, 64) for s in ("train", "test"))
    one = Gaussian(64, 0.01).fit(train).log_prob(test).mean()
    bumps = ParzenWindow(64).fit(train, RNG(0)).log_prob(test).mean()
    ten = GaussianMixture(64, 10, floor=0.01).fit(train, RNG(0), steps=10)
    assert ten.log_prob(test).mean() > one + 4 > bumps + 4


@pytest.mark.parametrize(
    "name", ["histogram", "parzen held out", "gaussian", "pca", "mixture"]
)
def test_a_density_on_another_device_is_the_one_on_the_cpu(name, device):
    x = cloud(60).astype(np.float32)

    def run(put):
        model = MAKE[name](2)
        for key, value in list(vars(model).items()):
            if isinstance(value, np.ndarray):
                setattr(model, key, put(value))
        losses = list(density.train(model, [put(x)] * 3, RNG(0)))
        return losses, model.log_prob(put(x)), model.sample(5, RNG(1))

    here, there = run(np.asarray), run(device.put)
    assert isinstance(there[1], device.array) and isinstance(there[2], device.array)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-9)
    for a, b in zip(there[1:], here[1:]):
        np.testing.assert_allclose(a.get(), b, rtol=1e-6)
