"""Diffusion of pictures by a U-Net: how good, in how few steps, how obedient.

    python tests/benchmarks/quality/image_diffusion.py mnist --seeds 0 1 2
    python tests/benchmarks/quality/image_diffusion.py digits --seeds 0 1 2

Each seed is a run of `scratchnn train diffusion` in runs/quality: an interrupted script
goes on with it, and finds it finished the next time. Fréchet distances are judge.py's.
DDPM is the whole chain of 1,000 steps. Pictures are guided as `scratchnn sample` does
it unless told otherwise; those of the curve of quality against steps are not. --quick:
200 steps of training, no figures kept.
"""

import json
import pathlib
import tempfile
from functools import partial

import numpy as np

from common import arguments, clock, save
from judge import judge, report
from scratchnn import metrics, plot, recipes, train
from scratchnn.models import diffusion

RUNS, SHEETS = pathlib.Path("runs/quality"), pathlib.Path("docs/results")
STEPS = (5, 10, 20, 50, 100)
BATCH = 250  # pictures that are sampled at a time
SIZES = {  # samples of a comparison, and of the figure that is compared with others
    "digits": dict(some=360, many=360),
    "mnist": dict(some=1000, many=5000),
}


def trained(name, dataset, seed, folder=None, **options):
    """(model, config, seconds) of a run of `scratchnn train`, trained if need be.

    The weights are the averaged ones, as `scratchnn sample` has them.
    """
    folder = pathlib.Path(folder or RUNS / f"{name}-{dataset}-{seed}")
    usual = {"model": name, "data": dataset, "seed": seed, "device": "cpu"}
    config = usual | {"steps": None} | recipes.get(name).DATA[dataset] | options
    book, spent = folder / "seconds.json", 0.0
    if book.exists():
        spent, steps = json.loads(book.read_text())
    if not book.exists() or steps < train.read_config(folder)["total"]:
        unfinished = book.exists() and train.reached(folder) > 0
        run = train.resumed(folder, {}) if unfinished else train.new(config, folder)
        with clock() as seconds:
            outcome = train.train(run)
        spent += seconds[0]
        book.write_text(json.dumps([spent, run.step]))
        if outcome.signal:
            raise KeyboardInterrupt
    _, model, config = train.trained(folder)
    return model, config, spent


# ---- figures --------------------------------------------------------------------
def drawn(model, n, seed, **how):
    """n pictures (n, H, W) in [0, 1] that were asked to be 0 to 9 in turn: (x, y)."""
    rng, y = np.random.default_rng([seed, 1]), np.arange(n) % 10
    how = {"clip": 1.0, "rng": rng} | how
    parts = [
        diffusion.sample(model, len(some), y=some, **how)[:, 0]  # (N, 1, H, W)
        for some in (y[i : i + BATCH] for i in range(0, n, BATCH))
    ]
    return np.clip((np.concatenate(parts) + 1) / 2, 0, 1), y


def frechet(model, dataset, n, seed, **how):
    """Fréchet distance of n samples."""
    return report(drawn(model, n, seed, **how)[0], dataset)["frechet"]


def obedience(model, dataset, n, seed, guidance, steps=50):
    """The share of n samples that the judge takes for what was asked."""
    x, y = drawn(model, n, seed, steps=steps, guidance=guidance)
    return float((judge(dataset).probabilities(x).argmax(axis=1) == y).mean())


def curve(model, dataset, n, seed, steps=STEPS, etas=(0.0, 1.0, "hat")):
    """{eta: the Fréchet distance at each number of steps}; "hat": DDPM's own noise."""
    return {
        eta: [frechet(model, dataset, n, seed, steps=s, eta=eta) for s in steps]
        for eta in etas
    }


def floor(dataset, n):
    """Fréchet distance of n training pictures: the best that samples can reach."""
    by = judge(dataset)
    some = np.random.default_rng(0).choice(len(by.train.x), n, replace=False)
    return metrics.frechet_distance(by.features(by.train.x[some]), by.real)


def usual_guidance(dataset):
    """What `scratchnn sample` takes unless told otherwise."""
    return recipes.get("diffusion").DATA[dataset]["guidance"]


def measure(dataset, seed, **options):
    """A run and its figures, as a generator of (figure, bar, value)."""
    model, config, seconds = trained("diffusion", dataset, seed, **options)
    some, many = SIZES[dataset]["some"], SIZES[dataset]["many"]
    guided = {"guidance": usual_guidance(dataset)}
    yield "training (minutes)", "at most 25", seconds / 60
    far = frechet(model, dataset, many, seed, steps=50, **guided)
    bar = "below DCGAN and VAE"
    yield f"Fréchet distance of {many:,} samples in 50 steps", bar, far
    yield f"the same of {many:,} training pictures", "", floor(dataset, many)
    few = frechet(model, dataset, some, seed, steps=20, **guided)
    yield f"Fréchet distance of {some:,} samples, DDIM in 20 steps", "", few
    full = frechet(model, dataset, some, seed, **guided)
    T = config["T"]
    yield f"Fréchet distance of {some:,} samples, DDPM in {T:,} steps", "", full
    yield "the one of DDIM divided by that of DDPM", "at most 1.5", few / full
    for w in (0.0, 1.0, 2.0):
        share = obedience(model, dataset, some, seed, w)
        bar = "at least 0.97" if w == 1 else ""
        yield f"share that is what was asked for, guidance {w:g}", bar, share


# ---- the script -----------------------------------------------------------------
def rows_of(run, command, seeds, measured):
    """Rows for common.save: measured(seed) yields (figure, bar, value)."""
    found, seconds = {}, []
    for seed in seeds:
        with clock() as time:
            for figure, bar, value in measured(seed):
                print(f"{run}, seed {seed}: {figure}: {value:.4g}", flush=True)
                found.setdefault(figure, (bar, []))[1].append(value)
        seconds += time
    command = f"python tests/benchmarks/quality/{command} --seeds "
    command += " ".join(map(str, seeds))
    shared = dict(run=run, seeds=seeds, command=command, seconds=seconds)
    return [
        dict(figure=figure, bar=bar, values=values, **shared)
        for figure, (bar, values) in found.items()
    ]


def pictures(dataset, seed):
    """A sheet of samples, and the curve of quality against steps with its figures."""
    model, _, _ = trained("diffusion", dataset, seed)
    n = SIZES[dataset]["some"]
    x, _ = drawn(model, 100, seed, steps=100, guidance=usual_guidance(dataset))
    plot.save(plot.samples(x), SHEETS / f"diffusion-{dataset}.png")
    far = curve(model, dataset, n, seed)
    names = "$\\eta = 0$ (DDIM)", "$\\eta = 1$", "$\\hat\\sigma$ (DDPM)"
    named = {name: (STEPS, values) for name, values in zip(names, far.values())}
    figure = plot.quality_against_steps(named, floor(dataset, n), "Fréchet distance")
    plot.save(figure, SHEETS / f"diffusion-steps-{dataset}.png")
    for i, steps in enumerate(STEPS):
        for eta in far:
            yield f"Fréchet distance in {steps} steps, eta {eta}", "", far[eta][i]
    for eta in (1.0, "hat"):
        ratio = far[eta][0] / far[0.0][0]
        yield f"in {STEPS[0]} steps, eta {eta} divided by eta 0", "at least 1", ratio


def main():
    """Train and measure each seed; sheet and curve are the first one's."""
    asked = arguments(__doc__)
    SHEETS.mkdir(parents=True, exist_ok=True)
    for dataset in asked.runs or SIZES:
        run, command = f"diffusion, {dataset}", f"image_diffusion.py {dataset}"
        if asked.quick:
            with tempfile.TemporaryDirectory() as folder:
                short = partial(measure, dataset, folder=folder, steps=200)
                rows_of(run, command, asked.seeds[:1], short)
            continue
        rows = rows_of(run, command, asked.seeds, partial(measure, dataset))
        save("image_diffusion", rows, asked.add)
        if asked.add:
            continue
        run, drawing = f"diffusion by steps, {dataset}", partial(pictures, dataset)
        save("image_diffusion", rows_of(run, command, asked.seeds[:1], drawing))


if __name__ == "__main__":
    main()
