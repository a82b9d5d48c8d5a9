"""Training runs: progress, log, checkpoints, exact resume, pictures.

A run is a folder:

    config.json             all that was asked for, enough to repeat the run
    log.csv                 the losses of every step, and of held-out data each epoch
    checkpoint.safetensors  model, optimizer, noise generator, step: for resuming
    model.safetensors       the weights alone, which PyTorch can load too
    loss.png and others     drawn at the end

A resumed run goes on bit for bit as if it had never stopped, because a step is either
done or not begun, the shuffling of an epoch depends on the seed and the epoch alone,
and the checkpoint holds the state of the generator that the noise comes from.
"""

import contextlib
import csv
import itertools
import json
import math
import os
import platform
import signal
import time
from argparse import ArgumentTypeError
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import checkpoint, recipes
from .anomaly import detect_anomaly
from .data import DataLoader
from .device import to_device
from .errors import AnomalyError
from .recording import no_grad

SAVE_EVERY = 10.0  # seconds between checkpoints: what a power cut can cost
FILES = (
    "log.csv", "checkpoint.safetensors", "model.safetensors", "loss.png", "sample.png",
    "profile.png",
)  # fmt: skip
_INIT, _NOISE, _SHUFFLE, _TEST, _FIGURES = range(5)  # what random numbers are for


class RunError(Exception):
    """A run can't start or go on; one line that says why and what to do."""


class Diverged(RunError):
    """The loss, or a parameter, is no longer finite."""


class Outcome(NamedTuple):
    """How `train` ended: `signal` is 0 if it was finished, else what stopped it.

    before, after: the losses on held-out data, untrained and trained; None if training
    began, or stopped, somewhere between.
    """

    signal: int
    before: tuple
    after: tuple


class Run:
    """A model in training: its config, its folder, and the step it has reached."""

    def __init__(self, config, folder):
        self.config, self.folder, self.step, self.log_size = config, Path(folder), 0, 0
        self.recipe = recipes.get(config["model"])
        self.train_set, self.test_set = _load_data(self.recipe, config["data"])
        self.per_epoch = -(-_length(self.train_set) // config["batch"])
        self.total = config.get("steps") or config["epochs"] * self.per_epoch
        self.model, self.optimizer = self.recipe.build(config, self._rng(_INIT))
        self.model.to(config["device"])
        self.noise = self._rng(_NOISE)

    def _rng(self, *purpose):
        return np.random.default_rng([self.config["seed"], *purpose])

    @property
    def epoch(self):
        """The epoch, from 1, that the last step belongs to; 0 before the first."""
        return -(-self.step // self.per_epoch)

    # ---- what happens in it -----------------------------------------------------
    def steps(self):
        """Train from here to the end: a generator of the losses of each step."""
        batches = self._batches()
        state = self.model, self.optimizer, batches, self.config, self.noise
        for losses in self.recipe.train(*state):
            self.step += 1
            yield losses

    def _batches(self):
        """The batches that are still to come, in the order that the seed gives them."""
        epoch, done = divmod(self.step, self.per_epoch)
        epochs = (
            self._loader(self.train_set, shuffle=True, rng=self._rng(_SHUFFLE, e))
            for e in itertools.count(epoch)
        )
        everything = itertools.chain.from_iterable(epochs)
        todo = itertools.islice(everything, done, done + self.total - self.step)
        return map(self._move, todo)

    def _loader(self, dataset, **options):
        return DataLoader(dataset, self.config["batch"], **options)

    def _move(self, batch):
        device = self.config["device"]
        if isinstance(batch, tuple):
            return type(batch)(*(to_device(array, device) for array in batch))
        return to_device(batch, device)

    @no_grad()
    def evaluate(self):
        """The mean losses on the held-out data; the same noise every time."""
        rng, sums, n = self._rng(_TEST), 0.0, 0
        for batch in self._loader(self.test_set):
            losses = self.recipe.losses(self.model, self._move(batch), self.config, rng)
            sums = sums + np.array([float(x) for x in losses]) * _length(batch)
            n += _length(batch)
        return type(losses)(*(sums / n).tolist())

    @no_grad()
    def draw(self):
        """Draw and save the pictures; their names."""
        from . import plot

        self.model.to("cpu")
        rng, names = self._rng(_FIGURES), [*self.recipe.PICTURES, "loss.png"]
        figures = self.recipe.figures(self.model, self.config, self.test_set, rng)
        for name, figure in zip(names, itertools.chain(figures, [self._curves()])):
            plot.save(figure, self.folder / name)
        return names

    def _curves(self):
        """The log as curves: a panel for each loss, trained on and held out."""
        from . import plot

        with open(self.folder / "log.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        panels = {}
        for name in list(rows[0])[3:]:
            panels[name] = {}
            for split in ("train", "test"):
                points = [r for r in rows if r["split"] == split and r["step"] != "0"]
                x = np.array([int(r["step"]) / self.per_epoch for r in points])
                y = np.array([float(r[name]) for r in points])
                panels[name][split] = plot.smooth(x, y)
        return plot.curves(panels, "epochs", self.recipe.UNIT)

    # ---- on disk ----------------------------------------------------------------
    def save(self):
        """Write the checkpoint and the weights; Diverged if they are not finite."""
        weights = self.model.state_dict()
        for name, x in weights.items():
            if not np.isfinite(x).all():
                raise Diverged(f"{name} is not finite")
        state = {f"model.{k}": x for k, x in weights.items()}
        state |= {f"optimizer.{k}": x for k, x in self.optimizer.state_dict().items()}
        noise = json.dumps(self.noise.bit_generator.state)
        meta = {"step": self.step, "log_size": self.log_size, "noise": noise}
        about = {"model": self.config["model"], "step": self.step}
        checkpoint.save(self.folder / "model.safetensors", weights, about)
        checkpoint.save(self.folder / "checkpoint.safetensors", state, meta)

    def restore(self):
        """Go back to the last checkpoint, or to the start if there is none."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return self
        state, meta = _read(path)
        try:
            self.model.load_state_dict(_under("model.", state))
            self.optimizer.load_state_dict(_under("optimizer.", state))
            self.noise.bit_generator.state = json.loads(meta["noise"])
            self.step, self.log_size = int(meta["step"]), int(meta["log_size"])
        except (KeyError, ValueError) as error:
            raise RunError(
                f"{path} does not belong to the run in config.json "
                f"({_one_line(error)}); train afresh with another --out"
            ) from None
        return self


# ---- beginning ------------------------------------------------------------------
def new(config, folder):
    """A Run from the start, in a folder of its own; a finished run there is replaced.

    Raises RunError if the folder holds something else, or a run that can be resumed.
    """
    folder = Path(folder)
    _check_free(folder)
    run = Run({**config, "versions": _versions()}, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*FILES, *run.recipe.PICTURES):
            (folder / name).unlink(missing_ok=True)
        _write_config(run)
    except OSError as error:
        raise RunError(
            f"--out {folder}: can't write there ({error.strerror})"
        ) from None
    return run


def _check_free(folder):
    if not folder.is_dir():
        return
    if not (folder / "config.json").exists():
        if any(folder.iterdir()):
            raise RunError(
                f"--out {folder} holds files that are not a training run; "
                "name a new folder"
            )
        return
    config, step = read_config(folder), reached(folder)
    if 0 < step < config["total"] and "diverged" not in config:
        raise RunError(
            f"{folder} holds an unfinished run (step {step} of {config['total']}): "
            "go on with it by --resume, or name another folder with --out"
        )


def resumed(folder, asked):
    """The Run in a folder, where its last checkpoint left it.

    asked: what the user named besides; it may make the run longer (steps, epochs) but
    not change it otherwise. Raises RunError.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise RunError(f"there is no run in {folder} to resume; leave out --resume")
    config = read_config(folder)
    length = {k: asked[k] for k in ("steps", "epochs") if k in asked}
    for name, value in asked.items():
        if name not in length and config.get(name) != value:
            raise RunError(
                f"--{name} {_typed(value)} contradicts {folder / 'config.json'}, where "
                f"{name} is {_typed(config.get(name))}; leave it out, or train afresh "
                "with another --out"
            )
    if length:
        config |= {"steps": None, "epochs": None, **length}
    config.pop("diverged", None)
    run = Run(config, folder).restore()
    if run.total < run.step:
        raise RunError(
            f"{folder} is at step {run.step} already, past the {run.total} asked for"
        )
    if length:
        _write_config(run)
    return run


def trained(folder):
    """(recipe, model, config) of a run, with the weights that it reached."""
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise RunError(f"there is no run in {folder}; scratchnn train vae makes one")
    config = read_config(folder)
    recipe = recipes.get(config["model"])
    model, _ = recipe.build(config, np.random.default_rng(0))
    path = folder / "model.safetensors"
    if not path.exists():
        raise RunError(f"the run in {folder} has saved no weights yet; --resume it")
    try:
        model.load_state_dict(_read(path)[0])
    except ValueError as error:
        raise RunError(f"{path} does not fit config.json: {_one_line(error)}") from None
    return recipe, model, config


# ---- the loop -------------------------------------------------------------------
def train(run, save_every=SAVE_EVERY):
    """Train `run` to its end, or until Ctrl-C (SIGINT) or SIGTERM: an Outcome.

    Shows a progress bar on a terminal, unless SCRATCHNN_PROGRESS=0. A signal lets the
    step end and saves; a second one acts at once. Raises Diverged, naming the op that
    made the first NaN or infinity; the last good checkpoint is kept.
    """
    saved, losses = time.monotonic(), None
    quiet = np.errstate(all="ignore")  # NaN is looked for, below
    with _Log(run) as log, _bar(run) as bar, _caught() as caught, quiet:
        before = None
        if run.log_size == 0:
            before = run.evaluate()
            log.write("test", before)
            run.log_size = log.flush()
            run.save()
        try:
            for losses in run.steps():
                if not math.isfinite(losses[0]):
                    raise Diverged(f"the loss is {losses[0]}")
                log.write("train", losses)
                if run.step % run.per_epoch == 0:
                    log.write("test", run.evaluate())
                bar.update()
                bar.set_description(f"epoch {run.epoch}", refresh=False)
                bar.set_postfix_str(f"{losses[0]:.1f} {run.recipe.UNIT}", refresh=False)
                if caught or time.monotonic() - saved >= save_every:
                    run.log_size = log.flush()
                    run.save()
                    saved = time.monotonic()
                if caught:
                    return Outcome(caught[0], before, None)
            run.log_size = log.flush()
            run.save()
        except Diverged as error:
            bar.set_description("looking for the cause")
            raise Diverged(_explain(run, error)) from None
        after = run.evaluate()
        if run.step % run.per_epoch:  # not kept by a resume that makes the run longer
            log.write("test", after)
    return Outcome(0, before, after)


def _explain(run, error):
    """Why a run diverged: its steps since the last checkpoint again, op by op."""
    again = Run(run.config, run.folder).restore()
    good, cause = again.step, ""
    try:
        with detect_anomaly():
            for _ in again.steps():
                if again.step >= run.step:
                    break
    except AnomalyError as anomaly:
        cause = f". First, in step {again.step + 1}, {anomaly}"
    run.config["diverged"] = str(error)
    _write_config(run)
    return (
        f"stopped at step {run.step}: {error}{cause}. {run.folder} keeps step {good}; "
        f"train again with an --lr below {run.config['lr']:g}, or with other options "
        "nearer to their defaults"
    )


class _Log:
    """log.csv, one row for each call, cut back to what the checkpoint knows of."""

    def __init__(self, run):
        self.run, path = run, run.folder / "log.csv"
        path.touch()
        os.truncate(path, min(run.log_size, path.stat().st_size))
        self.file = open(path, "a", newline="")
        self.rows = csv.writer(self.file, lineterminator="\n")

    def write(self, split, losses):
        if self.file.tell() == 0:
            self.rows.writerow(["step", "epoch", "split", *losses._fields])
        values = [f"{x:.6g}" for x in losses]
        self.rows.writerow([self.run.step, self.run.epoch, split, *values])

    def flush(self):
        """All rows to the disk; the size of the file."""
        self.file.flush()
        return self.file.tell()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def _bar(run):
    from tqdm import tqdm

    quiet = os.environ.get("SCRATCHNN_PROGRESS") == "0" or None  # None: no terminal
    return tqdm(total=run.total, initial=run.step, unit="step", disable=quiet)


@contextlib.contextmanager
def _caught():
    """A list that fills with the first signal to stop; the second one acts as usual."""
    caught, before = [], {}

    def catch(number, _frame):
        caught.append(number)
        for n, handler in before.items():
            signal.signal(n, handler)

    with contextlib.suppress(ValueError):  # not in the main thread: no signals there
        for n in (signal.SIGINT, signal.SIGTERM):
            before[n] = signal.signal(n, catch)
    try:
        yield caught
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)


# ---- files ----------------------------------------------------------------------
def read_config(folder):
    """The config of the run in a folder. Raises RunError if it is damaged."""
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text())
        fault = _fault(config)
    except ValueError:
        fault = "it is no JSON"
    if fault:
        fix = f"delete {folder}, or name another --out"
        raise RunError(f"{path} is damaged: {fault}; {fix}")
    return config


def _fault(config):
    """What no command line could have put into a config, in words; "" if nothing."""
    if not isinstance(config, dict):
        return "it holds no options"
    model, data = config.get("model"), config.get("data")
    if model not in list(recipes.RECIPES):
        return f"model is {model!r}"
    recipe = recipes.get(model)
    if data not in list(recipe.DATA):
        return f"data is {data!r}"
    if config.get("shape") != recipe.DATA[data]["shape"]:
        return f"shape is {config.get('shape')!r}"
    length = "epochs" if config.get("steps") is None else "steps"
    options = {length: recipes.whole, "total": recipes.positive}
    options |= {k: read for k, (read, _) in (recipes.OPTIONS | recipe.OPTIONS).items()}
    for name, read in options.items():
        value = config.get(name)
        try:
            right = read(str(_typed(value))) == value
        except ArgumentTypeError:
            right = False
        if not right:
            return f"{name} is {value!r}"
    return ""


def reached(folder):
    """The step of a run's last checkpoint; 0 if it has none."""
    path = Path(folder) / "checkpoint.safetensors"
    return int(_read(path)[1].get("step", 0)) if path.exists() else 0


def _write_config(run):
    text = json.dumps({**run.config, "total": run.total}, indent=2)
    part = run.folder / ".config.json.part"
    part.write_text(text + "\n")
    os.replace(part, run.folder / "config.json")


def _read(path):
    try:
        return checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        raise RunError(_one_line(error)) from None


def _load_data(recipe, name):
    try:
        return recipe.load(name)
    except (OSError, ValueError) as error:
        lines = str(error).splitlines()  # the first and the last say what and the fix
        text = " ".join(dict.fromkeys((lines[0].removesuffix(" Tried:"), lines[-1])))
        raise RunError(f"--data {name}: {text}") from None


def _under(prefix, state):
    return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}


def _length(samples):
    return len(samples[0] if isinstance(samples, tuple) else samples)


def _versions():
    from importlib.metadata import version

    return {
        "scratchnn": version("scratchnn"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _typed(value):
    """A value as it is typed on the command line: [128, 64] is 128,64."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _one_line(error):
    return " ".join(str(error).split())
