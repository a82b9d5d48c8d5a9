"""What `scratchnn train MODEL` must know of each model: one module per model.

The model's own file in `models` reads like its paper; what the command line needs
besides is here. A recipe is a module with these names:

    UNIT      what its losses are measured in;  LOSS: the same for a beginner, one line
    DATA      {data set: its defaults}, the data set to use if none is named first;
              epochs, batch, lr, the model's own options, and `shape`, that of a sample
    OPTIONS   {one of the model's own options: (how to read it, what --help says)}
    load(name)                   -> train, test
    build(config, rng)           -> model, optimizer
    train(model, optimizer, batches, config, rng)  a generator: the losses of each step,
              a named tuple of numbers, the first of them `loss`
    losses(model, batch, config, rng)  -> the same for a batch of held-out data
    words(losses, config)        -> what the losses mean, in a sentence
    PICTURES  names of the files for figures(model, config, test, rng), a generator of
              Figures
    sample(model, config, n, rng)      -> Figure

config is a dict: DATA's defaults, overruled by what the user asked for.
"""

import importlib
from argparse import ArgumentTypeError

RECIPES = {
    "vae": "variational auto-encoder (Kingma and Welling 2014): draws digits",
}


def get(name):
    """The recipe module of a model."""
    return importlib.import_module(f".{name}", __name__)


# ---- how to read an option -------------------------------------------------------
def whole(text, least=1, most=10**8):
    """A whole number from `least` to `most`."""
    if not (text.isascii() and text.isdecimal()) or float(text) < least:
        limit = f"at least {least}"
    elif float(text) > most:
        limit = f"at most {most:,}"
    else:
        return int(text)
    raise ArgumentTypeError(f"expected a whole number of {limit}, got {text!r}")


def seed(text):
    """A whole number from 0."""
    return whole(text, least=0, most=10**18)


def positive(text):
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def widths(text):
    """Whole numbers with commas between them: "128,64" is [128, 64]."""
    return [whole(part.strip()) for part in text.split(",")]


def choice(*names):
    """One of some names."""

    def read(text):
        if text not in names:
            raise ArgumentTypeError(f"expected {' or '.join(names)}, got {text!r}")
        return text

    return read


# What every model takes: {option: (how to read it, what --help says)}
OPTIONS = {
    "batch": (whole, "samples in a step"),
    "lr": (positive, "learning rate"),
    "seed": (seed, "of all randomness; 0"),
    "device": (choice("cpu", "gpu"), "cpu or gpu"),
}
