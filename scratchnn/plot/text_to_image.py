"""Captions and their pictures, and where in a picture each word is heard."""

import numpy as np

from .images import _show
from .style import COLOURS, INK, new_figure, styled


@styled
def captioned(pictures, captions, title=None, columns=None):
    """Rows of pictures, each beside its caption: pictures (R, n, H, W), R captions.

    columns: a name for each of n.
    """
    r, n, h, w = pictures.shape
    wide = 0.6 + 0.105 * max(map(len, captions))  # inches of the longest caption
    figure = new_figure(wide + 0.62 * n, 0.3 + 0.62 * r * h / w + 0.4 * bool(title))
    axes = figure.subplots()
    _show(axes, pictures.reshape(-1, h, w), n)
    axes.set_yticks((h + 1) * (np.arange(r) + 0.5), captions, fontsize=12)
    if columns is not None:
        axes.set_xticks((w + 1) * (np.arange(n) + 0.5), columns, fontsize=12)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_anchor("W")  # the layout makes room for captions left of here
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=13)
    return figure


@styled
def word_maps(pictures, words, maps):
    """A picture in each row, and for each of its words where it is heard most.

    pictures (R, H, W); words: R lists of at most L str; maps (R, L, H, W), shares that
    add up to 1 over the words. A map goes from its least (white) to its most.
    """
    R, L = len(pictures), max(map(len, words))
    figure = new_figure(0.3 + 1.1 * (L + 1), 1.45 * R)
    panels = figure.subplots(R, L + 1, squeeze=False)
    for row, picture, names, shares in zip(panels, pictures, words, maps):
        row[0].imshow(picture, vmin=0, vmax=1)
        for axes, name, share in zip(row[1:], names, shares):
            axes.imshow(share, cmap="Blues", interpolation="nearest")
            axes.contour(picture, [0.5], colors=[COLOURS[1]], linewidths=0.8)
            axes.set_title(name, fontsize=12)
        for axes in row:
            axes.set(xticks=[], yticks=[])
        for axes in row[1 + len(names) :]:
            axes.set_visible(False)
    return figure
