"""Latent diffusion against a VAE's own samples, and against diffusion of pixels.

    python tests/benchmarks/quality/latent_diffusion.py digits --seeds 0 1 2
    python tests/benchmarks/quality/latent_diffusion.py mnist --seeds 0 1 2

Samples of two priors are measured: of the VAE within, whose beta is small, and of a VAE
as it usually is (`scratchnn train vae`, beta 1), the fairer rival. Runs are kept in
runs/quality. --quick: 200 steps of training for each, no figures kept.
"""

import pathlib
import tempfile
from functools import partial

import numpy as np

from common import arguments, clock, save
from image_diffusion import SHEETS, rows_of, trained
from judge import judge, report
from scratchnn import plot, recipes
from scratchnn.models import diffusion, latent_diffusion, vae

RIVAL = {"digits": dict(z=10, hidden=[256]), "mnist": {}}  # options of the usual VAE
MOST = 5000  # samples of a figure; fewer if fewer pictures are held out
SPEED = 50  # steps, in which both kinds of diffusion are timed


def as_pictures(x, dataset):
    """Rows of pixels as pictures (N, H, W) in an array."""
    x = x.numpy() if hasattr(x, "numpy") else x
    return np.clip(x, 0, 1).reshape(-1, *judge(dataset).test.x.shape[1:])


def drawn(model, dataset, n, seed, **how):
    """n pictures (n, H, W) that were asked to be 0 to 9 in turn: (x, y)."""
    rng, y = np.random.default_rng([seed, 1]), np.arange(n) % 10
    x = latent_diffusion.sample(model, n, rng=rng, y=y, **how)
    return as_pictures(x, dataset), y


def seconds_per_picture(sample, model, n=100):
    """The least of three times."""
    times = []
    for seed in range(3):
        with clock() as seconds:
            sample(model, n, SPEED, rng=np.random.default_rng(seed))
        times += seconds
    return min(times) / n


def measure(dataset, seed, folder=None, **options):
    """Runs and their figures, as a generator of (figure, bar, value)."""
    by, rng = judge(dataset), np.random.default_rng([seed, 2])
    n = min(len(by.test.x), MOST)
    where = {} if folder is None else {"folder": pathlib.Path(folder) / "vae"}
    usual, _, _ = trained("vae", dataset, seed, **where, **RIVAL[dataset] | options)
    x = as_pictures(vae.sample(usual, n, rng), dataset)
    prior = report(x, dataset)["frechet"]
    yield f"Fréchet distance of {n:,} samples of the usual VAE", "", prior
    where = {} if folder is None else {"folder": pathlib.Path(folder) / "both"}
    model, config, seconds = trained(
        "latent_diffusion", dataset, seed, **where, **options
    )
    yield "training (minutes)", "", seconds / 60
    x = as_pictures(latent_diffusion.sample_prior(model, n, rng), dataset)
    far = report(x, dataset)["frechet"]
    yield "Fréchet distance of as many of its own VAE, from N(0, I)", "", far
    x, _ = drawn(model, dataset, n, seed, steps=config["sampling"])
    far = report(x, dataset)["frechet"]
    yield "Fréchet distance of as many of latent diffusion", "", far
    yield "the one of latent diffusion by the usual VAE's", "at most 1", far / prior
    flat = by.test.x[:n].reshape(n, -1)
    x = as_pictures(model.decode(model.encode(flat, rng)), dataset)
    best = report(x, dataset)["frechet"]
    yield "Fréchet distance of held-out pictures after the VAE", "", best
    for w in (0.0, 1.0):
        x, y = drawn(model, dataset, n, seed, steps=config["sampling"], guidance=w)
        share = (by.probabilities(x).argmax(axis=1) == y).mean()
        yield f"share that is what was asked for, guidance {w:g}", "", float(share)
    recipe = recipes.get("diffusion")
    pixels, _ = recipe.build({**recipe.DATA[dataset], "data": dataset}, rng)
    slow = seconds_per_picture(diffusion.sample, pixels)
    quick = seconds_per_picture(latent_diffusion.sample, model)
    figure = f"sampling, times faster than in pixels ({SPEED} steps each)"
    yield figure, "at least 5", slow / quick


def main():
    """Train and measure each seed; the sheet is the first one's."""
    asked = arguments(__doc__)
    SHEETS.mkdir(parents=True, exist_ok=True)
    for dataset in asked.runs or RIVAL:
        run, command = f"latent diffusion, {dataset}", f"latent_diffusion.py {dataset}"
        if asked.quick:
            with tempfile.TemporaryDirectory() as folder:
                short = dict(folder=folder, steps=200)
                measured = partial(measure, dataset, **short)
                rows_of(run, command, asked.seeds[:1], measured)
            continue
        rows = rows_of(run, command, asked.seeds, partial(measure, dataset))
        save("latent_diffusion", rows, asked.add)
        if asked.add:
            continue
        seed = asked.seeds[0]
        model, config, _ = trained("latent_diffusion", dataset, seed)
        x, _ = drawn(model, dataset, 100, seed, steps=config["sampling"])
        plot.save(plot.samples(x), SHEETS / f"latent-diffusion-{dataset}.png")


if __name__ == "__main__":
    main()
