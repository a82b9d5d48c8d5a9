"""Pictures: images, latent codes, curves and computation graphs.

The only place that imports matplotlib. Every function returns a Figure, which a
notebook shows and `save` writes; nothing here opens a window or touches pyplot.
Curves differ in line style and digits in shape as well as in colour, so that they can
be told apart in grey, and text is large enough for a telephone.
"""

from .check import gradcheck
from .computation import graph
from .curves import curves, profile, smooth
from .images import images, latent_map, mosaic, reconstructions, traversal
from .style import COLOURS, GREY, INK, PALE, STYLE, new_figure, save, styled

__all__ = [
    "COLOURS",
    "GREY",
    "INK",
    "PALE",
    "STYLE",
    "curves",
    "gradcheck",
    "graph",
    "images",
    "latent_map",
    "mosaic",
    "new_figure",
    "profile",
    "reconstructions",
    "save",
    "smooth",
    "styled",
    "traversal",
]
