"""Holes in a space of codes: where a decoder was never told what to draw."""

import numpy as np

from .style import COLOURS, INK, PALE, new_figure, styled


@styled
def holes(distances, plane=None):
    """How far drawn pictures are from the nearest real one, as histograms.

    distances: {name: (n,)}. plane: for codes of two numbers, (distance (R, R), low
    (2,), high (2,), codes (N, 2)): the same at each place of the plane, top row first,
    and where the codes of real pictures are.
    """
    figure = new_figure(6.4, 1.0 + 0.85 * len(distances) + (6.4 if plane else 0))
    ratio = [0.85 * len(distances) + 0.6] + ([6.0] if plane else [])
    panels = figure.subplots(len(ratio), 1, squeeze=False, height_ratios=ratio)[:, 0]
    _ridges(panels[0], distances)
    if plane:
        distance, low, high, codes = plane
        extent = low[0], high[0], low[1], high[1]
        axes = panels[1]
        image = axes.imshow(distance, cmap="Oranges", extent=extent, vmin=0)
        axes.plot(*codes.T, ".", color=COLOURS[0], markersize=4, markeredgewidth=0)
        axes.set_aspect("auto")
        axes.set(xlabel="$z_1$", ylabel="$z_2$")
        axes.set_title("the same for each code; dots: codes of real pictures")
        figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def _ridges(axes, distances):
    """One histogram above the other, each with its mean."""
    far = max(np.quantile(x, 0.995) for x in distances.values())
    edges = np.linspace(0, 1.05 * far, 61)
    middle = (edges[1:] + edges[:-1]) / 2
    for k, (name, x) in enumerate(distances.items()):
        base = len(distances) - 1 - k
        y = np.histogram(x, edges)[0]
        y = base + 0.7 * y / max(y.max(), 1)  # room for its name above
        look = dict(color=COLOURS[k % len(COLOURS)], linewidth=0, step="mid")
        axes.fill_between(middle, base, y, **look)
        axes.plot(2 * [x.mean()], [base, base + 0.75], color=INK, linewidth=1.5)
        text = f"{name}: {x.mean():.2f}"
        axes.annotate(text, (edges[-1], base + 0.77), ha="right", fontsize=12)
    axes.set(yticks=[], xlim=(0, edges[-1]), ylim=(0, len(distances)))
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title("distance to the nearest real picture, and its mean")
