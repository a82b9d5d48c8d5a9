"""Derivatives: what they cost, what they are, and a curve fitted with them."""

import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled

LINES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))  # told apart in grey
MARKS = "os^D"


@styled
def cost_of_slopes(series, one_run, x_label="number of inputs"):
    """Operations for all slopes, both axes in powers of ten: {name: (n, operations)}.

    one_run: (n, operations) of f itself, the line to compare with. A series of few
    points gets marks: counted, not computed.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.subplots()
    axes.plot(*one_run, color=GREY, linestyle=(0, (1, 1.2)), label="one run of f")
    for k, (name, (n, operations)) in enumerate(series.items()):
        look = dict(color=COLOURS[k], linestyle=LINES[k], label=name)
        look["marker"] = MARKS[k] if len(n) < 8 else None
        axes.plot(n, operations, **look)
    axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel="operations")
    axes.grid(color=PALE, linewidth=0.8)
    axes.legend(frameon=False, loc="upper left")
    return figure


@styled
def derivatives(x, found, closed):
    """A function and its derivatives, a panel each: {name: values (n,)} at x (n,).

    found: as computed; closed: the same names, by their formulas, drawn pale and wide
    below.
    """
    columns = min(2, len(found))
    rows = -(-len(found) // columns)
    figure = new_figure(3.6 * columns, 2.4 * rows + 0.5)
    all_axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axes, (name, y) in zip(all_axes.ravel(), found.items()):
        axes.axhline(0, color=GREY, linewidth=0.8)
        (wide,) = axes.plot(x, closed[name], color=PALE, linewidth=8)
        (thin,) = axes.plot(x, y, color=COLOURS[0])
        axes.set_title(name)
    for axes in all_axes[-1]:
        axes.set_xlabel("x")
    key = dict(loc="outside lower center", ncols=2, frameon=False)
    figure.legend([wide, thin], ["formula", "computed"], **key)
    return figure


@styled
def fitted(x, t, curves, losses, truth=None):
    """Points (x, t) with the curves laid through them, and the loss while it fell.

    curves: {name: (x, y)}, the last one is the result; losses (steps,); truth: (x, y)
    that the points were drawn from.
    """
    figure = new_figure(6.4, 6.2)
    above, below = figure.subplots(2, 1, height_ratios=[1.7, 1])
    if truth is not None:
        above.plot(*truth, color=PALE, linewidth=8, label="truth")
    for k, (name, (u, y)) in enumerate(curves.items()):
        last = k == len(curves) - 1
        colour, line = (COLOURS[0], LINES[0]) if last else (GREY, LINES[2])
        look = dict(color=colour, linestyle=line)
        above.plot(u, y, label=name, **look)
    above.plot(x, t, "o", color=INK, markersize=5, label="data")
    above.set(xlabel="x", ylabel="output")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=11)
    below.plot(np.arange(len(losses)), losses, color=COLOURS[0])
    below.set(xlabel="step", ylabel="loss", yscale="log")
    below.grid(axis="y", color=PALE, linewidth=0.8)
    return figure
