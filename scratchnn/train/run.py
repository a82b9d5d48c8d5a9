"""A model in training: its steps, its losses, its pictures and its state on disk."""

import contextlib
import csv
import itertools
import json
import os
from pathlib import Path

import numpy as np

from .. import checkpoint, recipes
from ..data import DataLoader
from ..device import to_device
from ..optim import EMA
from ..recording import no_grad
from ..tensor import Tensor
from . import samples, snapshots
from .folder import Diverged, RunError, one_line, read

TESTS = 100  # at most so often are the losses on held-out data found
_INIT, _NOISE, _SHUFFLE, _TEST, _FIGURES, _SNAPSHOT = range(6)  # uses of randomness


class Run:
    """A model in training: its config, its folder, and the step it has reached."""

    def __init__(self, config, folder):
        self.folder, self.step, self.log_size = Path(folder), 0, 0
        self.recipe = recipes.get(config["model"])
        self.train_set, self.test_set, self.config = _load_data(self.recipe, config)
        config = self.config
        self.batch = config.get("batch") or _length(self.train_set)
        self.loads = len(self._loader(self.train_set))  # batches in an epoch
        batches = getattr(self.recipe, "batches", lambda config: 1)
        self.per_step = batches(config)
        self.per_epoch = -(-self.loads // self.per_step)
        self.total = config.get("steps") or config["epochs"] * self.per_epoch
        epochs = -(-self.total // (TESTS * self.per_epoch))
        self.per_test = epochs * self.per_epoch
        if hasattr(self.recipe, "TESTS"):
            self.per_test = -(-self.total // self.recipe.TESTS)
        self.config = config = {**config, "total": self.total}
        try:
            self.model, self.optimizers = self.recipe.build(config, self._rng(_INIT))
        except recipes.OptionError as error:
            raise RunError(one_line(error)) from None
        self.model.to(config["device"])
        for ema in self._averages():  # its copies were made on the CPU
            ema.load_state_dict(ema.state_dict())
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
        state = self.model, self.optimizers, batches, self.config, self.noise
        for losses in self.recipe.train(*state):
            self.step += 1
            yield losses

    def _batches(self):
        """The batches that are still to come, in the order that the seed gives them."""
        epoch, done = divmod(self.step * self.per_step, self.loads)
        epochs = (
            self._loader(self.train_set, self._rng(_SHUFFLE, e))
            for e in itertools.count(epoch)
        )
        everything = itertools.chain.from_iterable(epochs)
        number = (self.total - self.step) * self.per_step
        return map(self._move, itertools.islice(everything, done, done + number))

    def _loader(self, dataset, rng=None):
        if hasattr(self.recipe, "loader"):
            return self.recipe.loader(dataset, self.batch, self.config, rng)
        return DataLoader(dataset, self.batch, shuffle=rng is not None, rng=rng)

    def _move(self, batch):
        device = self.config["device"]
        if isinstance(batch, tuple):
            return type(batch)(*(to_device(array, device) for array in batch))
        return to_device(batch, device)

    # ---- what it has learned ----------------------------------------------------
    def _averages(self):
        """The running averages of the weights that the run keeps, if any."""
        kept = self.optimizers
        return [o for o in _named(kept).values() if isinstance(o, EMA)]

    @contextlib.contextmanager
    def _in_use(self):
        """Within this the model is as it is used: averaged weights, no training."""
        modes = [(m, m.training) for m in self.model.modules()]
        with no_grad(), contextlib.ExitStack() as stack:
            for ema in self._averages():
                stack.enter_context(ema.averaged())
            self.model.eval()
            try:
                yield
            finally:
                for module, mode in modes:
                    module.training = mode

    def evaluate(self):
        """The mean losses on the held-out data; the same noise every time."""
        rng, sums, n = self._rng(_TEST), 0.0, 0
        size_of = getattr(self.recipe, "size", lambda batch, config: _length(batch))
        with self._in_use():
            for batch in self._loader(self.test_set):
                size = size_of(batch, self.config)
                batch = self._move(batch)
                losses = self.recipe.losses(self.model, batch, self.config, rng)
                sums = sums + np.array([float(x) for x in losses]) * size
                n += size
        return type(losses)(*(sums / n).tolist())

    def draw(self):
        """Draw and save the pictures; their names."""
        from .. import plot

        rng, names = self._rng(_FIGURES), [*self.recipe.PICTURES, "loss.png"]
        with self._in_use():
            self.model.to("cpu")
            state = self.model, self.config, self.test_set, rng
            figures = itertools.chain(self.recipe.figures(*state), [self._curves()])
            with progress(total=len(names), unit="picture", leave=False) as bar:
                for name in names:
                    bar.set_description(f"drawing {name}")
                    plot.save(next(figures), self.folder / name)
                    bar.update()
            self.model.to(self.config["device"])
        return names

    def _curves(self):
        """The log as curves: a panel for each loss, trained on and held out."""
        from .. import plot

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

    def keep_samples(self):
        """Write a snapshot, if the model has them and it is time for one.

        Returns what a model of text wrote, or None.
        """
        texts = getattr(self.recipe, "texts", None)
        if texts and self.step in samples.marks(self.total):
            with self._in_use():
                state = self.model, self.config, self.test_set, self._rng(_SNAPSHOT)
                return samples.write(self.folder, self.step, texts(*state))
        draw = getattr(self.recipe, "snapshot", None)
        if draw is None or self.step not in snapshots.marks(self.total):
            return None
        with self._in_use():
            x = draw(self.model, self.config, self._rng(_SNAPSHOT))
        x = x.data if isinstance(x, Tensor) else x
        snapshots.write(self.folder, self.step, to_device(x, "cpu"))
        return None

    # ---- on disk ----------------------------------------------------------------
    def save(self):
        """Write the checkpoint and the weights; Diverged if they are not finite."""
        weights = self.model.state_dict()
        for name, x in weights.items():
            if not np.isfinite(x).all():
                raise Diverged(f"{name} is not finite")
        state = {f"model.{k}": x for k, x in weights.items()}
        for path, optimizer in _named(self.optimizers).items():
            state |= {path + k: x for k, x in optimizer.state_dict().items()}
        noise = json.dumps(self.noise.bit_generator.state)
        meta = {"step": self.step, "log_size": self.log_size, "noise": noise}
        about = {"model": self.config["model"], "step": self.step}
        if self._averages():
            with self._in_use():
                weights = self.model.state_dict()
        checkpoint.save(self.folder / "model.safetensors", weights, about)
        checkpoint.save(self.folder / "checkpoint.safetensors", state, meta)

    def restore(self):
        """Go back to the last checkpoint, or to the start if there is none."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return self
        state, meta = read(path)
        try:
            self.model.load_state_dict(_under("model.", state))
            for name, optimizer in _named(self.optimizers).items():
                optimizer.load_state_dict(_under(name, state))
            self.noise.bit_generator.state = json.loads(meta["noise"])
            self.step, self.log_size = int(meta["step"]), int(meta["log_size"])
        except (KeyError, ValueError) as error:
            raise RunError(
                f"{path} does not belong to the run in config.json "
                f"({one_line(error)}); train afresh with another --out"
            ) from None
        return self


def progress(**options):
    """A bar on a terminal, unless SCRATCHNN_PROGRESS=0."""
    from tqdm import tqdm

    quiet = os.environ.get("SCRATCHNN_PROGRESS") == "0" or None  # None: no terminal
    return tqdm(**options, disable=quiet)


def _named(optimizers):
    """{prefix in the checkpoint: object} for one optimizer, or a dict of several."""
    if isinstance(optimizers, dict):
        return {f"optimizer.{name}.": o for name, o in optimizers.items()}
    return {"optimizer.": optimizers}


def _under(prefix, state):
    return {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}


def _load_data(recipe, config):
    """(train, test, config): for a model of text, the config with its tokenizer."""
    name = config["data"]
    try:
        if not hasattr(recipe, "read"):
            return *recipe.load(name), config
        train, test, tokenizer = recipe.read(config)
        return train, test, {**config, "tokenizer": tokenizer}
    except recipes.OptionError as error:
        raise RunError(one_line(error)) from None
    except (OSError, ValueError) as error:
        lines = str(error).splitlines()  # the first and the last say what and the fix
        text = " ".join(dict.fromkeys((lines[0].removesuffix(" Tried:"), lines[-1])))
        raise RunError(f"--data {name}: {text}") from None


def _length(samples):
    return len(samples[0] if isinstance(samples, tuple) else samples)
