"""Pictures of diffusion: the way into noise and back, step by step."""

import numpy as np
from matplotlib.ticker import LogLocator

from .images import _show
from .style import COLOURS, GREY, INK, new_figure, styled

_STYLES = ("o-", "s--", "^:", "D-.")


@styled
def diffusion_chain(forwards, back):
    """The way into noise above the way back, at a few steps each.

    forwards, back: lists of (t, x_t), x_t points (N, 2), or pictures (N, H, W) with 1
    as ink; t falls on the way back.
    """
    rows = {"data drowns in noise": forwards, "the model finds a way back": back}
    draw = _chain_of_points if forwards[0][1].ndim == 2 else _chain_of_pictures
    return draw(rows)


def _chain_of_points(rows):
    columns = len(rows["data drowns in noise"])
    figure = new_figure(2.1 * columns, 5.4)
    parts = figure.subfigures(2, 1)
    for part, (title, steps), colour in zip(parts, rows.items(), COLOURS):
        part.suptitle(title, x=0.01, ha="left", fontsize=13)
        for axes, (t, x) in zip(part.subplots(1, columns, squeeze=False)[0], steps):
            axes.scatter(*x.T, s=2, linewidths=0, alpha=0.6, color=colour)
            axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
            axes.set_xlabel(f"$t = {t}$")
    return figure


def _chain_of_pictures(rows):
    n, h, w = rows["data drowns in noise"][0][1].shape
    columns = len(rows["data drowns in noise"])
    figure = new_figure(0.95 * columns, 1.4 + 1.9 * n * h / w)
    for axes, (title, steps) in zip(figure.subplots(2, 1), rows.items()):
        x = np.stack([x for _, x in steps], axis=1)  # (N, columns, H, W)
        _show(axes, x.reshape(-1, h, w), columns)
        axes.set_xticks(_middles(columns, w), [f"{t}" for t, _ in steps])
        axes.tick_params(length=0, labelcolor=INK)
        axes.set_title(f"{title}: $x_t$ at $t =$", pad=8)
    return figure


def _middles(n, size):
    """Where the middles of n tiles are in a mosaic."""
    return (size + 1) * (np.arange(n) + 0.5)


@styled
def picture_rows(rows, title, columns=None, label=""):
    """Rows of pictures by name: {name: (N, H, W)}; columns: a name for each of N."""
    x = np.stack(list(rows.values()))  # (R, N, H, W)
    r, n, h, w = x.shape
    figure = new_figure(1.6 + 0.62 * n, 1.0 + 0.66 * r * h / w)
    axes = figure.subplots()
    _show(axes, x.reshape(-1, h, w), n)
    axes.set_yticks(_middles(r, h), list(rows))
    if columns is not None:
        axes.set_xticks(_middles(n, w), columns)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_title(title, pad=10)
    axes.set_ylabel(label)
    return figure


@styled
def quality_against_steps(curves, floor, unit):
    """How far samples are from data, by the number of steps that they take.

    curves: {name: (steps, distances)}; floor: the distance of fresh data.
    """
    figure = new_figure(6.4, 4.6)
    axes = figure.subplots()
    for (name, (steps, far)), style, colour in zip(curves.items(), _STYLES, COLOURS):
        axes.loglog(steps, far, style, color=colour, label=name)
    axes.axhline(floor, color=GREY, lw=1.5, ls=(0, (1, 1)))
    start = min(min(steps) for steps, _ in curves.values())  # where no curve is low
    where = dict(xytext=(0, 4), textcoords="offset points", color=GREY)
    axes.annotate("fresh data", (start, floor), **where)
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # else often none
    axes.yaxis.set_major_formatter("{x:g}")
    ticks = sorted({s for steps, _ in curves.values() for s in steps})
    axes.set_xticks(ticks, [str(s) for s in ticks])
    axes.set(xlabel="steps from noise to data", ylabel=unit)
    axes.legend(frameon=False)
    return figure


@styled
def noise_arrows(panels):
    """What the network takes for noise, at each place of the plane and several t.

    panels: list of (t, x_t (N, 2), places (K, 2), noise (K, 2)). An arrow goes the way
    that takes the noise off, a third of it.
    """
    figure = new_figure(4.1 * len(panels), 4.5)
    for axes, (t, x, places, noise) in zip(figure.subplots(1, len(panels)), panels):
        axes.scatter(*x.T, s=3, linewidths=0, alpha=0.5, color=COLOURS[5])
        how = dict(angles="xy", scale_units="xy", scale=3, width=0.005)
        axes.quiver(*places.T, *(-noise.T), color=INK, **how)
        axes.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xticks=[], yticks=[])
        axes.set_title(f"$t = {t}$")
    return figure
