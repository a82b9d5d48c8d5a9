"""The training loop: progress, log, signals, and what to say when a run diverges."""

import contextlib
import csv
import math
import os
import signal
import time
from typing import NamedTuple

import numpy as np

from ..anomaly import detect_anomaly
from ..errors import AnomalyError
from . import samples, snapshots
from .folder import Diverged, write_config
from .run import Run, progress

SAVE_EVERY = 10.0  # seconds between checkpoints: what a power cut can cost


class Outcome(NamedTuple):
    """How `train` ended: `signal` is 0 if it was finished, else what stopped it.

    before, after: the losses on held-out data, untrained and trained; None if training
    began, or stopped, somewhere between.
    """

    signal: int
    before: tuple
    after: tuple


def train(run, save_every=SAVE_EVERY, show=None):
    """Train `run` to its end, or until Ctrl-C (SIGINT) or SIGTERM: an Outcome.

    Shows a progress bar on a terminal, unless SCRATCHNN_PROGRESS=0. show, if given,
    is called with what a model of text writes at some steps. A signal lets the
    step end and saves; a second one acts at once. Raises Diverged, naming the op that
    made the first NaN or infinity; the last good checkpoint is kept.
    """
    saved = time.monotonic()
    quiet = np.errstate(all="ignore")  # NaN is looked for, below
    bar = progress(total=run.total, initial=run.step, unit="step")
    snapshots.thin(run.folder, run.step, run.total)
    samples.cut(run.folder, run.step)
    with _Log(run) as log, bar, _caught() as caught, quiet:
        before = None
        if run.log_size == 0:
            before = run.evaluate()
            log.write("test", before)
            run.log_size = log.flush()
            _show(run.keep_samples(), show, bar)
            run.save()
        try:
            for losses in run.steps():
                for name, x in losses._asdict().items():
                    if not math.isfinite(x):
                        name = name if name == "loss" else f"loss ({name})"
                        raise Diverged(f"the {name} is {x}")
                log.write("train", losses)
                if run.step % run.per_test == 0:
                    log.write("test", run.evaluate())
                _show(run.keep_samples(), show, bar)
                bar.update()
                bar.set_description(f"epoch {run.epoch}", refresh=False)
                text = f"{losses[0]:.4g} {run.recipe.UNIT}".rstrip()
                bar.set_postfix_str(text, refresh=False)
                if caught or time.monotonic() - saved >= save_every:
                    run.log_size = log.flush()
                    run.save()
                    saved = time.monotonic()
                if caught:
                    return Outcome(caught[0], before, None)
            if run.step < run.total:
                raise RuntimeError(
                    f"the recipe of {run.config['model']} ended at step {run.step} of "
                    f"{run.total}: its train() must yield once for each step"
                )
            run.log_size = log.flush()
            run.save()
        except Diverged as error:
            bar.set_description("looking for the cause")
            raise Diverged(_explain(run, error)) from None
        after = run.evaluate()
        if run.step % run.per_test:  # not kept by a resume that makes the run longer
            log.write("test", after)
    return Outcome(0, before, after)


def _show(text, show, bar):
    """Hand on what the model wrote, if it did, with the bar out of the way."""
    if text and show:
        with bar.external_write_mode():
            show(text)


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
    write_config(run)
    lr = run.config.get("lr")
    slower = f"an --lr below {lr:g}, or with " if lr else ""
    return (
        f"stopped at step {run.step}: {error}{cause}. {run.folder} keeps step {good}; "
        f"train again with {slower}other options nearer to their defaults"
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
