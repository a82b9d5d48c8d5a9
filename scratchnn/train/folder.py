"""The files of a run: its config, checked as it is read, and its checkpoint."""

import json
import os
from argparse import ArgumentTypeError
from pathlib import Path

from .. import checkpoint, recipes


class RunError(Exception):
    """A run can't start or go on; one line that says why and what to do."""


class Diverged(RunError):
    """The loss, or a parameter, is no longer finite."""


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
    defaults = recipes.defaults(recipe, data)
    if defaults is None:
        return f"data is {data!r}"
    if config.get("shape") != defaults.get("shape"):
        return f"shape is {config.get('shape')!r}"
    length = "epochs" if config.get("steps") is None else "steps"
    options = {length: recipes.whole, "total": recipes.positive}
    options |= {k: read for k, (read, _) in recipes.options(recipe).items()}
    for name, read in options.items():
        value = config.get(name)
        if value is None and name in defaults and defaults[name] is None:
            continue  # an option that is not set unless asked for
        try:
            right = read(str(typed(value))) == value
        except ArgumentTypeError:
            right = False
        if not right:
            return f"{name} is {value!r}"
    return ""


def write_config(run):
    """Write config.json: whole, or not at all."""
    config = {k: v for k, v in run.config.items() if k != "tokenizer"}
    text = json.dumps(config, indent=2)
    part = run.folder / ".config.json.part"
    part.write_text(text + "\n")
    os.replace(part, run.folder / "config.json")


def with_tokenizer(config, folder):
    """The config of the run in a folder, and its tokenizer if its model reads text."""
    if not hasattr(recipes.get(config["model"]), "read"):
        return config
    from .. import data

    try:
        tokenizer = data.tokenizer(Path(folder) / "tokenizer.json")
    except (OSError, ValueError) as error:
        raise RunError(f"{one_line(error)}; train again with another --out") from None
    return config | {"tokenizer": tokenizer}


def reached(folder):
    """The step of a run's last checkpoint; 0 if it has none."""
    path = Path(folder) / "checkpoint.safetensors"
    return int(read(path)[1].get("step", 0)) if path.exists() else 0


def read(path):
    """(state, meta) of a checkpoint. Raises RunError if it can't be read."""
    try:
        return checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        raise RunError(one_line(error)) from None


def typed(value):
    """A value as it is typed on the command line: [128, 64] is 128,64."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, list) else value


def one_line(error):
    """The text of an error without line breaks."""
    return " ".join(str(error).split())
