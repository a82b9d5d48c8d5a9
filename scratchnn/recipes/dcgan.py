"""`scratchnn train dcgan`: convolutional pairs; all but the networks is as in gan."""

from ..models import gan_networks
from . import OptionError, choice, whole
from .gan import (
    GAME_OPTIONS,
    GAME,
    LOSS,
    PICTURES,
    SAMPLE,
    UNIT,
    batches,
    classes,
    draw,
    figures,
    load,
    losses,
    optimizers,
    sample,
    snapshot,
    train,
    words,
)

__all__ = [
    "DATA", "LOSS", "OPTIONS", "PICTURES", "SAMPLE", "UNIT", "batches", "build",
    "draw", "figures", "load", "losses", "sample", "snapshot", "train", "words",
]  # fmt: skip

# Radford's lr of 2e-4 is for up to 1,024 maps; these learn faster with 1e-3.
_MNIST = dict(
    shape=[28, 28], epochs=5, batch=64, lr=1e-3, z=100, channels=32, norm="batch",
    **GAME | dict(decay=True, ema=0.99),
)  # fmt: skip

DATA = {
    "digits": dict(
        shape=[8, 8], epochs=45, batch=32, lr=5e-4, z=32, channels=32, norm="batch",
        **GAME | dict(decay=True),
    ),
    "mnist": _MNIST,
    "fashion_mnist": _MNIST,
}  # fmt: skip

OPTIONS = {
    "channels": (whole, "maps of G's last but one layer; twice as many before it"),
    "norm": (
        choice("batch", "spectral", "none"),
        "batch, spectral or none: of D's layers",
    ),
    **GAME_OPTIONS,
}


def build(config, rng):
    """The pair and its two optimizers. Raises OptionError."""
    if config["norm"] == "batch" and (config["loss"] == "wgan_gp" or config["r1"]):
        raise OptionError(
            "a penalty on D's slope does not go with batch norm in D; add --norm none"
        )
    model = gan_networks.dcgan(
        config["shape"][0], config["z"], config["channels"], classes=classes(config),
        pack=config["pack"], norm=config["norm"], rng=rng,
    )  # fmt: skip
    return model, optimizers(model, config)
