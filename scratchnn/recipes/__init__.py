"""What `scratchnn train MODEL` must know of each model: one module per model.

The model's own file in `models` reads like its paper; what the command line needs
besides is here. A recipe is a module with these names:

    UNIT      what its losses are measured in;  LOSS: the same for a beginner, one line
    DATA      {data set: its defaults}, the data set to use if none is named first:
              `shape`, that of a sample, [2] for points; epochs or steps; batch, lr and
              the model's own options. Left out, lr is no option of this model; without
              batch a step sees all data
    OPTIONS   {one of the model's own options: (how to read it, what --help says)};
              free_bits is typed --free-bits; None as default: not set unless asked for
    load(name)                   -> train, test; `load` below serves pictures and points
    build(config, rng)           -> model, optimizers; rng is for the first weights only
              optimizers: one, or {name: object with state_dict and load_state_dict},
              {} if there is none. All is kept in the checkpoint. If an optim.EMA is
              among them, held-out losses, pictures, snapshots and model.safetensors
              are of the averages
    train(model, optimizers, batches, config, rng)  a generator of the losses of each
              step, a named tuple of numbers, the first `loss`. All random numbers of
              training come from this rng (also Dropout's), or else resuming isn't exact
    losses(model, batch, config, rng)  -> the same for a batch of held-out data
    words(losses, config)        -> what the losses mean, in a sentence
    PICTURES  names of the files for figures(model, config, test, rng), a generator of
              Figures
    sample(model, config, n, rng, **asked)  -> Figure

and with these if it likes:

    batches(config)              -> how many batches a step takes; 1
    SAMPLE    {what `scratchnn sample RUN` takes besides -n, --seed and --out: (how to
              read it, what --help says)}; `sample` gets those that were asked for
    snapshot(model, config, rng) -> array (n, *shape): samples, from the same noise at
              each call; the loop keeps about 40, for `scratchnn animate RUN`
    colours(config)              -> (n,) classes, by which these points are coloured
    chain(model, config, rng)    a generator of (title, array (n, *shape)) on the way
              from noise to samples, for `scratchnn animate RUN --of sampling`
    loader(dataset, batch, config, rng=None)  the batches of an epoch, with a len; rng
              shuffles them. A DataLoader if left out
    size(batch, config)          -> what a batch counts for in the mean of held-out
              losses; the number of its samples
    SETS      {data set, as it is typed: its name in data.DATASETS}, where they differ
    TESTS     how often in a run held-out losses are found; about each epoch, at most
              100 times
    counted(config)              -> what len(train[0]) counts, in words; "samples"

A model of text has no `shape`, and in place of load and sample:

    read(config)                 -> train, test, tokenizer: config["tokenizer"] if it is
              there, else a new one. The run keeps it in tokenizer.json, and all
              functions find it in config["tokenizer"]
    FILE      the data set whose defaults a text file of one's own takes, if it may be
              --data
    texts(model, config, test, rng)   -> what it writes now, as lines: kept about 10
              times in samples.txt, and shown
    write(model, config, prompt, n, rng, **asked)  a generator of text, piece by piece,
              of n tokens at most, for `scratchnn generate RUN`;  WRITE: as SAMPLE
    translate(model, config, text, **asked)  -> (translation, Figure or None), for
              `scratchnn translate RUN`;  TRANSLATE: as SAMPLE
              (one of write and translate is enough)

config is a dict: DATA's defaults, overruled by what the user asked for, and `total`,
the steps of the whole run. The model is in
training mode in `train` only. Options that don't go together raise OptionError in
`build` or `sample`: a line that says what to type instead.
"""

import importlib
import math
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np

from .. import data

RECIPES = {
    "density": "density estimation, the baseline: histogram, Parzen, Gaussians by EM",
    "autoencoder": "auto-encoder: a picture in a few numbers; does it draw new ones?",
    "vae": "variational auto-encoder (Kingma and Welling 2014): draws digits",
    "gan": "GAN (Goodfellow et al. 2014): two networks, one makes and one judges",
    "dcgan": "GAN of convolutions (Radford et al. 2016)",
    "diffusion": "diffusion (Ho et al. 2020): draws by taking noise away, step by step",
    "latent_diffusion": "diffusion of a VAE's codes (Rombach et al. 2022): quick",
    "gpt": "GPT (Radford et al. 2018): writes, a token at a time",
    "bert": "BERT (Devlin et al. 2019): fills gaps in a text",
    "seq2seq": "Transformer (Vaswani et al. 2017): translates; also by gru or lstm",
    "rlhf": "GPT that learns from marks (Ouyang et al. 2022): says what pleases",
    "text_to_image": "reads a caption, draws it (Rombach et al. 2022), from two halves",
    "gcn": "graph convolution (Kipf and Welling 2017): nodes learn from neighbours",
    "classifier": "tells digits apart, and judges what the other models draw",
}


class OptionError(ValueError):
    """Options that a model can't take together: one line, with the fix."""


def get(name):
    """The recipe module of a model."""
    return importlib.import_module(f".{name}", __name__)


def options(recipe):
    """All options of a model, common and own: {option: (how to read it, help)}."""
    defaults = next(iter(recipe.DATA.values()))
    common = {
        name: option
        for name, option in OPTIONS.items()
        if name in defaults or name not in ("batch", "lr")
    }
    return common | recipe.OPTIONS


def defaults(recipe, name):
    """The defaults of a model for a data set, or for a text file; None if neither.

    A text file is named by its whole path.
    """
    if name in list(recipe.DATA):
        return recipe.DATA[name]
    if hasattr(recipe, "FILE") and isinstance(name, str) and Path(name).is_absolute():
        return recipe.DATA[recipe.FILE]
    return None


def load(name):
    """The training and the held-out samples of a data set: Labelled(x, y) twice.

    Pictures (N, H, W), or 10,000 and 2,500 points (N, 2), always the same ones.
    """
    if data.DATASETS[name].kind != "2-D":
        return data.load(name, "train"), data.load(name, "test")
    train, test = np.random.SeedSequence(0).spawn(2)
    return (
        data.load(name, 10_000, rng=np.random.default_rng(train)),
        data.load(name, 2_500, rng=np.random.default_rng(test)),
    )


def draw_from(model, rng):
    """Let dropout draw from rng: a resumed run goes on as if never stopped."""
    for module in model.modules():
        if "rng" in vars(module):
            module.rng = rng


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
    return _number(text, "above 0", lambda x: 0 < x < math.inf)


def weight(text):
    """A number of at least 0."""
    return _number(text, "of at least 0", lambda x: 0 <= x < math.inf)


def share(text):
    """A number from 0 to 1."""
    return _number(text, "from 0 to 1", lambda x: 0 <= x <= 1)


def _number(text, limit, right):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not right(number):
        raise ArgumentTypeError(f"expected a number {limit}, got {text!r}")
    return number


def switch(text):
    """on is True, off is False."""
    return choice("on", "off")(text) == "on"


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
