"""`scratchnn train seq2seq`: the defaults, words and texts around EDTransformer.

With --net gru, lstm or rnn it trains what Transformers are compared with.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import data, optim, plot
from ..models import generation, recurrent, transformer
from ..models import transformer_training as training
from . import OptionError, choice, draw_from, share, switch, text, whole

UNIT = "nats per token"
LOSS = (
    "the loss is the surprise at each token of the right answer, in nats: less is "
    "better; 0 if it always knew"
)
PICTURES = ("attention.png",)
TESTS = text.TESTS
FILE = "dates"

_TASK = dict(
    batch=64, lr=1e-3, tokens="char", vocabulary=None, length=32, width=128, layers=2,
    heads=4, dropout=0.0, warmup=200, schedule="cosine", net="transformer",
    attention=True, norm="post", label_smoothing=0.0, digits=2,
)  # fmt: skip
_SENTENCES = dict(
    tokens="bpe", vocabulary=6000, length=64, width=192, layers=3, heads=6,
    dropout=0.1, warmup=800, label_smoothing=0.1,
)  # fmt: skip

DATA = {
    "dates": dict(steps=2000, **_TASK),
    "copy": dict(steps=1500, **_TASK | dict(batch=80)),
    "reverse": dict(steps=1500, **_TASK | dict(batch=80)),
    "addition": dict(steps=3000, **_TASK),
    "multi30k": dict(steps=4500, **_TASK | _SENTENCES),
}

OPTIONS = {
    **text.OPTIONS,
    "schedule": (
        choice("cosine", "vaswani"),
        "how the learning rate falls: along half a cosine, or as 1 / sqrt(step)",
    ),
    "net": (
        choice("transformer", "gru", "lstm", "rnn"),
        "transformer; or gru, lstm or rnn, a recurrent network",
    ),
    "attention": (switch, "on: a recurrent network looks back at the source"),
    "norm": (choice("pre", "post"), "pre or post: layer_norm before or after a part"),
    "label_smoothing": (share, "part of a target that all tokens share"),
    "digits": (lambda t: whole(t, most=5), "of the numbers that --data addition adds"),
}
TRANSLATE = {"beams": (whole, "how many translations to follow at a time; 1")}
PAIRS = {"train": 20_000, "test": 1_000}  # of a task


class Loss(NamedTuple):
    """The mean over the predicted tokens, in nats."""

    loss: float


# ---- data -----------------------------------------------------------------------
def read(config):
    """Train and test Pairs, and the tokenizer."""
    name = config["data"]
    if name == "multi30k":
        return text.pairs([data.multi30k("train"), data.multi30k("val")], config)
    if name not in DATA:
        return text.pairs(_of_file(name), config)
    return text.pairs([task(name, split, config["digits"]) for split in PAIRS], config)


def task(name, split, digits=2, n=None):
    """Pairs of a task whose right answer a rule gives, the same ones each time."""
    n, rng = n or PAIRS[split], np.random.default_rng([len(split), digits])
    if name == "addition":
        return data.addition(n, split, digits, rng)
    draw = {"copy": data.copying, "reverse": data.reversing, "dates": data.dates}[name]
    return draw(n, split, rng=rng)


def _of_file(path):
    """Pairs of a file, a source, a tab and its target in each line; a tenth is held."""
    pairs = []
    for number, line in enumerate(data.text(path).splitlines(), 1):
        pair = tuple(part.strip() for part in line.split("\t"))
        if line.strip() and (len(pair) != 2 or not all(pair)):
            raise OptionError(
                f"--data {path}: line {number} is no pair; write a source, a tab and "
                "its target in each line"
            )
        if line.strip():
            pairs.append(pair)
    if len(pairs) < 20:
        raise OptionError(
            f"--data {path} has {len(pairs)} pairs, expected at least 20: a source, a "
            "tab and its target in each line"
        )
    cut = len(pairs) * 9 // 10
    return pairs[:cut], pairs[cut:]


def counted(config):
    """What len(train[0]) counts."""
    return "pairs"


loader, size = text.loader, text.size


# ---- training -------------------------------------------------------------------
def build(config, rng):
    """The model, its optimizer and the schedule of the learning rate."""
    text.check(config, heads=config["net"] == "transformer")
    if config["label_smoothing"] == 1:
        raise OptionError("--label-smoothing must be below 1, such as 0.1")
    N_V, d_e, L = len(config["tokenizer"]), config["width"], config["layers"]
    if config["net"] == "transformer":
        model = transformer.EDTransformer(
            N_V, d_e, L, L, config["heads"], l_max=config["length"] + 1,
            dropout=config["dropout"], norm=config["norm"], rng=rng,
        )  # fmt: skip
    else:
        model = recurrent.RecurrentSeq2Seq(
            N_V, d_e, d_e, L, attention=config["attention"], cell=config["net"],
            dropout=config["dropout"], l_max=config["length"] + 1, rng=rng,
        )  # fmt: skip
    if config["schedule"] == "cosine":
        return model, text.optimizers(model, config)
    adam = optim.Adam(model.parameters(), config["lr"], (0.9, 0.98), 1e-9)
    top = math.sqrt(d_e * config["warmup"])  # so that lr is the highest rate
    rate = training.warm_up(d_e, config["warmup"], top)
    return model, {"adam": adam, "rate": optim.LambdaLR(adam, rate)}


def train(model, optimizers, batches, config, rng):
    """The loss of each step: algorithm 11."""
    draw_from(model, rng)
    pad = config["tokenizer"].pad
    batches = ((z, x, z != pad) for z, x in batches)
    how = config["label_smoothing"], pad, optimizers["rate"], 1.0
    for loss in training.ed_training(model, optimizers["adam"], batches, *how):
        yield Loss(loss.loss)


def losses(model, batch, config, rng):
    """The loss of held-out targets, without label smoothing."""
    pad = config["tokenizer"].pad
    return Loss(training.ed_loss(model, *batch, batch.z != pad, pad=pad).loss)


def words(loss, config):
    """The loss in a sentence."""
    return text.unsure(loss.loss, config)


# ---- translations ---------------------------------------------------------------
def translated(model, z, config, beams=1):
    """The translations of sources z (B, S): a list of arrays, bos and eos included."""
    tokenizer = config["tokenizer"]
    how = dict(
        z_seen=z != tokenizer.pad, bos_token=tokenizer.bos, eos_token=tokenizer.eos,
        l_max=config["length"] + 1,
    )  # fmt: skip
    if beams > 1:
        found = generation.beam_search(model, z, beams=beams, **how)
        return [beam.tokens for beam in found]
    return list(generation.translate(model, z, **how))


def translate(model, config, source, draw=False, beams=1):
    """The translation of a text, and what it looked at, a Figure, if draw."""
    tokenizer = config["tokenizer"]
    if not source.strip():
        return "", None
    z = text.encode(source, config, "TEXT", eos=True)[None]
    if z.shape[1] > config["length"] + 1:
        raise OptionError(
            f"TEXT has {z.shape[1] - 1} tokens, and this model takes at most "
            f"{config['length']}; split it, or train with a larger --length"
        )
    (x,) = translated(model, z, config, beams)
    figure = _attention(model, config, z, x) if draw and _looks(config) else None
    return tokenizer.decode(x), figure


def _looks(config):
    return config["net"] == "transformer" or config["attention"]


def _attention(model, config, z, x):
    """What the last layer looks at in z (1, S) as it writes each token of x (T,)."""
    ends = np.flatnonzero(x == config["tokenizer"].eos)
    x = x[: ends[0] + 1] if len(ends) else x
    rows, columns = (text.labels(a, config["tokenizer"]) for a in (x[1:], z[0]))
    if not _looks(config):
        alpha = np.zeros((1, len(rows), len(columns)))
        title = "no attention: it has the source as one state"
        return plot.attention(alpha, rows, columns, title)
    alpha = model.attention_maps(z, x[None, :-1]).cross[-1][0]  # (H, T, S)
    title = "what it looks at in the source (columns) for each token that it writes"
    return plot.attention(alpha, rows, columns, title)


def texts(model, config, test, rng):
    """Held-out sources, what became of them, and the right answer if it is another."""
    tokenizer = config["tokenizer"]
    some = rng.choice(len(test.z), min(8, len(test.z)), replace=False)
    for row, x in zip(some, translated(model, test.z[some], config)):
        source, right, said = map(tokenizer.decode, (test.z[row], test.x[row], x))
        verdict = "" if said == right else f"   (right: {right})"
        yield f"{source} -> {said}{verdict}"


def figures(model, config, test, rng):
    """What it looks at in one held-out source, as it translates that."""
    z = test.z[:1]
    z = z[:, : (z != config["tokenizer"].pad).sum()]
    yield _attention(model, config, z, translated(model, z, config)[0])
