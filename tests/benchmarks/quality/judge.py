"""The judge: a classifier of real pictures by which samples of all models are measured.

    from judge import judge, report
    report(samples, "mnist")  # samples (N, 28, 28) in [0, 1]; a dict of figures

It is trained once for each data set, with seed 0, and kept as safetensors in the folder
SCRATCHNN_JUDGE, or scratchnn/judge in the user's cache. Its Fréchet distances are in
its own features: they are not FID, and judges of other data or seeds do not compare.

    python tests/benchmarks/quality/judge.py --data mnist

shows its accuracy and what it says of real data (the best that samples can reach), of
a Gaussian fitted to the pixels, and of noise.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path

import numpy as np
from common import save

from scratchnn import checkpoint, data, metrics, optim
from scratchnn.models import classifier
from scratchnn.recipes import classifier as recipe

SEED = 0
COMMAND = "tests/benchmarks/quality/judge.py"
MOST = 5_000  # pictures that precision and recall look at, of each kind


class Judge:
    """A trained classifier, the held-out pictures of its data set, and its answers."""

    def __init__(self, name, model):
        self.name, self.model = name, model
        self.test = data.load(name, "test")

    def features(self, x):
        """What it sees in pictures: (N, H, W) in [0, 1] -> (N, width)."""
        return classifier.features(self.model, self._pictures(x))

    def probabilities(self, x):
        """p(class | x): (N, H, W) in [0, 1] -> (N, 10)."""
        return classifier.probabilities(self.model, self._pictures(x))

    @functools.cached_property
    def train(self):
        """The pictures that it has learnt from."""
        return data.load(self.name, "train")

    @functools.cached_property
    def accuracy(self):
        """The share of held-out pictures that it classifies right."""
        return classifier.accuracy(self.model, *self.test)

    @functools.cached_property
    def real(self):
        """The features of the held-out pictures."""
        return self.features(self.test.x)

    def _pictures(self, x):
        x = x.numpy() if hasattr(x, "numpy") else np.asarray(x)
        shape = self.test.x.shape[1:]
        if x.ndim != 3 or x.shape[1:] != shape:
            raise ValueError(
                f"samples have shape {x.shape}, expected (N, {shape[0]}, {shape[1]}) "
                f"for {self.name}; reshape rows of pixels"
            )
        if not np.isfinite(x).all() or x.min() < -0.01 or x.max() > 1.01:
            raise ValueError(
                f"samples lie in [{x.min():.3g}, {x.max():.3g}], expected [0, 1]: 0 is "
                "paper, 1 is ink; rescale or clip them"
            )
        return x.astype(np.float32)


@functools.cache
def judge(name="mnist", folder=None):
    """The Judge of a data set: loaded, or trained and kept if there is none yet."""
    folder = folder or os.environ.get("SCRATCHNN_JUDGE")
    if not folder:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache) / "scratchnn" / "judge"
    path = Path(folder) / f"{name}.safetensors"
    config = recipe.DATA[name]
    about = {"trained as": json.dumps({**config, "seed": SEED}, sort_keys=True)}
    model, _ = recipe.build(config, np.random.default_rng(SEED))
    if path.exists():
        state, meta = checkpoint.load(path)
        if meta == about:
            model.load_state_dict(state)
            return Judge(name, model)
    for _ in training(model, name, config):
        pass
    checkpoint.save(path, model.state_dict(), about)
    return Judge(name, model)


def training(model, name, config, steps=None):
    """Train a judge as its recipe does, with a rate that falls to 0: its losses."""
    rng = np.random.default_rng([SEED, 1])
    train = data.load(name, "train")
    loader = data.DataLoader(train, config["batch"], shuffle=True, rng=rng)
    steps = steps or config["epochs"] * len(loader)
    endless = (batch for _ in iter(int, 1) for batch in loader)
    batches = (batch for _, batch in zip(range(steps), endless))
    adam = optim.Adam(model.parameters(), lr=config["lr"])
    falling = optim.CosineAnnealingLR(adam, T_max=steps)
    for loss in classifier.train(model, batches, adam, config["shift"], rng):
        falling.step()
        yield loss


def report(samples, name="mnist", by=None):
    """What the judge says of samples (N, H, W) in [0, 1]: a dict of figures.

    frechet: Fréchet distance in its features to all held-out pictures (10,000 for
    mnist, 360 for digits); it falls with N, so compare equal N. precision, recall: with
    k = 3, of as many samples as held-out pictures, 5,000 at most, drawn by chance (the
    first half of MNIST's test set is the easier one); they depend on that number, too.
    shares, factor, entropy: the balance of the classes. confidence: mean of the largest
    probability. by: a Judge, if not the usual one.
    """
    by = by or judge(name)
    found, p = by.features(samples), by.probabilities(samples)
    n = min(len(found), len(by.real), MOST)
    balance = metrics.class_balance(p)
    rng = np.random.default_rng(SEED)
    some = (rng.permutation(len(a))[:n] for a in (by.real, found))
    real, fake = (a[i] for a, i in zip((by.real, found), some))
    pair = metrics.precision_recall(real, fake)
    return {
        "samples": len(found),
        "held_out": len(by.real),
        "frechet": metrics.frechet_distance(found, by.real),
        "precision": pair.precision,
        "recall": pair.recall,
        "shares": balance.shares.tolist(),
        "factor": balance.factor,
        "entropy": balance.entropy,
        "confidence": float(p.max(axis=1).mean()),
    }


# ---- what the figures mean ------------------------------------------------------
def baselines(by, n):
    """(name, pictures) to compare samples with: n of each, from good to bad."""
    rng = np.random.default_rng(SEED)
    x = by.train.x
    yield "training pictures", x[rng.choice(len(x), n, replace=len(x) < n)]
    flat = x.reshape(len(x), -1).astype(np.float64)
    mean, C = flat.mean(axis=0), np.cov(flat, rowvar=False)
    values, V = np.linalg.eigh(C)
    z = rng.standard_normal((n, len(values))) * np.sqrt(np.maximum(values, 0))
    gaussian = np.clip(mean + z @ V.T, 0, 1).reshape(n, *x.shape[1:])
    yield "Gaussian with the mean and covariance of the pixels", gaussian
    one = x[by.train.y == by.train.y[0]]
    yield "training pictures of one class", one[rng.integers(len(one), size=n)]
    yield "the mean picture", np.broadcast_to(x.mean(axis=0), (n, *x.shape[1:]))
    yield "uniform noise", rng.random((n, *x.shape[1:]))


def floor(by, seed=SEED):
    """The Fréchet distance between two disjoint halves of the held-out pictures."""
    order = np.random.default_rng(seed).permutation(len(by.real))
    half = len(order) // 2
    return metrics.frechet_distance(by.real[order[:half]], by.real[order[half:]])


def main(argv=None):
    """Show the judge of a data set at work."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", default="mnist", choices=list(recipe.DATA))
    parser.add_argument("-n", type=int, help="samples; as many as held-out pictures")
    parser.add_argument("--keep", action="store_true", help="the figures, in results/")
    asked = parser.parse_args(argv)
    start = time.perf_counter()
    by = judge(asked.data)
    seconds = time.perf_counter() - start
    figures = {"held-out pictures classified right (%)": 100 * by.accuracy}
    half = len(by.real) // 2
    print(
        f"judge of {asked.data}: {100 * by.accuracy:.2f} % right ({seconds:.0f} s)\n"
        f"Fréchet distance of held-out halves, {half:,} each: {floor(by):.3f}"
    )
    titles = "Fréchet", "precision", "recall", "factor", "confidence"
    print(f"{'':54}", *(f"{title:>10}" for title in titles))
    for name, x in baselines(by, asked.n or len(by.real)):
        found = report(x, by=by)
        names = "frechet", "precision", "recall", "factor", "confidence"
        print(f"{name:54}", *(f"{found[k]:10.3f}" for k in names), flush=True)
        figures[f"Fréchet distance: {name}, {found['samples']:,}"] = found["frechet"]
    if asked.keep:
        row = {"run": f"the judge of {asked.data}", "bar": "", "seeds": [SEED]}
        row |= {"command": f"python {COMMAND} --data {asked.data} --keep"}
        row |= {"seconds": time.perf_counter() - start}
        save("judge", [{**row, "figure": k, "values": [v]} for k, v in figures.items()])


if __name__ == "__main__":
    main()
