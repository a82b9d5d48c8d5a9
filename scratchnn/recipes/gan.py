"""`scratchnn train gan`: the defaults, words and pictures around models/gan.py."""

from typing import NamedTuple

import numpy as np

from .. import data, metrics, optim, plot
from ..device import beside
from ..models import gan, gan_networks
from . import OptionError, choice, load, positive, share, switch, weight, whole, widths

UNIT = ""
LOSS = (
    "two losses, of the two players: they don't fall when all is well. Where D can't "
    "tell samples from data, D's rests at 1.386 and G's at 0.693"
)
PICTURES = ("samples.png", "discriminator.png")

GAME = dict(
    loss="non_saturating", k=None, r1=0.0, pack=1, optimizer="adam", beta1=0.5,
    lr_d=None, ema=0.0, decay=False, conditional=False,
)  # fmt: skip
# What finds all modes: noise of 2 numbers, a D as fast as G, beta1 of 0.5, rates that
# fall to 0, a short average of G. With --loss minimax --z 64 --lr 1e-3 --lr-d 1e-4
# --decay off --ema 0 all samples crowd at one place, which hops from mode to mode.
_POINTS = dict(
    shape=[2], batch=256, lr=4e-3, z=2, hidden=[128, 128], spectral=False,
    **GAME | dict(decay=True, ema=0.99),
)  # fmt: skip
_PICTURES = dict(z=64, spectral=False, **GAME | dict(decay=True))
_MNIST = dict(
    shape=[28, 28], epochs=20, batch=128, lr=2e-4, hidden=[512, 512], **_PICTURES
)

DATA = {
    "digits": dict(
        shape=[8, 8], epochs=160, batch=64, lr=1e-3, hidden=[256, 256],
        **_PICTURES | dict(r1=0.1, ema=0.99),
    ),
    "ring": dict(steps=6000, **_POINTS),
    "grid": dict(steps=8000, **_POINTS | dict(batch=512, lr=3e-3)),
    "moons": dict(steps=3000, **_POINTS),
    "mnist": _MNIST,
    "fashion_mnist": _MNIST,
}

GAME_OPTIONS = {
    "loss": (
        choice(*gan.GAMES),
        f"{', '.join(gan.GAMES)}; what G descends, and D climbs",
    ),
    "k": (whole, "steps of D for one of G; 5 for wgan_gp, else 1"),
    "r1": (weight, "weight of R1, a penalty on D's slope at data, against collapse"),
    "pack": (whole, "samples that D judges at once (PacGAN), against collapse"),
    "optimizer": (
        choice("adam", "sgd"),
        "adam; or sgd with momentum, as in the paper, which needs a larger --lr: 0.1",
    ),
    "lr_d": (positive, "learning rate of D; that of G, --lr, if not given"),
    "beta1": (share, "of adam, or momentum of sgd"),
    "ema": (share, "draw with an average of G's weights; 0.999 forgets slowly; 0: off"),
    "decay": (switch, "on: the learning rates fall to 0, along half a cosine"),
    "conditional": (switch, "on: G draws the class that it is asked for"),
    "z": (whole, "length of the noise"),
}
OPTIONS = {
    "hidden": (widths, "widths of both networks' layers, such as 128,128"),
    "spectral": (switch, "on: D with spectral normalisation"),
    **GAME_OPTIONS,
}
SAMPLE = {
    "label": (
        lambda text: whole(text, least=0),
        "the class to draw, for a run with --conditional on",
    )
}

_MODES = {"ring": (data.ring_centres, 0.02), "grid": (data.grid_centres, 0.05)}
_CLASSES = {"ring": 8, "grid": 25, "moons": 2}


def build(config, rng):
    """The pair, its two optimizers, and G's averages if they are asked for."""
    x_dim = int(np.prod(config["shape"]))
    names = ("z", "hidden")
    model = gan_networks.mlp(
        x_dim, *(config[name] for name in names), bounded=_is_picture(config),
        classes=classes(config), pack=config["pack"], spectral=config["spectral"],
        rng=rng,
    )  # fmt: skip
    return model, optimizers(model, config)


def classes(config):
    """How many labels the pair knows: 0 unless it is conditional."""
    return _CLASSES.get(config["data"], 10) if config["conditional"] else 0


def optimizers(model, config):
    """{"G", "D"}, "ema" and schedules if they are asked for. Raises OptionError."""
    if config["pack"] > config["batch"]:
        raise OptionError(
            f"--pack {config['pack']} needs a --batch of at least {config['pack']}, "
            f"not {config['batch']}"
        )
    for name in ("beta1", "ema"):
        if config[name] == 1:
            raise OptionError(f"--{name} must be below 1, such as 0.5 or 0.999")
    made = {}
    rates = {"G": config["lr"], "D": config["lr_d"] or config["lr"]}
    for name, lr in rates.items():
        parameters, beta1 = getattr(model, name).parameters(), config["beta1"]
        if config["optimizer"] == "sgd":
            made[name] = optim.SGD(parameters, lr, momentum=beta1)
        else:
            beta2 = 0.9 if config["loss"] == "wgan_gp" else 0.999
            made[name] = optim.Adam(parameters, lr, (beta1, beta2))
    if config["decay"]:
        for name in ("G", "D"):
            made[f"lr_{name}"] = optim.CosineAnnealingLR(made[name], _length(config))
    if config["ema"]:
        made["ema"] = optim.EMA(model.G, config["ema"])
    return made


def _length(config):
    """The steps of the whole run."""
    if config["steps"]:
        return config["steps"]
    loads = -(-len(load(config["data"])[0].x) // config["batch"])
    return config["epochs"] * -(-loads // batches(config))


def batches(config):
    """How many batches an iteration of Algorithm 1 takes: k."""
    return config["k"] or (5 if config["loss"] == "wgan_gp" else 1)


class Covered(NamedTuple):
    """A gan.Step; modes with samples, and the share of samples near a mode."""

    loss: float
    generator: float
    value: float
    on_real: float
    on_fake: float
    modes: float
    high_quality: float


def train(model, optimizers, batches_, config, rng):
    """The numbers of each iteration; of ring and grid also the modes of 250 samples."""
    ready = (_ready(batch, config) for batch in batches_)
    how = config["loss"], batches(config), config["r1"], rng, optimizers.get("ema")
    schedules = [optimizers[k] for k in ("lr_G", "lr_D") if k in optimizers]
    for step in gan.train(model, ready, optimizers, *how):
        for schedule in schedules:
            schedule.step()
        yield _covered(model, config, step, 250)


def losses(model, batch, config, rng):
    """The same for a batch of held-out data, with modes by 2,500 samples."""
    x, y = _ready(batch, config)
    y = y if model.classes else None
    step = gan.evaluate(model, x, config["loss"], y, rng)
    return _covered(model, config, step, 2500)


def _covered(model, config, step, n):
    if config["data"] not in _MODES:
        return step
    centres, sigma = _MODES[config["data"]]
    x = gan.sample(model, n, rng=np.random.default_rng(0))
    found = metrics.modes(x, centres(), sigma)
    return Covered(*step, found.covered, found.high_quality)


def words(loss, config):
    """The numbers in a sentence."""
    kind = config["loss"]
    if kind == "wgan_gp":
        text = (
            f"D rates data {loss.value:.3g} above samples, about the distance by which "
            "samples must move; 0 if it can't tell"
        )
    elif kind == "least_squares":
        text = (
            f"D's loss {loss.loss:.3f} and G's {loss.generator:.3f}; where D can't "
            f"tell they rest at 0.250 and 0.125. D's marks, 1 for real: data "
            f"{loss.on_real:.2f}, samples {loss.on_fake:.2f}"
        )
    else:
        rest = "-0.693" if kind == "minimax" else "0.693"
        text = (
            f"D's loss {loss.loss:.3f} and G's {loss.generator:.3f}; where D can't "
            f"tell they rest at 1.386 and {rest}. D takes data for real at "
            f"{100 * loss.on_real:.0f} %, samples at {100 * loss.on_fake:.0f} %"
        )
    if config["data"] in _MODES:
        k = len(_MODES[config["data"]][0]())
        text += (
            f"; samples at {loss.modes:.0f} of {k} modes, "
            f"{100 * loss.high_quality:.0f} % within 3 sigma of one"
        )
    return text


# ---- samples --------------------------------------------------------------------
def sample(model, config, n, rng, label=None):
    """A sheet, or a cloud, of n new samples."""
    y = None
    if label is not None:
        k = model.classes
        if not k:
            raise OptionError(
                "--label needs a run that knows labels; train one with --conditional on"
            )
        if label >= k:
            raise OptionError(f"--label {label}: the classes are 0 to {k - 1}")
        y = np.full(n, label)
    points = None if _is_picture(config) else load(config["data"])[1].x
    return plot.samples(draw(model, config, n, rng, y), points)


def draw(model, config, n, rng, y=None):
    """n samples in an array: pictures (n, H, W) in [0, 1], or points (n, 2)."""
    y = y if y is None else beside(y, model.G.parameters()[0])
    x = gan.sample(model, n, y, rng).reshape(n, *config["shape"])
    return (x.data + 1) / 2 if _is_picture(config) else x.data


def snapshot(model, config, rng):
    """Samples from the same noise each time."""
    return draw(model, config, 100 if _is_picture(config) else 1000, rng)


# ---- pictures -------------------------------------------------------------------
def figures(model, config, test, rng):
    """Samples, and what D says: to each place of the plane, or to pictures."""
    if _is_picture(config):
        yield sample(model, config, 100, rng)
        yield _answers(model, config, test, rng)
    else:
        x = draw(model, config, 2500, rng)
        yield plot.samples(x, test.x)
        yield _heat(model, config, test.x, x[:500], rng)


def _scale(config):
    """How D's logits are shown: (a function of them, its name, its limits)."""
    if config["loss"] in ("minimax", "non_saturating"):
        return lambda a: 1 / (1 + np.exp(-a)), "D(x)", (0, 1)
    return lambda a: a, "D(x), without scale", None


def _heat(model, config, x, samples, rng):
    extent, side = 1.25 * float(abs(x).max()), 120
    line = np.linspace(-extent, extent, side, dtype=np.float32)
    places = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)  # (side^2, 2)
    m, logits = model.pack, []
    for label in range(max(model.classes, 1)):
        packs = x[rng.integers(len(x), size=(len(places), m))]  # (side^2, m, 2)
        packs[:, 0] = places  # the others in a pack are data
        y = np.full(m * len(places), label) if model.classes else None
        logits.append(model.judge(packs.reshape(-1, 2), y).numpy())
    show, name, limits = _scale(config)
    D = show(np.max(logits, axis=0)).reshape(side, side)
    limits = limits or (float(D.min()), float(D.max()))
    return plot.heat(D, extent, x[:1000], samples, name, limits)


def _answers(model, config, test, rng):
    n, m = 600 // model.pack * model.pack, model.pack
    rows = rng.integers(len(test.x), size=n)
    x, y = _ready((test.x[rows], test.y[rows]), config)
    y = y if model.classes else None
    fakes = gan.sample(model, n, y, rng)
    show, name, _ = _scale(config)
    real, fake = (show(model.judge(a, y).numpy()) for a in (x, fakes))
    order = np.argsort(-fake) * m  # of each pack the first
    pictures = (fakes.numpy().reshape(n, *config["shape"]) + 1) / 2
    first, last = pictures[order[:20]], pictures[order[: -21 : -1]]
    return plot.answers(real, fake, first, last, name)


# ---- data -----------------------------------------------------------------------
def _is_picture(config):
    return config["shape"] != [2]


def _ready(batch, config):
    """(x, y) of a batch as the networks take them, of a length that packs divide."""
    x, y = batch
    m = config["pack"]
    rows = np.arange(max(len(x) // m, 1) * m) % len(x)
    if len(rows) != len(x):
        rows = beside(rows, x)
        x, y = x[rows], y[rows]
    if _is_picture(config):
        x = 2 * x - 1  # from [0, 1] to tanh's [-1, 1]
        is_map = "channels" in config  # for convolutions
        x = x.reshape(len(x), 1, *x.shape[1:]) if is_map else x.reshape(len(x), -1)
    return x, y
