"""`scratchnn train text_to_image`: defaults, captions, pictures around the model.

One run has three stages: the text encoder learns from sentences without pictures, the
diffusion model from pictures without captions, then both together from captioned ones.
A fifth of all scenes is held out: their captions never come with a picture.
"""

import functools
import itertools
import math
from argparse import ArgumentTypeError
from typing import NamedTuple

import numpy as np

from .. import data, optim, plot
from ..data.captions import NUMBERS, scenes
from ..device import beside
from ..models import diffusion, noise, transformer
from ..models import text_to_image as model_of
from ..models import transformer_training as training
from . import OptionError, choice, share, weight, whole

UNIT = ""
LOSS = (
    "first hidden words of sentences are guessed, in nats; then the noise in pictures, "
    "where 1 is no idea: less is better in both"
)
PICTURES = ("samples.png", "unseen.png", "words.png", "guidance.png")
ENCODERS = ("fine_tuned", "frozen", "untrained")
TRAIN, TEST = 6000, 600  # pictures
L_MAX = 12  # words of a sentence at most

DATA = {
    "captions": dict(
        shape=[16, 16], steps=6000, text_steps=600, picture_steps=600, batch=64,
        lr=2e-3, encoder="fine_tuned", d_text=64, layers=2, width=32, T=500,
        schedule="linear", ema=0.995, sampling=50, guidance=2.0,
    )
}  # fmt: skip
OPTIONS = {
    "text_steps": (whole, "how many of the steps the encoder reads alone, the first"),
    "picture_steps": (whole, "how many are of pictures without captions, the next"),
    "encoder": (
        choice(*ENCODERS),
        "fine_tuned in the last stage, frozen in it, or untrained: never learns at all",
    ),
    "d_text": (whole, "numbers that stand for a word"),
    "layers": (whole, "of the text encoder"),
    "width": (whole, "channels of the U-Net's first level, a multiple of 8"),
    "T": (whole, "steps from data to noise"),
    "schedule": (choice(*noise.SCHEDULES), "linear or cosine: when the noise comes"),
    "ema": (share, "decay of the averaged weights that pictures come from"),
    "sampling": (whole, "steps from noise to pictures, at most T"),
    "guidance": (weight, "w: how much more like its caption than any picture"),
}


# ---- words ----------------------------------------------------------------------
def seen_scenes():
    """The 120 scenes that come with pictures in training, and the 30 that don't.

    Each digit, count, size, slant and side is among the seen ones, in other company.
    """
    held_out = [s for i, s in enumerate(scenes()) if (i % 15 + i // 15) % 5 == 0]
    return [s for s in scenes() if s not in held_out], held_out


def sentences(n, rng):
    """n sentences without pictures: captions, and what else is said of numbers.

    "two, three, four", "two small threes are a small three and a small three": here
    it matters which number a word is, and that threes are three.
    """
    every = scenes()
    for kind in rng.integers(3, size=n):
        if kind == 0:
            yield every[rng.integers(len(every))].text
        elif kind == 1:
            i = rng.integers(8)
            yield ", ".join(NUMBERS[i : i + 3])
        else:
            digit, size = rng.integers(10), ("small", "large")[rng.integers(2)]
            one = f"a {size} {NUMBERS[digit]}"
            two = every[0]._replace(digit=digit, count=2, size=size).text
            yield f"{two} are {one} and {one}"


@functools.cache
def tokenizer():
    """The words of all sentences; always the same."""
    known = sentences(5000, np.random.default_rng(0))
    return data.WordTokenizer.train(list(known), specials=("pad", "mask"))


def tokens_of(texts):
    """Sentences as tokens, filled up with padding: (N, 12)."""
    tok = tokenizer()
    y = data.pad([tok.encode(text) for text in texts], tok.pad)[0]
    return np.pad(y, ((0, 0), (0, L_MAX - y.shape[1])), constant_values=tok.pad)


def caption(text):
    """A caption of words that are known, such as "two small threes"."""
    words = text.replace(",", " ").split()
    known = [word for word in tokenizer().vocabulary if word.isalpha()]
    if not words or any(word not in known for word in words):
        few = ", ".join(known)
        raise ArgumentTypeError(
            f'expected a caption such as "two small threes", got {text!r}; the words '
            f"are {few}"
        )
    if len(tokenizer().encode(text)) > L_MAX:
        raise ArgumentTypeError(f"expected at most {L_MAX} words, got {text!r}")
    return text


SAMPLE = {
    "caption": (caption, 'what to draw, such as "two small threes"; all kinds in turn'),
    "steps": (whole, "steps from noise to pictures, at most T"),
    "guidance": OPTIONS["guidance"],
}


# ---- data -----------------------------------------------------------------------
class Captioned(NamedTuple):
    """Pictures x (N, 16, 16), the tokens of their captions y (N, 12)."""

    x: np.ndarray
    y: np.ndarray


def read(config):
    """6,000 pictures of seen scenes; 600 of new digits, of all scenes, held out."""
    return *_pictures(), tokenizer()


@functools.cache
def _pictures():
    train, test = (np.random.default_rng([0, i]) for i in range(2))
    found = (
        data.captions(TRAIN, "train", seen_scenes()[0], train),
        data.captions(TEST, "test", rng=test),
    )
    return tuple(Captioned(part.images, tokens_of(part.texts)) for part in found)


def to_model(x):
    """Pictures (N, 16, 16) in [0, 1] as the model's (N, 4, 8, 8) in [-1, 1].

    Each place holds a square of 2 x 2 pixels as 4 channels: a quarter of the places.
    """
    N, H, W = x.shape
    x = x.reshape(N, H // 2, 2, W // 2, 2).transpose(0, 2, 4, 1, 3)
    return 2 * x.reshape(N, 4, H // 2, W // 2) - 1


def from_model(x_0):
    """The way back: (N, 4, 8, 8) -> pictures (N, 16, 16) in [0, 1]."""
    N, _, h, w = x_0.shape
    x_0 = x_0.reshape(N, 2, 2, h, w).transpose(0, 3, 1, 4, 2)
    return np.clip((x_0.reshape(N, 2 * h, 2 * w) + 1) / 2, 0, 1)


# ---- training -------------------------------------------------------------------
class Loss(NamedTuple):
    """The encoder's nats per hidden word, the squared error of v, and their sum."""

    loss: float
    words: float
    noise: float


def build(config, rng):
    """The model, the optimizers of text and pictures, the schedule, the averages."""
    if config["width"] % 8:
        raise OptionError(
            f"--width {config['width']} is no multiple of 8; take --width "
            f"{-(-config['width'] // 8) * 8}"
        )
    if config["d_text"] % 4:
        raise OptionError(
            f"--d-text {config['d_text']} is no multiple of 4, the heads of attention"
        )
    if config["sampling"] > config["T"]:
        raise OptionError(
            f"--sampling {config['sampling']} is more steps than --T {config['T']}; "
            f"type --sampling {config['T']} or less"
        )
    if config["ema"] == 1:
        raise OptionError("--ema must be below 1, such as 0.995")
    tok, d_text, width, T = tokenizer(), config["d_text"], config["width"], config["T"]
    encoder = transformer.ETransformer(
        len(tok), d_text, config["layers"], 4, l_max=L_MAX, rng=rng
    )
    heads = max(1, width // 8)  # of 8 numbers each at the first level
    network = model_of.TextUNet(
        encoder, d_text, tok.pad, width=width, heads=heads, T=T, rng=rng
    )
    schedule = noise.SCHEDULES[config["schedule"]](T)
    model = diffusion.Diffusion(network, schedule, (4, 8, 8), "v")
    model.learnt = np.zeros(2, np.int64)  # steps of text, and of pictures
    model.nats = np.zeros(1)  # per hidden word, when the text was learnt
    optimizers = {}
    if config["encoder"] == "untrained":
        encoder.requires_grad_(False)
    else:
        optimizers["text"] = optim.Adam(encoder.parameters(), lr=1e-3)
    reading = {id(p) for p in encoder.parameters()}
    groups = [{"params": [p for p in model.parameters() if id(p) not in reading]}]
    if config["encoder"] == "fine_tuned":  # slower, so that it forgets little
        groups.append({"params": encoder.parameters(), "lr": config["lr"] / 5})
    adam = optim.Adam(groups, lr=config["lr"])
    total = max(config.get("total", 1) - config["text_steps"], 1)

    def rate(t):
        return (1 + math.cos(math.pi * min(t / total, 1))) / 2

    optimizers |= {"adam": adam, "lr": optim.LambdaLR(adam, rate)}
    return model, optimizers | {"ema": optim.EMA(model, config["ema"])}


def train(model, optimizers, batches, config, rng):
    """The losses of each step: of the text, of pictures alone, of both together."""
    ema, adam, lr = (optimizers[name] for name in ("ema", "adam", "lr"))
    ema.decay = _decay(model.learnt.sum(), config)
    reading = 0 if config["encoder"] == "untrained" else config["text_steps"]
    texts = _texts(batches, max(0, reading - int(model.learnt[0])), config, rng)
    if reading:
        mask = tokenizer().mask
        walk = model_of.train_text(model, texts, optimizers["text"], mask, 0.15, rng)
        for loss in walk:
            model.learnt[0] += 1
            ema.decay = _decay(model.learnt[0], config)
            ema.update()
            yield Loss(loss.loss + 1, loss.loss, 1.0)
    if model.learnt[1] == 0:
        model.nats[:] = _nats(model, _pictures()[1].y[:200])
    nats = float(model.nats[0])
    batches = ((to_model(x), y) for x, y in batches)
    left = max(0, config["picture_steps"] - int(model.learnt[1]))
    alone = (x_0 for x_0, _ in itertools.islice(batches, left))
    stages = (
        model_of.train_pictures(model, alone, adam, ema, rng),
        model_of.fine_tune(model, batches, adam, ema, rng=rng),
    )
    for loss in itertools.chain.from_iterable(stages):
        lr.step()
        model.learnt[1] += 1
        ema.decay = _decay(model.learnt.sum(), config)
        yield Loss(nats + loss.loss, nats, loss.loss)


def _decay(t, config):
    """The decay of the average, less at first, when the weights mean nothing yet."""
    return min(config["ema"], (1 + int(t)) / (10 + int(t)))


def _texts(batches, steps, config, rng):
    """Sentences in place of `steps` batches, as many in each."""
    for x, _ in itertools.islice(batches, steps):
        yield beside(tokens_of(list(sentences(len(x), rng))), x)


def _nats(model, y):
    """Nats per hidden word of captions, the same words each time."""
    tok, rng = tokenizer(), np.random.default_rng(0)
    encoder = model.network.encoder
    y = beside(y, model.parameters()[0])
    loss = training.e_loss(encoder, y, tok.mask, 0.15, rng, y != tok.pad)
    return float(loss.loss)


def losses(model, batch, config, rng):
    """The losses of a batch of held-out pictures with their captions."""
    nats = _nats(model, batch.y)
    x_0 = to_model(batch.x)
    error = float(diffusion.l_simple(model, x_0, batch.y, 0.0, rng))
    return Loss(nats + error, nats, error)


def words(loss, config):
    """The losses in a sentence."""
    return (
        f"hidden words of captions guessed with {loss.words:.2f} nats, and the noise "
        f"in pictures with an error of {loss.noise:.3f} (1: no idea)"
    )


# ---- pictures -------------------------------------------------------------------
def pictures(model, config, texts, rng, steps=None, guidance=None):
    """A picture for each of some captions: (N, 16, 16)."""
    steps = steps or config["sampling"]
    if steps > config["T"]:
        raise OptionError(f"--steps {steps} is more than the model's T; at most that")
    guidance = config["guidance"] if guidance is None else guidance
    y = tokens_of(texts)
    return from_model(model_of.draw(model, y, steps, guidance, rng))


def sample(model, config, n, rng, caption=None, **asked):
    """n pictures of a caption, or of scenes by chance, ten in a row for each."""
    if caption is not None:
        texts = [caption]
    else:
        every = scenes()
        rows = rng.choice(len(every), max(1, min(-(-n // 5), 40)), replace=False)
        texts = [every[i].text for i in rows]
    return _sheet(model, config, texts, -(-n // len(texts)), rng, **asked)


def _sheet(model, config, texts, n, rng, title=None, **asked):
    """n pictures of each caption beside it."""
    drawn = pictures(model, config, np.repeat(texts, n).tolist(), rng, **asked)
    return plot.captioned(drawn.reshape(len(texts), n, 16, 16), texts, title)


def snapshot(model, config, rng):
    """25 pictures of scenes, the same ones each time, in a few steps."""
    texts = [scenes()[i].text for i in range(0, 150, 6)]
    return pictures(model, config, texts, rng, steps=min(10, config["T"]))


def figures(model, config, test, rng):
    """Captions and pictures; those never seen together; words; guidance."""
    seen, held_out = seen_scenes()
    yield _sheet(model, config, [s.text for s in seen[3::10]], 6, rng)
    title = "captions that never came with a picture"
    texts = [s.text for s in held_out[1::3]]
    yield _sheet(model, config, texts, 6, rng, title)
    yield _words(model, config, ASKED, rng)
    yield _guided(model, config, ASKED, rng)


ASKED = (
    "a large seven", "two small threes", "a small four, on the left",
    "a large zero, slanted right", "a small nine, on the right",
)  # fmt: skip


def _words(model, config, texts, rng):
    """Where each word of some captions is heard."""
    y = tokens_of(texts)
    x_0 = model_of.draw(model, y, config["sampling"], config["guidance"], rng)
    maps = model_of.looks(model, x_0, y, rng=rng)  # (N, L, 8, 8)
    maps = maps.repeat(2, axis=2).repeat(2, axis=3)  # a place is 2 x 2 pixels
    tok, names, shares = tokenizer(), [], []
    for row, shown in zip(y, maps):
        words = [(i, tok.vocabulary[token]) for i, token in enumerate(row)]
        words = [(i, word) for i, word in words if word.isalpha()]
        names.append([word for _, word in words])
        shares.append(shown[[i for i, _ in words]])
    return plot.word_maps(from_model(x_0), names, shares)


def _guided(model, config, texts, rng):
    """The same captions from the same noise with more and more guidance."""
    columns, seed = {}, int(rng.integers(2**31))
    for w in (-1.0, 0.0, 1.0, 3.0, 8.0):
        same = np.random.default_rng(seed)
        name = "none" if w < 0 else f"{w:g}"
        columns[name] = pictures(model, config, texts, same, guidance=w)
    shown = np.stack(list(columns.values()), axis=1)  # (R, n, H, W)
    title = "the same noise: no caption, then guidance $w =$"
    return plot.captioned(shown, texts, title, list(columns))
