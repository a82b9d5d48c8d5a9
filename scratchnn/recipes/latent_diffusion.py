"""`scratchnn train latent_diffusion`: defaults, words and pictures around the model.

One run has two stages: the first `vae_steps` steps are the VAE's, all others the
diffusion model's.
"""

import itertools
from typing import NamedTuple

import numpy as np

from .. import optim, plot
from ..device import beside
from ..models import denoisers, diffusion, latent_diffusion, noise, vae
from ..nn import init
from . import OptionError, choice, load, positive, share, weight, whole, widths

__all__ = ["load"]

UNIT = ""
LOSS = (
    "first a VAE learns to describe pictures by codes, in nats; then the noise in a "
    "code is guessed, and 1 is no idea: less is better in both"
)
PICTURES = ("samples.png", "prior.png", "codes.png")

_USUAL = dict(
    likelihood="bernoulli", C=10.0, T=500, schedule="linear", ema=0.998, sampling=100,
    guidance=0.0,
)  # fmt: skip
_LARGE = dict(
    shape=[28, 28], steps=20_000, vae_steps=8000, batch=128, lr=1e-3, hidden=[400],
    z=20, beta=0.3, width=512, depth=4, **_USUAL,
)  # fmt: skip
DATA = {
    "digits": dict(
        shape=[8, 8], steps=8000, vae_steps=3000, batch=64, lr=1e-3, hidden=[256],
        z=10, beta=0.3, width=256, depth=3, **_USUAL,
    ),
    "mnist": _LARGE,
    "fashion_mnist": _LARGE,
}  # fmt: skip


def _decay(text):
    """A number from 0, below 1."""
    number = weight(text)
    return number if number < 1 else positive("")


OPTIONS = {
    "vae_steps": (whole, "how many of the steps are the VAE's, the first ones"),
    "hidden": (widths, "widths of the VAE's encoder, such as 400"),
    "z": (whole, "length of the code"),
    "beta": (positive, "weight of the KL in the VAE's loss; small is sharp"),
    "likelihood": (choice("bernoulli", "gaussian"), "bernoulli or gaussian pixels"),
    "C": (positive, "1 / (2 sigma^2) of the Gaussian likelihood"),
    "width": (whole, "width of the network that guesses the noise in codes"),
    "depth": (whole, "how many layers it has"),
    "T": (whole, "steps from code to noise"),
    "schedule": (choice(*noise.SCHEDULES), "linear or cosine: how fast noise comes"),
    "ema": (_decay, "decay of the averaged weights that samples come from"),
    "sampling": (whole, "steps from noise to samples, at most T"),
    "guidance": (weight, "how much more like its label a sample shall be; 0, not"),
}

SAMPLE = {
    "label": (lambda text: whole(text, least=0, most=9), "only samples of this class"),
    "steps": (whole, "steps from noise to samples, at most T"),
    "eta": (share, "noise on the way: 0 none (DDIM), 1 as much as the paper"),
    "guidance": OPTIONS["guidance"],
}


class Loss(NamedTuple):
    """The VAE's loss in nats, the diffusion model's squared error, and their sum."""

    loss: float
    vae: float
    noise: float


def build(config, rng):
    """The model, an optimizer for each stage, and the averages of the second."""
    names = ("hidden", "z", "likelihood", "C")
    x_dim = int(np.prod(config["shape"]))
    coder = vae.VAE(x_dim, *(config[name] for name in names), rng=rng)
    if config["sampling"] > config["T"]:
        raise OptionError(
            f"--sampling {config['sampling']}: there are {config['T']} steps at most; "
            f"ask for fewer, or for a --T of {config['sampling']}"
        )
    size = {name: config[name] for name in ("width", "depth", "T")}
    network = denoisers.MLPDenoiser(config["z"], classes=10, rng=rng, **size)
    init.zeros_(network.out.weight)  # so that it begins at "no idea", an error of 1
    init.zeros_(network.out.bias)
    schedule = noise.SCHEDULES[config["schedule"]](config["T"])
    walk = diffusion.Diffusion(network, schedule, (config["z"],))
    model = latent_diffusion.LatentDiffusion(coder, walk)
    optimizers = {
        "vae": optim.Adam(coder.parameters(), lr=config["lr"]),
        "adam": optim.Adam(network.parameters(), lr=config["lr"]),
        "ema": optim.EMA(network, config["ema"]),
    }
    return model, optimizers


def train(model, optimizers, batches, config, rng):
    """The losses of each step: of the VAE's while there are any left, then the rest."""
    batches = map(_flat, batches)
    left = max(0, config["vae_steps"] - int(model.vae_steps))
    first = (x for x, _ in itertools.islice(batches, left))
    adam, beta = optimizers["vae"], config["beta"]
    for loss in latent_diffusion.train_vae(model, first, adam, beta, rng):
        yield Loss(loss.loss + 1, loss.loss, 1.0)
    x = _flat(load(config["data"])[0])[0][:10_000]
    x = beside(x, model.mean)
    latent_diffusion.standardise(model, x)
    nats = _nats(model, x[:1000], config, np.random.default_rng(0))  # for good
    adam, ema = optimizers["adam"], optimizers["ema"]
    for loss in latent_diffusion.train(model, batches, adam, ema, rng=rng):
        yield Loss(nats + loss.loss, nats, loss.loss)


def losses(model, batch, config, rng):
    """The losses of a batch of held-out pictures."""
    x, y = _flat(batch)
    nats = _nats(model, x, config, rng)
    error = diffusion.l_simple(model.diffusion, model.encode(x, rng), y, rng=rng)
    return Loss(nats + float(error), nats, float(error))


def _nats(model, x, config, rng):
    return float(vae.negative_elbo(model.vae, x, config["beta"], rng).loss)


def words(loss, config):
    """The losses in a sentence."""
    return (
        f"{loss.vae:.1f} nats to describe a picture by its code, and the noise in a "
        f"code guessed with an error of {loss.noise:.2f} (1: no idea)"
    )


# ---- pictures -------------------------------------------------------------------
def sample(model, config, n, rng, **asked):
    """A sheet of n new pictures: of one label, or of all in turn."""
    return plot.samples(_drawn(model, config, n, rng, **asked))


def _drawn(model, config, n, rng, label=None, steps=None, eta=0.0, guidance=None):
    """n new pictures (n, H, W), the labels 0 to 9 in turn if none is asked for."""
    y = np.arange(n) % 10 if label is None else label
    if (steps or 1) > config["T"]:
        raise OptionError(
            f"--steps {steps}: this model has {config['T']} steps; ask for at most that"
        )
    steps = steps or config["sampling"]
    guidance = config["guidance"] if guidance is None else guidance
    how = dict(steps=steps, eta=eta, guidance=guidance, y=y)
    return _pictures(latent_diffusion.sample(model, n, rng=rng, **how), config)


def figures(model, config, test, rng):
    """Samples, what the VAE alone would draw, and where all these have their codes."""
    yield sample(model, config, 100, rng)
    prior = latent_diffusion.sample_prior(model, 100, rng)
    yield plot.samples(_pictures(prior, config))
    yield _codes(model, config, test, rng)


def _codes(model, config, test, rng):
    """Codes of pictures, of the prior and of the diffusion model, in one plane.

    The plane in which the means of the classes lie furthest apart.
    """
    x, y = (a[:1000] for a in _flat(test))
    z_0 = model.encode(x, rng)
    means = np.stack([z_0[y == k].mean(axis=0) for k in np.unique(y)])
    plane = np.linalg.svd(means - means.mean(axis=0))[2][:2].T  # (z, 2)
    prior = rng.standard_normal(z_0.shape)
    prior = (prior - model.mean) / model.deviation
    how = dict(steps=config["sampling"], guidance=config["guidance"], rng=rng)
    drawn = diffusion.sample(model.diffusion, len(y), y=y, **how)
    clouds = {
        "codes of held-out pictures": (z_0 @ plane, y),
        "the VAE's N(0, I)": (prior @ plane, None),
        "the diffusion model": (drawn @ plane, y),
    }
    return plot.codes(clouds)


def snapshot(model, config, rng):
    """50 pictures, of the VAE's own codes as long as it learns."""
    if int(model.vae_steps) < config["vae_steps"]:
        return _pictures(latent_diffusion.sample_prior(model, 50, rng), config)
    return _drawn(model, config, 50, rng, steps=min(20, config["T"]))


def chain(model, config, rng):
    """What the codes on the way from noise to data decode to."""
    z_T, y = model.diffusion.noise(50, rng), np.arange(50) % 10
    yield "noise", _pictures(model.decode(z_T), config)
    for step in diffusion.ddpm(model.diffusion, z_T, rng=rng, y=y):
        if step.t % max(1, config["T"] // 50) == 0:
            yield f"t = {step.t}", _pictures(model.decode(step.x_t), config)


def _flat(batch):
    """A batch (x, y) with its pictures (N, H, W) as rows (N, H W)."""
    return batch[0].reshape(len(batch[0]), -1), batch[1]


def _pictures(x, config):
    """Rows (N, H W) as pictures (N, H, W)."""
    return x.reshape(-1, *config["shape"])
