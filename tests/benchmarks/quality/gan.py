"""Mode collapse on the ring of 8 and the grid of 25, and a remedy for it.

    python tests/benchmarks/quality/gan.py --seeds 0 1 2
    python tests/benchmarks/quality/gan.py ring --quick

The protocol is that of VEEGAN (Srivastava et al. 2017, table 1): 2,500 samples, one of
high quality if within 3 sigma of a mode; sigma is 0.02 on the ring of radius 2 and 0.05
on the grid of spacing 2. Published there and in PacGAN: ring, GAN 1 to 6.3 modes,
VEEGAN 8 and 52.9 %; grid, GAN 3.3 to 17.3 modes, VEEGAN 24.6 and 40 %, PacGAN2 23.8 and
91.3 %.
"""

import pathlib

import numpy as np
from common import arguments, clock, save

from scratchnn import data, metrics, plot, recipes

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "results"
CENTRES = {"ring": (data.ring_centres(), 0.02), "grid": (data.grid_centres(), 0.05)}
# A G that learns ten times faster than D, from long noise: what collapses.
PLAIN = dict(
    loss="minimax", z=64, lr=1e-3, lr_d=1e-4, decay=False, ema=0.0, steps=3000
)
REMEDY = {}  # the recipe's defaults: the other loss, z 2, a fast D, decay, average


def config(name, **how):
    """The recipe's defaults for a data set, and what is asked for."""
    return {"data": name, "epochs": None} | recipes.get("gan").DATA[name] | how


def run(name, seed, every=200, **how):
    """Train a pair: (step, Modes of 2,500 samples) from time to time, a generator."""
    recipe, settings = recipes.get("gan"), config(name, **how)
    init, noise, shuffle = np.random.default_rng(seed).spawn(3)
    model, optimizers = recipe.build(settings, init)
    loader = data.DataLoader(
        recipes.load(name)[0], settings["batch"], shuffle=True, rng=shuffle
    )
    endless = (batch for _ in iter(int, 1) for batch in loader)
    steps = recipe.train(model, optimizers, endless, settings, noise)
    for i, _ in zip(range(1, settings["steps"] + 1), steps):
        if i % every == 0 or i == settings["steps"]:
            yield i, modes(model, optimizers.get("ema"), settings)


def modes(model, ema, settings, n=2500):
    """Modes of n samples, by averaged weights if there are any."""
    recipe, rng = recipes.get("gan"), np.random.default_rng(9)
    if ema is None:
        x = recipe.draw(model, settings, n, rng)
    else:
        with ema.averaged():
            x = recipe.draw(model, settings, n, rng)
    return metrics.modes(x, *CENTRES[settings["data"]])


def main(argv=None):
    """Both runs of both sets for each seed, into results/gan.json and docs."""
    asked = arguments(__doc__, argv)
    for name in asked.runs or list(CENTRES):
        k, history, rows = len(CENTRES[name][0]), {}, []
        for kind, how in (("minimax", PLAIN), ("remedy", REMEDY)):
            title = f"GAN, {name}, {kind}"
            how = dict(how, steps=300) if asked.quick else how
            covered, good, seconds = [], [], []
            for seed in asked.seeds:
                with clock() as spent:
                    path = list(run(name, seed, **how))
                last = path[-1][1]
                covered.append(last.covered)
                good.append(100 * last.high_quality)
                seconds += spent
                print(
                    f"{title}, seed {seed}: {last.covered} of {k} modes, "
                    f"{good[-1]:.1f} % of high quality, least "
                    f"{last.counts.min()} of 2,500 ({spent[0]:.0f} s)",
                    flush=True,
                )
                history.setdefault(title, _series(path))
            rows += _rows(title, name, kind, covered, good, seconds, asked)
        if not asked.quick:
            DOCS.mkdir(parents=True, exist_ok=True)
            plot.save(plot.modes(history, k), DOCS / f"gan_{name}_modes.png")
            save("gan", rows, asked.add)


def _series(path):
    """Steps, modes and shares as three arrays, for plot.modes."""
    steps, found = zip(*path)
    return steps, [m.covered for m in found], [m.high_quality for m in found]


def _rows(title, name, kind, covered, good, seconds, asked):
    bars = {"ring": ("8 of 8", "at least 90"), "grid": ("at least 24", "at least 80")}
    command = "python tests/benchmarks/quality/gan.py --seeds "
    command += " ".join(map(str, asked.seeds))
    about = dict(run=title, seeds=asked.seeds, command=command, seconds=seconds)
    modes_bar, good_bar = ("", "") if kind == "minimax" else bars[name]
    return [
        dict(figure="modes with samples", bar=modes_bar, values=covered, **about),
        dict(figure="samples of high quality (%)", bar=good_bar, values=good, **about),
    ]


if __name__ == "__main__":
    main()
