"""The VAE: each equation held against a slow loop, a simulation or SciPy."""

import os

import numpy as np
import pytest

from scratchnn import Tensor, no_grad, ops, optim
from scratchnn.data import DataLoader, digits, mnist
from scratchnn.models import vae

N, D, Z = 7, 5, 3
RNG = np.random.default_rng


def small(likelihood="bernoulli", C=1.0, seed=0, z=Z):
    model = vae.VAE(D, (11,), z, likelihood, C, rng=np.random.default_rng(seed))
    for p in model.parameters():  # float64, so that equations can be held tightly
        p.data = p.data.astype(np.float64)
    return model


def pictures(n=N, seed=1):
    return np.random.default_rng(seed).uniform(0.05, 0.95, (n, D))


def test_closed_form_kl_is_the_mean_of_log_q_minus_log_p():
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(2, 1, Z))
    z = mu + np.exp(logvar / 2) * rng.standard_normal((200_000, Z))
    log_q = -0.5 * (logvar + (z - mu) ** 2 / np.exp(logvar)).sum(axis=1)
    log_p = -0.5 * (z**2).sum(axis=1)
    terms = log_q - log_p
    standard_error = terms.std() / np.sqrt(len(terms))
    assert abs(ops.gaussian_kl(mu, logvar)[0] - terms.mean()) < 5 * standard_error


def draws(n=100_000):
    mu, logvar = np.array([1.0, -2.0, 0.5]), np.array([-1.0, 0.0, 2.0])
    rows = Tensor(np.tile(mu, (n, 1))), Tensor(np.tile(logvar, (n, 1)))
    return mu, logvar, vae.reparametrise(*rows, rng=np.random.default_rng(0)).data


def test_reparametrised_codes_have_mean_mu_and_variance_exp_logvar():
    mu, logvar, z = draws()
    sigma = np.exp(logvar / 2)
    assert np.all(abs(z.mean(0) - mu) < 5 * sigma / np.sqrt(len(z)))
    assert np.all(abs(z.std(0) / sigma - 1) < 5 / np.sqrt(2 * len(z)))


def test_exp_logvar_as_the_deviation_would_be_seen():
    _, logvar, z = draws()
    apart = abs(z.std(0) / np.exp(logvar) - 1)
    assert np.all(apart[[0, 2]] > 0.5)  # at logvar 0 the two agree


def test_every_row_and_coordinate_has_its_own_noise():
    zero = Tensor(np.zeros((N, Z)))
    eps = vae.reparametrise(zero, zero, np.random.default_rng(0)).data
    assert len(np.unique(eps)) == N * Z


def test_codes_carry_gradients_to_mu_and_logvar():
    mu = Tensor(np.zeros((N, Z)), requires_grad=True)
    logvar = Tensor(np.full((N, Z), 0.3), requires_grad=True)
    z = vae.reparametrise(mu, logvar, np.random.default_rng(0))
    z.sum().backward()
    np.testing.assert_allclose(mu.grad, 1)
    np.testing.assert_allclose(logvar.grad, z.data / 2)  # d/dlogvar = sigma eps / 2


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_the_loss_is_the_papers_equation_10_in_a_slow_loop(beta):
    model, x = small(), pictures()
    loss = vae.negative_elbo(model, x, beta, np.random.default_rng(5))
    with no_grad():
        mu, logvar = (t.data for t in model.encode(x))
        sigma = np.exp(0.5 * logvar)
        eps = np.random.default_rng(5).standard_normal((N, Z))
        x_hat = model.decode(Tensor(mu + sigma * eps)).data
    reconstruction = kl = 0.0
    for n in range(N):
        for j in range(Z):
            s2 = sigma[n, j] ** 2
            kl -= 0.5 * (1 + np.log(s2) - mu[n, j] ** 2 - s2) / N
        for i in range(D):
            p = x_hat[n, i]
            reconstruction -= (x[n, i] * np.log(p) + (1 - x[n, i]) * np.log(1 - p)) / N
    found = [float(part) for part in loss]
    expected = [reconstruction + beta * kl, reconstruction, kl]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("C", [0.5, 10.0])
def test_gaussian_surprise_is_minus_scipys_log_density(C):
    norm = pytest.importorskip("scipy.stats", reason="the density is SciPy's").norm
    model, x = small("gaussian", C), pictures()
    z = np.random.default_rng(0).standard_normal((N, Z))
    sigma = np.sqrt(1 / (2 * C))
    expected = -norm.logpdf(x, model.decode(Tensor(z)).data, sigma).sum(axis=1)
    np.testing.assert_allclose(model.surprise(x, Tensor(z)).data, expected, rtol=1e-10)


def test_the_gaussian_loss_is_the_courses_C_squared_error_plus_kl():
    C, x, rng = 3.0, pictures(), np.random.default_rng
    model = small("gaussian", C)
    loss = vae.negative_elbo(model, x, rng=rng(2))
    x_hat = model.decode(vae.reparametrise(*model.encode(x), rng=rng(2))).data
    course = C * ((x - x_hat) ** 2).sum(axis=1).mean() + float(loss.kl)
    constant = D / 2 * np.log(np.pi / C)
    assert float(loss.loss) - course == pytest.approx(constant, abs=1e-10)
    theirs = [p.grad for p in gradients(model, loss.loss)]
    x_hat = model.decode(vae.reparametrise(*model.encode(x), rng=rng(2)))
    kl = ops.gaussian_kl(*model.encode(x)).mean()
    ours = C * ops.square(x - x_hat).sum(axis=1).mean() + kl
    for p, g in zip(gradients(model, ours), theirs):
        np.testing.assert_allclose(p.grad, g, atol=1e-12)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return model.parameters()


def test_another_likelihood_is_refused():
    with pytest.raises(ValueError, match="likelihood is 'poisson', expected"):
        vae.VAE(likelihood="poisson")


def test_the_elbo_is_below_the_log_likelihood_and_k_draws_close_the_gap():
    model, x, k = small(seed=3, z=1), pictures(4), 4000
    model.logvar.bias.data += 1.5  # too wide an encoder, so that there is a gap
    z = np.linspace(-15, 15, 4001)[:, None]  # the integral over z, as a sum
    dz = z[1, 0] - z[0, 0]
    with no_grad():
        log_p_x_z = np.array([-model.surprise(np.tile(r, z.shape), z).data for r in x])
        mu, logvar = (t.data for t in model.encode(x))
    log_joint = log_p_x_z - 0.5 * (z[:, 0] ** 2 + np.log(2 * np.pi))  # (N, 4001)
    log_q = -0.5 * ((z[:, 0] - mu) ** 2 / np.exp(logvar) + np.log(2 * np.pi) + logvar)
    exact = ops.logsumexp(log_joint, axis=1) + np.log(dz)
    gap = (np.exp(log_q) * (log_q - log_joint)).sum(axis=1) * dz + exact
    elbos = [-float(vae.negative_elbo(model, x, rng=RNG(i)).loss) for i in range(400)]
    error = np.std(elbos) / np.sqrt(len(elbos))
    assert abs(np.mean(elbos) - (exact - gap).mean()) < 5 * error < gap.mean()
    second = np.exp(2 * (log_joint - exact[:, None]) - log_q).sum(axis=1) * dz
    error = np.sqrt((second - 1) / k)  # of the mean of k weights, relative
    sampled = vae.log_likelihood(model, x, k, RNG(0)).data
    assert np.all(abs(sampled - exact) < 5 * error) and np.all(error < gap / 10)


def test_unused_coordinates_have_no_activity_and_activities_sum_to_the_kl():
    model, x = small(), pictures()
    for head in (model.mu, model.logvar):
        head.weight.data[1], head.bias.data[1] = 0, 0
    activity = vae.activity(model, x).data
    assert activity.shape == (Z,) and activity[1] == 0 and activity[0] > 0
    kl = float(vae.negative_elbo(model, x).kl)
    assert activity.sum() == pytest.approx(kl)


def test_the_reference_recipe_has_its_number_of_parameters():
    n = 784 * 400 + 400 + 2 * (400 * 20 + 20) + 20 * 400 + 400 + 400 * 784 + 784
    assert vae.VAE(784, (400,), 20).num_parameters() == n == 652_824


def test_interpolation_goes_from_one_reconstruction_to_the_other():
    model, x = small(), pictures()
    path = vae.interpolate(model, x[0], x[1], n=6).data
    ends = vae.reconstruct(model, x[:2]).data
    assert path.shape == (6, D)
    np.testing.assert_allclose(path[[0, -1]], ends, rtol=1e-6)


def test_samples_are_pictures_and_repeat_with_the_seed():
    model, rng = small(), np.random.default_rng
    a, b = (vae.sample(model, 6, rng(0)).data for _ in range(2))
    assert a.shape == (6, D) and np.array_equal(a, b) and 0 < a.min() < a.max() < 1
    assert not np.array_equal(a, vae.sample(model, 6, rng(1)).data)


def test_training_learns_digits_better_than_any_model_without_a_code():
    train, test = (digits(s).x.reshape(-1, 64) for s in ("train", "test"))
    rng = np.random.default_rng(0)
    model = vae.VAE(64, (128,), 8, rng=rng)
    loader = DataLoader(train, 32, shuffle=True, rng=rng)
    batches = (x for _ in range(10) for x in loader)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    steps = list(vae.train(model, batches, optimizer, rng=rng))
    assert len(steps) == 10 * len(loader)
    for step in steps:
        assert step.loss == pytest.approx(step.reconstruction + step.kl, rel=1e-5)
    p = np.clip(train.mean(axis=0), 1e-3, 1 - 1e-3)  # the best that ignores z
    no_code = -(test * np.log(p) + (1 - test) * np.log(1 - p)).sum(axis=1).mean()
    with no_grad():
        found = vae.negative_elbo(model, test, rng=rng)
    assert float(found.loss) < no_code - 1 and float(found.kl) > 1


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("SCRATCHNN_DATA"), reason="needs MNIST in SCRATCHNN_DATA"
)
def test_one_epoch_of_mnist_reaches_what_pytorch_reaches():
    train, test = (mnist(s).x.reshape(-1, 784) for s in ("train", "test"))
    rng = np.random.default_rng(1)
    model = vae.VAE(784, (400,), 20, rng=rng)
    loader = DataLoader(train, 128, shuffle=True, rng=rng)
    for _ in vae.train(model, loader, optim.Adam(model.parameters(), 1e-3), rng=rng):
        pass
    with no_grad():
        found = float(vae.negative_elbo(model, test, rng=rng).loss)
    # PyTorch's own code had 126.9 with seed 1. The loss still falls by a nat in 30
    # steps there, and seeds differ by about one.
    assert 122 < found < 129


def test_a_training_step_on_another_device_is_the_step_on_the_cpu(device):
    def steps(put):
        model = vae.VAE(D, (11,), Z, rng=RNG(0))
        for p in model.parameters():
            p.data = put(p.data)
        batches = [put(pictures(seed=s).astype(np.float32)) for s in range(3)]
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        losses = list(vae.train(model, batches, optimizer, rng=RNG(1)))
        with no_grad():
            samples = vae.sample(model, 2, RNG(2))
        return losses, [p.data for p in model.parameters()], samples.data

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-5)
    assert all(isinstance(p, device.array) for p in there[1])
    assert isinstance(there[2], device.array)
