"""The auto-encoder on the bundled digits: what it loses, and what random codes draw.

    python tests/benchmarks/quality/autoencoder.py [--seeds 0 1 2]

Networks 64-128-z-128-64, 200 epochs; what is lost is the squared error of a test digit,
beside PCA with as many numbers. Random codes are decoded; what counts is how far what
is drawn is from the nearest training digit, beside the same for a VAE of that size.
"""

import pathlib

import common
import numpy as np

from scratchnn import data, metrics, optim, plot
from scratchnn.models import autoencoder, vae
from scratchnn.recipes.autoencoder import DATA

SHEETS = pathlib.Path(__file__).parents[3] / "docs" / "results"
DEFAULT = DATA["digits"]
EPOCHS = DEFAULT["epochs"]


def digits():
    """Training and test digits as rows (N, 64)."""
    return tuple(data.digits(s).x.reshape(-1, 64) for s in ("train", "test"))


def batches(train, epochs, rng):
    """`epochs` times through the training digits, in a new order each time."""
    loader = data.DataLoader(train, DEFAULT["batch"], shuffle=True, rng=rng)
    return (x for _ in range(epochs) for x in loader)


def trained(seed, z, epochs=EPOCHS):
    """An auto-encoder as `scratchnn train autoencoder` makes them."""
    rng = np.random.default_rng(seed)
    model = autoencoder.AutoEncoder(64, DEFAULT["hidden"], z, rng=rng)
    adam = optim.Adam(model.parameters(), lr=DEFAULT["lr"])
    for _ in autoencoder.train(model, batches(digits()[0], epochs, rng), adam):
        pass
    return model


def trained_vae(seed, z, epochs=EPOCHS):
    """A VAE of the same size, trained as long."""
    rng = np.random.default_rng(seed)
    model = vae.VAE(64, DEFAULT["hidden"], z, rng=rng)
    adam = optim.Adam(model.parameters(), lr=DEFAULT["lr"])
    for _ in vae.train(model, batches(digits()[0], epochs, rng), adam, rng=rng):
        pass
    return model


def lost(model):
    """Squared error of a test digit on its way through the code."""
    test = digits()[1]
    x_hat = autoencoder.reconstruct(model, test).data
    return float(autoencoder.squared_error(test, x_hat).mean())


def lost_by_pca(z):
    """The same for z principal components."""
    train, test = digits()
    x_hat = autoencoder.pca(train, test, z)
    return float(autoencoder.squared_error(test, x_hat).mean())


def distances(seed, epochs=EPOCHS, z=10, n=1000):
    """{what was drawn: its mean distance to the nearest training digit}, and errors."""
    train, test = digits()
    model, other = trained(seed, z, epochs), trained_vae(seed, z, epochs)
    rng = np.random.default_rng([seed, 1])
    found = autoencoder.holes(model, test, train, n, rng)._asdict()
    pictures = {
        "VAE": vae.sample(other, n, rng).data,
        "VAE reconstructed": vae.reconstruct(other, test).data,
        "held out": test,
    }
    for name, x in pictures.items():
        found[name] = float(metrics.nearest(x, train).distance.mean())
    x_hat = pictures["VAE reconstructed"]
    found["lost"] = lost(model)
    found["lost by the VAE"] = float(autoencoder.squared_error(test, x_hat).mean())
    return found


def picture(seed=0, epochs=EPOCHS, z=10, n=1000):
    """Figures: what random codes draw, theirs and a VAE's, and all the distances."""
    train, test = digits()
    model, other = trained(seed, z, epochs), trained_vae(seed, z, epochs)
    rng = np.random.default_rng([seed, 2])
    drawn = {
        "held-out digits": test,
        "reconstructed": autoencoder.reconstruct(model, test).data,
        "random codes, fitted Gaussian": autoencoder.sample(
            model, test, n, "fitted", rng
        ).data,
        "random codes, box": autoencoder.sample(model, test, n, "box", rng).data,
        "random codes of a VAE": vae.sample(other, n, rng).data,
    }
    away = {name: metrics.nearest(x, train).distance for name, x in drawn.items()}
    rows = {
        name.replace(", ", ",\n").replace("codes of", "codes\nof"): x
        for name, x in drawn.items()
    }
    rows = {name: x[:10].reshape(-1, 8, 8) for name, x in rows.items()}
    return {"rows": plot.rows(rows), "distances": plot.holes(away)}


def rows(seeds, epochs=EPOCHS):
    """The figures of all seeds, as common.save takes them."""
    with common.clock() as seconds:
        plane = [lost(trained(seed, 2, epochs)) for seed in seeds]
        found = [distances(seed, epochs) for seed in seeds]
    kept = dict(
        run=f"auto-encoder, digits, 64-128-z, {EPOCHS} epochs",
        seeds=seeds,
        seconds=seconds[0] / len(seeds),
        command="python tests/benchmarks/quality/autoencoder.py --seeds "
        + " ".join(map(str, seeds)),
    )

    def row(figure, values, bar=""):
        return dict(kept, figure=figure, bar=bar, values=values)

    yield row("squared error, z = 2", plane, f"at most {lost_by_pca(2):.2f}, PCA's")
    ten = [f["lost"] for f in found]
    yield row("squared error, z = 10", ten, f"at most {lost_by_pca(10):.2f}, PCA's")
    yield row("squared error of a VAE, z = 10", [f["lost by the VAE"] for f in found])
    names = {
        "held out": "a test digit",
        "reconstructed": "a reconstruction",
        "fitted": "codes from a fitted Gaussian",
        "box": "codes from their box",
        "normal": "codes from N(0, I)",
        "VAE": "a VAE's codes from N(0, I)",
    }
    for key, name in names.items():
        values = [f[key] for f in found]
        yield row(f"distance to the nearest digit, z = 10: {name}", values)


def main(argv=None):
    asked = common.arguments(__doc__, argv)
    found = list(rows(asked.seeds, 10 if asked.quick else EPOCHS))
    for row in found:
        values = ", ".join(f"{x:.2f}" for x in row["values"])
        print(f"{row['figure']}: {values} {row['bar']}")
    if not asked.quick:
        common.save("autoencoder", found)
        for name, figure in picture().items():
            plot.save(figure, SHEETS / f"autoencoder-digits-{name}.png")


if __name__ == "__main__":
    main()
