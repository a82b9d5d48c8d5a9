"""What the recipes of text share: from text to tokens, batches, the learning rate."""

import math
from typing import NamedTuple

import numpy as np

from .. import data, optim
from . import OptionError, choice, share, whole

TOKENIZERS = ("char", "word", "bpe")
TESTS = 10  # times that held-out losses are found: an epoch can be longer than a run

OPTIONS = {
    "tokens": (
        choice(*TOKENIZERS),
        "a token is a char, a word, or of bpe: a piece of a word that occurs often",
    ),
    "vocabulary": (whole, "how many tokens there are, of --tokens word and bpe"),
    "length": (whole, "how many tokens it sees at most"),
    "width": (whole, "numbers that stand for a token"),
    "layers": (whole, "of attention"),
    "heads": (whole, "of attention in a layer; they divide --width"),
    "dropout": (share, "part of the numbers that a step leaves out, against rote"),
    "warmup": (whole, "steps in which the learning rate rises"),
}


class Text(NamedTuple):
    """One long text: tokens (T,)."""

    tokens: np.ndarray


class Lines(NamedTuple):
    """Short texts: x (N, T), each from bos to eos, then padding."""

    x: np.ndarray


class Pairs(NamedTuple):
    """Short texts and what they become: z (N, S), x (N, T) from bos to eos; padded."""

    z: np.ndarray
    x: np.ndarray


# ---- from text to tokens --------------------------------------------------------
def long_text(config, specials=()):
    """Train and test Text, the last tenth for the test, and the tokenizer.

    That of words and pieces is learnt from the train part. All characters get a token:
    which there are gives nothing away.
    """
    text = data.text(config["data"])
    cut = len(text) * 9 // 10
    known = text if config["tokens"] == "char" else text[:cut]
    tokenizer = tokenizer_of(known, config, specials)
    train, test = (Text(tokenizer.encode(part)) for part in (text[:cut], text[cut:]))
    for part in (train, test):
        if len(part.tokens) <= config["length"]:
            raise OptionError(
                f"--data {config['data']}: a tenth of the text is held out, and one of "
                f"the parts has {len(part.tokens)} tokens, no more than --length "
                f"{config['length']}; take a longer text or a smaller --length"
            )
    return train, test, tokenizer


def short_texts(parts, config, specials=("pad", "bos", "eos")):
    """Lines, a part each, of several lists of str; and the tokenizer, of the first."""
    tokenizer, found = tokenizer_of(parts[0], config, specials), []
    for part in parts:
        x = [tokenizer.encode(text, bos=True, eos=True) for text in part]
        found.append(Lines(padded(x, config, tokenizer)))
    return *found, tokenizer


def pairs(parts, config, specials=("pad", "bos", "eos")):
    """Pairs, a part each, of several lists of (str, str); and the tokenizer for both.

    It is learnt from the first part: one vocabulary for source and target, as in
    Vaswani et al. (2017), section 5.1.
    """
    train, *others = parts
    both = [text for pair in train for text in pair]
    tokenizer = tokenizer_of(both, config, specials)

    def encoded(part):
        for source, target in part:
            z = tokenizer.encode(source, eos=True)
            yield z, tokenizer.encode(target, bos=True, eos=True)

    train = list(encoded(train))
    short = [pair for pair in train if max(map(len, pair)) <= config["length"] + 1]
    if len(short) > 0.99 * len(train):  # a few long ones are left out
        train = short
    found = [
        Pairs(*(padded(side, config, tokenizer) for side in zip(*part)))
        for part in (train, *map(encoded, others))
    ]
    return *found, tokenizer


def padded(sequences, config, tokenizer):
    """Sequences as one array. OptionError for one that --length is too short for."""
    longest = max(map(len, sequences))
    if longest > config["length"] + 1:
        raise OptionError(
            f"--length {config['length']} is too short for {config['data']}, where a "
            f"line has up to {longest} tokens; take --length {longest - 1}"
        )
    return data.pad(sequences, tokenizer.pad)[0]


def tokenizer_of(texts, config, specials):
    """The run's tokenizer, or one learnt from texts: a str, or a list of them."""
    if "tokenizer" in config:
        return config["tokenizer"]
    kind, size = config["tokens"], config["vocabulary"]
    if kind == "char":
        return data.CharTokenizer.train(texts, specials)
    if kind == "word":
        return data.WordTokenizer.train(texts, size, specials=(*specials, "unk"))
    least = 256 + len(specials)
    if size is not None and size <= least:
        raise OptionError(
            f"--vocabulary {size}: bpe has {least} tokens to begin with, one for each "
            f"byte; take more, such as --vocabulary {4 * 256}"
        )
    return data.BPETokenizer.train(texts, (size or 1024) - least, specials)


# ---- batches --------------------------------------------------------------------
def loader(dataset, batch, config, rng=None):
    """Windows of a Text, or rows of Lines and Pairs, those of like length together."""
    if isinstance(dataset, Text):
        shuffle = rng is not None
        return data.Windows(dataset.tokens, config["length"], batch, shuffle, rng=rng)
    return _ByLength(dataset, batch, config["tokenizer"].pad, rng)


class _ByLength:
    """Batches of texts of about the same length, so that there is little padding.

    With rng in random order: texts are shuffled, 50 batches at a time are sorted by
    length, and then the batches are shuffled. Columns of nothing but padding are cut.
    """

    def __init__(self, dataset, batch, pad, rng):
        self.dataset, self.batch, self.pad, self.rng = dataset, batch, pad, rng

    def __len__(self):
        return -(-len(self.dataset[0]) // self.batch)

    def __iter__(self):
        n, rng = len(self.dataset[0]), self.rng
        order = np.arange(n) if rng is None else rng.permutation(n)
        length = sum((a != self.pad).sum(axis=1) for a in self.dataset)
        rows = []
        for i in range(0, n, 50 * self.batch):
            some = order[i : i + 50 * self.batch]
            some = some[np.argsort(length[some], kind="stable")]
            rows += [some[j : j + self.batch] for j in range(0, len(some), self.batch)]
        if rng is not None:
            rows = [rows[i] for i in rng.permutation(len(rows))]
        for some in rows:
            yield type(self.dataset)(*(self._cut(a[some]) for a in self.dataset))

    def _cut(self, x):
        return x[:, : (x != self.pad).any(axis=0).sum()]


def size(batch, config):
    """How many tokens of a batch are predicted: the weight of its mean loss."""
    if isinstance(batch, tuple):  # Lines or Pairs: x comes last
        return int((batch[-1][:, 1:] != config["tokenizer"].pad).sum())
    return len(batch) * (batch.shape[1] - 1)


# ---- the model ------------------------------------------------------------------
def check(config, heads=True):
    """OptionError if the heads, where there are any, don't divide the width.

    Or if dropout is all.
    """
    if heads and config["width"] % config["heads"]:
        raise OptionError(
            f"--heads {config['heads']} do not divide --width {config['width']}; take "
            f"--width {-(-config['width'] // config['heads']) * config['heads']}"
        )
    if config["dropout"] == 1:
        raise OptionError("--dropout must be below 1, such as 0.1")


def optimizers(model, config):
    """AdamW, and its rate: up in --warmup steps, down to a tenth along half a cosine.

    The recipe of nanoGPT: beta2 is 0.99, matrices decay by 0.1, nothing else does.
    """
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    adam = optim.AdamW(groups, config["lr"], (0.9, 0.99), weight_decay=0.1)
    w, total = config["warmup"], config["total"]

    def rate(t):
        if t < w:
            return (t + 1) / (w + 1)
        part = min((t - w) / max(total - w, 1), 1)
        return 0.1 + 0.9 * (1 + math.cos(math.pi * part)) / 2

    return {"adam": adam, "rate": optim.LambdaLR(adam, rate)}


# ---- words ----------------------------------------------------------------------
def unsure(nats, config):
    """A loss in a sentence."""
    token = {"char": "character", "word": "word", "bpe": "token"}[config["tokens"]]
    return (
        f"{nats:.3f} nats per {token}, as unsure as between {math.exp(nats):,.1f} "
        "equally likely ones"
    )


def labels(tokens, tokenizer):
    """The text of each token, to be written beside a map."""
    return [tokenizer.vocabulary[int(i)] for i in tokens]


def encode(text, config, name, **ends):
    """The tokens of what the user typed; OptionError if some of it has none."""
    tokenizer = config["tokenizer"]
    try:
        return tokenizer.encode(text, **ends)
    except ValueError as error:
        known = "".join(t for t in tokenizer.vocabulary if len(t) == 1)
        first = str(error).partition(":")[0]
        raise OptionError(f"{name}: {first}; it knows only {known!r}") from None
