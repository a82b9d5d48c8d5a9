"""DCGAN on MNIST: balance of the classes, Fréchet distance, Parzen window.

    python tests/benchmarks/quality/dcgan.py --seeds 0 1 2
    python tests/benchmarks/quality/dcgan.py --quick

The Fréchet distance is in the features of judge.py, of 10,000 samples, and is held
against that of the same pair after its first epoch. The Parzen log-likelihood is the
figure of Goodfellow et al. 2014, table 1 (225 +- 2 for their GAN), of the test pictures
under windows on 10,000 samples, of the width that suits 1,000 training pictures best.
"""

import contextlib
import pathlib

import numpy as np
from common import arguments, clock, save
from judge import report

from scratchnn import data, metrics, plot, recipes

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "results"
PART = 500  # pictures that are drawn at a time


def config(**how):
    """The recipe's defaults for MNIST, and what is asked for."""
    return {"data": "mnist", "steps": None} | recipes.get("dcgan").DATA["mnist"] | how


def run(seed, **how):
    """Train a pair: (step, model) after the first epoch and at the end, a generator.

    The model has its averaged weights, as `scratchnn sample` has them.
    """
    recipe, settings = recipes.get("dcgan"), config(**how)
    init, noise, shuffle = np.random.default_rng(seed).spawn(3)
    model, optimizers = recipe.build(settings, init)
    loader = data.DataLoader(
        recipe.load("mnist")[0], settings["batch"], shuffle=True, rng=shuffle
    )
    total = settings["steps"] or settings["epochs"] * len(loader)
    endless = (batch for _ in iter(int, 1) for batch in loader)
    steps = recipe.train(model, optimizers, endless, settings, noise)
    first = min(len(loader), total // 10 or 1)
    ema = optimizers.get("ema")
    for i, step in zip(range(1, total + 1), steps):
        if not np.isfinite(step).all():
            raise FloatingPointError(f"step {i} gave {step}")
        if i in (first, total):
            with ema.averaged() if ema else contextlib.nullcontext():
                yield i, model


def drawn(model, n, seed, **how):
    """n pictures (n, 28, 28) in [0, 1]."""
    recipe, rng = recipes.get("dcgan"), np.random.default_rng([seed, 1])
    sizes = [min(PART, n - start) for start in range(0, n, PART)]
    return np.concatenate([recipe.draw(model, config(**how), m, rng) for m in sizes])


def parzen(samples, n_test=10_000):
    """metrics.Estimate of the test pictures' log-likelihood under the samples."""
    train, test = recipes.load("mnist")
    sigma = metrics.choose_sigma(samples, train.x[-1000:])
    return metrics.parzen_log_likelihood(samples, test.x[:n_test], sigma)


def main(argv=None):
    """All figures of each seed, into results/dcgan.json; a sheet of the first seed."""
    asked = arguments(__doc__, argv)
    how, n = (dict(epochs=1, channels=8), 1000) if asked.quick else ({}, 10_000)
    rows = {
        "class furthest from uniform, factor": "at most 2",
        "Fréchet distance to that after 1 epoch": "at most 1/3",
        "Fréchet distance, 10,000 samples": "",
        "Fréchet distance after 1 epoch": "",
        "precision": "",
        "recall": "",
        "Parzen log-likelihood (nats; 225 in Goodfellow 2014)": "",
    }
    values, seconds = {name: [] for name in rows}, []
    for seed in asked.seeds:
        found = []
        with clock() as spent:
            for _, model in run(seed, **how):
                found.append(drawn(model, n, seed))
        seconds += spent
        early, late = (report(x, "mnist") for x in found)
        numbers = (
            late["factor"], late["frechet"] / early["frechet"], late["frechet"],
            early["frechet"], late["precision"], late["recall"],
            parzen(found[-1], 1000 if asked.quick else 10_000).mean,
        )  # fmt: skip
        for name, value in zip(rows, numbers):
            values[name].append(value)
            print(f"seed {seed}: {name}: {value:.4g} ({spent[0]:.0f} s)", flush=True)
        shares = ", ".join(f"{100 * s:.1f}" for s in late["shares"])
        print(f"seed {seed}: classes 0 to 9, %: {shares}", flush=True)
        if seed == asked.seeds[0] and not (asked.quick or asked.add):
            DOCS.mkdir(parents=True, exist_ok=True)
            plot.save(plot.samples(found[-1][:100]), DOCS / "dcgan_mnist.png")
    if asked.quick:
        return
    command = "python tests/benchmarks/quality/dcgan.py --seeds "
    command += " ".join(map(str, asked.seeds))
    about = dict(seeds=asked.seeds, command=command, seconds=seconds)
    settings = config()
    name = f"DCGAN, MNIST, {settings['epochs']} epochs"
    save("dcgan", [dict(run=name, figure=k, bar=bar, values=values[k], **about)
                   for k, bar in rows.items()], asked.add)  # fmt: skip


if __name__ == "__main__":
    main()
