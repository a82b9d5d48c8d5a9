"""`scratchnn train bert`: the defaults, words and texts around ETransformer.

It learns to fill gaps (a masked language model). What it knows of words then helps
where labels are few: tests/benchmarks/quality/bert.py.
"""

from typing import NamedTuple

import numpy as np

from .. import data, plot
from ..models import generation, transformer
from ..models import transformer_training as training
from . import OptionError, choice, draw_from, share, text, weight, whole

UNIT = "nats per hidden token"
LOSS = (
    "the loss is the surprise at each token that was hidden, in nats: less is better; "
    "0 if it always knew"
)
PICTURES = ("attention.png", "attention_spread.png")
TESTS = text.TESTS
FILE = "python"
GAP = "___"  # a hidden token, as it is typed

_BOOK = dict(
    batch=16, lr=1e-3, tokens="word", vocabulary=2000, length=48, width=128, layers=2,
    heads=4, dropout=0.0, warmup=200, norm="pre", p_mask=0.15,
)  # fmt: skip

DATA = {
    "python": dict(steps=3000, **_BOOK),
    "shakespeare": dict(steps=3000, **_BOOK),
}

OPTIONS = {
    **text.OPTIONS,
    "length": (lambda t: whole(t, least=2), text.OPTIONS["length"][1]),
    "norm": (
        choice("pre", "post"),
        "layer_norm before a part, or after as in the paper, which learns later",
    ),
    "p_mask": (share, "part of the tokens that is hidden"),
}
WRITE = {"temperature": (weight, "0 fills in the likeliest token; 1 draws; 0")}


class Loss(NamedTuple):
    """The mean over the hidden tokens, in nats."""

    loss: float


def read(config):
    """Train and test Text, and the tokenizer."""
    return text.long_text(config, specials=("mask",))


def counted(config):
    """What len(train[0]) counts."""
    return "tokens"


def loader(dataset, batch, config, rng=None):
    """Windows of the length that the model sees: (B, length)."""
    options = config["length"] - 1, batch, rng is not None
    return data.Windows(dataset.tokens, *options, rng=rng)


# ---- training -------------------------------------------------------------------
def build(config, rng):
    """The model, its optimizer and the schedule of the learning rate."""
    text.check(config)
    if config["p_mask"] == 0:
        raise OptionError("--p-mask 0 hides nothing to learn from; 0.15 is usual")
    sizes = (config[k] for k in ("width", "layers", "heads"))
    model = transformer.ETransformer(
        len(config["tokenizer"]), *sizes, l_max=config["length"],
        dropout=config["dropout"], norm=config["norm"], rng=rng,
    )  # fmt: skip
    return model, text.optimizers(model, config)


def train(model, optimizers, batches, config, rng):
    """The loss of each step: algorithm 12."""
    draw_from(model, rng)
    mask, rate = config["tokenizer"].mask, optimizers["rate"]
    how = mask, config["p_mask"], rng, rate, 1.0
    for loss in training.e_training(model, optimizers["adam"], batches, *how):
        yield Loss(loss.loss)


def losses(model, batch, config, rng):
    """The loss of held-out tokens; the same ones are hidden each time."""
    mask = config["tokenizer"].mask
    return Loss(training.e_loss(model, batch, mask, config["p_mask"], rng).loss)


def words(loss, config):
    """The loss in a sentence."""
    return text.unsure(loss.loss, config).replace("nats per", "nats per hidden")


# ---- what it fills in -----------------------------------------------------------
def write(model, config, prompt, n, rng, temperature=0.0):
    """The prompt with its gaps filled, from left to right; n gaps at most."""
    tokenizer = config["tokenizer"]
    if GAP not in prompt:
        raise OptionError(
            f"bert fills gaps: write {GAP} for each token to fill in, as --prompt "
            f"'the {GAP} of the list'"
        )
    parts = [part.rstrip(" ") for part in prompt.split(GAP)]  # a token has its blank
    pieces = [text.encode(part, config, "--prompt") for part in parts]
    x = pieces[0]
    for piece in pieces[1:]:
        x = np.concatenate([x, [tokenizer.mask], piece])
    if len(x) > config["length"]:
        raise OptionError(
            f"--prompt has {len(x)} tokens, and this model takes at most "
            f"{config['length']}; shorten it"
        )
    for t in np.flatnonzero(x == tokenizer.mask)[:n]:
        logits = generation.last_logits(model(x[None])[:, : t + 1])
        logits[:, tokenizer.mask] = -np.inf
        q = generation.distribution(logits, temperature)
        x[t] = generation.draw(q, rng)[0]
    yield tokenizer.decode(x)


def texts(model, config, test, rng):
    """Pieces of held-out text with gaps, filled: [guess], or [guess, not: answer]."""
    tokenizer = config["tokenizer"]
    some = data.Windows(test.tokens, min(config["length"], 24) - 1, 4, rng=rng)
    x = next(iter(some))
    x_masked, hidden = training.masked(x, tokenizer.mask, config["p_mask"], rng)
    guesses = model(x_masked).data.argmax(axis=-1)
    for row, guess, gap in zip(x, guesses, hidden):
        parts = []
        for place in np.arange(len(row)):
            said, right = (tokenizer.decode([a[place]]) for a in (guess, row))
            wrong = "" if said == right else f", not: {right}"
            parts.append(f"[{said}{wrong}]" if gap[place] else right)
        between = " " if config["tokens"] == "word" else ""
        yield " ".join(between.join(parts).split())


def figures(model, config, test, rng):
    """What the last layer looks at in a piece of held-out text; how far all layers do.

    The second is a mean over some pieces.
    """
    some = next(iter(loader(test, 16, config)))
    row = some[:1, :20]
    last = model.attention_maps(row)[-1][0]  # (H, T, T)
    title = "what each token (row) takes from the others, in the last layer"
    labels = text.labels(row[0], config["tokenizer"])
    yield plot.attention(last, labels, title=title)
    yield plot.attention_spread(model.attention_maps(some))
