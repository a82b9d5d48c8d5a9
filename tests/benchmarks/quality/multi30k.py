"""German to English on Multi30k: a Transformer and an LSTM, both as many minutes.

    pip install sacrebleu
    python tests/benchmarks/quality/multi30k.py --seeds 0 --minutes 25

29,000 sentences to learn from, the test of 2016. Both networks have the same tokens,
6,000 pieces of words that both languages share; the LSTM is Bahdanau's with LSTM cells.
The number of steps is what fits into the minutes by the time of a few steps, and is
kept with the run; `scratchnn translate RUN TEXT --attention FILE` draws what it looks
at. BLEU is sacrebleu's, of text as it is written (13a, with case), by beams of 4.
Published on words in small letters (bentrevett/pytorch-seq2seq): LSTM 3.780 nats per
word, with attention 3.242, Transformer 1.671 and BLEU 36.52. --quick: 20 steps, 20
sentences.
"""

import argparse
import pathlib
import tempfile
import time

import numpy as np
from common import save
from texts import RUNS, answers, nats, rows_of, trained

from scratchnn import data, recipes, train
from scratchnn.recipes import text

NETS = {
    "Transformer": {},
    "LSTM with attention": dict(net="lstm", layers=1, width=256),
}
SHARED = dict(batch=64)
RECIPE = recipes.get("seq2seq")


def measure(seed, minutes, folder, n=1000, **options):
    """Loss and BLEU of each network on the test of 2016."""
    found = {}
    test = data.multi30k("test")[:n]
    for name, how in NETS.items():
        place = folder / f"multi30k-{name.replace(' ', '_')}-{seed}"
        how = SHARED | how | options
        if "steps" not in how:
            how["steps"] = steps_in(minutes, place, seed, how)
        model, config, seconds = trained("seq2seq", "multi30k", seed, place, **how)
        (pairs,) = text.pairs([test], config)[:1]
        loss, tokens = nats(RECIPE, model, config, pairs)
        english = [target for _, target in test]
        written = answers(model, config, [z for z, _ in test], beams=4, batch=50)
        found[name] = bleu = score(written, english)
        words = sum(len(line.split()) for line in english)
        yield f"{name}: test loss, nats per token", "", loss
        yield f"{name}: the same, per word", "", loss * tokens / words
        yield f"{name}: BLEU", "", bleu
        yield f"{name}: steps", "", config["total"]
        yield f"{name}: training (minutes)", "", seconds / 60
    gain = found["Transformer"] - found["LSTM with attention"]
    yield "BLEU of the Transformer above the LSTM's", "at least 0", gain


def steps_in(minutes, place, seed, how, trial=40):
    """How many steps take so long; those of the run in `place` if there is one."""
    if (place / "config.json").exists():
        return train.read_config(place)["steps"]
    config = {"model": "seq2seq", "data": "multi30k", "seed": seed, "device": "cpu"}
    config |= RECIPE.DATA["multi30k"] | how | {"steps": 10 * trial}
    run, times = train.Run(config, place), []
    start = time.perf_counter()
    for _ in zip(range(trial), run.steps()):
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    return max(1, int(60 * minutes / np.mean(times[5:])))


def score(written, right):
    """BLEU by sacrebleu: 0 to 100."""
    try:
        import sacrebleu
    except ImportError:
        raise SystemExit("this needs sacrebleu: pip install sacrebleu") from None
    return sacrebleu.corpus_bleu(written, [right]).score


def main(argv=None):
    """All networks for each seed, into results/multi30k.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--minutes", type=float, default=25.0, help="for each network")
    parser.add_argument("--quick", action="store_true", help="short, keeps nothing")
    asked = parser.parse_args(argv)
    score([""], [""])
    title, command = "Multi30k, German to English", f"--minutes {asked.minutes:g}"
    if asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            short = dict(folder=pathlib.Path(folder), n=20, steps=20)
            rows_of(title, "", [0], lambda seed: measure(seed, 0, **short))
        return
    measured = lambda seed: measure(seed, asked.minutes, RUNS)
    rows = rows_of(title, f"multi30k.py {command}", asked.seeds, measured)
    save("multi30k", rows)


if __name__ == "__main__":
    main()
