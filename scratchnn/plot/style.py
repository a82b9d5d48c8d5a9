"""The look that all pictures share, and how one is saved."""

import os
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

INK, GREY, PALE = "#222222", "#777777", "#dddddd"
# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#222222", "#8c6d31", "#777777", "#6a3d9a",
)  # fmt: skip
STYLE = {
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "lines.linewidth": 2,
    "savefig.dpi": 150,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
}
styled = matplotlib.rc_context(STYLE)


@styled
def save(figure, path):
    """Write a figure as PNG: whole, or not at all."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", metadata={"Software": "scratchnn"})
    os.replace(part, path)


def new_figure(width, height):
    """A figure of so many inches, 150 dots each, that makes room for its labels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure
