"""GPT that adds numbers of two and of three digits, right on held-out sums.

    python tests/benchmarks/quality/addition.py --seeds 0 1 2

No pair of numbers of the test is in the training split, in either order. The answer's
last digit comes first, as in minGPT's adder. --quick: 100 steps.
"""

from common import arguments
from texts import RUNS, script, sums, trained

from scratchnn.recipes import gpt

LONG = {2: 5000, 3: 10_000}  # steps


def measure(digits, seed, folder=None, **options):
    """The share of held-out sums that it gets right."""
    digits = int(digits)
    place = (folder or RUNS) / f"gpt-addition{digits}-{seed}"
    how = dict(digits=digits, steps=LONG[digits]) | options
    model, config, seconds = trained("gpt", "addition", seed, place, **how)
    pairs = gpt.sums("test", digits)
    share = 100 * sums(model, config, pairs)
    yield f"right, of {len(pairs):,} held-out sums (%)", "at least 99", share
    yield "training (s)", "", seconds


def main(argv=None):
    """Both lengths for each seed, into results/addition.json."""
    title = "GPT, addition of {} digits"
    script("addition", arguments(__doc__, argv), ["2", "3"], measure, title, steps=100)


if __name__ == "__main__":
    main()
