"""The way back: samplers held against closed forms, with networks that are exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import no_grad, optim
from scratchnn.models import diffusion, noise
from scratchnn.models.denoisers import ExactDenoiser, MLPDenoiser
from scratchnn.models.diffusion import Diffusion

RNG = np.random.default_rng
S = 0.5  # the deviation of the Gaussian data below


def exact(T=100, means=((0.0, 0.0),), deviation=S, schedule=noise.linear, **options):
    """A model of a mixture of Gaussians that makes no mistake."""
    schedule = schedule(T)
    network = ExactDenoiser(schedule, np.array(means), deviation, **options)
    return Diffusion(network, schedule, network.means.shape[1:])


TWO = dict(means=[(-2.0, 0.0), (1.0, 1.0)], deviation=0.3, weights=[0.25, 0.75])


# ---- the exact network ----------------------------------------------------------
@given(st.integers(1, 100), st.integers(0, 100))
@settings(deadline=None, max_examples=15)
def test_the_exact_noise_is_the_slope_of_the_log_density(t, seed):
    """-sqrt(1 - alpha_bar) d log q(x_t) / dx, by differences, q a sum of SciPy's."""
    stats = pytest.importorskip("scipy.stats", reason="the density is SciPy's")
    model = exact(**TWO)
    alpha_bar = model.schedule.alpha_bar[t]
    deviation = (alpha_bar * 0.3**2 + 1 - alpha_bar) ** 0.5

    def log_q(x):
        return np.log(sum(
            w * stats.norm.pdf(x, alpha_bar**0.5 * np.array(mu), deviation).prod()
            for mu, w in zip(TWO["means"], TWO["weights"])
        ))  # fmt: skip

    x, h = RNG(seed).normal(size=2), 1e-5
    slope = [(log_q(x + d) - log_q(x - d)) / (2 * h) for d in h * np.eye(2)]
    found = model.network(x[None], np.array([t]))[0]
    expected = -((1 - alpha_bar) ** 0.5) * np.array(slope)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_the_exact_network_has_the_least_loss_and_other_signs_have_more():
    model, n = exact(**TWO), 5000
    rng = RNG(0)
    k = rng.choice(2, n, p=TWO["weights"])
    x_0 = np.array(TWO["means"])[k] + 0.3 * rng.standard_normal((n, 2))

    def loss(network):
        other = Diffusion(network, model.schedule, (2,))
        return float(diffusion.l_simple(other, x_0, rng=RNG(1)))

    def changed(factor):
        return lambda x_t, t, y=None: factor * model.network(x_t, t)

    model.network.classes = None  # so that it is asked for any
    least = loss(model.network)
    assert least < loss(changed(0.9)) and least < loss(changed(1.1))
    assert loss(changed(-1)) > 1 > least


# ---- algorithm 2 ----------------------------------------------------------------
def deviation_of(step, n=10_000, T=100):
    """Of samples of exact(), taken back by a sampler's step(model, x_t, t, rng)."""
    model, rng = exact(T), RNG(0)
    x_t = model.noise(n, rng)
    for t in range(T, 0, -1):
        x_t = step(model, x_t, t, rng)
    return x_t.std()


def chain_deviation(T, variance):
    """The deviation that algorithm 2 has at the end: its own recursion, by hand."""
    schedule, v = noise.linear(T), 1.0
    for t in range(T, 0, -1):
        beta, alpha, alpha_bar = schedule.at(t)
        eps = (1 - alpha_bar) ** 0.5 / (alpha_bar * S**2 + 1 - alpha_bar)  # per x_t
        v *= ((1 - beta / (1 - alpha_bar) ** 0.5 * eps) / alpha**0.5) ** 2
        v += schedule.variance(t, variance) if t > 1 else 0
    return v**0.5


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_exact_sampler_gives_back_the_deviation_of_the_data(variance):
    found = deviation_of(
        lambda *state: diffusion.reverse_step(*state[:3], variance, state[3]).x_t
    )
    chance = 5 / (2 * 20_000) ** 0.5  # relative, of 2 x 10,000 numbers
    assert found == pytest.approx(chain_deviation(100, variance), rel=chance)
    assert abs(chain_deviation(1000, variance) - S) < 0.005
    if variance == "beta":
        assert found == pytest.approx(S, abs=0.02)


def planted(mistake):
    """Algorithm 2 with one mistake."""

    def step(model, x_t, t, rng):
        beta, alpha, alpha_bar = model.schedule.at(t)
        eps, _ = model.predict(x_t, t)
        z = rng.standard_normal(x_t.shape)
        if mistake == "sign":
            eps = -eps
        if mistake == "alpha for alpha_bar":
            alpha_bar = alpha
        x_t = (x_t - beta / (1 - alpha_bar) ** 0.5 * eps) / alpha**0.5
        if mistake == "no noise":
            return x_t
        return x_t + (beta**0.5 * z if t > 1 or mistake == "noise at the end" else 0)

    return step


def test_mistakes_in_algorithm_2_are_seen_by_the_deviation():
    assert deviation_of(planted(None)) == pytest.approx(S, abs=0.02)
    for mistake in ("sign", "alpha for alpha_bar", "no noise"):
        assert abs(deviation_of(planted(mistake)) - S) > 0.1, mistake


def test_the_last_step_adds_no_noise():
    """One point as data: exact samples are that point, noise at the end is not."""
    model = exact(means=[(0.3, -0.7)], deviation=0.0)
    samplers = {
        "ddpm": diffusion.ddpm(model, model.noise(50, RNG(0)), rng=RNG(1)),
        "eta 1": diffusion.ddim(model, model.noise(50, RNG(0)), 10, 1.0, RNG(1)),
        "hat": diffusion.ddim(model, model.noise(50, RNG(0)), 10, "hat", RNG(1)),
    }
    for name, walk in samplers.items():
        *_, step = walk
        assert step.t == 0
        np.testing.assert_allclose(step.x_t - [0.3, -0.7], 0, atol=1e-9, err_msg=name)
    wrong = planted("noise at the end")(model, model.noise(50, RNG(0)), 1, RNG(1))
    assert abs(wrong - [0.3, -0.7]).max() > 0.01


def test_ddpm_is_algorithm_2_in_a_slow_loop():
    model = exact(20, **TWO)
    x_T = model.noise(4, RNG(0))
    steps = list(diffusion.ddpm(model, x_T, rng=RNG(1)))
    assert [s.t for s in steps] == list(range(19, -1, -1))
    rng, x_t, schedule = RNG(1), x_T.copy(), model.schedule
    for t, step in zip(range(20, 0, -1), steps):
        z = rng.standard_normal(x_t.shape) if t > 1 else np.zeros_like(x_t)
        eps = model.network(x_t, np.full(4, t))
        for i in range(4):
            for j in range(2):
                beta = schedule.beta[t]
                alpha_bar = np.prod(1 - schedule.beta[1 : t + 1])
                x = x_t[i, j] - beta / np.sqrt(1 - alpha_bar) * eps[i, j]
                x_t[i, j] = x / np.sqrt(1 - beta) + np.sqrt(beta) * z[i, j]
        np.testing.assert_allclose(step.x_t, x_t, rtol=1e-9, atol=1e-12)


# ---- DDIM -----------------------------------------------------------------------
def test_ddim_is_equation_12_in_a_slow_loop():
    model, eta = exact(20, **TWO), 0.6
    x_T = model.noise(4, RNG(0))
    found = list(diffusion.ddim(model, x_T, 4, eta, RNG(1)))
    assert [s.t for s in found] == [15, 10, 5, 0]
    rng, x, alpha_bar = RNG(1), x_T, model.schedule.alpha_bar
    for t, s, step in zip((20, 15, 10, 5), (15, 10, 5, 0), found):
        eps = model.network(x, np.full(4, t))
        sigma = eta * np.sqrt((1 - alpha_bar[s]) / (1 - alpha_bar[t]))
        sigma *= np.sqrt(1 - alpha_bar[t] / alpha_bar[s])
        x_0 = (x - np.sqrt(1 - alpha_bar[t]) * eps) / np.sqrt(alpha_bar[t])
        x = np.sqrt(alpha_bar[s]) * x_0 + np.sqrt(1 - alpha_bar[s] - sigma**2) * eps
        x = x + sigma * (rng.standard_normal(x.shape) if s else 0)
        np.testing.assert_allclose(step.x_t, x, rtol=1e-9)
        np.testing.assert_allclose(step.x_0_hat, x_0, rtol=1e-9)


@pytest.mark.parametrize("eta, variance", [(1.0, "beta_tilde"), ("hat", "beta")])
def test_ddim_in_all_steps_with_eta_1_is_ddpm(eta, variance):
    model = exact(50, **TWO)
    x_T = model.noise(30, RNG(0))
    a = [s.x_t for s in diffusion.ddpm(model, x_T, variance, RNG(1))]
    b = [s.x_t for s in diffusion.ddim(model, x_T, 50, eta, RNG(1))]
    np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-8)


def test_ddim_without_noise_is_a_map_of_x_T():
    model = exact(**TWO)
    x_T = model.noise(20, RNG(0))
    a, b = (list(diffusion.ddim(model, x_T, 10, 0.0, RNG(i)))[-1] for i in (1, 2))
    assert np.array_equal(a.x_t, b.x_t)
    noisy = list(diffusion.ddim(model, x_T, 10, 0.5, RNG(1)))[-1]
    assert abs(noisy.x_t - a.x_t).max() > 0.01


def test_the_map_of_a_gaussian_is_its_known_scaling():
    """For data N(0, s^2) the flow is x_0 = s x_T / sqrt(alpha_bar s^2 + 1 - alpha_bar).

    DDIM follows it with an error that falls with the number of steps.
    """
    model = exact(1000)
    x_T, alpha_bar = model.noise(5, RNG(0)), model.schedule.alpha_bar[-1]
    flow = S * x_T / (alpha_bar * S**2 + 1 - alpha_bar) ** 0.5
    errors = []
    for steps in (10, 100, 1000):
        *_, last = diffusion.ddim(model, x_T, steps)
        errors.append(abs(last.x_t / flow - 1).max())
    assert errors[0] > 5 * errors[1] > 25 * errors[2] and errors[2] < 0.005


@given(st.integers(1, 200), st.data())
@settings(deadline=None, max_examples=50)
def test_a_few_times_fall_from_T_to_0(T, data):
    steps = data.draw(st.integers(1, T))
    tau = diffusion.times(T, steps)
    assert len(tau) == steps + 1 and tau[0] == T and tau[-1] == 0
    gaps = -np.diff(tau)
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_steps_and_etas_that_do_not_exist_are_refused():
    model = exact(10)
    x_T = model.noise(2, RNG(0))
    with pytest.raises(ValueError, match="steps is 11, expected from 1 to 10"):
        list(diffusion.ddim(model, x_T, 11))
    for eta in (-0.1, 1.5, "tilde"):
        with pytest.raises(ValueError, match="expected a number from 0 to 1, or 'hat'"):
            list(diffusion.ddim(model, x_T, 5, eta))


# ---- guidance -------------------------------------------------------------------
def test_guidance_is_ho_and_salimans_equation_6():
    model = exact(50, **TWO)
    x_t, t = model.noise(6, RNG(0)), 20
    y = np.array([0, 1, 0, 1, 0, 1])
    given_y = model.network(x_t, np.full(6, t), y)
    any_y = model.network(x_t, np.full(6, t), np.full(6, 2))
    for w in (0.0, 0.5, 3.0, -1.0):
        eps, _ = model.predict(x_t, t, y, guidance=w)
        np.testing.assert_allclose(eps, (1 + w) * given_y - w * any_y, atol=1e-12)
    np.testing.assert_allclose(model.predict(x_t, t)[0], any_y)  # no label: any
    np.testing.assert_allclose(model.predict(x_t, t, 1)[0][1::2], given_y[1::2])


def test_a_label_asks_for_its_component():
    model = exact(**TWO)
    for y in (0, 1):
        x = diffusion.sample(model, 500, 25, y=y, rng=RNG(0))
        error = 0.4 / 500**0.5  # of a mean of 500, deviation .3 and a little
        np.testing.assert_allclose(x.mean(axis=0), TWO["means"][y], atol=5 * error)
    x = diffusion.sample(model, 4000, rng=RNG(0))
    share = (x[:, 0] < -0.7).mean()
    assert share == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 4000) ** 0.5 + 0.01)


def test_more_guidance_leaves_less_room():
    model = exact(means=[(-1.0, 0.0), (1.0, 0.0)], deviation=1.0)
    spread = [
        diffusion.sample(model, 1000, 50, y=1, guidance=w, rng=RNG(0))[:, 0]
        for w in (0.0, 1.0, 3.0)
    ]
    means = [x.mean() for x in spread]
    assert means[0] < means[1] < means[2] and spread[0].std() > spread[2].std()


def test_labels_that_a_model_does_not_know_are_refused():
    model, plain = exact(**TWO), exact(**TWO)
    plain.network.classes = None
    x_t = model.noise(3, RNG(0))
    with pytest.raises(ValueError, match="network takes no labels"):
        plain.predict(x_t, 5, y=1)
    with pytest.raises(ValueError, match="y is 7, expected a label from 0 to 1"):
        model.predict(x_t, 5, y=7)
    with pytest.raises(ValueError, match="guidance is 2, but no y is given"):
        model.predict(x_t, 5, guidance=2)


def test_clipped_guesses_stay_inside_and_the_noise_agrees_with_them():
    model = exact(**TWO)
    x_t = model.noise(50, RNG(0))
    eps, x_0_hat = model.predict(x_t, 30, clip=0.5)
    assert abs(x_0_hat).max() == 0.5
    np.testing.assert_allclose(model.schedule.q_sample(x_0_hat, 30, eps), x_t)


# ---- inpainting -----------------------------------------------------------------
def test_inpainting_keeps_what_is_known_and_draws_the_rest_given_it():
    """Two points (-2, 0) and (1, 1): knowing the first number tells the second."""
    model = exact(**TWO)
    x_0 = np.repeat([[-2.0, 9.0], [1.0, 9.0]], 200, axis=0)
    known = np.array([True, False])
    steps = list(diffusion.inpaint(model, x_0, known, resample=3, rng=RNG(0)))
    assert [s.t for s in steps] == list(range(99, -1, -1))
    x = steps[-1].x_t
    np.testing.assert_array_equal(x[:, 0], x_0[:, 0])
    found = x[:200, 1].mean(), x[200:, 1].mean()
    np.testing.assert_allclose(found, (0, 1), atol=0.1)
    with pytest.raises(ValueError, match="resample is 0"):
        next(diffusion.inpaint(model, x_0, known, resample=0))


# ---- likelihood -----------------------------------------------------------------
def closed_form_bound(T, variance):
    """The bound (5) of exact() with D = 1, every expectation by hand, in nats."""
    schedule, total = noise.linear(T), 0.0
    a = schedule.alpha_bar
    for t in range(1, T + 1):
        left = S**2 * (1 - a[t]) / (a[t] * S**2 + 1 - a[t])  # Var(x_0 | x_t)
        if t == 1:
            sigma2 = schedule.beta[1]
            total += 0.5 * (np.log(2 * np.pi * sigma2) + left / sigma2)
        else:
            q2 = schedule.variance(t, "beta_tilde")
            p2 = schedule.variance(t, variance)
            share = a[t - 1] ** 0.5 * schedule.beta[t] / (1 - a[t])
            total += 0.5 * ((q2 + share**2 * left) / p2 - 1 - np.log(q2 / p2))
    end = 1 - a[T]
    return total + 0.5 * (end + a[T] * S**2 - 1 - np.log(end))


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_bound_is_its_closed_form_for_gaussian_data(variance):
    model, n = exact(50, means=[[0.0]]), 20_000
    rng, totals = RNG(0), []
    for seed in range(5):
        x_0 = S * rng.standard_normal((n, 1))
        totals.append(diffusion.bound(model, x_0, variance=variance, rng=RNG(seed)))
    found = [b.total for b in totals]
    error = np.std(found) / 2  # of the mean of 5
    assert abs(np.mean(found) - closed_form_bound(50, variance)) < 5 * error < 0.05
    one = totals[0]
    assert one.total == pytest.approx(one.L_T + one.L_t.sum() + one.L_0)
    assert one.bits == pytest.approx(one.total / np.log(2)) and len(one.L_t) == 49


def test_the_bound_nears_the_entropy_with_more_steps_if_variances_are_beta():
    """Smooth data has beta, not beta_tilde, which is right for one point."""
    entropy = 0.5 * np.log(2 * np.pi * np.e * S**2)
    gaps = [closed_form_bound(T, "beta") - entropy for T in (10, 100, 1000)]
    assert 5 * gaps[1] < gaps[0] and 5 * gaps[2] < gaps[1] and 0 < gaps[2] < 0.002
    assert closed_form_bound(1000, "beta_tilde") - entropy > 0.3


def test_the_discretised_decoder_is_scipys_and_sums_to_one():
    norm = pytest.importorskip("scipy.stats", reason="Phi is SciPy's").norm
    levels, mu, sigma = 17, 0.83, 0.2
    x = np.linspace(-1, 1, levels)[:, None]
    found = np.exp(-diffusion._discretised(x, np.full_like(x, mu), sigma, levels))
    edges = np.concatenate([[-np.inf], (x[1:, 0] + x[:-1, 0]) / 2, [np.inf]])
    np.testing.assert_allclose(found, np.diff(norm.cdf(edges, mu, sigma)), atol=1e-9)
    assert found.sum() == pytest.approx(1)


def test_pictures_of_two_levels_cost_their_one_bit():
    """Data -1 and 1, equally likely, known to the exact network: 1 bit each."""
    model = exact(400, means=[[-1.0], [1.0]], deviation=0.0)
    x_0 = RNG(0).choice([-1.0, 1.0], (2000, 1))
    how = dict(variance="beta_tilde", levels=2)
    bits = diffusion.bound(model, x_0, rng=RNG(1), **how).bits
    assert 0.97 < bits < 1.1


# ---- training and devices -------------------------------------------------------
def trained(steps=600, freeze=False):
    """A small network on the two Gaussians, and what EMA made of it."""
    rng, schedule = RNG(0), noise.linear(50)
    network = MLPDenoiser(2, 64, 2, 50, rng=rng)
    model = Diffusion(network, schedule, (2,))
    adam = optim.Adam(model.parameters(), lr=3e-3)
    ema = optim.EMA(model, 0.98)

    def batches():
        for _ in range(steps):
            k = rng.choice(2, 256, p=TWO["weights"])
            x = np.array(TWO["means"])[k] + 0.3 * rng.standard_normal((256, 2))
            yield x.astype(np.float32)

    if freeze:
        adam.step = lambda: None
    walk = diffusion.train(model, batches(), adam, ema, rng=rng)
    losses = [step.loss for step in walk]
    return model, ema, losses


def test_training_nears_the_best_loss_there_is_and_a_frozen_network_does_not():
    best = exact(50, **TWO)
    best.network.classes = None
    rng = RNG(5)
    k = rng.choice(2, 4000, p=TWO["weights"])
    x_0 = np.array(TWO["means"])[k] + 0.3 * rng.standard_normal((4000, 2))
    floor = float(diffusion.l_simple(best, x_0, rng=RNG(6)))
    model, ema, _ = trained()
    with no_grad(), ema.averaged():
        found = float(diffusion.l_simple(model, x_0, rng=RNG(6)))
        x = diffusion.sample(model, 2000, rng=RNG(0))
    assert floor < found < 1.15 * floor
    left = x[:, 0] < -0.7
    assert left.mean() == pytest.approx(0.25, abs=0.07)
    np.testing.assert_allclose(x[left].mean(axis=0), (-2, 0), atol=0.1)
    np.testing.assert_allclose(x[~left].mean(axis=0), (1, 1), atol=0.1)
    np.testing.assert_allclose(x[~left].std(axis=0), 0.3, atol=0.06)
    frozen, _, _ = trained(5, freeze=True)
    with no_grad():
        assert float(diffusion.l_simple(frozen, x_0, rng=RNG(6))) > 2 * floor


def test_training_and_sampling_on_another_device_are_those_on_the_cpu(device):
    def run(put):
        network = MLPDenoiser(2, 16, 2, 10, classes=3, rng=RNG(0))
        model = Diffusion(network, noise.linear(10), (2,))
        for p in model.parameters():
            p.data = put(p.data)
        network._times, network._pitches = map(put, (network._times, network._pitches))
        adam = optim.Adam(model.parameters(), lr=0.01)
        x = RNG(1).standard_normal((3, 8, 2)).astype(np.float32)
        batches = [(put(a), put(np.arange(8) % 3)) for a in x]
        losses = [s.loss for s in diffusion.train(model, batches, adam, rng=RNG(2))]
        kept = put(np.array([True, False]))
        *_, filled = diffusion.inpaint(model, batches[0][0], kept, 2, rng=RNG(3))
        y = np.arange(4) % 3
        samples = [
            diffusion.sample(model, 4, rng=RNG(4)),
            diffusion.sample(model, 4, 3, eta=1.0, y=1, guidance=2.0, rng=RNG(4)),
            diffusion.sample(model, 4, 3, "hat", y=y, clip=1.0, rng=RNG(4)),
            filled.x_t,
        ]
        bound = diffusion.bound(model, batches[0][0], levels=17, rng=RNG(5)).total
        return losses, samples, bound

    here, there = run(np.asarray), run(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-4)
    assert there[2] == pytest.approx(here[2], rel=1e-4)
    for a, b in zip(there[1], here[1]):
        assert isinstance(a, device.array)
        a = a.get() if hasattr(a, "get") else a
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-3, atol=1e-4)
