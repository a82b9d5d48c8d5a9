"""`scratchnn train gpt`: the defaults, words and texts around DTransformer.

On python and shakespeare the recipe is that of nanoGPT for a computer without a GPU.
"""

import itertools
from typing import NamedTuple

import numpy as np

from .. import data, plot
from ..models import generation, transformer
from ..models import transformer_training as training
from . import OptionError, choice, draw_from, positive, share, text, weight, whole

UNIT = "nats per token"
LOSS = (
    "the loss is the surprise at each next token, in nats: less is better; 0 if it "
    "always knew"
)
PICTURES = ("attention.png", "attention_spread.png")
TESTS = text.TESTS
FILE = "python"
WRITTEN = 200  # tokens of a text that shows what it has learnt

_BOOK = dict(
    batch=12, lr=1e-3, tokens="char", vocabulary=None, length=64, width=128, layers=4,
    heads=4, dropout=0.0, warmup=100, positions="learned", norm="pre", digits=2,
)  # fmt: skip

DATA = {
    "python": dict(steps=2000, **_BOOK),
    "shakespeare": dict(steps=2000, **_BOOK),
    "names": dict(steps=6000, **_BOOK | dict(batch=64, length=17, width=64)),
    "addition": dict(steps=3000, **_BOOK | dict(batch=64, length=16)),
}

OPTIONS = {
    **text.OPTIONS,
    "positions": (
        choice(*transformer.POSITIONS),
        f"{', '.join(transformer.POSITIONS)}: how it knows the places of tokens",
    ),
    "norm": (choice("pre", "post"), "pre or post: layer_norm before or after a part"),
    "digits": (lambda t: whole(t, most=5), "of the numbers that --data addition adds"),
}
WRITE = {
    "temperature": (weight, "below 1 it dares less, at 0 nothing; 1"),
    "top_k": (whole, "draw from the k likeliest tokens only"),
    "top_p": (
        lambda t: positive(t) and share(t),
        "draw from the likeliest tokens only that have this probability together",
    ),
}


class Loss(NamedTuple):
    """The mean over the predicted tokens, in nats."""

    loss: float


# ---- data -----------------------------------------------------------------------
def read(config):
    """Train, test and the tokenizer: one long text, or lines of a few characters."""
    if config["data"] == "names":
        return text.short_texts([data.names("train"), data.names("test")], config)
    if config["data"] == "addition":
        parts = [sums(split, config["digits"]) for split in ("train", "test")]
        return text.short_texts([[q + a for q, a in p] for p in parts], config)
    return text.long_text(config)


def sums(split, digits):
    """Pairs of sum and answer; all there are, or 100,000 and 1,000 if they are more."""
    if digits < 3:
        return data.addition(None, split, digits)
    n = {"train": 100_000, "test": 1_000}[split]
    return data.addition(n, split, digits, np.random.default_rng(0))


def counted(config):
    """What len(train[0]) counts."""
    return {"names": "names", "addition": "sums"}.get(config["data"], "tokens")


loader, size = text.loader, text.size


# ---- training -------------------------------------------------------------------
def build(config, rng):
    """The model, its optimizer and the schedule of the learning rate."""
    text.check(config)
    if config["positions"] == "rotary" and config["width"] // config["heads"] % 2:
        raise OptionError(
            "--positions rotary turns pairs of numbers: --width divided by --heads "
            f"must be even, not {config['width'] // config['heads']}"
        )
    sizes = (config[k] for k in ("width", "layers", "heads"))
    options = {k: config[k] for k in ("dropout", "positions", "norm")}
    model = transformer.DTransformer(
        len(config["tokenizer"]), *sizes, l_max=config["length"], **options, rng=rng
    )
    return model, text.optimizers(model, config)


def train(model, optimizers, batches, config, rng):
    """The loss of each step: algorithm 13."""
    draw_from(model, rng)
    adam, rate, pad = optimizers["adam"], optimizers["rate"], config["tokenizer"].pad
    batches = map(_tokens, batches)
    for loss in training.d_training(model, adam, batches, rate, clip=1.0, pad=pad):
        yield Loss(loss.loss)


def losses(model, batch, config, rng):
    """The loss of held-out tokens."""
    pad = config["tokenizer"].pad
    return Loss(training.d_loss(model, _tokens(batch), pad).loss)


def _tokens(batch):
    return batch.x if isinstance(batch, tuple) else batch


def words(loss, config):
    """The loss in a sentence."""
    return text.unsure(loss.loss, config)


# ---- what it writes -------------------------------------------------------------
def write(model, config, prompt, n, rng, temperature=1.0, top_k=None, top_p=None):
    """n tokens after the prompt, piece by piece, the prompt first.

    A model of lines goes on with a new one when one ends, unless there is a prompt.
    """
    tokenizer = config["tokenizer"]
    how = dict(temperature=temperature, top_k=top_k, top_p=top_p, rng=rng)
    first = _begin(prompt, config)
    while n > 0:
        tokens = generation.generate(
            model, first[None], n, eos_token=tokenizer.eos, **how
        )
        new = []
        drawn = (new.append(y[0]) or y[0] for y in tokens)
        shown = first if prompt or tokenizer.bos is not None else []
        yield from tokenizer.stream(itertools.chain(shown, drawn))
        n -= len(new)
        if prompt or tokenizer.eos is None:
            return
        if n > 0:
            yield "\n"


def _begin(prompt, config):
    """The tokens that it goes on from: the prompt, or how a text begins."""
    tokenizer = config["tokenizer"]
    if tokenizer.bos is not None:
        found = text.encode(prompt, config, "--prompt", bos=True)
        room = config["length"]
        if len(found) > room:
            raise OptionError(
                f"--prompt has {len(found) - 1} tokens, lines have at most {room - 1}"
            )
        return found
    if prompt:
        found = text.encode(prompt, config, "--prompt")
        if len(found):
            return found
    usual = "." if config["tokens"] == "word" else "\n"
    usual = usual if usual in tokenizer.vocabulary else tokenizer.vocabulary[0]
    return tokenizer.encode(usual)


def texts(model, config, test, rng):
    """A text of WRITTEN tokens, 8 names, or 8 held-out sums with the right answers."""
    if config["data"] == "addition":
        tokenizer = config["tokenizer"]
        for x in test.x[rng.choice(len(test.x), 8, replace=False)]:
            asked, _, right = tokenizer.decode(x).partition("=")
            said = "".join(write(model, config, f"{asked}=", 8, rng, temperature=0))
            verdict = "" if said == f"{asked}={right}" else f"   wrong, it is {right}"
            yield said + verdict
    elif config["data"] == "names":
        written = "".join(write(model, config, "", WRITTEN, rng))
        yield from written.split("\n")[:8]
    else:
        yield "".join(write(model, config, "", WRITTEN, rng))


def figures(model, config, test, rng):
    """What the last layer looks at in a piece of held-out text; how far all layers do.

    The second is a mean over some pieces.
    """
    tokenizer = config["tokenizer"]
    some = _tokens(next(iter(loader(test, 16, config))))[:, : config["length"]]
    row = [x for x in some[0] if x != tokenizer.pad][:24]
    last = model.attention_maps(np.array([row]))[-1][0]  # (H, T, T)
    title = "what each token (row) takes from those before it, in the last layer"
    yield plot.attention(last, text.labels(row, tokenizer), title=title)
    yield plot.attention_spread(model.attention_maps(some))
