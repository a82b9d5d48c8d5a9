"""Dates, written in many ways, into ISO 8601: right on days that were held out.

    python tests/benchmarks/quality/dates.py --seeds 0 1 2

No day of the test is in the training split, however it is written. The map of what the
decoder looks at goes to docs/results. --quick: 100 steps.
"""

from common import arguments
from texts import RUNS, SHEETS, exact, script, trained

from scratchnn import no_grad, plot, recipes
from scratchnn.recipes import seq2seq

NETS = {
    "Transformer": {},
    "GRU with attention": dict(net="gru", layers=1),
    "GRU without": dict(net="gru", attention=False),
}
SHOWN = "Sunday, 3 March 2024"


def measure(run, seed, folder=None, **options):
    """The share of right answers of each network after as many steps."""
    pairs = seq2seq.task("dates", "test", n=1000)
    for name, how in NETS.items():
        place = (folder or RUNS) / f"seq2seq-dates-{name.replace(' ', '_')}-{seed}"
        how = how | options
        model, config, seconds = trained("seq2seq", "dates", seed, place, **how)
        bar = "at least 99" if name == "Transformer" else ""
        share = 100 * exact(model, config, pairs)
        yield f"{name}: right, of 1,000 held-out dates (%)", bar, share
        yield f"{name}: training (s)", "", seconds
        if seed == 0 and folder is None and "without" not in name:
            _map(model, config, name)


def _map(model, config, name):
    """The map of one date, into docs/results."""
    with no_grad():
        _, figure = recipes.get("seq2seq").translate(model, config, SHOWN, draw=True)
    SHEETS.mkdir(parents=True, exist_ok=True)
    name = name.split(" ")[0].lower()
    plot.save(figure, SHEETS / f"dates_attention_{name}.png")


def main(argv=None):
    """Each seed, into results/dates.json."""
    asked = arguments(__doc__, argv)
    script("dates", asked, ["dates"], measure, "seq2seq, {}", steps=100)


if __name__ == "__main__":
    main()
