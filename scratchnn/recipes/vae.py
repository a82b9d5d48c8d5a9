"""`scratchnn train vae`: the defaults, words and pictures around models/vae.py."""

import numpy as np

from .. import data, optim, plot
from ..models import vae
from . import choice, positive, whole, widths

UNIT = "nats per image"
LOSS = "the loss is what it takes to describe a picture, in nats: less is better"
PICTURES = ("samples.png", "reconstructions.png", "latent.png")

_PLANE = dict(hidden=[128, 64], z=2, beta=1.0, likelihood="bernoulli", C=10.0)
_USUAL = dict(hidden=[400], z=20, beta=1.0, likelihood="bernoulli", C=10.0)

DATA = {
    "digits": dict(shape=[8, 8], epochs=80, batch=32, lr=2e-3, **_PLANE),
    "mnist": dict(shape=[28, 28], epochs=10, batch=128, lr=1e-3, **_USUAL),
    "fashion_mnist": dict(shape=[28, 28], epochs=10, batch=128, lr=1e-3, **_USUAL),
}

OPTIONS = {
    "hidden": (widths, "widths of the encoder's layers, such as 128,64"),
    "z": (whole, "length of the code; 2 draws a map of all codes"),
    "beta": (positive, "weight of the KL in the loss"),
    "likelihood": (choice("bernoulli", "gaussian"), "bernoulli or gaussian pixels"),
    "C": (positive, "1 / (2 sigma^2) of the Gaussian likelihood"),
}


def load(name):
    """The training and the held-out pictures of a data set."""
    return data.load(name, "train"), data.load(name, "test")


def build(config, rng):
    """The model and its optimizer."""
    x_dim = int(np.prod(config["shape"]))
    names = ("hidden", "z", "likelihood", "C")
    model = vae.VAE(x_dim, *(config[name] for name in names), rng=rng)
    return model, optim.Adam(model.parameters(), lr=config["lr"])


def train(model, optimizer, batches, config, rng):
    """The losses of each step."""
    return vae.train(model, map(_flat, batches), optimizer, config["beta"], rng)


def losses(model, batch, config, rng):
    """The losses of a batch of held-out pictures."""
    return vae.negative_elbo(model, _flat(batch), config["beta"], rng)


def words(loss, config):
    """The losses in a sentence."""
    weight = "" if config["beta"] == 1 else f"{config['beta']:g} x "
    below = " (a density: can be below 0)" if config["likelihood"] == "gaussian" else ""
    return (
        f"{loss.loss:.1f} nats per image = {loss.reconstruction:.1f} to describe the "
        f"picture given its code{below} + {weight}{loss.kl:.1f} to describe the code"
    )


def sample(model, config, n, rng):
    """A sheet of n new pictures."""
    return plot.images(_pictures(vae.sample(model, n, rng), config))


def figures(model, config, test, rng):
    """Samples, reconstructions of one picture of each class, and the codes."""
    yield sample(model, config, 100, rng)
    one_each = np.unique(test.y, return_index=True)[1]
    x = _flat(test)[one_each]
    x_hat = _pictures(vae.reconstruct(model, x), config)
    name = f"from {config['z']} numbers"
    yield plot.reconstructions(_pictures(x, config), x_hat, name)
    draw = _map if config["z"] == 2 else _traversal
    yield draw(model, config, _flat(test)[:1000], test.y[:1000])


def _map(model, config, x, y):
    """Both coordinates of the code: where pictures go, and what each place shows."""
    mu, _ = model.encode(x)
    edge, side = 3.0, 15
    z = edge * (np.arange(side, dtype=np.float32) * 2 + 1 - side) / side
    places = np.stack(np.meshgrid(z, -z), axis=-1).reshape(-1, 2)  # (side^2, 2)
    grid = _pictures(model.decode(places), config)
    grid = grid.reshape(side, side, *config["shape"])
    return plot.latent_map(mu.numpy(), y, grid, edge)


def _traversal(model, config, x, y):
    """What the (at most) 8 busiest coordinates of the code do to one picture."""
    activity = vae.activity(model, x).numpy()
    busiest = np.argsort(-activity)[:8]
    values = np.linspace(-3, 3, 9, dtype=np.float32)
    code = model.encode(x[:1])[0].numpy()
    z = np.tile(code, (len(busiest), len(values), 1))  # (K, V, z_dim)
    for row, j in enumerate(busiest):
        z[row, :, j] = values
    rows = _pictures(model.decode(z.reshape(-1, z.shape[-1])), config)
    rows = rows.reshape(len(busiest), len(values), *config["shape"])
    names = [f"$z_{{{j + 1}}}$: {activity[j]:.1f}" for j in busiest]
    return plot.traversal(rows, values, names)


def _flat(batch):
    """The pictures (N, H, W) of a batch (x, y) as rows (N, H W)."""
    return batch[0].reshape(len(batch[0]), -1)


def _pictures(x, config):
    """Rows (N, H W), array or Tensor, as pictures (N, H, W) in an array."""
    return x.reshape(-1, *config["shape"])
