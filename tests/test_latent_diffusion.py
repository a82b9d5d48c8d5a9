"""Latent diffusion: the scale of codes, what each stage trains, and exact resume."""

import pathlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from scratchnn import checkpoint, metrics, no_grad, optim, recipes, train
from scratchnn.data import DataLoader, digits
from scratchnn.models import denoisers, diffusion, latent_diffusion, noise, vae

RNG = np.random.default_rng
D, Z, CLASSES = 12, 3, 4


def small(classes=CLASSES, seed=0, T=20):
    """A model whose codes are far from mean 0 and deviation 1."""
    rng = RNG(seed)
    coder = vae.VAE(D, (16,), Z, rng=rng)
    coder.mu.weight.data *= 6
    coder.mu.bias.data[:] = [3, -2, 0.5]
    coder.logvar.bias.data[:] = [-1, 0, 1]
    network = denoisers.MLPDenoiser(Z, 16, 1, T, classes, rng=rng)
    walk = diffusion.Diffusion(network, noise.linear(T), (Z,))
    return latent_diffusion.LatentDiffusion(coder, walk)


def pictures(n, seed=1):
    x = RNG(seed).uniform(0.05, 0.95, (n, D)).astype(np.float32)
    return x, np.arange(n) % CLASSES


def weights(module):
    return {k: v.copy() for k, v in module.state_dict().items()}


def same(a, b):
    return {k: np.array_equal(v, b[k]) for k, v in a.items()}


# ---- codes ----------------------------------------------------------------------
def second_moments(model, x, seed=2):
    """(E[x_t^2], its standard error) of each coordinate for several t."""
    z_0 = model.encode(x, RNG(seed))
    for t in (1, 7, 20):
        eps = RNG(t).standard_normal(z_0.shape).astype(np.float32)
        z_t = model.diffusion.schedule.q_sample(z_0, t, eps)
        square = z_t.astype(np.float64) ** 2
        yield square.mean(axis=0), square.std(axis=0) / np.sqrt(len(z_t))


def test_standardised_codes_keep_their_size_under_noise():
    """E[z_0] = 0 and E[z_t^2] = 1 for every t: what the schedule is made for."""
    model, (x, _) = small(), pictures(20_000)
    latent_diffusion.standardise(model, x)
    z_0 = model.encode(x, RNG(3))
    assert np.all(abs(z_0.mean(axis=0)) < 5 / np.sqrt(len(x)))
    for moment, error in second_moments(model, x):
        assert np.all(abs(moment - 1) < 5 * error)


def test_codes_as_they_come_do_not():
    model, (x, _) = small(), pictures(20_000)
    moment, error = next(second_moments(model, x))
    assert np.all(abs(moment - 1) > 0.2) and np.all(error < 0.1)


def test_the_scale_is_that_of_drawn_codes_not_of_their_means():
    model, (x, _) = small(), pictures(20_000)
    mu, logvar = (t.data for t in model.vae.encode(x))
    latent_diffusion.standardise(model, x)
    eps = RNG(0).standard_normal(mu.shape)
    code = mu + np.exp(0.5 * logvar) * eps
    error = code.std(axis=0) * 5 / np.sqrt(len(x))
    assert np.all(abs(model.mean - code.mean(axis=0)) < error)
    assert np.all(abs(model.deviation - code.std(axis=0)) < error)
    assert np.all(model.deviation > mu.std(axis=0) + error)


def test_decoding_undoes_the_standardising():
    model, (x, _) = small(), pictures(50)
    latent_diffusion.standardise(model, x)
    model.vae.logvar.bias.data[:] = -40  # q(z|x) is a point: no noise in the way
    back = model.decode(model.encode(x, RNG(0)))
    expected = vae.reconstruct(model.vae, x).numpy()
    np.testing.assert_allclose(back, expected, rtol=1e-4, atol=1e-5)


def test_a_diffusion_model_of_another_shape_is_refused():
    wrong = diffusion.Diffusion(denoisers.MLPDenoiser(5), noise.linear(10), (5,))
    with pytest.raises(ValueError, match=r"shape \(5,\), expected \(3,\), that of"):
        latent_diffusion.LatentDiffusion(small().vae, wrong)


# ---- stages ---------------------------------------------------------------------
def test_each_stage_trains_its_own_part_and_nothing_else():
    model, (x, y) = small(), pictures(8)
    before = weights(model)
    adam = optim.Adam(model.vae.parameters(), lr=0.01)
    steps = list(latent_diffusion.train_vae(model, [x, x], adam, rng=RNG(0)))
    assert len(steps) == int(model.vae_steps) == 2
    kept = same(before, weights(model))
    assert all(kept[k] == (not k.startswith("vae")) for k in kept)

    latent_diffusion.standardise(model, x)
    before = weights(model)
    adam = optim.Adam(model.diffusion.parameters(), lr=0.01)
    ema = optim.EMA(model.diffusion, 0.5)
    batches = [(x, y), (x, y)]
    steps = list(latent_diffusion.train(model, batches, adam, ema, rng=RNG(0)))
    assert len(steps) == 2
    kept = same(before, weights(model))
    assert not any(kept[k] for k in kept if k.startswith("diffusion.network.hidden"))
    assert all(kept[k] for k in kept if not k.startswith("diffusion"))
    assert all(p.grad is None for p in model.vae.parameters()) or all(
        np.array_equal(kept[k], True) for k in kept if k.startswith("vae")
    )


def test_the_second_stage_is_ddpm_on_codes():
    x, y = pictures(8)
    model, same_model = small(), small()
    for m in (model, same_model):
        latent_diffusion.standardise(m, x)
    rng = RNG(5)
    adam = optim.Adam(model.diffusion.parameters(), lr=0.01)
    found = [s.loss for s in latent_diffusion.train(model, [(x, y)], adam, rng=rng)]
    rng = RNG(5)
    z_0 = same_model.encode(x, rng)
    expected = diffusion.l_simple(same_model.diffusion, z_0, y, rng=rng)
    assert found == [pytest.approx(float(expected), rel=1e-6)]


def test_samples_are_decoded_diffusion_samples():
    model, (x, _) = small(), pictures(50)
    latent_diffusion.standardise(model, x)
    how = dict(steps=5, eta=1.0, y=2, guidance=1.5)
    found = latent_diffusion.sample(model, 6, rng=RNG(0), **how)
    z_0 = diffusion.sample(model.diffusion, 6, rng=RNG(0), **how)
    with no_grad():
        expected = model.vae.decode(model.mean + model.deviation * z_0).numpy()
    assert found.shape == (6, D)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_prior_samples_are_the_vaes():
    model = small()
    latent_diffusion.standardise(model, pictures(50)[0])
    found = latent_diffusion.sample_prior(model, 5, RNG(0))
    np.testing.assert_array_equal(found, vae.sample(model.vae, 5, RNG(0)).numpy())


# ---- runs -----------------------------------------------------------------------
RECIPE = recipes.get("latent_diffusion")
SHORT = dict(steps=24, vae_steps=10, hidden=[16], z=4, width=16, depth=1, T=20)
SHORT |= dict(sampling=5, batch=128)  # 12 steps in an epoch


def config(**options):
    base = {"model": "latent_diffusion", "data": "digits", "seed": 3, "device": "cpu"}
    return base | RECIPE.DATA["digits"] | SHORT | options


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run through both stages that was never stopped."""
    folder = tmp_path_factory.mktemp("straight")
    train.train(train.new(config(), folder))
    return folder


def assert_same_run(a, b):
    (x, about_x), (y, about_y) = (
        checkpoint.load(folder / "checkpoint.safetensors") for folder in (a, b)
    )
    assert x.keys() == y.keys() and about_x == about_y
    assert all(np.array_equal(x[k], y[k]) for k in x)


class Killed(Exception):
    pass


@pytest.mark.parametrize("saved_at", [4, 9, 10, 11, 17])
def test_a_killed_run_goes_on_in_its_stage_bit_for_bit(tmp_path, straight, saved_at):
    run = train.new(config(), tmp_path)
    save, steps = run.save, run.recipe.train

    def dying(*args):
        for losses in steps(*args):
            yield losses
            if run.step == saved_at + 3:
                raise Killed

    run.recipe = SimpleNamespace(**{**vars(run.recipe), "train": dying})
    run.save = lambda: save() if run.step <= saved_at else None
    with pytest.raises(Killed):
        train.train(run, save_every=0)
    run = train.resumed(tmp_path, {})
    assert run.step == saved_at
    assert int(run.model.vae_steps) == min(saved_at, 10)
    train.train(run)
    assert_same_run(tmp_path, straight)


def test_a_run_has_both_stages_and_a_first_that_stays(straight):
    rows = (straight / "log.csv").read_text().splitlines()[1:]
    rows = [r.split(",") for r in rows if r.split(",")[2] == "train"]
    total, nats, error = np.array([[float(v) for v in r[3:]] for r in rows]).T
    np.testing.assert_allclose(total, nats + error, rtol=1e-4)
    assert np.all(error[:10] == 1) and len(set(nats[:10])) == 10
    assert len(set(error[10:])) == 14 and len(set(nats[10:])) == 1
    state = checkpoint.load(straight / "model.safetensors")[0]
    assert state["vae_steps"] == 10
    assert np.any(state["diffusion.network.out.weight"])  # the averages have moved
    assert np.all(state["deviation"] != 1) and np.all(state["mean"] != 0)


def test_the_untrained_network_has_no_idea_of_the_noise():
    model, _ = RECIPE.build(config(), RNG(0))
    test = RECIPE.load("digits")[1]
    found = RECIPE.losses(model, (test.x, test.y), config(), RNG(0))
    n = test.x.shape[0] * 4
    assert found.noise == pytest.approx(1, abs=5 * np.sqrt(2 / n))


def test_snapshots_and_the_chain_are_pictures(straight):
    recipe, model, settings = train.trained(straight)
    assert recipe.snapshot(model, settings, RNG(0)).shape == (50, 8, 8)
    model.vae_steps[...] = 3  # as in the first stage
    assert recipe.snapshot(model, settings, RNG(0)).shape == (50, 8, 8)
    frames = list(recipe.chain(model, settings, RNG(0)))
    assert frames[0][0] == "noise" and frames[-1][0] == "t = 0"
    x = np.stack([x for _, x in frames])
    assert x.shape == (len(frames), 50, 8, 8) and 0 <= x.min() <= x.max() <= 1


def test_more_steps_than_the_model_has_are_refused(straight):
    recipe, model, settings = train.trained(straight)
    with pytest.raises(recipes.OptionError, match="--steps 30: this model has 20"):
        recipe.sample(model, settings, 5, RNG(0), steps=30)


def test_more_sampling_steps_than_there_are_steps_are_refused():
    with pytest.raises(recipes.OptionError, match="--sampling 50: there are 20"):
        RECIPE.build(config(sampling=50), RNG(0))


# ---- learning -------------------------------------------------------------------
@pytest.fixture(scope="module")
def trained():
    """A model after a short training on digits."""
    settings = RECIPE.DATA["digits"]
    settings = settings | dict(hidden=[128], vae_steps=600, width=128, depth=2, T=100)
    settings |= dict(sampling=50, ema=0.99, lr=2e-3)
    train_set, test_set = RECIPE.load("digits")
    model, optimizers = RECIPE.build({**settings, "data": "digits"}, RNG(0))
    loader = DataLoader(train_set, 64, shuffle=True, rng=RNG(1))
    batches = (b for _ in iter(int, 1) for b in loader)
    batches = (b for b, _ in zip(batches, range(1800)))
    state = model, optimizers, batches, {**settings, "data": "digits"}, RNG(2)
    steps = list(RECIPE.train(*state))
    return model, optimizers["ema"], steps, test_set.x.reshape(-1, 64)


def test_training_lowers_the_error_well_below_no_idea(trained):
    _, _, steps, _ = trained
    errors = [s.noise for s in steps[600:]]
    assert np.mean(errors[:5]) > 0.8 and np.mean(errors[-200:]) < 0.65


def test_samples_are_nearer_to_digits_than_the_priors(trained):
    """In pixels; an untrained model, and codes without their scale, are far away."""
    model, ema, _, test = trained
    n = len(test)
    with ema.averaged():
        drawn = latent_diffusion.sample(model, n, 50, rng=RNG(0))
    prior = latent_diffusion.sample_prior(model, n, RNG(0))
    with ema.averaged(), no_grad():
        z_0 = diffusion.sample(model.diffusion, n, 50, rng=RNG(0))
        unscaled = model.vae.decode(z_0).numpy()
    far = [metrics.frechet_distance(x, test) for x in (drawn, prior, unscaled)]
    noise_itself = metrics.frechet_distance(RNG(0).random(test.shape), test)
    assert far[0] < far[1] < noise_itself / 5 and far[0] < far[2]


def test_labels_are_obeyed(trained):
    """Samples of a class are nearer to the mean of that class than to others."""
    model, ema, _, _ = trained
    train_set = digits("train")
    x, y = train_set.x.reshape(-1, 64), train_set.y
    means = np.stack([x[y == k].mean(axis=0) for k in range(10)])
    asked = np.repeat(np.arange(10), 20)
    with ema.averaged():
        found = latent_diffusion.sample(model, 200, 50, rng=RNG(0), y=asked, guidance=1)
    nearest = ((found[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == asked).mean() > 0.8


@pytest.mark.slow
def test_the_quality_script_finds_what_was_asked_for(monkeypatch, tmp_path):
    """On digits: better than a usual VAE's samples, labels obeyed, quick sampling."""
    folder = pathlib.Path(__file__).parent / "benchmarks" / "quality"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "latent_diffusion", raising=False)
    import latent_diffusion as quality

    rows = quality.measure("digits", 0, folder=tmp_path, steps=5000)
    found = {figure: value for figure, _, value in rows}
    assert found["the one of latent diffusion by the usual VAE's"] < 0.8
    assert found["share that is what was asked for, guidance 1"] > 0.9
    faster = [x for figure, x in found.items() if "times faster" in figure]
    assert faster[0] > 5


def test_both_stages_run_on_another_device_as_on_the_cpu(device):
    def steps(put):
        model = small()
        for p in model.parameters():
            p.data = put(p.data)
        for module in (model, model.diffusion.network):
            for name, x in vars(module).items():
                if isinstance(x, np.ndarray):
                    setattr(module, name, put(x))
        x, y = (put(a) for a in pictures(8))
        adam = optim.Adam(model.vae.parameters(), lr=0.01)
        losses = list(latent_diffusion.train_vae(model, [x], adam, rng=RNG(0)))
        latent_diffusion.standardise(model, x)
        adam = optim.Adam(model.diffusion.parameters(), lr=0.01)
        losses += list(latent_diffusion.train(model, [(x, y)], adam, rng=RNG(1)))
        drawn = latent_diffusion.sample(model, 2, 5, rng=RNG(2), y=1, guidance=1)
        return [s.loss for s in losses], model.mean, drawn

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-4)
    assert isinstance(there[1], device.array) and isinstance(there[2], device.array)
    np.testing.assert_allclose(there[2].get(), here[2], rtol=1e-3, atol=1e-5)
