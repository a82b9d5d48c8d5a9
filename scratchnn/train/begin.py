"""Starting a run, going on with one, and taking the model out of a trained one."""

import platform
from pathlib import Path

import numpy as np

from .. import recipes
from . import snapshots
from .folder import (
    RunError,
    one_line,
    reached,
    read,
    read_config,
    typed,
    with_tokenizer,
    write_config,
)
from .run import Run

FILES = (
    "log.csv", "checkpoint.safetensors", "model.safetensors", "loss.png", "sample.png",
    "profile.png", "training.gif", "sampling.gif", "samples.txt", "tokenizer.json",
)  # fmt: skip


def new(config, folder):
    """A Run from the start, in a folder of its own; a finished run there is replaced.

    Raises RunError if the folder holds something else, or a run that can be resumed.
    """
    folder = Path(folder)
    old = _replaceable(folder)
    run = Run({**config, "versions": _versions()}, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {*run.recipe.PICTURES, *(old.PICTURES if old else ())}
        for name in (*FILES, *pictures):
            (folder / name).unlink(missing_ok=True)
        snapshots.remove(folder)
        if "tokenizer" in run.config:
            run.config["tokenizer"].save(folder / "tokenizer.json")
        write_config(run)
    except OSError as error:
        raise RunError(
            f"--out {folder}: can't write there ({error.strerror})"
        ) from None
    return run


def _replaceable(folder):
    """The recipe of the run that is in a folder and may go; None if there is none."""
    if not folder.is_dir():
        return None
    if not (folder / "config.json").exists():
        if any(folder.iterdir()):
            raise RunError(
                f"--out {folder} holds files that are not a training run; "
                "name a new folder"
            )
        return None
    config, step = read_config(folder), reached(folder)
    if 0 < step < config["total"] and "diverged" not in config:
        raise RunError(
            f"{folder} holds an unfinished run (step {step} of {config['total']}): "
            "go on with it by --resume, or name another folder with --out"
        )
    return recipes.get(config["model"])


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
                f"--{name.replace('_', '-')} {typed(value)} contradicts "
                f"{folder / 'config.json'}, where {name} is {typed(config.get(name))}; "
                "leave it out, or train afresh with another --out"
            )
    if length:
        config |= {"steps": None, "epochs": None, **length}
    config.pop("diverged", None)
    run = Run(with_tokenizer(config, folder), folder).restore()
    if run.total < run.step:
        raise RunError(
            f"{folder} is at step {run.step} already, past the {run.total} asked for"
        )
    if length:
        write_config(run)
    return run


def trained(folder):
    """(recipe, model, config) of a run, with the weights that it reached.

    If the run kept averages of them (optim.EMA), with the averages.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise RunError(f"there is no run in {folder}; scratchnn train vae makes one")
    config = with_tokenizer(read_config(folder), folder)
    recipe = recipes.get(config["model"])
    model, _ = recipe.build(config, np.random.default_rng(0))
    path = folder / "model.safetensors"
    if not path.exists():
        raise RunError(f"the run in {folder} has saved no weights yet; --resume it")
    try:
        model.load_state_dict(read(path)[0])
    except ValueError as error:
        raise RunError(f"{path} does not fit config.json: {one_line(error)}") from None
    return recipe, model.eval(), config


def _versions():
    from importlib.metadata import version

    return {
        "scratchnn": version("scratchnn"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
