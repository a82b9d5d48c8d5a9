"""`scratchnn train diffusion`: defaults, words and pictures around models/diffusion.py.

Points are divided by their deviation, pictures go from [0, 1] to [-1, 1]: the model
sees numbers about as large as the noise.
"""

import math
from argparse import ArgumentTypeError

import numpy as np

from .. import data, metrics, optim, plot
from ..models import diffusion, noise
from ..models.denoisers import MLPDenoiser
from ..models.unet import UNet
from . import OptionError, choice, load, share, switch, weight, whole

UNIT = "mean squared error"
LOSS = "the loss is how wrong the guessed noise is: 1 for guessing nothing, 0 for right"
PICTURES = ("samples.png", "chain.png", "steps.png", "guesses.png")

_COMMON = dict(schedule="linear", target="eps", guidance=0.0)
_POINTS = dict(
    shape=[2], steps=6000, batch=256, lr=4e-3, T=200, sampling=200, width=128, depth=3,
    conditional=False, ema=0.999, **_COMMON,
)  # fmt: skip
_PICTURES = dict(T=1000, sampling=100, depth=1, conditional=True, **_COMMON)
_DIGITS = dict(steps=2500, batch=64, lr=2e-3, width=16, ema=0.995, **_PICTURES)
_MNIST = dict(steps=7500, batch=64, lr=2e-3, width=16, ema=0.999, **_PICTURES)
_MNIST |= {"guidance": 0.3}  # Fréchet distance 0.41 for 0.72 in 20 steps, eta = 0

DATA = {
    "digits": dict(shape=[8, 8], **_DIGITS),
    "mnist": dict(shape=[28, 28], **_MNIST),
    "fashion_mnist": dict(shape=[28, 28], **_MNIST),
    **{name: _POINTS for name, entry in data.DATASETS.items() if entry.kind == "2-D"},
}
CLASSES = {
    "moons": 2, "circles": 2, "spirals": 2, "swiss_roll": 3, "checkerboard": 8,
    "ring": 8, "grid": 25,
}  # fmt: skip
# sqrt(E x^2) of a coordinate, from the definitions in data/toy.py.
DEVIATIONS = {
    "moons": 0.81, "circles": 0.56, "spirals": 0.43, "swiss_roll": 0.49,
    "checkerboard": 2.31, "ring": 1.41, "grid": 2.83,
}  # fmt: skip


def _decay(text):
    """A number from 0, but below 1."""
    number = share(text)
    if number == 1:
        raise ArgumentTypeError("expected a number below 1, got '1'")
    return number


OPTIONS = {
    "T": (whole, "steps from data to noise"),
    "schedule": (choice(*noise.SCHEDULES), "linear or cosine: when the noise comes"),
    "target": (choice(*diffusion.TARGETS), "guessed is eps (the noise), x_0 or v"),
    "width": (whole, "width of the network"),
    "depth": (whole, "its layers, for points; its blocks at each size, for pictures"),
    "conditional": (switch, "on: the network learns labels, to be asked for"),
    "ema": (_decay, "decay of the averaged weights; 0 takes the last ones"),
    "sampling": (whole, "steps from noise to samples; T is the paper's sampler"),
    "guidance": (weight, "w: how much more like its label than the data; 0, as they"),
}
SAMPLE = {
    "label": (lambda text: whole(text, least=0), "samples of this class only"),
    "steps": (whole, "steps from noise to samples, at most T"),
    "eta": (share, "noise on the way: 0 none (DDIM), 1 as much as the paper"),
    "guidance": OPTIONS["guidance"],
}


def build(config, rng):
    """The model, its optimizer, the optimizer's schedule and the averaged weights."""
    if config["sampling"] > config["T"]:
        raise OptionError(
            f"--sampling {config['sampling']} is more steps than --T {config['T']}; "
            f"type --sampling {config['T']} or less"
        )
    if config["guidance"] and not config["conditional"]:
        raise OptionError("--guidance needs labels to guide to; add --conditional on")
    classes = _classes(config) if config["conditional"] else None
    T, width, depth = config["T"], config["width"], config["depth"]
    if len(config["shape"]) == 1:
        shape = tuple(config["shape"])
        network = MLPDenoiser(*shape, width, depth, T, classes, rng=rng)
    else:
        shape = (1, *config["shape"])
        sizes = (1, 2) if shape[1] < 16 else (1, 2, 4)
        network = UNet(1, width, sizes, depth, T=T, classes=classes, rng=rng)
    schedule = noise.SCHEDULES[config["schedule"]](T)
    model = diffusion.Diffusion(network, schedule, shape, config["target"])
    adam = optim.Adam(model.parameters(), lr=config["lr"])
    total = _total(config)
    decay = optim.LambdaLR(adam, lambda t: (1 + math.cos(math.pi * t / total)) / 2)
    ema = optim.EMA(model, config["ema"])
    return model, {"adam": adam, "lr": decay, "ema": ema}


def _total(config):
    """The number of training steps."""
    if config.get("steps"):
        return config["steps"]
    n = len(load(config["data"])[0].x)
    return config["epochs"] * math.ceil(n / config["batch"])


def _classes(config):
    return CLASSES.get(config["data"], 10)


def train(model, optimizers, batches, config, rng):
    """The loss of each step, with the learning rate falling to 0 at the end."""
    batches = (_numbers(batch, config) for batch in batches)
    adam, lr, ema = (optimizers[name] for name in ("adam", "lr", "ema"))
    ema.decay = _decay_at(lr.t, config)
    for loss in diffusion.train(model, batches, adam, ema, rng=rng):
        lr.step()
        ema.decay = _decay_at(lr.t, config)
        yield loss


def _decay_at(t, config):
    """The decay of the average, less at first, when the weights mean nothing yet."""
    return min(config["ema"], (1 + t) / (10 + t))


def losses(model, batch, config, rng):
    """The loss of a batch of held-out samples, with their labels."""
    return diffusion.Loss(diffusion.l_simple(model, *_numbers(batch, config), 0.0, rng))


def words(loss, config):
    """The loss in a sentence."""
    what = {"eps": "noise", "x_0": "data", "v": "mixture v of noise and data"}
    return (
        f"{loss.loss:.3f} mean squared error of the guessed {what[config['target']]}, "
        f"over all amounts of noise (1: guessing nothing)"
    )


# ---- samples --------------------------------------------------------------------
def _numbers(batch, config):
    """(x, y) of a data set as the model's (x_0, y)."""
    x, y = batch
    if len(config["shape"]) == 1:
        return x / np.float32(DEVIATIONS[config["data"]]), y
    return 2 * x[:, None] - 1, y  # (N, 1, H, W) in [-1, 1]


def _samples(x_0, config):
    """The model's x_0 as samples of the data set, on the CPU."""
    x_0 = np.asarray(x_0.get() if hasattr(x_0, "get") else x_0)
    if len(config["shape"]) == 1:
        return x_0 * np.float32(DEVIATIONS[config["data"]])
    return np.clip((x_0[:, 0] + 1) / 2, 0, 1)


def _how(config, n, label=None, guidance=None):
    """y, guidance and clip of diffusion.sample, for n samples."""
    how = {"clip": 1.0 if len(config["shape"]) > 1 else None}
    if config["conditional"]:
        how["y"] = np.arange(n) % _classes(config) if label is None else label
        how["guidance"] = config["guidance"] if guidance is None else guidance
    return how


def _walk(model, x_T, steps, eta=None, rng=None, **how):
    """The steps of algorithm 2, or of DDIM if there are fewer, or an eta is given."""
    if steps == model.schedule.T and eta is None:
        return diffusion.ddpm(model, x_T, rng=rng, **how)
    return diffusion.ddim(model, x_T, steps, eta or 0.0, rng, **how)


def draw(model, config, n, rng, label=None, steps=None, eta=None, guidance=None):
    """n samples as the data set has them: (n, *shape)."""
    if (label is not None or guidance) and not config["conditional"]:
        raise OptionError(
            "this model knows no labels; train one with --conditional on, then ask "
            "for --label"
        )
    if label is not None and label >= _classes(config):
        raise OptionError(
            f"--label {label}: {config['data']} has labels 0 to {_classes(config) - 1}"
        )
    T, steps = config["T"], steps or config["sampling"]
    if steps > T:
        raise OptionError(f"--steps {steps} is more than the model's T; at most {T}")
    x_T, how = model.noise(n, rng), _how(config, n, label, guidance)
    *_, last = _walk(model, x_T, steps, eta, rng, **how)
    return _samples(last.x_t, config)


def sample(model, config, n, rng, **asked):
    """A sheet of n new samples."""
    return plot.samples(draw(model, config, n, rng, **asked))


def snapshot(model, config, rng):
    """Samples in at most 10 steps from noise; 20 for points."""
    points = len(config["shape"]) == 1
    n, steps = (1000, 20) if points else (25, 10)
    return draw(model, config, n, rng, steps=min(steps, config["T"]))


def chain(model, config, rng):
    """About 50 places on the way from noise to samples, with noise on the way."""
    n = 1000 if len(config["shape"]) == 1 else 25
    T, steps = config["T"], config["sampling"]
    shown = diffusion.times(T, steps)[:: math.ceil(steps / 50)]
    x_T = model.noise(n, rng)
    yield f"t = {T}", _samples(x_T, config)
    for step in _walk(model, x_T, steps, 1.0, rng, **_how(config, n)):
        if step.t in shown or step.t == 0:
            yield f"t = {step.t}", _samples(step.x_t, config)


# ---- pictures -------------------------------------------------------------------
def figures(model, config, test, rng):
    """Samples; the way there and back; quality against steps; guesses at several t."""
    points = len(config["shape"]) == 1
    n = 2500 if points else 100
    x = draw(model, config, n, rng)
    yield plot.samples(x, test.x) if points else plot.samples(x)
    yield _both_ways(model, config, test, rng)
    if points:
        yield _quality(model, config, test, rng)
        yield _arrows(model, config, test, rng)
    else:
        yield _fewer_steps(model, config, rng)
        yield _guesses(model, config, test, rng)


def _both_ways(model, config, test, rng):
    """The chain forwards from held-out samples and back from noise."""
    points = len(config["shape"]) == 1
    n, columns = (1000, 5) if points else (3, 9)
    shown = _spread(model.schedule, columns)
    x_0, _ = _numbers((test.x[:n], test.y[:n]), config)

    def show(x):
        return x if points else _samples(x, config)

    chain = enumerate(model.schedule.forward(x_0, rng))
    forwards = [(t, show(x_t)) for t, x_t in chain if t in shown]
    x_T, T = model.noise(n, rng), config["T"]
    back = [(T, show(x_T))]
    for step in _walk(model, x_T, T, rng=rng, **_how(config, n)):
        if step.t in shown:
            back.append((step.t, show(step.x_t)))
    return plot.diffusion_chain(forwards, back)


def _spread(schedule, n):
    """Steps from 0 to T, n of them if T allows, between which as much noise comes."""
    angle = np.arccos(np.sqrt(schedule.alpha_bar))  # (4): x_t = cos x_0 + sin eps
    at = np.searchsorted(angle, np.linspace(0, angle[-1], n))
    return sorted(set(at.tolist()))


def _few(T):
    """Numbers of steps to compare, up to T."""
    return [s for s in (2, 5, 10, 20, 50, 100, 200, 500) if s < T] + [T]


def _quality(model, config, test, rng):
    """Sliced Wasserstein distance to held-out points, by steps and eta."""
    train, _ = load(config["data"])
    n, seed, steps = len(test.x), int(rng.integers(2**31)), _few(config["T"])
    curves = {}
    for name, eta in (("eta = 0, DDIM", 0.0), ("eta = 1, DDPM", 1.0)):
        far = []
        for s in steps:
            same = np.random.default_rng(seed)
            x = draw(model, config, n, same, steps=s, eta=eta)
            far.append(metrics.sliced_wasserstein(x, test.x, 100, rng=same))
        curves[name] = steps, far
    same = np.random.default_rng(seed)
    floor = metrics.sliced_wasserstein(train.x[:n], test.x, 100, rng=same)
    return plot.quality_against_steps(curves, floor, "sliced Wasserstein distance")


def _arrows(model, config, test, rng):
    """The guessed noise all over the plane at three t."""
    x_0, _ = _numbers((test.x[:1000], test.y[:1000]), config)
    side = np.linspace(-2.6, 2.6, 14, dtype=np.float32)
    places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    panels = []
    for t in _spread(model.schedule, 8)[1:4]:
        eps = rng.standard_normal(x_0.shape).astype(np.float32)
        guess, _ = model.predict(places, t)
        _, size = model.schedule.shares(t, places)
        x_t = model.schedule.q_sample(x_0, t, eps)
        panels.append((t, x_t, places, size * guess))
    return plot.noise_arrows(panels)


def _fewer_steps(model, config, rng):
    """Pictures from the same noise in fewer and fewer steps."""
    x_T, how = model.noise(10, rng), _how(config, 10)
    rows = {}
    for s in _few(min(100, config["T"])):
        *_, step = diffusion.ddim(model, x_T, s, **how)
        rows[f"{s}"] = _samples(step.x_t, config)
    return plot.picture_rows(rows, "the same noise, by number of steps (DDIM)")


def _guesses(model, config, test, rng):
    """Noisy held-out pictures and what the network takes them for, at several t."""
    x_0, y = _numbers((test.x[:1], test.y[:1]), config)
    seen, guessed, names = [], [], []
    for t in _spread(model.schedule, 11)[1:]:
        eps = rng.standard_normal(x_0.shape).astype(np.float32)
        x_t = model.schedule.q_sample(x_0, t, eps)
        given = y if config["conditional"] else None
        _, x_0_hat = model.predict(x_t, t, given, clip=1.0)
        seen.append(_samples(x_t, config)[0])
        guessed.append(_samples(x_0_hat, config)[0])
        names.append(str(t))
    rows = {"$x_t$": np.stack(seen), "$\\hat x_0$": np.stack(guessed)}
    title = "what the network takes a noisy picture for, at $t =$"
    return plot.picture_rows(rows, title, names)
