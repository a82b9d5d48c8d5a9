"""Copy and reverse: an encoder-decoder must be right on all of 1,000 unseen sequences.

    python tests/benchmarks/quality/attention_tasks.py --seeds 0 1 2

Sizes of the Annotated Transformer's first example: 10 symbols, sequences of 10, 2 + 2
layers, batches of 80; width 128 for 512. A GRU without attention, with as many steps,
is measured beside it. --quick: 60 steps, no figures kept.
"""

from common import arguments
from texts import RUNS, exact, script, trained

from scratchnn.recipes import seq2seq

TASKS = "copy", "reverse"
GRU = dict(net="gru", attention=False)


def measure(task, seed, folder=None, **options):
    """The share of right answers to 1,000 unseen sequences, of both networks."""
    unseen = seq2seq.task(task, "test", n=1000)
    for name, bar, how in (("Transformer", "at least 100", {}), ("GRU", "", GRU)):
        place = (folder or RUNS) / f"seq2seq-{task}-{name}-{seed}"
        model, config, seconds = trained("seq2seq", task, seed, place, **how, **options)
        share = exact(model, config, unseen)
        yield f"{name}: right, of 1,000 unseen (%)", bar, 100 * share
        yield f"{name}: training (s)", "", seconds


def main(argv=None):
    """Both tasks for each seed, into results/attention_tasks.json."""
    asked = arguments(__doc__, argv)
    script("attention_tasks", asked, TASKS, measure, "seq2seq, {}", steps=60)


if __name__ == "__main__":
    main()
