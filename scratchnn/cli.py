"""The command line: scratchnn train, sample, models, data, gradcheck, doctor, warmup.

The only module that prints: results to stdout, progress and complaints to stderr. Exit
codes: 0 done, 1 a check failed or training diverged, 2 bad input (one line says what),
130 Ctrl-C. What a command needs is imported when it runs, so that --help is quick.
"""

import argparse
import contextlib
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from .checkpoint import CheckpointError
from .errors import nearest

HELP = """\
usage: scratchnn COMMAND ...

  scratchnn train vae             learn to draw digits, in less than a minute
  scratchnn train vae --z 8       the same with a longer code
  scratchnn sample runs/vae       draw new digits with what it learned

commands:
{commands}

`scratchnn COMMAND --help` says more. Pictures and weights go to runs/."""


# What other libraries call an option of ours.
ALIASES = {"learning-rate": "--lr", "batch-size": "--batch", "output": "--out"}


class UsageError(Exception):
    """Bad input: one line for the reader."""


class Parser(argparse.ArgumentParser):
    """argparse, complaining in one line that names the nearest option."""

    def __init__(self, command, **options):
        super().__init__(prog=f"scratchnn {command}", allow_abbrev=False, **options)

    def error(self, message):
        message = message.removeprefix("argument ").split(" (choose from")[0]
        required = "the following arguments are required: "
        if message.startswith(required):
            message = f"{message.removeprefix(required)} is missing; see --help"
        unknown = "unrecognized arguments: "
        if message.startswith(unknown):
            message = self._unknown(message.removeprefix(unknown).split(" ")[0])
        raise UsageError(f"{self.prog}: {message}")

    def _unknown(self, given):
        from .recipes import widths

        if given[:1] != "-":
            list_taken = any(action.type is widths for action in self._actions)
            hint = list_taken and given.isdecimal()
            hint = "; write a list with commas, as 128,64" if hint else ""
            return f"unexpected argument {given!r}{hint}"
        given = given.partition("=")[0]
        known = self._option_string_actions
        options = {name: o for name, o in ALIASES.items() if o in known}
        options |= {o.lstrip("-"): o for o in known}
        hint = nearest(given.lstrip("-").replace("_", "-"), options)
        for name, option in options.items():
            hint = hint.replace(repr(name), repr(option))
        return f"unknown option {given}{hint}"


def main(argv=None):
    """Run one command; the exit code. `argv` is sys.argv without the program."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        _drop_output()
        return 128 + signal.SIGPIPE
    except (OSError, MemoryError, CheckpointError) as error:
        command = " ".join(["scratchnn", *argv[:1]])
        print(f"{command}: {_what_failed(error)}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:  # it was the output that could not be written
            _drop_output()
        return 2


def _drop_output():
    """Send what is left to print nowhere, so that Python's exit doesn't complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _what_failed(error):
    if isinstance(error, MemoryError):
        return f"not enough memory; use smaller numbers. {error}".strip()
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror}"
    return str(error)


def _dispatch(argv):
    if not argv or argv[0] in ("-h", "--help", "help"):
        lines = (f"  {name:10} {f.__doc__}" for name, f in COMMANDS.items())
        print(HELP.format(commands="\n".join(lines)))
        return 0
    if argv[0] == "--version":
        print(f"scratchnn {_version('scratchnn')}")
        return 0
    command = COMMANDS.get(argv[0])
    if command is None:
        hint = nearest(argv[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}"
        raise UsageError(f"scratchnn: no command {argv[0]!r}{hint}")
    return command(argv[1:]) or 0


# ---- train and sample -----------------------------------------------------------
def train(argv):
    """Train a model: pictures, losses and weights go to runs/MODEL."""
    from . import recipes

    name = next((a for a in argv if a in recipes.RECIPES), None)
    recipe = recipes.get(name) if name else None
    parser = _train_parser(name, recipe)
    if recipe is None:  # which options there are depends on the model
        name = parser.parse_known_args(argv)[0].model
        hint = nearest(name, recipes.RECIPES)
        hint = hint or f"; there are {', '.join(recipes.RECIPES)}"
        raise UsageError(f"scratchnn train: no model {name!r}{hint}")
    asked = vars(parser.parse_args(argv))
    asked = {k: v for k, v in asked.items() if v is not None}
    name = asked.pop("model")
    folder = asked.pop("out", Path("runs") / name)
    options = asked.pop("resume"), asked.pop("profile")
    return _train(name, recipe, folder, *options, asked)


def _train_parser(name, recipe):
    from .recipes import OPTIONS, whole

    parser = Parser("train", description="Train a model on a data set.")
    parser.add_argument("model", metavar="MODEL", help="see `scratchnn models`")
    sets = ", ".join(recipe.DATA) if recipe else "see `scratchnn data`"
    parser.add_argument("--data", metavar="NAME", help=sets)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", metavar="N", type=whole, help="how many batches")
    length.add_argument(
        "--epochs", metavar="N", type=whole, help="how often through the data"
    )
    for option, (read, text) in OPTIONS.items():
        parser.add_argument(f"--{option}", metavar="X", type=read, help=text)
    text = "folder of the run; runs/MODEL"
    parser.add_argument("--out", metavar="DIR", type=_path, help=text)
    parser.add_argument("--resume", action="store_true", help="go on where it stopped")
    text = "say at the end where the time went, op by op; also profile.png"
    parser.add_argument("--profile", action="store_true", help=text)
    if recipe:
        own = parser.add_argument_group(f"options of {name}")
        for option, (read, text) in recipe.OPTIONS.items():
            own.add_argument(f"--{option}", metavar="X", type=read, help=text)
    return parser


def _path(text):
    if not text:
        raise argparse.ArgumentTypeError("expected a name, got ''")
    return Path(text)


def _train(name, recipe, folder, resume, profiled, asked):
    from . import train as runs
    from .profiler import profile

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
        print(
            f"{name} on {config['data']}: {len(run.train_set[0]):,} samples to learn "
            f"from, {len(run.test_set[0]):,} held out to test on"
        )
        start = f", from step {run.step:,}" if run.step else ""
        if run.step == run.total:
            start = ": finished already, its pictures are only drawn again"
        print(
            f"{run.model.num_parameters():,} parameters, {run.total:,} steps of "
            f"{config['batch']} samples{start}"
        )
        print(recipe.LOSS, flush=True)
        with profile() if profiled else contextlib.nullcontext() as p:
            outcome = runs.train(run)
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
    print(f"look at {folder / pictures[0]}, {', '.join(pictures[1:])}")


def _show_profile(p, path):
    """The table of a profile, and its picture."""
    from . import plot

    print(f"\n{p}", flush=True)
    plot.save(plot.profile(p), path)
    print(f"The same as a picture: {path}\n")


def _config(name, recipe, asked):
    """The defaults, overruled by what was asked for."""
    data = asked.get("data", next(iter(recipe.DATA)))
    if data not in recipe.DATA:
        from .data import DATASETS

        hint = "" if data in DATASETS else nearest(data, recipe.DATA)
        hint = hint or f"; it takes {', '.join(recipe.DATA)}"
        raise UsageError(f"scratchnn train: {name} can't train on {data!r}{hint}")
    config = {"model": name, "data": data, "seed": 0, "device": "cpu", "steps": None}
    config |= recipe.DATA[data] | asked
    if "steps" in asked:
        config["epochs"] = None
    return config


def _check_device(device):
    if device == "gpu":
        from .device import gpu_probe

        probe = gpu_probe()
        if not probe.available:
            raise UsageError(f"scratchnn train: --device gpu: {probe.text}")


def _resume_command(name, folder):
    out = "" if folder == Path("runs") / name else f" --out {shlex.quote(str(folder))}"
    return f"scratchnn train {name}{out} --resume"


def sample(argv):
    """Draw new samples with a trained model: scratchnn sample runs/vae."""
    from . import recipes

    def sheet(text):  # what fits on one
        return recipes.whole(text, most=1000)

    parser = Parser("sample", description="Draw new samples with a trained model.")
    text = "folder of a run, as runs/vae"
    parser.add_argument("run", metavar="RUN", type=_path, help=text)
    parser.add_argument("-n", metavar="N", type=sheet, default=100, help="number; 100")
    text = "a new one every time"
    parser.add_argument("--seed", metavar="N", type=recipes.seed, help=text)
    text = "the picture; RUN/sample.png"
    parser.add_argument("--out", metavar="FILE", type=_path, help=text)
    asked = parser.parse_args(argv)

    import numpy as np

    from . import plot
    from . import train as runs

    seed = asked.seed
    if seed is None:
        seed = int(np.random.default_rng().integers(10_000))
    out = asked.out or asked.run / "sample.png"
    try:
        recipe, model, config = runs.trained(asked.run)
    except runs.RunError as error:
        raise UsageError(f"scratchnn sample: {error}") from None
    figure = recipe.sample(model, config, asked.n, np.random.default_rng(seed))
    try:
        plot.save(figure, out)
    except OSError as error:
        raise UsageError(f"scratchnn sample: --out {out}: {error.strerror}") from None
    print(f"{out}: {asked.n} samples, seed {seed}")


# ---- what there is --------------------------------------------------------------
def models(argv):
    """List the models that can be trained."""
    from . import recipes

    Parser("models", description=models.__doc__).parse_args(argv)
    for name, text in recipes.RECIPES.items():
        print(f"{name:12} {text}")
        print(f"{'':12} on {', '.join(recipes.get(name).DATA)}")


def data(argv):
    """List the data sets, and which of them are on this machine."""
    Parser("data", description=data.__doc__).parse_args(argv)
    from .data import DATASETS

    for entry in DATASETS.values():
        print(f"{entry.name:14} {entry.status:15} {entry.counts}; {entry.source}")


# ---- checks ---------------------------------------------------------------------
def gradcheck(argv):
    """Check the derivatives of every op, or of those named."""
    parser = Parser("gradcheck", description=gradcheck.__doc__)
    parser.add_argument("ops", metavar="OP", nargs="*", help="names of ops; all")
    names = parser.parse_args(argv).ops

    from .gradcheck.table import gradcheck_table
    from .op import TABLE

    for name in names:
        if name not in TABLE:
            hint = nearest(name, TABLE)
            raise UsageError(f"scratchnn gradcheck: no op {name!r}{hint}")
    counts = {True: 0, False: 0, None: 0}
    print(f"{'op':24} {'example':>7} {'order':>5} {'ms':>7}")
    for row in gradcheck_table(names=names or None):
        counts[row.ok] += 1
        result = {True: "ok", False: "WRONG", None: "-"}[row.ok]
        print(
            f"{row.op:24} {row.example:7} {row.order:5} {1000 * row.seconds:7.1f}"
            f"  {result} {row.message}".rstrip()
        )
    right, wrong, none = counts[True], counts[False], counts[None]
    print(f"{right} right, {wrong} wrong, {none} without a check")
    return 1 if wrong else 0


def doctor(argv):
    """Show versions, threads, kernels and GPU: the start of a bug report."""
    Parser("doctor", description=doctor.__doc__).parse_args(argv)
    for name, text in _findings():
        print(f"{name:20} {text}")


def _findings():
    """What there is to know of this machine: (name, text), one line each."""
    import platform

    import numpy as np

    yield "scratchnn", f"{_version('scratchnn')} in {Path(__file__).parent}"
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in ("numpy", "numba", "matplotlib", "safetensors", "pooch", "tqdm"):
        yield package, _version(package)
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    yield "BLAS", f"{blas.get('name')} {blas.get('version')}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    yield "cores", str(cores or os.cpu_count())
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        yield name, os.environ.get(name, "not set")
    yield "kernels", _kernels()
    from .device import gpu_probe

    probe = gpu_probe()
    yield "GPU", probe.text
    for name in ("SCRATCHNN_JIT", "SCRATCHNN_DATA", "SCRATCHNN_PROGRESS"):
        yield name, os.environ.get(name, "not set")


def _kernels():
    if os.environ.get("SCRATCHNN_JIT") == "0":
        return "off by SCRATCHNN_JIT=0; NumPy does everything"
    from .op import TABLE

    fast = sorted(name for name, entry in TABLE.items() if entry.fast)
    names = f": {', '.join(fast)}" if fast else ""
    return f"on, for {len(fast)} of {len(TABLE)} ops{names}"


def _version(package):
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def warmup(argv):
    """Compile all kernels now, so that no training has to wait for them."""
    Parser("warmup", description=warmup.__doc__).parse_args(argv)
    if os.environ.get("SCRATCHNN_JIT") == "0":
        print(f"kernels are {_kernels()}. Nothing to compile")
        return
    from . import kernels

    start = time.perf_counter()
    for name, seconds in kernels.warmup():
        print(f"{name:20} {seconds:6.2f} s", flush=True)
    print(f"{'in all':20} {time.perf_counter() - start:6.2f} s")


COMMANDS = {
    f.__name__: f for f in (train, sample, models, data, gradcheck, doctor, warmup)
}
