"""GPT on names, a character at a time: at most 2.05 nats on the held-out tenth.

    python tests/benchmarks/quality/names.py --seeds 0 1 2

The split is that of makemore's notebooks (80, 10, 10 %, shuffled by random.seed(42)).
On it a table of pairs of letters has 2.4546 (add-one, test 2.4584), an MLP 2.1061, the
author's Transformer of 200,000 parameters 1.92. --quick: 100 steps.
"""

from common import arguments
from texts import RUNS, nats, script, trained

from scratchnn import data, recipes
from scratchnn.recipes import text


def measure(run, seed, folder=None, **options):
    """Nats per character of the test names and of the dev names."""
    place = (folder or RUNS) / f"gpt-names-{seed}"
    model, config, seconds = trained("gpt", "names", seed, place, **options)
    recipe = recipes.get("gpt")
    for part, bar in (("test", "at most 2.05"), ("dev", "")):
        (dataset,) = text.short_texts([data.names(part)], config)[:1]
        value, _ = nats(recipe, model, config, dataset)
        yield f"{part}: nats per character", bar, value
    yield "parameters", "", model.num_parameters()
    yield "training (s)", "", seconds


def main(argv=None):
    """Each seed, into results/names.json."""
    script("names", arguments(__doc__, argv), ["names"], measure, "GPT, {}", steps=100)


if __name__ == "__main__":
    main()
