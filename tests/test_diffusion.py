"""Diffusion: the noise, and what a network learns of it. Sampling has its own file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn.models import diffusion, noise
from scratchnn.models.denoisers import MLPDenoiser, time_embedding
from scratchnn.models.diffusion import Diffusion

RNG = np.random.default_rng
TARGETS = diffusion.TARGETS


def normal(*shape, seed=0):
    return RNG(seed).standard_normal(shape)


# ---- schedules ------------------------------------------------------------------
REFERENCE = {  # alpha_bar at these t, in double precision
    "linear": [0.9999, 0.897018, 0.524085, 0.0785872, 0.00335055, 4.03583e-5],
    "cosine": [0.999959, 0.972093, 0.847012, 0.493844, 0.144272, 2.42877e-9],
}


@pytest.mark.parametrize("name", REFERENCE)
def test_alpha_bar_has_its_known_values(name):
    schedule = noise.SCHEDULES[name](1000)
    found = schedule.alpha_bar[[1, 100, 250, 500, 750, 1000]]
    np.testing.assert_allclose(found, REFERENCE[name], rtol=6e-6)  # six digits given
    assert schedule.alpha_bar[0] == 1 and schedule.alpha_bar.dtype == np.float64
    assert len(schedule.beta) == 1001 and schedule.T == 1000


def test_linear_beta_is_the_papers_row_of_numbers():
    found = noise.linear(1000).beta[1:]
    np.testing.assert_allclose(found, np.linspace(1e-4, 0.02, 1000), rtol=1e-9)


def test_cosine_beta_is_clipped_at_the_last_step_only():
    beta = noise.cosine(1000).beta
    assert np.flatnonzero(beta > 0.9989).tolist() == [1000] and beta[1000] == 0.999
    assert beta[1] == pytest.approx(4.128e-5, abs=5e-9)


@given(st.integers(1, 3000), st.sampled_from(list(noise.SCHEDULES)))
@settings(deadline=None, max_examples=50)
def test_a_schedule_of_any_length_ends_in_noise_and_never_turns(T, name):
    schedule = noise.SCHEDULES[name](T)
    assert np.all((0 < schedule.beta[1:]) & (schedule.beta[1:] < 1))
    assert np.all(np.diff(schedule.alpha_bar) < 0)
    assert schedule.alpha_bar[-1] < 1.1e-3  # cosine at T = 1 has only its clipped beta
    if name == "linear":
        assert schedule.alpha_bar[-1] == pytest.approx(4.03583e-5, rel=1e-5)


def test_the_papers_betas_kept_for_50_steps_would_end_at_78_percent_data():
    kept = noise.Schedule(np.linspace(1e-4, 0.02, 50))
    assert kept.alpha_bar[-1] ** 0.5 == pytest.approx(0.78, abs=0.005)


def test_what_is_no_schedule_or_no_step_of_it_is_refused():
    for beta in ([], [0.1, 1.0], [0.0, 0.1], [[0.1]]):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            noise.Schedule(beta)
    with pytest.raises(ValueError, match="T is 0, expected a whole number"):
        noise.linear(0)
    schedule, x = noise.linear(10), normal(3, 2)
    for t in (0, 11, np.array([1, 2, 0])):  # alpha_bar[t - 1] would wrap round
        with pytest.raises(ValueError, match="expected whole numbers in 1..10"):
            schedule.posterior(x, x, t)
    with pytest.raises(ValueError, match="expected whole numbers in 0..10"):
        schedule.q_sample(x, 11, x)
    with pytest.raises(ValueError, match="expected 'beta' or 'beta_tilde'"):
        schedule.variance(1, "beta_hat")


# ---- forwards -------------------------------------------------------------------
def test_one_jump_to_t_is_the_chain_of_t_small_steps():
    """Mean and variance of (2), followed step by step, against (4)."""
    schedule = noise.linear(1000)
    share, variance = 1.0, 0.0
    for t in range(1, 1001):
        alpha = 1 - schedule.beta[t]
        share, variance = share * alpha**0.5, alpha * variance + schedule.beta[t]
        one, zero = np.ones((1, 1)), np.zeros((1, 1))
        assert schedule.q_sample(one, t, zero)[0, 0] == pytest.approx(share)
        assert schedule.q_sample(zero, t, one)[0, 0] == pytest.approx(variance**0.5)


def test_the_drawn_chain_has_those_means_and_variances():
    schedule, n = noise.linear(20), 20_000
    x_0 = np.full((n, 1), 3.0)
    chain = list(schedule.forward(x_0, RNG(0)))
    assert len(chain) == 21 and chain[0] is x_0
    for t in (1, 5, 10, 20):
        a, b = schedule.shares(t, x_0)
        assert abs(chain[t].mean() - 3 * a) < 5 * b / n**0.5
        assert abs(chain[t].std() / b - 1) < 5 / (2 * n) ** 0.5


def correlation_at_the_end(share):
    """Between x_0 and x_T, if a share of x_0 is left: planted for alpha_bar_T."""
    x_0, eps = normal(2, 50_000)
    x_T = share**0.5 * x_0 + (1 - share) ** 0.5 * eps
    return np.corrcoef(x_0, x_T)[0, 1]


def test_nothing_of_the_data_is_left_at_the_end_and_alpha_for_alpha_bar_is_seen():
    schedule = noise.linear(1000)
    x_0, eps = normal(2, 50_000, 1)
    x_T = schedule.q_sample(x_0, 1000, eps)
    bound = 0.0064 + 5 / 50_000**0.5  # sqrt(alpha_bar_T), and chance
    assert abs(np.corrcoef(x_0[:, 0], x_T[:, 0])[0, 1]) < bound
    assert correlation_at_the_end(schedule.alpha[1000]) > 0.9 > bound


def test_each_sample_has_its_own_t_and_arrays_keep_their_type():
    schedule, t = noise.linear(100), np.array([1, 50, 100])
    x_0, eps = normal(2, 3, 4, 5).astype(np.float32)
    x_t = schedule.q_sample(x_0, t, eps)
    assert x_t.dtype == np.float32 and x_t.shape == (3, 4, 5)
    for i in range(3):
        alone = schedule.q_sample(x_0[i : i + 1], int(t[i]), eps[i : i + 1])
        np.testing.assert_allclose(x_t[i], alone[0], rtol=1e-6)


# ---- the posterior --------------------------------------------------------------
@pytest.mark.parametrize("t", [2, 3, 50, 100])
def test_the_posterior_is_the_product_of_two_gaussians_on_a_grid(t):
    """q(x_{t-1}|x_t, x_0) from Bayes' rule on 200,001 numbers, against (6), (7)."""
    schedule, x_0, x_t = noise.linear(100), 0.7, -0.4
    x = np.linspace(-8, 8, 200_001)
    beta, before = schedule.beta[t], schedule.alpha_bar[t - 1]
    log_q = -((x_t - (1 - beta) ** 0.5 * x) ** 2) / (2 * beta)
    log_q -= (x - before**0.5 * x_0) ** 2 / (2 * (1 - before))
    q = np.exp(log_q - log_q.max())
    q /= q.sum()
    mean = (q * x).sum()
    found = schedule.posterior(np.array([[x_0]]), np.array([[x_t]]), t)
    assert found[0][0, 0] == pytest.approx(mean, abs=1e-6)
    assert float(found[1]) == pytest.approx((q * (x - mean) ** 2).sum(), rel=1e-5)


def eps_form(schedule, x_t, eps, t, under="alpha_bar"):
    """The mean of (11), slowly."""
    share = getattr(schedule, under)[t]
    root = schedule.alpha[t] ** 0.5
    return (x_t - schedule.beta[t] / (1 - share) ** 0.5 * eps) / root


@given(st.integers(1, 1000), st.integers(0, 100))
@settings(deadline=None, max_examples=50)
def test_the_eps_form_of_the_mean_is_the_posterior_form(t, seed):
    schedule = noise.linear(1000)
    x_0, eps = normal(2, 3, 2, seed=seed)
    x_t = schedule.q_sample(x_0, t, eps)
    mean, variance = schedule.posterior(x_0, x_t, t)
    np.testing.assert_allclose(eps_form(schedule, x_t, eps, t), mean, atol=1e-9)
    assert variance < schedule.beta[t] and (variance > 0) == (t > 1)


def test_alpha_for_alpha_bar_in_the_mean_is_seen():
    schedule, (x_0, eps) = noise.linear(1000), normal(2, 3, 2)
    x_t = schedule.q_sample(x_0, 500, eps)
    wrong = eps_form(schedule, x_t, eps, 500, under="alpha")
    assert abs(wrong - schedule.posterior(x_0, x_t, 500)[0]).max() > 0.05


# ---- eps, x_0 and v -------------------------------------------------------------
@given(
    st.sampled_from(TARGETS), st.sampled_from(list(noise.SCHEDULES)),
    st.lists(st.integers(1, 99), min_size=3, max_size=3), st.integers(0, 100),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_each_target_tells_the_noise_and_the_data(target, name, t, seed):
    schedule, t = noise.SCHEDULES[name](100), np.array(t)
    x_0, eps = normal(2, 3, 2, seed=seed)
    x_t = schedule.q_sample(x_0, t, eps)
    out = {"eps": eps, "x_0": x_0, "v": schedule.v(x_0, eps, t)}[target]
    found = schedule.eps_and_x_0(target, out, x_t, t)
    np.testing.assert_allclose(found[0], eps, atol=1e-8)
    np.testing.assert_allclose(found[1], x_0, atol=1e-8)


def test_v_turns_x_t_by_a_right_angle():
    """(x_0, eps) -> (x_t, v) is a rotation: lengths stay, and v = dx_t / d angle."""
    schedule, (x_0, eps) = noise.linear(100), normal(2, 5, 2)
    x_t, v = schedule.q_sample(x_0, 40, eps), schedule.v(x_0, eps, 40)
    np.testing.assert_allclose(x_t**2 + v**2, x_0**2 + eps**2)
    angle = np.arccos(schedule.alpha_bar[40] ** 0.5)
    h = 1e-6
    further = np.cos(angle + h) * x_0 + np.sin(angle + h) * eps
    np.testing.assert_allclose((further - x_t) / h, v, atol=1e-5)


def test_an_x_0_network_read_as_eps_is_seen():
    schedule, (x_0, eps) = noise.linear(100), normal(2, 2000, 2)
    x_t = schedule.q_sample(x_0, 80, eps)
    _, wrong = schedule.eps_and_x_0("eps", x_0, x_t, 80)
    assert np.sqrt(((wrong - x_0) ** 2).mean()) > 2


# ---- the loss -------------------------------------------------------------------
class Linear:
    """A network that returns w x_t + t / T: enough to hold the loss against a loop."""

    def __init__(self, classes=None):
        self.classes, self.seen = classes, []

    def __call__(self, x_t, t, y=None):
        self.seen.append((t, y))
        return 0.3 * x_t + t.reshape(-1, *[1] * (x_t.ndim - 1)) / 10


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", [(2,), (1, 3, 4)])
def test_l_simple_is_equation_14_in_a_slow_loop(target, shape):
    model = Diffusion(Linear(), noise.linear(10), shape, target)
    x_0 = normal(6, *shape)
    found = float(diffusion.l_simple(model, x_0, rng=RNG(7)))
    rng, total = RNG(7), 0.0
    t, eps = rng.integers(1, 11, 6), rng.standard_normal(x_0.shape)
    for i in range(6):
        alpha_bar = np.prod(1 - model.schedule.beta[1 : t[i] + 1])
        a, b = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        x_t = a * x_0[i] + b * eps[i]
        goal = {"eps": eps[i], "x_0": x_0[i], "v": a * eps[i] - b * x_0[i]}[target]
        total += ((goal - (0.3 * x_t + t[i] / 10)) ** 2).mean()
    assert found == pytest.approx(total / 6)


def test_t_is_uniform_from_1_to_T():
    model = Diffusion(Linear(), noise.linear(4), (1,))
    diffusion.l_simple(model, np.zeros((40_000, 1)), rng=RNG(0))
    counts = np.bincount(model.network.seen[0][0], minlength=6)
    assert counts[0] == counts[5] == 0
    assert np.all(abs(counts[1:5] / 10_000 - 1) < 5 * (3 / 40_000) ** 0.5)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5])
def test_labels_are_dropped_with_their_probability_and_never_changed(p):
    y = np.arange(20_000) % 10
    dropped = diffusion.drop_labels(y, 10, p, RNG(0))
    gone = dropped == 10
    assert abs(gone.mean() - p) <= 5 * (p * (1 - p) / len(y)) ** 0.5
    np.testing.assert_array_equal(dropped[~gone], y[~gone])


def test_the_loss_hands_labels_on_only_to_a_network_that_takes_them():
    y = np.array([1, 0, 2])
    for network in (Linear(), Linear(classes=3)):
        model = Diffusion(network, noise.linear(10), (2,))
        diffusion.l_simple(model, normal(3, 2), y, p_uncond=0.0, rng=RNG(0))
        seen = network.seen[0][1]
        assert seen is None if network.classes is None else np.array_equal(seen, y)
    with pytest.raises(ValueError, match=r"takes 3 labels.* give batches \(x_0, y\)"):
        diffusion.l_simple(model, normal(3, 2), rng=RNG(0))


def test_another_target_is_refused():
    with pytest.raises(ValueError, match="target is 'noise', expected 'eps', 'x_0'"):
        Diffusion(Linear(), noise.linear(10), (2,), "noise")


# ---- the network ----------------------------------------------------------------
def denoiser(classes=None, T=50, seed=0):
    network = MLPDenoiser(2, 16, 2, T, classes, rng=RNG(seed))
    for p in network.parameters():
        p.data = p.data.astype(np.float64)
    return network


def test_the_time_embedding_is_its_formula_in_a_slow_loop():
    found = time_embedding(np.array([1, 7, 250]), 8, T=250)
    for i, t in enumerate([1, 7, 250]):
        for j in range(4):
            angle = t * 1000 / 250 / 10_000 ** (2 * j / 8)
            assert found[i, j] == pytest.approx(np.sin(angle), abs=1e-6)
            assert found[i, 4 + j] == pytest.approx(np.cos(angle), abs=1e-6)


def test_the_network_tells_times_and_labels_apart():
    network, x = denoiser(classes=3), normal(4, 2)
    t, y = np.array([1, 1, 50, 50]), np.array([0, 3, 1, 2])
    x[:] = x[0]
    out = network(x, t, y).data
    assert out.shape == (4, 2)
    assert len(np.unique(out.round(9), axis=0)) == 4


@pytest.mark.parametrize("target", TARGETS)
def test_the_loss_has_right_gradients_through_time_and_labels(target):
    network = denoiser(classes=3)
    model = Diffusion(network, noise.linear(50), (2,), target)
    x_0, y = normal(5, 2), np.array([0, 2, 1, 1, 2])

    value = diffusion.l_simple(model, x_0, y, 0.4, RNG(1))
    value.backward()
    rng = RNG(2)
    for name, p in network.named_parameters():
        u = rng.standard_normal(p.shape)
        slope, kept, h = (u * p.grad).sum(), p.data, 1e-6
        sides = []
        for sign in (1, -1):
            p.data = kept + sign * h * u
            sides.append(float(diffusion.l_simple(model, x_0, y, 0.4, RNG(1))))
        p.data = kept
        numeric = (sides[0] - sides[1]) / (2 * h)
        assert slope == pytest.approx(numeric, rel=1e-5, abs=1e-8), name
        assert slope != 0, name
