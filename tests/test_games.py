"""Minimax games against their closed forms, and the best discriminator by Bayes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import nn, optim
from scratchnn.models import games, gan, gan_networks

RNG = np.random.default_rng
rates = st.floats(0.01, 0.5)
places = st.floats(-2, 2).filter(lambda x: abs(x) > 0.1)


def path(V=games.bilinear, **how):
    return np.array([[p.x, p.y] for p in games.play(V, **how)])


@settings(max_examples=25, deadline=None)
@given(rates, places, places)
def test_simultaneous_steps_grow_the_radius_by_the_closed_form(lr, x, y):
    radius = [p.radius for p in games.play(games.bilinear, x, y, lr, 20)]
    n = np.arange(21)
    np.testing.assert_allclose(radius, np.hypot(x, y) * (1 + lr**2) ** (n / 2))


@settings(max_examples=25, deadline=None)
@given(rates, places, places)
def test_alternating_steps_stay_on_an_ellipse(lr, x, y):
    x, y = path(x=x, y=y, lr=lr, steps=50, method="alternating").T
    energy = x**2 + y**2 + lr * x * y
    np.testing.assert_allclose(energy, energy[0], rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(rates, places, places)
def test_extragradient_steps_shrink_the_radius_by_the_closed_form(lr, x, y):
    how = dict(x=x, y=y, lr=lr, steps=20, method="extragradient")
    radius = [p.radius for p in games.play(games.bilinear, **how)]
    rate = 1 - lr**2 + lr**4
    np.testing.assert_allclose(radius, np.hypot(x, y) * rate ** (np.arange(21) / 2))


def test_the_usual_game_goes_where_the_lesson_says():
    radius = {m: [p.radius for p in games.play(games.bilinear, method=m)]
              for m in games.METHODS}  # fmt: skip
    assert all(r[0] == pytest.approx(math.sqrt(2)) for r in radius.values())
    assert radius["simultaneous"][-1] == pytest.approx(2.76, abs=0.005)
    # between the half axes of the ellipse x^2 + y^2 + 0.15 x y = 2.15
    short, long = (math.sqrt(2.15 / (1 + s)) for s in (0.075, -0.075))
    assert short <= min(radius["alternating"]) + 1e-9
    assert max(radius["alternating"]) <= long + 1e-9
    assert radius["extragradient"][-1] < 0.75


@pytest.mark.parametrize("method", games.METHODS)
@settings(max_examples=10, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(0.5, 2), st.floats(-0.5, 0.5), rates)
def test_a_quadratic_game_is_a_product_of_matrices(method, a, b, c, lr):
    x_row, y_row = np.array([a, b]), np.array([b, -c])  # V_x and V_y
    M = np.eye(2) + lr * np.array([-x_row, y_row])
    if method == "alternating":
        first = np.eye(2) + lr * np.array([0 * x_row, y_row])
        M = (np.eye(2) + lr * np.array([-x_row, 0 * y_row])) @ first
    if method == "extragradient":
        M = np.eye(2) + lr * np.array([-x_row, y_row]) @ M
    found = path(games.quadratic(a, b, c), lr=lr, steps=12, method=method)
    p = np.ones(2)
    for place in found:
        np.testing.assert_allclose(place, p, rtol=1e-8, atol=1e-10)
        p = M @ p


@pytest.mark.parametrize("method", games.METHODS)
@pytest.mark.parametrize("lr", [0.05, 0.15])
def test_on_hills_the_saddle_is_unstable_however_they_play(method, lr):
    unstable, stable = games.quadratic(-0.2, 1, -0.2), games.quadratic(0.4, 1, 0.4)
    how = dict(x=0.01, y=0.0, lr=lr, steps=round(20 / lr), method=method)
    hypot = {V: np.hypot(*path(V, **how)[-1]) for V in (unstable, stable)}
    assert hypot[unstable] > 0.03 and hypot[stable] < 0.001


def test_the_smallest_gan_circles_its_solution_and_is_fair_there():
    radius = [p.radius for p in games.play(games.dirac, steps=400)]
    assert min(radius) > 1 and radius[-1] > radius[0]
    start = next(games.play(games.dirac, 0.0, 0.0))
    assert start.value == pytest.approx(-math.log(4))


def test_slopes_are_those_of_finite_differences():
    h = 1e-6
    for V in (games.bilinear, games.dirac, games.quadratic(0.3, 1, -0.7)):
        V_x, V_y = games.slopes(V, 0.4, -1.3)
        up, down = (float(V(0.4 + s, -1.3)) for s in (h, -h))
        assert V_x == pytest.approx((up - down) / (2 * h), rel=1e-6)
        up, down = (float(V(0.4, -1.3 + s)) for s in (h, -h))
        assert V_y == pytest.approx((up - down) / (2 * h), rel=1e-6)


def test_another_way_to_play_is_refused():
    with pytest.raises(ValueError, match="method is 'random', expected one of simul"):
        next(games.play(games.bilinear, method="random"))


# ---- D alone --------------------------------------------------------------------
def test_a_D_that_wins_starves_minimax_and_not_the_other_loss():
    model = gan_networks.mlp(2, 2, (32,), rng=RNG(0))
    before = [p.data.copy() for p in model.G.parameters()]
    rng = RNG(1)
    batches = (4 + rng.standard_normal((64, 2), np.float32) for _ in range(200))
    adam = optim.Adam(model.D.parameters(), 5e-3)
    leads = list(games.early_win(model, batches, adam, rng))
    first, last = leads[0], leads[-1]
    assert 0.3 < first.on_fake < 0.7 and last.on_fake < 0.02
    assert last.minimax < max(lead.minimax for lead in leads) / 4
    assert last.non_saturating > first.non_saturating
    assert last.minimax < 0.03 * last.non_saturating
    for p, q in zip(model.G.parameters(), before):
        np.testing.assert_array_equal(p.data, q)


def normal(x, mean, sigma):
    return np.exp(-(((x - mean) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))


def test_the_best_discriminator_beats_all_others_and_has_its_value():
    x = np.linspace(-12, 12, 4801)
    dx = x[1] - x[0]
    p, q = normal(x, -1, 1), normal(x, 1, 1.5)
    best = gan.optimal_discriminator(p, q)
    np.testing.assert_allclose(best, p / (p + q))

    def V(D):
        return dx * (p * np.log(D) + q * np.log(1 - D)).sum()

    assert gan.optimal_value(p, q, dx) == pytest.approx(V(best), abs=1e-9)
    for seed in range(20):
        other = np.clip(best + 0.1 * RNG(seed).normal(size=len(x)), 1e-6, 1 - 1e-6)
        assert V(other) < V(best)


def test_the_value_is_minus_log_4_if_and_only_if_samples_are_as_data():
    x = np.linspace(-12, 12, 2401)
    dx = x[1] - x[0]
    p = normal(x, 0, 1)
    assert gan.optimal_value(p, p, dx) == pytest.approx(-math.log(4), abs=1e-9)
    np.testing.assert_array_equal(gan.optimal_discriminator(p, p), 0.5)
    assert gan.optimal_value(p, normal(x, 0.5, 1), dx) > -math.log(4) + 0.01
    apart = np.where(x < 0, p, 0), np.where(x > 0, p, 0)
    twice = 2 * apart[0], 2 * apart[1]  # densities that nowhere overlap
    assert gan.optimal_value(*twice, dx) == pytest.approx(0, abs=0.01)
    assert gan.optimal_discriminator(np.zeros(1), np.zeros(1)) == 0.5


def test_a_trained_discriminator_comes_to_the_best_one():
    rng, n, steps = RNG(0), 1000, 1200
    D = nn.MLP([1, 32, 32, 1], nn.Tanh, rng=rng)

    def draws(mean, sigma):
        for _ in range(steps):
            yield mean + sigma * rng.standard_normal((n, 1), np.float32)

    adam = optim.Adam(D.parameters(), 5e-3)
    falling = optim.CosineAnnealingLR(adam, steps)
    values = []
    for V in games.fit_discriminator(D, draws(-1, 1), draws(1, 1.5), adam):
        values.append(V)
        falling.step()
    x = np.linspace(-10, 10, 2001)
    p, q = normal(x, -1, 1), normal(x, 1, 1.5)
    answer = 1 / (1 + np.exp(-D(x[:, None].astype(np.float32)).data[:, 0]))
    weight = (p + q) / (p + q).sum()
    apart = (weight * abs(answer - gan.optimal_discriminator(p, q))).sum()
    assert apart < 0.015
    # the mean of the last 300 values, each a mean of 2,000 terms of deviation ~ 0.6
    best = gan.optimal_value(p, q, x[1] - x[0])
    assert np.mean(values[-300:]) == pytest.approx(best, abs=0.01)
