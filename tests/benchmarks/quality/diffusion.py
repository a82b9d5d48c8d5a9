"""How near the samples of diffusion models come to data: points in the plane.

    python tests/benchmarks/quality/diffusion.py --seeds 0 1 2

trains `scratchnn train diffusion --data NAME` for each set and seed, then asks for the
sliced Wasserstein distance of 2,500 samples to as many fresh points, over that of
another 2,500 fresh points: 1 is perfect. Then, as `steps`, the distance by the number
of steps that sampling takes. NAME after it runs one set only, or `steps`.
"""

import functools
from pathlib import Path

import common
import numpy as np

from scratchnn import data, metrics, plot
from scratchnn.data import DataLoader
from scratchnn.recipes import diffusion as recipe
from scratchnn.recipes import load

SETS = [name for name, entry in data.DATASETS.items() if entry.kind == "2-D"]
N = 2500
BAR = 1.5
DOCS = Path(__file__).parents[3] / "docs" / "results"
STEPS = (2, 5, 10, 20, 50, 100)
ETAS = {"eta = 0": 0.0, "eta = 0.5": 0.5, "eta = 1": 1.0, "sigma-hat": "hat"}


@functools.cache
def train(name, seed, **options):
    """The model of `scratchnn train diffusion --data NAME --seed SEED`, its averages.

    Returns (model, config).
    """
    config = {"data": name, "seed": seed, **recipe.DATA[name], **options}
    model, optimizers = recipe.build(config, np.random.default_rng([seed, 0]))
    rng, train_set = np.random.default_rng([seed, 1]), load(name)[0]
    loader = DataLoader(train_set, config["batch"], shuffle=True, rng=rng)

    def batches():
        left = config["steps"]
        while left:
            for batch in loader:
                yield batch
                left -= 1
                if not left:
                    return

    for _ in recipe.train(model, optimizers, batches(), config, rng):
        pass
    ema = optimizers["ema"]
    for p, average in zip(ema.params, ema.averages):
        p.data = average
    return model, config


def distances(name, draw, seed, pairs=8):
    """(samples to fresh data, fresh data to fresh data), means over several draws.

    draw(n, rng) -> samples (n, 2).
    """
    rng, far = np.random.default_rng([seed, 2]), []
    for _ in range(pairs):
        fresh, other = (data.load(name, N, rng=rng).x for _ in range(2))
        same = int(rng.integers(2**31))  # the same projections for both
        far.append([
            metrics.sliced_wasserstein(x, fresh, 200, rng=np.random.default_rng(same))
            for x in (draw(N, rng), other)
        ])  # fmt: skip
    return np.mean(far, axis=0)


def ratio(name, seed, pairs=8, **options):
    """How much further from fresh data samples are than fresh data is."""
    model, config = train(name, seed, **options)

    def draw(n, rng):
        return recipe.draw(model, config, n, rng)

    found, floor = distances(name, draw, seed, pairs)
    return found / floor


def against_steps(name, seed, steps=STEPS, pairs=4, options=None):
    """{name of eta: distances for each number of steps}, and that of fresh data."""
    model, config = train(name, seed, **(options or {}))
    curves = {}
    for label, eta in ETAS.items():
        curves[label] = []
        for s in steps:

            def draw(n, rng, s=s, eta=eta):
                return recipe.draw(model, config, n, rng, steps=s, eta=eta)

            found, floor = distances(name, draw, seed, pairs)
            curves[label].append(found)
    return curves, floor


def main():
    """Run what was asked for; keep the results, and the curves as a figure."""
    asked = common.arguments(__doc__)
    short = {"steps": 300} if asked.quick else {}
    for name in asked.runs or [*SETS, "steps"]:
        rows = _by_steps(asked, short) if name == "steps" else _set(name, asked, short)
        if not asked.quick:
            common.save("diffusion", rows, asked.add)


def _row(asked, name, **row):
    seeds = " ".join(map(str, asked.seeds))
    command = f"python tests/benchmarks/quality/diffusion.py {name} --seeds {seeds}"
    return dict(seeds=asked.seeds, command=command, **row)


def _set(name, asked, short):
    """The ratio of one set of points."""
    values, seconds = [], []
    for seed in asked.seeds:
        with common.clock() as clock:
            values.append(ratio(name, seed, **short))
        seconds += clock
        print(f"{name}, seed {seed}: {values[-1]:.2f} in {clock[0]:.0f} s", flush=True)
    figure = "sliced Wasserstein distance to fresh data, over that of fresh data"
    row = dict(run=f"diffusion, {name}", figure=figure, bar=f"at most {BAR}")
    return [_row(asked, name, **row, values=values, seconds=seconds)]


def _by_steps(asked, short):
    """Quality against steps on the checkerboard: a figure, and eta 0 over eta 1.

    sigma-hat is the worst in Song's table of FID, but not here: in the plane its noise
    mends the narrowness of few steps, and this distance forgives a little haze.
    """
    found, seconds = [], []
    for seed in asked.seeds:
        with common.clock() as clock:
            found.append(against_steps("checkerboard", seed, options=short))
        seconds += clock
    curves = {
        name: (STEPS, np.mean([curves[name] for curves, _ in found], axis=0))
        for name in ETAS
    }
    for name, (_, far) in curves.items():
        print(f"{name:12}", *(f"{v:.3f}" for v in far), flush=True)
    if not asked.quick:
        floor = np.mean([floor for _, floor in found])
        unit = "sliced Wasserstein distance to fresh data"
        figure = plot.quality_against_steps(curves, floor, unit)
        plot.save(figure, DOCS / "diffusion-steps.png")
    rows = []
    for i, s in list(enumerate(STEPS))[1:4]:
        figure = f"distance with eta = 0 over that with eta = 1, in {s} steps"
        values = [c["eta = 0"][i] / c["eta = 1"][i] for c, _ in found]
        row = dict(run="diffusion, checkerboard", figure=figure, bar="at most 1")
        rows.append(_row(asked, "steps", **row, values=values, seconds=seconds))
    return rows


if __name__ == "__main__":
    main()
