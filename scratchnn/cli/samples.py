"""scratchnn sample and animate: what a trained model draws, and how it came to it."""

from argparse import ArgumentTypeError
from pathlib import Path

from ..recording import no_grad
from .parser import Parser, UsageError, path

MANY = {True: (2_000, 100_000), False: (100, 1_000)}  # points or not: usual, most


# ---- new samples ----------------------------------------------------------------
def sample(argv):
    """Draw new samples with a trained model: scratchnn sample runs/vae."""
    recipe, config = recipe_of(argv, "sample")
    parser = _sample_parser(recipe, config)
    asked = vars(parser.parse_known_args(argv)[0])
    if recipe:  # else its options are not known, and that there is no run comes first
        parser.parse_args(argv)
    folder, n, seed, out = (asked.pop(name) for name in ("run", "n", "seed", "out"))
    if recipe and not hasattr(recipe, "sample"):
        other = "generate" if hasattr(recipe, "write") else "translate"
        raise UsageError(
            f"scratchnn sample: {config['model']} draws no pictures; try "
            f"scratchnn {other} {folder}"
        )

    import numpy as np

    from .. import plot
    from .. import train as runs
    from ..recipes import OptionError
    from ..train.run import progress

    if seed is None:
        seed = int(np.random.default_rng().integers(10_000))
    out = out or folder / "sample.png"
    try:
        recipe, model, config = runs.trained(folder)
        asked = {k: v for k, v in asked.items() if v is not None}
        rng, note = np.random.default_rng(seed), f"drawing {n:,} samples ..."
        with no_grad(), progress(total=1, bar_format=note, leave=False):
            figure = recipe.sample(model, config, n, rng, **asked)
    except (runs.RunError, OptionError) as error:
        raise UsageError(f"scratchnn sample: {error}") from None
    try:
        plot.save(figure, out)
    except OSError as error:
        raise UsageError(f"scratchnn sample: --out {out}: {error.strerror}") from None
    print(f"{out}: {n:,} samples, seed {seed}")


def _sample_parser(recipe, config):
    from .. import recipes

    usual, most = MANY[config.get("shape") == [2]]

    def sheet(text):  # what fits on one
        return recipes.whole(text, most=most)

    parser = Parser("sample", description="Draw new samples with a trained model.")
    text = "folder of a run, as runs/vae; with --help: what its model takes"
    parser.add_argument("run", metavar="RUN", type=path, help=text)
    text = f"how many; {usual}"
    parser.add_argument("-n", metavar="N", type=sheet, default=usual, help=text)
    text = "a new one every time"
    parser.add_argument("--seed", metavar="N", type=recipes.seed, help=text)
    text = "the picture; RUN/sample.png"
    parser.add_argument("--out", metavar="FILE", type=path, help=text)
    if getattr(recipe, "SAMPLE", None):
        parser.add_options(f"options of {config['model']}", recipe.SAMPLE)
    return parser


def recipe_of(argv, command):
    """(recipe, config) of the run that the arguments name; (None, {}) if none."""
    from .. import recipes
    from .. import train as runs

    for before, text in zip(["", *argv], argv):
        if before != "--out" and (Path(text) / "config.json").exists():
            try:
                config = runs.read_config(text)
            except runs.RunError as error:
                raise UsageError(f"scratchnn {command}: {error}") from None
            return recipes.get(config["model"]), config
    return None, {}


# ---- animations -----------------------------------------------------------------
MOST_FRAMES = 100


def animate(argv):
    """Make a GIF of how a model learned, or of how it samples."""
    asked = _animate_parser().parse_args(argv)
    recipe, config = recipe_of([str(asked.run)], "animate")
    if recipe is None:
        raise UsageError(
            f"scratchnn animate: there is no run in {asked.run}; scratchnn train vae "
            "makes one"
        )
    frames = {"training": _learning, "sampling": _sampling}[asked.of]
    titles, frames = frames(asked.run, recipe, config)

    from .. import plot

    points = config.get("shape") == [2]
    data = recipe.load(config["data"])[1].x if points else None
    colours = recipe.colours(config) if hasattr(recipe, "colours") else None
    out = asked.out or asked.run / f"{asked.of}.gif"
    drawn = _bar(titles, "drawing")
    try:
        plot.animate(frames, drawn, out, asked.fps, data, colours)
    except OSError as error:
        raise UsageError(f"scratchnn animate: --out {out}: {error.strerror}") from None
    size = out.stat().st_size / 1e6
    print(f"{out}: {len(frames)} frames, {size:.1f} MB")


def _animate_parser():
    from ..recipes import choice, whole

    def speed(text):  # a GIF counts in hundredths of a second
        return whole(text, most=50)

    parser = Parser("animate", description=animate.__doc__)
    text = "folder of a run, as runs/vae"
    parser.add_argument("run", metavar="RUN", type=path, help=text)
    text = "training or sampling: its samples as it learned, or one sheet from noise on"
    of = dict(type=choice("training", "sampling"), default="training", help=text)
    parser.add_argument("--of", metavar="X", **of)
    text = "the animation; RUN/training.gif or RUN/sampling.gif"
    parser.add_argument("--out", metavar="FILE", type=_gif, help=text)
    text = "frames in a second; 10"
    parser.add_argument("--fps", metavar="N", type=speed, default=10, help=text)
    return parser


def _gif(text):
    if path(text).suffix.lower() != ".gif":
        raise ArgumentTypeError(f"expected a name that ends in .gif, got {text!r}")
    return path(text)


def _learning(folder, recipe, config):
    """Titles and frames of the samples that were kept while a run learned."""
    from ..train import snapshots

    model, kept = config["model"], snapshots.read(folder)
    if not hasattr(recipe, "snapshot"):
        other = "; --of sampling shows how it samples" * hasattr(recipe, "chain")
        other += f"; read {folder / 'samples.txt'}" * hasattr(recipe, "texts")
        raise UsageError(
            f"scratchnn animate: {model} keeps no samples while it learns{other}"
        )
    if not kept:
        raise UsageError(
            f"scratchnn animate: the run in {folder} kept no samples while it learned; "
            f"train it again: scratchnn train {model} --out {folder}"
        )
    titles = [f"{model}, step {step:,} of {config['total']:,}" for step in kept]
    return titles, list(kept.values())


def _sampling(folder, recipe, config):
    """Titles and frames of a model that samples step by step."""
    import numpy as np

    from .. import train as runs

    model = config["model"]
    if not hasattr(recipe, "chain"):
        other = "; --of training shows how it learned" * hasattr(recipe, "snapshot")
        other += f"; read {folder / 'samples.txt'}" * hasattr(recipe, "texts")
        raise UsageError(
            f"scratchnn animate: {model} samples in one go, there is no way to show"
            f"{other}"
        )
    try:
        recipe, model, config = runs.trained(folder)
    except runs.RunError as error:
        raise UsageError(f"scratchnn animate: {error}") from None
    chain = recipe.chain(model, config, np.random.default_rng(0))
    with no_grad():
        pairs = list(_bar(chain, "sampling"))
    if len(pairs) > MOST_FRAMES:
        some = np.linspace(0, len(pairs) - 1, MOST_FRAMES).round().astype(int)
        pairs = [pairs[i] for i in some]
    titles, frames = zip(*pairs)
    return titles, frames


def _bar(items, text):
    from ..train.run import progress

    return progress(iterable=items, desc=text, unit="frame")
