"""scratchnn train: from options to a run in its folder, and its result in words."""

import contextlib
import shlex
import signal
import sys
from pathlib import Path

from ..errors import nearest
from .parser import Parser, UsageError, path

LENGTHS = {"steps": "how many, of training", "epochs": "how often through the data"}


def train(argv):
    """Train a model: pictures, losses and weights go to runs/MODEL."""
    from .. import recipes

    for name in [a for a in argv if a in recipes.RECIPES]:
        recipe = recipes.get(name)
        parser = _train_parser(name, recipe)
        if parser.parse_known_args(argv)[0].model == name:  # not of --out, say
            break
    else:  # which options there are depends on the model
        name = _train_parser().parse_known_args(argv)[0].model
        hint = nearest(name, recipes.RECIPES)
        hint = hint or f"; there are {', '.join(recipes.RECIPES)}"
        raise UsageError(f"scratchnn train: no model {name!r}{hint}")
    asked = vars(parser.parse_args(argv))
    asked = {k: v for k, v in asked.items() if v is not None}
    name = asked.pop("model")
    if "data" in asked:
        asked["data"] = _data(name, recipe, asked["data"])
    folder = asked.pop("out", Path("runs") / name)
    options = asked.pop("resume"), asked.pop("profile")
    return _train(name, recipe, folder, *options, asked)


def _train_parser(name=None, recipe=None):
    from ..recipes import OPTIONS, options, whole

    parser = Parser("train", description="Train a model on a data set.")
    parser.add_argument("model", metavar="MODEL", help="see `scratchnn models`")
    sets = ", ".join(recipe.DATA) if recipe else "see `scratchnn data`"
    sets += "; or a text file" * hasattr(recipe, "FILE")
    parser.add_argument("--data", metavar="NAME", help=sets)
    length = parser.add_mutually_exclusive_group()
    for unit, text in LENGTHS.items():
        length.add_argument(f"--{unit}", metavar="N", type=whole, help=text)
    first, defaults = next(iter(recipe.DATA.items())) if recipe else ("", {})
    common = {k: OPTIONS[k] for k in OPTIONS if not recipe or k in options(recipe)}
    parser.add_options("options that all models share", common, defaults)
    text = "folder of the run; runs/MODEL"
    parser.add_argument("--out", metavar="DIR", type=path, help=text)
    parser.add_argument("--resume", action="store_true", help="go on where it stopped")
    text = "say at the end where the time went, op by op; also profile.png"
    parser.add_argument("--profile", action="store_true", help=text)
    if recipe:
        title = f"options of {name} [their defaults on {first}]"
        parser.add_options(title, recipe.OPTIONS, defaults)
    return parser


def _train(name, recipe, folder, resume, profiled, asked):
    from .. import train as runs
    from ..profiler import profile

    outcome = None
    try:
        _check_device(asked.get("device"))
        again = (folder / "config.json").exists() and not resume
        if resume:
            run = runs.resumed(folder, {"model": name, **asked})
        else:
            run = runs.new(_config(name, recipe, asked), folder)
        if profiled and run.step == run.total:
            raise UsageError(
                f"scratchnn train: --profile: the run in {folder} is finished, there "
                "is no step to measure; leave it out, or lengthen the run with --steps"
            )
        config = run.config
        if again:
            print(f"replacing the run that was in {folder}")
        counted = getattr(recipe, "counted", lambda config: "samples")(config)
        print(
            f"{name} on {config['data']}: {len(run.train_set[0]):,} {counted} to learn "
            f"from, {len(run.test_set[0]):,} held out to test on"
        )
        start = f", from step {run.step:,}" if run.step else ""
        if run.step == run.total:
            start = ": finished already, its pictures are only drawn again"
        several = f"{run.per_step} x " if run.per_step > 1 else ""
        print(
            f"{run.model.num_parameters():,} parameters, {run.total:,} steps of "
            f"{several}{run.batch:,} samples{start}"
        )
        print(recipe.LOSS, flush=True)
        with profile() if profiled else contextlib.nullcontext() as p:
            outcome = runs.train(run, show=lambda text: print(text, flush=True))
        if outcome.signal:
            print(
                f"stopped after step {run.step:,} and saved. To go on: "
                f"{_resume_command(name, folder)}"
            )
        else:
            if outcome.before:
                print(f"untrained: {recipe.words(outcome.before, config)}")
            print(f"test:      {recipe.words(outcome.after, config)}")
        if profiled:
            _show_profile(p, folder / "profile.png")
        if outcome.signal:
            return 128 + outcome.signal
        pictures = run.draw()
    except KeyboardInterrupt:
        if outcome is None:
            raise
        if outcome.signal:  # saved already, as was said
            return 128 + outcome.signal
        print(
            "\nstopped while drawing; training is done and saved. To draw: "
            f"{_resume_command(name, folder)}"
        )
        return 128 + signal.SIGINT
    except runs.Diverged as error:
        print(f"scratchnn train: {error}", file=sys.stderr)
        return 1
    except runs.RunError as error:
        raise UsageError(f"scratchnn train: {error}") from None
    watch = ""
    for command, part in (("generate", "write"), ("translate", "translate")):
        if hasattr(recipe, part):
            watch += f"; to try it: scratchnn {command} {shlex.quote(str(folder))}"
    if hasattr(recipe, "snapshot"):
        watch += f"; to see it learn: scratchnn animate {shlex.quote(str(folder))}"
    kept = [*pictures, *(["samples.txt"] if hasattr(recipe, "texts") else [])]
    print(f"look at {folder / kept[0]}, {', '.join(kept[1:])}{watch}")


def _show_profile(p, path):
    """The table of a profile, and its picture."""
    from .. import plot

    print(f"\n{p}", flush=True)
    plot.save(plot.profile(p), path)
    print(f"The same as a picture: {path}\n")


def _config(name, recipe, asked):
    """The defaults, overruled by what was asked for."""
    from ..recipes import defaults

    data = asked.get("data", next(iter(recipe.DATA)))
    config = {"model": name, "data": data, "seed": 0, "device": "cpu"}
    config |= {"steps": None, "epochs": None}
    config |= defaults(recipe, data) | asked
    for one, other in [("steps", "epochs"), ("epochs", "steps")]:
        if one in asked:
            config[other] = None
    return config


def _data(name, recipe, data):
    """The data set that was asked for: its name, or the whole path of a text file."""
    if data in recipe.DATA:
        return data
    from ..data import DATASETS

    files = hasattr(recipe, "FILE")
    if files and Path(data).is_file():
        return str(Path(data).resolve())
    hint = "" if data in DATASETS else nearest(data, recipe.DATA)
    none = f" or a text file, and there is no file {data!r}" * files
    hint = hint or f"; it takes {', '.join(recipe.DATA)}{none}"
    raise UsageError(f"scratchnn train: {name} can't train on {data!r}{hint}")


def _check_device(device):
    if device == "gpu":
        from ..device import gpu_probe

        probe = gpu_probe()
        if not probe.available:
            raise UsageError(f"scratchnn train: --device gpu: {probe.text}")


def _resume_command(name, folder):
    out = "" if folder == Path("runs") / name else f" --out {shlex.quote(str(folder))}"
    return f"scratchnn train {name}{out} --resume"
