"""BERT on Python's reference text: gaps that it fills, and labels that it saves.

    python tests/benchmarks/quality/bert.py --seeds 0 1 2

Gaps: the share of hidden tokens of the held-out tenth that it guesses, against that of
the most frequent token (a unigram). Labels: which of six topics a paragraph is from,
learnt by logistic regression from 10 paragraphs of each, from counts of tokens (a bag
of words) or from the mean of what BERT makes of the tokens. The paragraphs were in its
text, their topics were not. Means over 10 draws of the labels. Twice as many steps as
the command's, of twice as many windows: with the command's it guesses 1.8 times as many
gaps as the unigram, and a bag of words tells topics better. --quick: 100 steps.
"""

import re

import numpy as np
from common import arguments
from texts import RUNS, script, trained

from scratchnn import Tensor, no_grad, optim, recipes
from scratchnn.models import transformer_training as training
from scratchnn.nn import functional as F

TOPICS = (
    "compound", "debugger", "formatstrings", "specialnames", "string-methods", "types",
)  # fmt: skip
LABELS, DRAWS = 10, 10
RECIPE = recipes.get("bert")
LONG = dict(steps=6000, batch=32)


# ---- gaps -----------------------------------------------------------------------
def guessed(model, config, test, train):
    """Shares of hidden held-out tokens that are guessed: by the model, by a unigram.

    Words that are not in the vocabulary count for neither.
    """
    rng, mask = np.random.default_rng(0), config["tokenizer"].mask
    unk = config["tokenizer"].unk
    usual = np.bincount(train.tokens[train.tokens != unk]).argmax()
    right, unigram = [], []
    with no_grad():
        for x in RECIPE.loader(test, 64, config):
            x_masked, hidden = training.masked(x, mask, 0.15, rng)
            hidden = hidden & (x != unk)
            guess = model(x_masked).data.argmax(axis=-1)
            right.append((guess == x)[hidden])
            unigram.append((x == usual)[hidden])
    return tuple(float(np.concatenate(a).mean()) for a in (right, unigram))


# ---- labels ---------------------------------------------------------------------
def paragraphs(topics=TOPICS, least=8):
    """Paragraphs of at least 8 words, and the number of the topic of each."""
    from pydoc_data.topics import topics as texts

    found, y = [], []
    for k, name in enumerate(topics):
        for text in re.split(r"\n\s*\n", texts[name]):
            if len(text.split()) >= least:
                found.append(text)
                y.append(k)
    return found, np.array(y)


def bags(tokens, N_V):
    """log(1 + how often each token occurs) times log(N / paragraphs with it)."""
    counts = np.stack([np.bincount(x, minlength=N_V) for x in tokens])
    rarity = np.log(len(tokens) / np.maximum((counts > 0).sum(axis=0), 1))
    return (np.log1p(counts) * rarity).astype(np.float32)


def meanings(model, tokens, length):
    """The mean of X = model.encode(x) over the tokens of each paragraph: (N, d_e)."""
    means = []
    with no_grad():
        for x in tokens:
            windows = [x[i : i + length] for i in range(0, len(x), length)]
            X = np.concatenate([model.encode(w[None]).data[0] for w in windows])
            means.append(X.mean(axis=0))
    return np.stack(means)


def accuracy(features, y, rng, steps=200):
    """Held-out accuracy of logistic regression, learnt from LABELS of each class."""
    K = y.max() + 1
    of_class = [rng.permutation(np.flatnonzero(y == k)) for k in range(K)]
    train = np.concatenate([some[:LABELS] for some in of_class])
    test = np.setdiff1d(np.arange(len(y)), train)
    mean, scale = features[train].mean(axis=0), features[train].std(axis=0)
    x = (features - mean) / (scale + 0.1 * scale.max())
    x = (x / np.sqrt((x[train] ** 2).sum(axis=1).mean())).astype(np.float32)
    W = Tensor(np.zeros((x.shape[1], K), np.float32), True)
    b = Tensor(np.zeros(K, np.float32), True)
    adam = optim.AdamW([W, b], 0.05, weight_decay=0.1)
    for _ in range(steps):
        adam.zero_grad()
        F.cross_entropy(x[train] @ W + b, y[train]).backward()
        adam.step()
    scores = x[test] @ W.data + b.data
    right = scores.argmax(axis=1) == y[test]
    return np.mean([right[y[test] == k].mean() for k in range(K)])


def measure(run, seed, folder=None, **options):
    """Both figures of a run."""
    place = (folder or RUNS) / f"bert-python-{seed}"
    how = LONG | options
    model, config, seconds = trained("bert", "python", seed, place, **how)
    train, test, tokenizer = RECIPE.read(config)
    right, unigram = guessed(model, config, test, train)
    yield "hidden tokens guessed (%)", "", 100 * right
    yield "guessed by the most frequent token (%)", "", 100 * unigram
    yield "the one divided by the other", "at least 2", right / unigram
    texts, y = paragraphs()
    tokens = [tokenizer.encode(text) for text in texts]
    length, bag = config["length"], bags(tokens, len(tokenizer))
    meaning = meanings(model, tokens, length)
    untrained, _ = RECIPE.build(config, np.random.default_rng(seed))
    blank = meanings(untrained.eval(), tokens, length)
    found = {}
    for name, features in (
        ("a bag of words", bag), ("BERT", meaning), ("BERT untrained", blank),
        ("both", np.concatenate([_unit(bag), _unit(meaning)], axis=1)),
    ):  # fmt: skip
        rngs = np.random.default_rng(seed).spawn(DRAWS)
        found[name] = 100 * np.mean([accuracy(features, y, rng) for rng in rngs])
        yield f"topics told apart by {name}, {LABELS} labels each (%)", "", found[name]
    gain = found["BERT"] - found["a bag of words"]
    yield "BERT above a bag of words (%)", "at least 0", gain
    yield "training (s)", "", seconds


def _unit(x):
    """Centred features whose rows have length 1 on average."""
    x = x - x.mean(axis=0)
    return x / np.sqrt((x**2).sum(axis=1).mean())


def main(argv=None):
    """Each seed, into results/bert.json."""
    script("bert", arguments(__doc__, argv), ["python"], measure, "BERT, {}", steps=100)


if __name__ == "__main__":
    main()
