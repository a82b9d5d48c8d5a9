"""`scratchnn train vae`: the defaults, words and pictures around models/vae.py."""

from statistics import NormalDist

import numpy as np

from .. import metrics, optim, plot
from ..device import beside
from ..models import conv_vae, regularity, vae
from . import OptionError, choice, load, positive, switch, weight, whole, widths

UNIT = "nats per image"
LOSS = "the loss is what it takes to describe a picture, in nats: less is better"
PICTURES = (
    "samples.png", "reconstructions.png", "latent.png", "continuity.png",
    "completeness.png",
)  # fmt: skip
CLASSES = 10  # of each data set below
PICTURES_IN = {"digits": 1437, "mnist": 60_000, "fashion_mnist": 60_000}

_COMMON = dict(
    net="mlp", channels=[32, 32], likelihood="bernoulli", C=10.0, beta=1.0,
    free_bits=0.0, k=1, conditional=False, binarise=False,
)  # fmt: skip
_PLANE = dict(hidden=[128, 64], z=2, **_COMMON)
_USUAL = dict(hidden=[400], z=20, **_COMMON)

DATA = {
    "digits": dict(shape=[8, 8], epochs=80, batch=32, lr=2e-3, **_PLANE),
    "mnist": dict(shape=[28, 28], epochs=10, batch=128, lr=1e-3, **_USUAL),
    "fashion_mnist": dict(shape=[28, 28], epochs=10, batch=128, lr=1e-3, **_USUAL),
}

OPTIONS = {
    "net": (choice("mlp", "conv"), "mlp, or conv for convolutional networks"),
    "channels": (widths, "of the conv net's layers, each of which halves the picture"),
    "hidden": (widths, "widths of the encoder's layers, such as 128,64"),
    "z": (whole, "length of the code; 2 draws a map of all codes"),
    "likelihood": (
        choice(*vae.LIKELIHOODS),
        "bernoulli pixels; or gaussian ones, with a C that is given, or learnt for all "
        "pixels (gaussian_learnt) or for each (gaussian_pixel)",
    ),
    "C": (positive, "1 / (2 sigma^2) of the Gaussian likelihood"),
    "beta": (positive, "weight of the KL in the loss"),
    "free_bits": (weight, "nats of KL that each coordinate has for nothing"),
    "k": (whole, "draws of the IWAE bound; 1 is the ELBO"),
    "conditional": (switch, "on: encoder and decoder are told the class"),
    "binarise": (switch, "on: black and white pixels, drawn anew from the grey ones"),
}

SAMPLE = {
    "label": (
        lambda text: whole(text, least=0, most=CLASSES - 1),
        "the class to draw, if it was trained with --conditional on; all in turn",
    )
}


def build(config, rng):
    """The model and its optimizer."""
    if config["k"] > 1 and (config["beta"] != 1 or config["free_bits"]):
        raise OptionError(
            f"--k {config['k']} trains on the bound of {config['k']} draws, which has "
            "no --beta and no --free-bits; leave those out, or --k"
        )
    networks = None
    if config["net"] == "conv":
        networks = _convolutional(config)
    x_dim = int(np.prod(config["shape"]))
    names = ("hidden", "z", "likelihood", "C")
    classes = CLASSES if config["conditional"] else 0
    values = (config[name] for name in names)
    model = vae.VAE(x_dim, *values, rng=rng, classes=classes, networks=networks)
    return model, optim.Adam(model.parameters(), lr=config["lr"])


def _convolutional(config):
    """The networks of --net conv, if they fit the pictures and the batches."""
    batch = config["batch"]
    if batch == 1 or PICTURES_IN[config["data"]] % batch == 1:
        raise OptionError(
            f"--batch {batch} makes a batch of one picture, and --net conv normalises "
            f"over the batch; take --batch {batch + 1}"
        )
    try:
        return conv_vae.networks(config["shape"], config["channels"])
    except ValueError as error:
        raise OptionError(f"--channels: {error}") from None


def train(model, optimizer, batches, config, rng):
    """The losses of each step."""
    batches = (_inputs(batch, config, rng) for batch in batches)
    options = (config[name] for name in ("free_bits", "k"))
    return vae.train(model, batches, optimizer, config["beta"], rng, *options)


def losses(model, batch, config, rng):
    """The losses of a batch of held-out pictures, where no bits are free.

    They are binarised by the same noise each time.
    """
    x, y = _inputs(batch, config, rng)
    if config["k"] > 1:
        return vae.negative_iwae(model, x, config["k"], rng, y)
    return vae.negative_elbo(model, x, config["beta"], rng, y)


def words(loss, config):
    """The losses in a sentence."""
    weight = "" if config["beta"] == 1 else f"{config['beta']:g} x "
    density = config["likelihood"] != "bernoulli"
    below = " (a density: can be below 0)" if density else ""
    parts = (
        f"{loss.reconstruction:.1f} to describe the picture given its code{below} + "
        f"{weight}{loss.kl:.1f} to describe the code"
    )
    if config["k"] == 1:
        return f"{loss.loss:.1f} nats per image = {parts}"
    k = config["k"]
    bound = f"by the bound of {k} draws; by one draw"
    return f"{loss.loss:.1f} nats per image {bound}: {parts}"


def sample(model, config, n, rng, label=None):
    """A sheet of n new pictures; of a conditional model the classes in turn."""
    if label is not None and not config["conditional"]:
        raise OptionError(
            f"--label {label}: this model knows no classes; train one by scratchnn "
            "train vae --conditional on"
        )
    y = np.arange(n) % CLASSES if label is None else np.full(n, label)
    return plot.images(_pictures(vae.sample(model, n, rng, _y(y, config)), config))


def snapshot(model, config, rng):
    """The decoded plane of codes, or 64 samples."""
    if config["z"] == 2 or config["conditional"]:
        return _grid(model, config, rng, 10)[0].reshape(-1, *config["shape"])
    return _pictures(vae.sample(model, 64, rng), config)


def figures(model, config, test, rng):
    """Samples, reconstructions of one picture of each class, the codes; how regular."""
    yield sample(model, config, 100, rng)
    x, y = _inputs(test, config, rng)
    one_each = np.unique(test.y, return_index=True)[1]
    some = (a if a is None else a[one_each] for a in (x, y))
    x_hat = _pictures(vae.reconstruct(model, *some), config)
    name = f"from {config['z']} numbers"
    yield plot.reconstructions(_pictures(x[one_each], config), x_hat, name)
    draw = _map if config["z"] == 2 and not config["conditional"] else _traversal
    yield draw(model, config, x[:1000], test.y[:1000])
    yield _continuity(model, config, x, test.y, rng)
    yield _completeness(model, config, test.x, _busiest(model, config, x, test.y), rng)


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
    activity = vae.activity(model, x, _y(y, config)).numpy()
    busiest = _busiest(model, config, x, y)[:8]
    values = np.linspace(-3, 3, 9, dtype=np.float32)
    code = model.encode(x[:1], _y(y[:1], config))[0].numpy()
    z = np.tile(code, (len(busiest), len(values), 1))  # (K, V, z_dim)
    for row, j in enumerate(busiest):
        z[row, :, j] = values
    z = z.reshape(-1, z.shape[-1])
    rows = _pictures(model.decode(z, _y(np.full(len(z), y[0]), config)), config)
    rows = rows.reshape(len(busiest), len(values), *config["shape"])
    names = [f"$z_{{{j + 1}}}$: {activity[j]:.1f}" for j in busiest]
    return plot.traversal(rows, values, names)


def _busiest(model, config, x, y):
    """The coordinates of the code by their KL, the largest first."""
    return np.argsort(-vae.activity(model, x[:1000], _y(y[:1000], config)).numpy())


# ---- how regular the space of codes is ------------------------------------------
def _continuity(model, config, x, y, rng, pairs=100, shown=3, n=10):
    """Lines between the codes of held-out pictures, drawn as the first one's class."""
    i = rng.permutation(len(x))[: 2 * pairs]
    mu = model.encode(x[i], _y(y[i], config))[0].numpy()
    z_0, z_1, labels = mu[::2], mu[1::2], y[i[::2]]

    def decode(z, labels=labels):
        return model.decode(z, _y(np.resize(labels, len(z)), config))

    measured = regularity.continuity(decode, z_0, z_1)
    steps = regularity.steps(decode, z_0, z_1).mean(axis=0)
    t = np.linspace(0, 1, n, dtype=np.float32)[:, None, None]  # (n, 1, 1)
    z = (z_0[:shown] + t * (z_1 - z_0)[:shown]).reshape(-1, mu.shape[1])
    paths = _pictures(decode(z, labels[:shown]), config).reshape(n, shown, -1)
    fades = paths[0] + t * (paths[-1] - paths[0])  # (n, shown, x_dim)
    shape = shown, n, *config["shape"]
    rows = (a.swapaxes(0, 1).reshape(shape) for a in (paths, fades))
    return plot.continuity(*rows, steps, measured)


def _completeness(model, config, held_out, axes, rng, n=1000, most=10_000):
    """All of the cloud decoded, and random codes beside the nearest real pictures."""
    axes = axes[:2] if config["z"] > 2 else (0, 1)
    grid, heading = _grid(model, config, rng, 12, axes)
    y = _y(np.arange(n) % CLASSES, config)
    samples = _pictures(vae.sample(model, n, rng, y), config)
    real = load(config["data"])[0].x[:most]
    rows = (a.reshape(len(a), -1) for a in (samples, real, held_out[:n]))
    measured = regularity.completeness(*rows)
    near = real[metrics.nearest(_flat(samples[:10]), _flat(real))[1]]
    return plot.completeness(grid, heading, samples[:10], near, measured)


def _grid(model, config, rng, side, axes=(0, 1)):
    """Decoded codes (R, side, H, W), and what they are.

    The coordinates `axes` at equal shares of the normal cloud, the others 0; or for a
    conditional model the same codes for each class.
    """
    if config["conditional"]:
        z = rng.standard_normal((side, config["z"])).astype(np.float32)
        codes = np.tile(z, (CLASSES, 1))
        y = np.repeat(np.arange(CLASSES), side)
        heading = "one code in each column, one class in each row"
    else:
        normal = NormalDist()
        z = [normal.inv_cdf((i + 0.5) / side) for i in range(side)]
        first, second = np.meshgrid(z, z[::-1])
        codes = np.zeros((side * side, config["z"]), np.float32)
        for axis, values in zip(axes, (first, second)):
            codes[:, axis % config["z"]] = values.ravel()
        y = None
        heading = "two coordinates at equal shares of the normal cloud"
        if config["z"] > 2:
            heading = heading.replace("two", "the two busiest").replace(" at", "\nat")
    grid = _pictures(model.decode(beside(codes, model.mu.weight), y), config)
    return grid.reshape(-1, side, *config["shape"]), heading


# ---- forms ----------------------------------------------------------------------
def _inputs(batch, config, rng):
    """A batch (x, y) as the model takes it: rows of pixels, and labels or None."""
    x = _flat(batch[0])
    if config["binarise"]:
        x = vae.binarise(x, rng)
    return x, _y(batch[1], config)


def _y(labels, config):
    """Labels for a conditional model, None for others."""
    return labels if config["conditional"] else None


def _flat(x):
    """Pictures (N, H, W) as rows (N, H W)."""
    return x.reshape(len(x), -1)


def _pictures(x, config):
    """Rows (N, H W), array or Tensor, as pictures (N, H, W) in an array."""
    x = x.numpy() if hasattr(x, "numpy") else x
    return x.reshape(-1, *config["shape"])
