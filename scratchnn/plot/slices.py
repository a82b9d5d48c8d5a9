"""A flat slice through a space of codes: what is drawn at each of its places."""

import numpy as np

from .images import mosaic
from .style import COLOURS, INK, new_figure, styled


def slice_codes(z, side=40, margin=0.3):
    """Codes of a plane through three: z (3, d) -> (side^2, d), top row first.

    z_0 + u (z_1 - z_0) + v (z_2 - z_0) with u and v even from -margin to 1 + margin.
    """
    t = -margin + (1 + 2 * margin) * (np.arange(side) + 0.5) / side
    u, v = np.meshgrid(t.astype(z.dtype), t[::-1].astype(z.dtype))
    return z[0] + u.reshape(-1, 1) * (z[1] - z[0]) + v.reshape(-1, 1) * (z[2] - z[0])


@styled
def slices(maps, names, margin=0.3, level=None, label="distance"):
    """Maps of the same slice through several models, side by side, on one scale.

    maps: {title: (distance (side, side), pictures (k, k, H, W) or None)}, the first row
    on top; names: of the three codes that the slice goes through; level: drawn as a
    line. Pictures are what an even k x k of places decode to.
    """
    rows = 2 if any(p is not None for _, p in maps.values()) else 1
    figure = new_figure(4.1 * len(maps), 1.0 + 3.3 * rows)
    panels = figure.subplots(rows, len(maps), squeeze=False)
    low, high = -margin, 1 + margin
    most = max(distance.max() for distance, _ in maps.values())
    for column, (title, (distance, pictures)) in zip(panels.T, maps.items()):
        axes = column[-1]
        extent = dict(extent=(low, high, low, high))
        image = axes.imshow(distance, cmap="Oranges", vmin=0, vmax=most, **extent)
        if level is not None and distance.max() > level > distance.min():
            axes.contour(
                distance, [level], colors=[INK], linewidths=1.2, origin="upper",
                **extent,
            )  # fmt: skip
        if pictures is not None:
            k, h = len(pictures), pictures.shape[-2]
            flat = pictures.reshape(-1, *pictures.shape[2:])
            sheet = mosaic(flat, k, gap=max(1, h // 8), ground=0)
            column[0].imshow(sheet, vmin=0, vmax=1, **extent)
        column[0].set_title(title)
        for axes in column:
            _corners(axes, names)
            axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
            axes.set(xlabel="u", ylabel="v", xticks=[0, 1], yticks=[0, 1])
    figure.colorbar(image, ax=list(panels[-1]), shrink=0.85, label=label)
    return figure


def _corners(axes, names):
    """The three codes that span the slice, each with its name."""
    box = dict(boxstyle="round,pad=0.15", facecolor="white", edgecolor=COLOURS[0])
    for place, name in zip([(0, 0), (1, 0), (0, 1)], names):
        axes.annotate(
            name, place, ha="center", va="center", fontsize=12, color=COLOURS[0],
            bbox=box,
        )  # fmt: skip
