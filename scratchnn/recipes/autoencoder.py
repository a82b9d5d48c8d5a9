"""`scratchnn train autoencoder`: the defaults and pictures around autoencoder.py."""

import numpy as np

from .. import metrics, optim, plot
from ..models import autoencoder
from ..models.gaussians import principal
from . import OptionError, choice, load, whole, widths

UNIT = "lost per picture"
LOSS = "the loss is what a picture loses on its way through the code: less is better"
PICTURES = ("samples.png", "reconstructions.png", "latent.png", "holes.png")

_MODEL = dict(net="mlp", z=10, error="squared", channels=[16, 32])
_LARGE = dict(
    shape=[28, 28], epochs=10, batch=128, lr=1e-3, hidden=[512, 128], **_MODEL
)  # fmt: skip

DATA = {
    "digits": dict(shape=[8, 8], epochs=200, batch=64, lr=1e-3, hidden=[128], **_MODEL),
    "mnist": _LARGE,
    "fashion_mnist": _LARGE,
}

OPTIONS = {
    "net": (choice("mlp", "conv"), "mlp, or conv for convolutional networks"),
    "hidden": (widths, "of the mlp: widths of the encoder's layers, such as 128,64"),
    "channels": (widths, "of conv: channels after each halving, such as 16,32"),
    "z": (whole, "length of the code"),
    "error": (choice("squared", "bce"), "squared, or bce for pixels as probabilities"),
}

SAMPLE = {
    "codes": (
        choice(*autoencoder.CODES),
        "random codes: box, anywhere among those of pictures; fitted, from a Gaussian "
        "like them; normal, from N(0, I)",
    ),
}


def build(config, rng):
    """The model and its optimizer."""
    options = config["z"], config["error"], rng
    if config["net"] == "conv":
        try:
            make = autoencoder.ConvAutoEncoder
            model = make(config["shape"], config["channels"], *options)
        except ValueError as error:
            raise OptionError(f"--channels: {error}") from None
    else:
        x_dim = int(np.prod(config["shape"]))
        model = autoencoder.AutoEncoder(x_dim, config["hidden"], *options)
    return model, optim.Adam(model.parameters(), lr=config["lr"])


def train(model, optimizer, batches, config, rng):
    """The loss of each step."""
    return autoencoder.train(model, map(_flat, batches), optimizer)


def losses(model, batch, config, rng):
    """The loss of a batch of held-out pictures."""
    return autoencoder.Loss(model.loss(_flat(batch)).mean())


def words(loss, config):
    """The loss in a sentence."""
    kind = "squared error" if config["error"] == "squared" else "nats"
    return f"{loss.loss:.2f} {kind} per picture that went through {_numbers(config)}"


def _numbers(config):
    return "1 number" if config["z"] == 1 else f"{config['z']} numbers"


def sample(model, config, n, rng, codes="box"):
    """A sheet of n pictures drawn from random codes: mostly no digits at all."""
    x = _flat(load(config["data"])[1])
    return plot.samples(_pictures(autoencoder.sample(model, x, n, codes, rng), config))


def snapshot(model, config, rng):
    """50 held-out pictures, each over what comes back of it."""
    x = _flat(load(config["data"])[1])[:50]
    x_hat = autoencoder.reconstruct(model, x).numpy()
    pairs = np.stack([x.reshape(5, 10, -1), x_hat.reshape(5, 10, -1)], axis=1)
    return np.clip(_pictures(pairs, config), 0, 1)


def figures(model, config, test, rng):
    """Random codes, reconstructions beside PCA's, the codes, and holes among them."""
    yield sample(model, config, 100, rng)
    train, x = _flat(load(config["data"])[0]), _flat(test)
    yield _reconstructions(model, config, train, x, test.y)
    yield _latent(model, config, x[:1000], test.y[:1000])
    yield _holes(model, config, train, x[:1000], rng)


def _reconstructions(model, config, train, x, y):
    """One picture of each class, and what the model and PCA make of it."""
    one_each = np.unique(y, return_index=True)[1]
    q = min(config["z"], x.shape[1])
    ways = {
        "original": x,
        "auto-encoder": autoencoder.reconstruct(model, x).numpy(),
        f"PCA, {_numbers(config)}": autoencoder.pca(train, x, q),
    }
    rows = {}
    for name, x_hat in ways.items():
        error = autoencoder.squared_error(x, x_hat).mean()
        label = f"{name}\nloses {error:.2f}" if rows else name
        rows[label] = _pictures(x_hat[one_each], config)
    return plot.rows(rows)


def _latent(model, config, x, y):
    """A plane of codes: where pictures go, and what each place shows.

    It goes through the mean of the codes, along their two principal directions; codes
    of two numbers have no other plane, and are drawn as they are.
    """
    z = model.encode(x).numpy()
    mu, _, U = principal(z)
    U, names = U[:, :2], ("\\mathrm{first\\ direction}", "\\mathrm{second}")
    if config["z"] <= 2:
        mu, U, names = 0 * mu, np.eye(config["z"]), ("z_1", "z_2")
    at = np.zeros((len(z), 2))
    at[:, : U.shape[1]] = (z - mu) @ U  # one number: all on a line
    extent, side = 1.05 * np.abs(at).max(), 15
    t = extent * (np.arange(side) * 2 + 1 - side) / side
    places = np.stack(np.meshgrid(t, -t), axis=-1).reshape(-1, 2)  # (side^2, 2)
    codes = mu + places[:, : U.shape[1]] @ U.T
    grid = _pictures(model.decode(codes.astype(z.dtype)), config)
    grid = grid.numpy().reshape(side, side, *config["shape"])
    return plot.latent_map(at, y, grid, extent, names)


def _holes(model, config, train, x, rng):
    """Distances to the nearest training picture, and for two numbers a map of them."""
    n = 1000
    drawn = {
        "held-out pictures": x,
        "reconstructed": autoencoder.reconstruct(model, x).numpy(),
        "codes from a fitted Gaussian": "fitted",
        "codes from the box": "box",
        "codes from N(0, I)": "normal",
    }
    for name, y in drawn.items():
        if isinstance(y, str):
            y = autoencoder.sample(model, x, n, y, rng).numpy()
        drawn[name] = metrics.nearest(y, train).distance
    return plot.holes(drawn, _plane(model, train, x) if config["z"] == 2 else None)


def _plane(model, train, x, side=60):
    """How far from any training picture each code of two numbers is drawn."""
    z = model.encode(x).numpy()
    low, high = z.min(axis=0), z.max(axis=0)
    low, high = low - 0.15 * (high - low), high + 0.15 * (high - low)
    t = (np.arange(side) + 0.5) / side
    u = np.stack(np.meshgrid(t, 1 - t), axis=-1).reshape(-1, 2)
    places = (low + u * (high - low)).astype(z.dtype)
    found = metrics.nearest(model.decode(places).numpy(), train).distance
    return found.reshape(side, side), low, high, z


def _flat(batch):
    """The pictures (N, H, W) of a batch (x, y) as rows (N, H W)."""
    return batch[0].reshape(len(batch[0]), -1)


def _pictures(x, config):
    """Rows (..., H W), array or Tensor, as pictures (N, H, W)."""
    return x.reshape(-1, *config["shape"])
