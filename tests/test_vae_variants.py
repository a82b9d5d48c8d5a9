"""The VAE's variants: bounds of k draws, free bits, learnt variance, labels, binary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import Tensor, nn, no_grad, optim
from scratchnn.data import DataLoader, digits
from scratchnn.models import vae

N, D, Z, CLASSES = 7, 5, 3, 4
RNG = np.random.default_rng


def small(likelihood="bernoulli", C=1.0, seed=0, **options):
    model = vae.VAE(D, (11,), Z, likelihood, C, rng=RNG(seed), **options)
    return double(model)


def double(model):
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    return model


def pictures(n=N, seed=1):
    return RNG(seed).uniform(0.05, 0.95, (n, D))


def normal_log_density(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))


# ---- a model whose likelihood is known ------------------------------------------
def linear_gaussian(C=2.0, seed=0):
    """x = W z + b + noise, W (D, 2), with an encoder that is a little too wide."""
    identity = (
        lambda x_dim, classes, hidden, rng: nn.Identity(),
        lambda z_dim, classes, hidden, x_dim, rng: (
            nn.Identity(), nn.Linear(z_dim, x_dim, rng=rng)
        ),
    )  # fmt: skip
    model = vae.VAE(D, (D,), 2, "gaussian", C, rng=RNG(seed), networks=identity)
    double(model)
    W, b = model.x_hat.weight.data, model.x_hat.bias.data
    precision = np.eye(2) + 2 * C * W.T @ W  # of the exact posterior
    A = np.linalg.solve(precision, 2 * C * W.T)  # its mean is A (x - b)
    model.mu.weight.data, model.mu.bias.data = A, -A @ b
    model.logvar.weight.data = np.zeros((2, D))
    model.logvar.bias.data = np.log(1.5 * np.diag(np.linalg.inv(precision)))
    covariance = W @ W.T + np.eye(D) / (2 * C)
    x = RNG(5).multivariate_normal(b, covariance, 6)
    d = x - b
    exact = -0.5 * (
        (d * np.linalg.solve(covariance, d.T).T).sum(axis=1)
        + np.linalg.slogdet(2 * np.pi * covariance)[1]
    )
    return model, x, exact


def exact_elbo(model, x):
    """Of the linear model: E_q[log p(x|z)] and KL are sums of squares."""
    W, b, C = model.x_hat.weight.data, model.x_hat.bias.data, model.C
    with no_grad():
        mu, logvar = (t.data for t in model.encode(x))
    square = ((x - mu @ W.T - b) ** 2).sum(axis=1) + np.exp(logvar) @ (W**2).sum(axis=0)
    kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1)
    return -C * square + D / 2 * np.log(C / np.pi) - kl


def estimates(model, x, k, repeats):
    """Bounds (repeats, N) of k draws."""
    found = vae.log_likelihood(model, np.tile(x, (repeats, 1)), k, RNG(0)).data
    return found.reshape(repeats, len(x))


def test_5000_draws_give_the_exact_log_likelihood_within_their_standard_error():
    model, x, exact = linear_gaussian()
    found = estimates(model, x, 5000, repeats=16)
    deviation = found.std(axis=0, ddof=1)
    assert np.all(deviation < 0.05)  # 5,000 draws say something
    assert np.all(abs(found.mean(axis=0) - exact) < 5 * deviation / 4)


def test_one_draw_estimates_the_elbo_and_k_draws_are_ever_nearer():
    model, x, exact = linear_gaussian()
    last = exact_elbo(model, x).mean()
    found = estimates(model, x, 1, repeats=4000).mean(axis=1)
    assert abs(found.mean() - last) < 5 * found.std() / np.sqrt(4000)
    for k in (3, 10, 100):
        found = estimates(model, x, k, repeats=1000).mean(axis=1)
        error = found.std() / np.sqrt(1000)
        assert last + 5 * error < found.mean() < exact.mean() + 5 * error
        last = found.mean()
    assert exact.mean() - last < 0.01


def test_the_loss_of_one_draw_is_the_elbo_on_average():
    model, x, _ = linear_gaussian()
    rows = np.tile(x, (4000, 1))
    with no_grad():
        a = vae.negative_iwae(model, rows, 1, RNG(0))
        b = vae.negative_elbo(model, rows, rng=RNG(1))
    expected = -exact_elbo(model, x).mean()
    # One weight's deviation is below 2 nats here, 24,000 are averaged.
    assert float(a.loss) == pytest.approx(expected, abs=5 * 2 / np.sqrt(24000))
    assert float(b.loss) == pytest.approx(expected, abs=5 * 2 / np.sqrt(24000))


# ---- equation (8) in a slow loop, and mistakes that it must see -------------------
K = 4


def slow_iwae(model, x, rng):
    """-log 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x), density by density; mean over x."""
    with no_grad():
        mu, logvar = (t.data for t in model.encode(x))
    sigma = np.sqrt(np.exp(logvar))
    z = [mu + sigma * rng.standard_normal((N, Z)) for _ in range(K)]
    bounds = []
    for n in range(N):
        weights = []
        for i in range(K):
            with no_grad():
                x_hat = model.decode(Tensor(z[i][n : n + 1])).data[0]
            log_p = np.sum(x[n] * np.log(x_hat) + (1 - x[n]) * np.log(1 - x_hat))
            for j in range(Z):
                log_p += normal_log_density(z[i][n, j], 0, 1)
                log_p -= normal_log_density(z[i][n, j], mu[n, j], sigma[n, j] ** 2)
            weights.append(np.exp(log_p))
        bounds.append(np.log(np.mean(weights)))
    return -np.mean(bounds)


def check_iwae():
    model, x = small(), pictures()
    found = vae.negative_iwae(model, x, K, RNG(5))
    np.testing.assert_allclose(float(found.loss), slow_iwae(model, x, RNG(5)), 1e-10)
    assert float(found.loss) <= float(found.reconstruction + found.kl)
    sampled = -vae.log_likelihood(model, x, K, RNG(5)).data.mean()
    np.testing.assert_allclose(sampled, float(found.loss), 1e-12)


def test_the_bound_of_k_draws_is_equation_8_in_a_slow_loop():
    check_iwae()


def exp_logvar_as_deviation(model, x, mu, logvar, rng=None, y=None):
    eps = vae.noise(mu, rng)
    z = mu + np.exp(logvar.data) * eps
    log_p_over_q = 0.5 * (eps**2 + logvar - z * z).sum(axis=1)
    return log_p_over_q - model.surprise(x, z, y)


def kl_subtracted(model, x, mu, logvar, rng=None, y=None):
    eps = vae.noise(mu, rng)
    z = mu + np.exp(logvar.data / 2) * eps
    log_p_over_q = 0.5 * (eps**2 + logvar - z * z).sum(axis=1)
    return -log_p_over_q - model.surprise(x, z, y)


def one_eps_for_all_draws(model, x, mu, logvar, rng=None, y=None):
    eps = RNG(5).standard_normal(mu.shape)
    z = mu + np.exp(logvar.data / 2) * eps
    log_p_over_q = 0.5 * (eps**2 + logvar - z * z).sum(axis=1)
    return log_p_over_q - model.surprise(x, z, y)


@pytest.mark.parametrize(
    "wrong", [exp_logvar_as_deviation, kl_subtracted, one_eps_for_all_draws]
)
def test_a_planted_mistake_in_the_weights_is_seen(monkeypatch, wrong):
    monkeypatch.setattr(vae, "log_weight", wrong)
    with pytest.raises(AssertionError):
        check_iwae()


# ---- gradients --------------------------------------------------------------------
LOSSES = {
    "elbo": (dict(), lambda m, x: vae.negative_elbo(m, x, 2.0, RNG(3))),
    "iwae": (dict(), lambda m, x: vae.negative_iwae(m, x, 3, RNG(3))),
    "free bits": (
        dict(), lambda m, x: vae.negative_elbo(m, x, 1.0, RNG(3), free_bits=0.05)
    ),
    "learnt": (
        dict(likelihood="gaussian_learnt"),
        lambda m, x: vae.negative_elbo(m, x, rng=RNG(3)),
    ),
    "pixel": (
        dict(likelihood="gaussian_pixel"),
        lambda m, x: vae.negative_iwae(m, x, 2, RNG(3)),
    ),
    "labels": (
        dict(classes=CLASSES),
        lambda m, x: vae.negative_elbo(m, x, rng=RNG(3), y=np.arange(N) % CLASSES),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_the_slopes_of_the_loss(name):
    options, loss = LOSSES[name]
    model, x, h = small(**options), pictures(), 1e-6
    model.zero_grad()
    loss(model, x).loss.backward()
    rng = RNG(8)
    for p in model.parameters():
        direction = rng.standard_normal(p.shape)
        middle, values = p.data, []
        for sign in (1, -1):
            p.data = middle + sign * h * direction
            with no_grad():
                values.append(float(loss(model, x).loss))
        p.data = middle
        numeric = (values[0] - values[1]) / (2 * h)
        # The difference of two losses of about 5 carries 1e-15 * 5 / h = 5e-9.
        assert (p.grad * direction).sum() == pytest.approx(numeric, 1e-6, 1e-7)


# ---- free bits --------------------------------------------------------------------
def kl_of_each(model, x):
    with no_grad():
        mu, logvar = (t.data for t in model.encode(x))
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).mean(axis=0)


def test_free_bits_is_equation_15_and_a_coordinate_below_the_floor_gets_no_gradient():
    model, x = small(), pictures()
    model.mu.bias.data[:] = 0, 1, 2
    each = kl_of_each(model, x)
    floor = each[0] + 0.01  # between the first coordinate and the others
    assert each[0] < floor < each[1] < each[2]
    found = vae.negative_elbo(model, x, 2.0, RNG(3), free_bits=floor)
    assert float(found.kl) == pytest.approx(floor + each[1] + each[2], 1e-12)
    expected = float(found.reconstruction) + 2 * float(found.kl)
    assert float(found.loss) == pytest.approx(expected, 1e-12)
    model.zero_grad()
    found.kl.backward()
    for head in (model.mu, model.logvar):
        assert np.all(head.weight.grad[0] == 0) and head.bias.grad[0] == 0
        assert np.all(head.bias.grad[1:] != 0)


def test_the_floor_is_for_the_mean_over_the_batch_not_for_each_picture():
    model, x = small(), pictures()
    with no_grad():
        mu, logvar = (t.data for t in model.encode(x))
    by_picture = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)  # (N, Z)
    floor = by_picture.mean()
    with no_grad():
        found = float(vae.negative_elbo(model, x, rng=RNG(0), free_bits=floor).kl)
    assert found == pytest.approx(np.maximum(floor, by_picture.mean(axis=0)).sum())
    assert found < np.maximum(floor, by_picture).mean(axis=0).sum() - 1e-4


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 3), st.integers(0, 10**6))
def test_free_bits_never_lower_the_loss_and_none_change_nothing(floor, seed):
    model, x = small(seed=seed), pictures()
    with no_grad():
        plain = vae.negative_elbo(model, x, rng=RNG(0))
        floored = vae.negative_elbo(model, x, rng=RNG(0), free_bits=floor)
    assert float(floored.kl) >= max(float(plain.kl), Z * floor) - 1e-12
    assert float(floored.reconstruction) == float(plain.reconstruction)
    if floor == 0:
        assert float(floored.loss) == float(plain.loss)


# ---- learnt variance --------------------------------------------------------------
LEARNT = ["gaussian_learnt", "gaussian_pixel"]


def errors(model, x, z):
    """Mean squared errors over the pictures: of all pixels (1,), or of each (D,)."""
    with no_grad():
        squares = (x - model.decode(Tensor(z)).data) ** 2
    return squares.mean(axis=0 if model.likelihood == "gaussian_pixel" else None)


def set_variance(model, variance):
    """The raw parameter at which log sigma is half the variance's logarithm."""
    raw = np.log(np.expm1(0.5 * np.log(variance) + 6)) - 6
    model.raw_log_sigma.data = np.broadcast_to(raw, model.raw_log_sigma.shape).copy()


@pytest.mark.parametrize("likelihood", LEARNT)
def test_surprise_with_a_learnt_variance_is_minus_the_log_density(likelihood):
    model, x, z = small(likelihood), pictures(), RNG(0).standard_normal((N, Z))
    variance = RNG(1).uniform(0.1, 2, model.raw_log_sigma.shape)
    set_variance(model, variance)
    x_hat = model.decode(Tensor(z)).data
    expected = -normal_log_density(x, x_hat, variance).sum(axis=1)
    np.testing.assert_allclose(model.surprise(x, Tensor(z)).data, expected, 1e-10)


@pytest.mark.parametrize("likelihood", LEARNT)
def test_the_best_variance_is_the_mean_squared_error(likelihood):
    model, x, z = small(likelihood), pictures(), Tensor(RNG(0).standard_normal((N, Z)))

    def slope(factor):
        set_variance(model, factor * errors(model, x, z.data))
        model.zero_grad()
        model.surprise(x, z).mean().backward()
        return model.raw_log_sigma.grad

    assert np.all(abs(slope(1.0)) < 1e-9)
    assert np.all(slope(0.5) < -0.1) and np.all(slope(2.0) > 0.1)


def test_learnt_variance_1_over_2C_is_the_fixed_one():
    fixed, learnt = small("gaussian", C=3.0), small("gaussian_learnt")
    set_variance(learnt, 1 / 6)
    x, z = pictures(), Tensor(RNG(0).standard_normal((N, Z)))
    a, b = (m.surprise(x, z).data for m in (fixed, learnt))
    np.testing.assert_allclose(a, b, rtol=1e-10)


def test_training_finds_the_variance_and_a_constant_pixel_stops_at_the_floor():
    model = small("gaussian_pixel")
    x = np.tile(pictures(), (8, 1))
    x[:, 0] = 0.5
    model.x_hat.weight.data[0], model.x_hat.bias.data[0] = 0, 0.5
    adam = optim.Adam([model.raw_log_sigma], lr=0.1)
    for _ in vae.train(model, [x] * 400, adam, rng=RNG(0)):
        pass
    with no_grad():
        variance = np.exp(2 * model.log_sigma().data)
        mu, logvar = model.encode(x)
        z = vae.reparametrise(mu, logvar, RNG(1))
    assert -6 < np.log(variance[0]) / 2 < -5.5
    np.testing.assert_allclose(variance[1:], errors(model, x, z.data)[1:], rtol=0.3)


# ---- labels -----------------------------------------------------------------------
def test_encoder_and_decoder_see_the_label():
    model, x = small(classes=CLASSES), pictures()
    y = np.arange(N) % CLASSES
    z = Tensor(RNG(0).standard_normal((N, Z)))
    other = (y + 1) % CLASSES
    assert not np.any(model.encode(x, y)[0].data == model.encode(x, other)[0].data)
    assert not np.any(model.decode(z, y).data == model.decode(z, other).data)
    with no_grad():  # the label's column of the first layer, by hand
        W, b = model.decoder[0].weight.data, model.decoder[0].bias.data
        h = np.maximum(z.data @ W[:, :Z].T + W[:, Z + y].T + b, 0)
        by_hand = model.x_hat(Tensor(h)).data
    logits = np.log(model.decode(z, y).data) - np.log(1 - model.decode(z, y).data)
    np.testing.assert_allclose(logits, by_hand, rtol=1e-9)


def test_one_label_serves_all_rows():
    model, x = small(classes=CLASSES), pictures()
    a, b = model.encode(x, 2)[0].data, model.encode(x, [2] * N)[0].data
    assert np.array_equal(a, b)
    drawn = [vae.sample(model, 5, RNG(0), y).data for y in (2, np.full(5, 2))]
    assert np.array_equal(*drawn)


@pytest.mark.parametrize(
    "y, text",
    [
        (None, "this VAE is conditional: it needs labels y, 7 numbers from 0 to 3"),
        (4, "expected 7 labels from 0 to 3"),
        (np.arange(N) - 1, "expected 7 labels from 0 to 3"),
        ([0, 1], "expected 7 labels from 0 to 3"),
    ],
)
def test_missing_or_wrong_labels_are_refused(y, text):
    with pytest.raises(ValueError, match=text):
        small(classes=CLASSES).encode(pictures(), y)


def test_labels_for_a_model_without_classes_are_refused():
    with pytest.raises(ValueError, match="without classes="):
        small().encode(pictures(), np.zeros(N, int))


@pytest.fixture(scope="module")
def conditional():
    """A conditional VAE of the digits, trained for 3 s."""
    train, rng = digits("train"), RNG(0)
    model = vae.VAE(64, (128,), 8, rng=rng, classes=10)
    loader = DataLoader((train.x.reshape(-1, 64), train.y), 32, shuffle=True, rng=rng)
    batches = (batch for _ in range(25) for batch in loader)
    for _ in vae.train(model, batches, optim.Adam(model.parameters(), 2e-3), rng=rng):
        pass
    return model


def test_a_wrong_label_makes_pictures_more_surprising(conditional):
    x, y = digits("test")
    x = x.reshape(-1, 64)
    with no_grad():
        right = float(vae.negative_elbo(conditional, x, rng=RNG(0), y=y).loss)
        for shift in (1, 3, 7):
            wrong = (y + shift) % 10
            found = float(vae.negative_elbo(conditional, x, rng=RNG(0), y=wrong).loss)
            assert found > right + 1


def test_samples_are_of_the_class_that_was_asked_for(conditional):
    x, y = digits("train")
    x = x.reshape(-1, 64)
    asked = np.repeat(np.arange(10), 30)
    drawn = vae.sample(conditional, 300, RNG(0), asked).data
    distance = ((drawn[:, None] - x) ** 2).sum(axis=-1)  # nearest neighbour's class
    assert np.mean(y[distance.argmin(axis=1)] == asked) > 0.8


# ---- training -----------------------------------------------------------------------
def test_training_on_k_draws_takes_the_steps_of_the_iwae_loss():
    model, other, x = small(), small(), pictures()
    adam = optim.Adam(model.parameters(), lr=0.01)
    found = list(vae.train(model, [x, x], adam, rng=RNG(0), k=3))
    adam, rng = optim.Adam(other.parameters(), lr=0.01), RNG(0)
    for step in found:
        loss = vae.negative_iwae(other, x, 3, rng)
        assert step == pytest.approx([float(part) for part in loss])
        other.zero_grad()
        loss.loss.backward()
        adam.step()


@pytest.mark.parametrize("options", [dict(beta=2.0), dict(free_bits=0.1)])
def test_k_draws_with_beta_or_free_bits_are_refused(options):
    steps = vae.train(small(), [pictures()], None, rng=RNG(0), k=3, **options)
    with pytest.raises(ValueError, match="k=3 trains on the bound of k draws"):
        next(steps)


# ---- binary pictures ----------------------------------------------------------------
def test_binarised_pixels_are_ink_with_their_own_probability():
    p = np.array([0.0, 0.2, 0.9, 1.0], np.float32)
    x = vae.binarise(np.tile(p, (40_000, 1)), RNG(0))
    assert x.dtype == np.float32 and set(np.unique(x)) == {0.0, 1.0}
    assert np.all(abs(x.mean(axis=0) - p) <= 5 * np.sqrt(p * (1 - p) / 40_000))
    assert not np.array_equal(x, vae.binarise(np.tile(p, (40_000, 1)), RNG(1)))


# ---- devices ------------------------------------------------------------------------
VARIANTS = {
    "k draws": (dict(), dict(k=2)),
    "free bits": (dict(), dict(free_bits=0.3)),
    "learnt": (dict(likelihood="gaussian_pixel"), dict()),
    "labels": (dict(classes=CLASSES), dict()),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variants_step_on_another_device_is_the_step_on_the_cpu(device, name):
    options, training = VARIANTS[name]

    def steps(put):
        model = vae.VAE(D, (11,), Z, rng=RNG(0), **options)
        for p in model.parameters():
            p.data = put(p.data)
        x = vae.binarise(put(pictures().astype(np.float32)), RNG(4))
        batch = (x, put(np.arange(N) % CLASSES)) if model.classes else x
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        losses = list(vae.train(model, [batch] * 2, optimizer, rng=RNG(1), **training))
        y = 1 if model.classes else None
        with no_grad():
            drawn = vae.sample(model, 2, RNG(2), y)
            value = vae.log_likelihood(model, x, 2, RNG(3), y)
        return losses, drawn.data, value.data

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-5)
    assert all(isinstance(a, device.array) for a in there[1:])
