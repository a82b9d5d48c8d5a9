"""scratchnn generate and translate: what a trained model writes, as it is written."""

import contextlib
import sys

from ..recording import no_grad
from .parser import Parser, UsageError, path
from .samples import recipe_of

DOES = {"write": "generate", "translate": "translate", "sample": "sample"}


def generate(argv):
    """Write on from a beginning: scratchnn generate runs/gpt --prompt To."""
    recipe, config, parser = _command(generate, "write", argv)
    text = "how it begins; a new text if left out"
    parser.add_argument("--prompt", metavar="TEXT", default="", help=text)
    text = "how many tokens at most; 500"
    parser.add_argument("-n", metavar="N", type=_many, default=500, help=text)
    text = "a new one every time"
    parser.add_argument("--seed", metavar="N", type=_seed, help=text)
    asked = _asked(recipe, parser, argv)
    folder, prompt, n, seed = (asked.pop(k) for k in ("run", "prompt", "n", "seed"))

    import numpy as np

    with _complaints("generate"), no_grad():
        recipe, model, config = _trained(folder, recipe)
        if seed is None:
            seed = int(np.random.default_rng().integers(10_000))
            print(f"seed {seed}", file=sys.stderr, flush=True)
        rng = np.random.default_rng(seed)
        for piece in recipe.write(model, config, prompt, n, rng, **asked):
            print(piece, end="", flush=True)
    print()


def translate(argv):
    """Translate a text, or each line of the input: scratchnn translate runs/seq2seq."""
    recipe, config, parser = _command(translate, "translate", argv)
    text = "what to translate; each line of the input if left out"
    parser.add_argument("text", metavar="TEXT", nargs="?", help=text)
    text = "a picture of what it looked at for each word, as attention.png"
    parser.add_argument("--attention", metavar="FILE", type=path, help=text)
    asked = _asked(recipe, parser, argv)
    folder, text, out = (asked.pop(k) for k in ("run", "text", "attention"))
    if out and text is None:
        raise UsageError(
            "scratchnn translate: --attention: it is the picture of one text; name it "
            f"after the run, as scratchnn translate {folder} TEXT --attention {out}"
        )
    with _complaints("translate"), no_grad():
        recipe, model, config = _trained(folder, recipe)
        if text is None and sys.stdin.isatty():
            print("a line to translate, Ctrl-D to end", file=sys.stderr, flush=True)
        for line in [text] if text is not None else sys.stdin:
            translated, figure = recipe.translate(
                model, config, line.rstrip("\r\n"), draw=bool(out), **asked
            )
            print(translated, flush=True)
    if out:
        _save(figure, out)


def _save(figure, out):
    from .. import plot

    if figure is None:
        raise UsageError(
            "scratchnn translate: --attention: this model has no attention to show; "
            "train one with it"
        )
    try:
        plot.save(figure, out)
    except OSError as error:
        fault = f"--attention {out}: {error.strerror}"
        raise UsageError(f"scratchnn translate: {fault}") from None


# ---- what both share ------------------------------------------------------------
def _many(text):
    from ..recipes import whole

    return whole(text, most=100_000)


def _seed(text):
    from ..recipes import seed

    return seed(text)


def _command(command, part, argv):
    """(recipe, config, parser) of a command for the runs whose recipe has a part."""
    name = command.__name__
    recipe, config = recipe_of(argv, name)
    if recipe and not hasattr(recipe, part):
        other = next(c for p, c in DOES.items() if hasattr(recipe, p))
        raise UsageError(
            f"scratchnn {name}: {config['model']} can't; try scratchnn {other}"
        )
    parser = Parser(name, description=command.__doc__)
    text = "folder of a run, as runs/gpt; with --help: what its model takes"
    parser.add_argument("run", metavar="RUN", type=path, help=text)
    if recipe:
        options = getattr(recipe, part.upper(), {})
        parser.add_options(f"options of {config['model']}", options)
    return recipe, config, parser


def _asked(recipe, parser, argv):
    """What was asked for; options that were not are None only if the command's."""
    asked = vars(parser.parse_known_args(argv)[0])
    if recipe:  # else its options are not known, and that there is no run comes first
        parser.parse_args(argv)
    kept = ("run", "seed", "text", "attention")
    return {k: v for k, v in asked.items() if v is not None or k in kept}


def _trained(folder, recipe):
    from .. import train as runs

    if recipe is None:
        raise runs.RunError(f"there is no run in {folder}; scratchnn train makes one")
    return runs.trained(folder)


@contextlib.contextmanager
def _complaints(name):
    """What is wrong with a run, or with what is asked of it, in one line."""
    from ..recipes import OptionError
    from ..train import RunError

    try:
        yield
    except (RunError, OptionError) as error:
        raise UsageError(f"scratchnn {name}: {error}") from None
