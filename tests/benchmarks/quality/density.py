"""Density estimation on the bundled digits: held-out log-likelihood in nats.

    python tests/benchmarks/quality/density.py [--seeds 0 1 2]

The densities are of 64 grey values from 0 to 1, so that log p can be above 0. That
depends on the least variance of a Gaussian, 0.01 here: some pixels are always white.

The test digits of data.digits are by other writers than those trained on, and harder;
"shuffled" takes as many, drawn by chance (with seed 0). Besides: how alike distances
become.
"""

import common
import numpy as np

from scratchnn import data
from scratchnn.models.density import ParzenWindow, distances
from scratchnn.models.gaussians import Gaussian, GaussianMixture, PCAGaussian
from scratchnn.recipes.density import DATA

FLOOR = DATA["digits"]["floor"]
STEPS = DATA["digits"]["epochs"]


def digits(split):
    """Training and test digits as rows (N, 64); split "shuffled" or "other writers"."""
    x = data.digits().x.reshape(-1, 64)
    if split == "shuffled":
        x = x[np.random.default_rng(0).permutation(len(x))]
    return x[:1437], x[1437:]


def log_likelihoods(seed, split, steps=STEPS):
    """{density: mean log p of the test digits}."""
    train, test = digits(split)
    models = {
        "a bump on every sample": ParzenWindow(64),
        "one Gaussian": Gaussian(64, FLOOR),
        "PCA, 10 directions": PCAGaussian(64, 10, FLOOR),
        "ten Gaussians, diagonal": GaussianMixture(64, 10, "diagonal", FLOOR),
        "ten Gaussians": GaussianMixture(64, 10, floor=FLOOR),
    }
    found = {}
    for name, model in models.items():
        rng = np.random.default_rng(seed)
        more = {"steps": steps} if isinstance(model, GaussianMixture) else {}
        found[name] = float(model.fit(train, rng, **more).log_prob(test).mean())
    return found


def spread(d, seed, n=1000):
    """Deviation over mean of the distances between n points of N(0, I)."""
    away = distances(np.random.default_rng(seed).standard_normal((n, d)))
    return float(away.std() / away.mean())


def rows(seeds, steps=STEPS):
    """The figures of all seeds, as common.save takes them."""
    kept = dict(
        seeds=seeds,
        command="python tests/benchmarks/quality/density.py --seeds "
        + " ".join(map(str, seeds)),
    )
    for split in ("shuffled", "other writers"):
        with common.clock() as seconds:
            found = [log_likelihoods(seed, split, steps) for seed in seeds]
        kept["run"] = f"densities, digits, {STEPS} steps of EM, test: {split}"
        kept["seconds"] = seconds[0] / len(seeds)
        for name in found[0]:
            values = [f[name] for f in found]
            figure = f"test log-likelihood, {name} (nats)"
            yield dict(kept, figure=figure, bar="", values=values)
    kept |= dict(run="distances between 1,000 points of N(0, I)", seconds=0.1)
    for d in (2, 64):
        values = [spread(d, seed) for seed in seeds]
        figure = f"their deviation / mean, d = {d}"
        yield dict(kept, figure=figure, bar="", values=values)


def main(argv=None):
    asked = common.arguments(__doc__, argv)
    found = list(rows(asked.seeds, 3 if asked.quick else STEPS))
    for row in found:
        values = ", ".join(f"{x:.2f}" for x in row["values"])
        print(f"{row['run']}: {row['figure']}: {values}")
    if not asked.quick:
        common.save("density", found)


if __name__ == "__main__":
    main()
