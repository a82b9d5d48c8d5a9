"""What the quality runs of text share: right answers, nats, and a choice of figures."""

import pathlib
import tempfile

import numpy as np
from common import save
from image_diffusion import SHEETS, rows_of, trained

from scratchnn import data, no_grad
from scratchnn.models import generation
from scratchnn.recipes import seq2seq, text

RUNS = pathlib.Path("runs/quality")
__all__ = [
    "RUNS", "SHEETS", "answers", "exact", "nats", "rows_of", "script", "sums",
    "trained",
]  # fmt: skip


def script(name, asked, runs, measure, title, **short):
    """Measure runs for each seed and keep the figures; with --quick a short one.

    measure(run, seed) yields (figure, bar, value), and takes a folder and `short`.
    """
    for run in asked.runs or runs:
        if asked.quick:
            with tempfile.TemporaryDirectory() as folder:
                how = dict(folder=pathlib.Path(folder), **short)
                measured = lambda seed: measure(run, seed, **how)
                rows_of(title.format(run), name, asked.seeds[:1], measured)
            continue
        measured = lambda seed: measure(run, seed)
        command = f"{name}.py {run}"
        rows = rows_of(title.format(run), command, asked.seeds, measured)
        save(name, rows, asked.add)


def answers(model, config, sources, beams=1, batch=200):
    """The translations of a list of str, as str."""
    tokenizer, found = config["tokenizer"], []
    for i in range(0, len(sources), batch):
        z = [tokenizer.encode(s, eos=True) for s in sources[i : i + batch]]
        z, _ = data.pad(z, tokenizer.pad)
        written = seq2seq.translated(model, z, config, beams)
        found += [tokenizer.decode(_until(x, tokenizer.eos)) for x in written]
    return found


def _until(x, end):
    """Tokens up to the first `end`."""
    at = np.flatnonzero(x == end)
    return x[: at[0]] if len(at) else x


def exact(model, config, pairs):
    """The share of (source, target) whose target is written as it is, greedily."""
    said = answers(model, config, [source for source, _ in pairs])
    return float(np.mean([a == target for a, (_, target) in zip(said, pairs)]))


def sums(model, config, pairs, batch=500):
    """The share of sums that a GPT answers right: pairs ("12+34=", "640")."""
    tokenizer, right = config["tokenizer"], 0
    l_gen = len(pairs[0][1]) + 1
    for i in range(0, len(pairs), batch):
        some = pairs[i : i + batch]
        x = np.stack([tokenizer.encode(question, bos=True) for question, _ in some])
        drawn = generation.generate(
            model, x, l_gen, temperature=0, eos_token=tokenizer.eos
        )
        said = np.stack(list(drawn), axis=1)  # (B, T)
        for row, (_, answer) in zip(said, some):
            right += tokenizer.decode(_until(row, tokenizer.eos)) == answer
    return right / len(pairs)


def nats(recipe, model, config, dataset, batch=64):
    """The mean loss over all tokens of a data set; and how many tokens there are."""
    total, n, rng = 0.0, 0, np.random.default_rng(0)
    with no_grad():
        for some in recipe.loader(dataset, batch, config):
            tokens = text.size(some, config)
            total += float(recipe.losses(model, some, config, rng).loss) * tokens
            n += tokens
    return total / n, n
