"""The VAE on MNIST: nats per image, beside the published ones and PyTorch's seconds.

    SCRATCHNN_DATA=... python tests/benchmarks/quality/vae.py [RUN ...] [--seeds 0 1 2]

Runs: mlp (784-400-20 on grey pixels), binarised (the same, on black and white ones),
conv (the convolutional VAE, on black and white pixels, 10 to 15 minutes a seed) and
torch (seconds per epoch of the mlp run, and PyTorch's in turn).

Binarised: each batch anew (Salakhutdinov and Murray 2008), the test set once, with
seed 0, for all runs. The bound of 5,000 draws is of every tenth test picture, 1,000 in
all: Burda, Grosse, Salakhutdinov, arXiv:1509.00519.
"""

import math
import pathlib
import sys

import common
import numpy as np

from scratchnn import data, no_grad, optim, plot
from scratchnn.models import conv_vae, vae

BATCH = 128
SHEET = pathlib.Path(__file__).parents[3] / "docs" / "results" / "vae_conv.png"


def pictures(split, n=None):
    """MNIST as rows of pixels (N, 784)."""
    return data.mnist(split).x.reshape(-1, 784)[:n]


def fixed_test(n=None):
    """The binarised test pictures, the same for every run."""
    return vae.binarise(pictures("test"), np.random.default_rng(0))[:n]


@no_grad()
def negative_elbo(model, test, seed):
    """Mean over the test pictures, one draw each."""
    rng = np.random.default_rng([seed, 1])
    batches = data.DataLoader(test, 1000)
    sums = (float(vae.negative_elbo(model, x, rng=rng).loss) * len(x) for x in batches)
    return sum(sums) / len(test)


def bound(model, test, k=5000, seed=0):
    """-log p(x) by the bound of k draws, mean over the pictures, and its deviation.

    The deviation is that of a mean over pictures: what other test pictures would do.
    """
    rng = np.random.default_rng([seed, 2])
    parts = [
        -vae.log_likelihood(model, x, k, rng).numpy()
        for x in data.DataLoader(test, 100)
    ]
    each = np.concatenate(parts)
    return each.mean(), each.std() / math.sqrt(len(each))


# ---- the MLP --------------------------------------------------------------------
def mlp(seed, binarised=False, epochs=10, train=None, test=None):
    """(test loss in nats, seconds of training) of 784-400-20-400-784, Adam 1e-3."""
    rng = np.random.default_rng(seed)
    train = pictures("train") if train is None else train
    model = vae.VAE(784, (400,), 20, rng=rng)
    adam = optim.Adam(model.parameters(), lr=1e-3)
    with common.clock() as seconds:
        loader = data.DataLoader(train, BATCH, shuffle=True, rng=rng)
        batches = (x for _ in range(epochs) for x in loader)
        if binarised:
            batches = (vae.binarise(x, rng) for x in batches)
        for _ in vae.train(model, batches, adam, rng=rng):
            pass
    if test is None:
        test = fixed_test() if binarised else pictures("test")
    return negative_elbo(model, test, seed), seconds[0]


# ---- the convolutional VAE ------------------------------------------------------
CHANNELS, HIDDEN, Z = (32, 32), (256,), 32
EPOCHS, LR = 45, 5e-3


def conv(seed, epochs=EPOCHS, train=None, show=lambda *_: None):
    """The trained model: Adam, whose rate rises for an epoch and falls as a cosine."""
    rng = np.random.default_rng(seed)
    train = pictures("train") if train is None else train
    networks = conv_vae.networks((28, 28), CHANNELS)
    model = vae.VAE(784, HIDDEN, Z, rng=rng, networks=networks)
    adam = optim.Adam(model.parameters(), lr=LR)
    loader = data.DataLoader(train, BATCH, shuffle=True, rng=rng)
    total, rise = epochs * len(loader), len(loader)
    rate = optim.LambdaLR(
        adam,
        lambda t: min((t + 1) / rise, 0.5 + 0.5 * math.cos(math.pi * t / total)),
    )
    for epoch in range(epochs):
        batches = (vae.binarise(x, rng) for x in loader)
        losses = []
        for step in vae.train(model.train(), batches, adam, rng=rng):
            rate.step()
            losses.append(step.loss)
        show(epoch + 1, np.mean(losses), model.eval())
    return model


# ---- what the figures are kept as -----------------------------------------------
def run_mlp(name, seeds, quick):
    binarised = name == "binarised"
    options = dict(epochs=1, train=pictures("train", 12_800)) if quick else {}
    values, seconds = zip(*(mlp(seed, binarised, **options) for seed in seeds))
    pixels = "binarised" if binarised else "grey"
    yield dict(
        run="VAE, MNIST, 784-400-20, 10 epochs",
        figure=f"test loss (-ELBO), {pixels} (nats)",
        bar="at most 103.5" if binarised else "at most 106",
        seeds=seeds, values=values, seconds=list(seconds),
    )  # fmt: skip


def run_conv(name, seeds, quick):
    elbos, bounds, errors, seconds = [], [], [], []
    test = fixed_test()
    for seed in seeds:
        train = pictures("train", 2560 if quick else None)

        def show(epoch, loss, model):
            if epoch % 5 == 0 or quick:
                found = negative_elbo(model, test[:1000], seed)
                print(f"epoch {epoch}: train {loss:.2f}, test {found:.2f}", flush=True)

        with common.clock() as clock:
            model = conv(seed, epochs=1 if quick else EPOCHS, train=train, show=show)
        seconds += clock
        elbos.append(negative_elbo(model, test, seed))
        some = test[::100][:10] if quick else test[::10]
        value, error = bound(model, some, 20 if quick else 5000, seed)
        bounds.append(value)
        errors.append(error)
        print(f"-ELBO {elbos[-1]:.2f}, bound {value:.2f} +- {error:.2f}", flush=True)
    if not quick:
        SHEET.parent.mkdir(exist_ok=True)
        drawn = vae.sample(model, 100, np.random.default_rng(0)).numpy()
        plot.save(plot.images(drawn.reshape(-1, 28, 28)), SHEET)
    run = f"convolutional VAE, binarised MNIST, {EPOCHS} epochs"
    kept = dict(run=run, seeds=seeds, seconds=seconds)
    yield dict(
        kept, figure="bound of 5,000 draws, 1,000 test pictures (nats)",
        bar="at most 86", values=bounds,
    )  # fmt: skip
    error = "its error, by the choice of pictures (nats)"
    yield dict(kept, figure=error, bar="", values=errors)
    yield dict(kept, figure="test loss (-ELBO) (nats)", bar="", values=elbos)
    minutes = [s / 60 for s in seconds]
    yield dict(kept, figure="training (minutes)", bar="at most 15", values=minutes)


def run_torch(name, seeds, quick):
    sys.path.append(str(pathlib.Path(__file__).parents[1]))
    import bench_vae

    with common.clock() as seconds:
        found = bench_vae.main(1 if quick else 5)
    ratio = found["scratchnn"].seconds / found["torch"].seconds
    yield dict(
        run="VAE, MNIST, 784-400-20, grey, beside PyTorch",
        figure="seconds per epoch, ours / PyTorch's (median of 5)",
        bar="", seeds=[1], values=[ratio], seconds=seconds,
    )  # fmt: skip


RUNS = {"mlp": run_mlp, "binarised": run_mlp, "torch": run_torch, "conv": run_conv}


def main(argv=None):
    asked = common.arguments(__doc__, argv)
    unknown = set(asked.runs) - set(RUNS)
    if unknown:
        sys.exit(f"no run {', '.join(unknown)}; there are {', '.join(RUNS)}")
    for name in asked.runs or RUNS:
        rows = list(RUNS[name](name, asked.seeds, asked.quick))
        command = f"python tests/benchmarks/quality/vae.py {name} --seeds "
        for row in rows:
            row["command"] = command + " ".join(map(str, row["seeds"]))
            values = ", ".join(f"{x:.2f}" for x in row["values"])
            print(f"{row['run']}: {row['figure']}: {values}", end="; ")
            print(f"mean {np.mean(row['values']):.2f} {row['bar']}", flush=True)
        if not asked.quick:
            common.save("vae", rows, asked.add)


if __name__ == "__main__":
    main()
