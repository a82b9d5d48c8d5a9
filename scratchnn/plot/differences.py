"""Differences as a test of derivatives: step sizes, kinks, cotangents, signatures."""

import numpy as np

from .check import _SIGNED, _flat
from .derivatives import LINES, MARKS
from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def falling(series, chance):
    """Losses (steps,) while they fell: {name: losses}. chance: the loss of a guess."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    axes.axhline(chance, color=GREY, linestyle=(0, (1, 1.2)), label="guessing")
    for k, (name, losses) in enumerate(series.items()):
        axes.plot(losses, color=COLOURS[k], linestyle=LINES[k], label=name)
    axes.set(xlabel="step", ylabel="training loss", ylim=(0, 1.08 * chance))
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.9))
    return figure


@styled
def step_sizes(h, errors, model=None):
    """How wrong differences are, against their step h (n,): {name: errors (n,)}.

    model: the error that theory expects of one of them, drawn wide and pale. Above
    the dotted line no digit is right.
    """
    figure = new_figure(6.4, 4.6)
    axes = figure.subplots()
    if model is not None:
        axes.plot(h, model, color=PALE, linewidth=8, label="expected")
    for k, (name, error) in enumerate(errors.items()):
        look = dict(color=COLOURS[k], linestyle=LINES[k], label=name)
        axes.plot(h, np.maximum(error, 1e-17), marker=MARKS[k], markersize=4, **look)
    axes.axhline(1, color=GREY, linewidth=1, linestyle=(0, (1, 1.2)))
    axes.text(h.min(), 3.0, "no digit right", color=GREY)
    axes.set(xscale="log", yscale="log", ylim=(1e-13, 1e2))
    axes.set(xlabel="step h", ylabel="relative error")
    axes.grid(color=PALE, linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


@styled
def kink(f, at, h):
    """A function with a kink, and the slopes that differences of step h see there."""
    x = np.linspace(at - 2 * h, at + 2 * h, 201)
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    axes.plot(x, f(x), color=PALE, linewidth=8, label="f")
    secants = {"to the left": (-h, 0), "to the right": (0, h), "centred": (-h, h)}
    for k, (name, (low, high)) in enumerate(secants.items()):
        u = at + np.array([low, high])
        slope = (f(u[1]) - f(u[0])) / (high - low)
        look = dict(color=COLOURS[k], linestyle=LINES[k], marker=MARKS[k])
        axes.plot(u, f(u), label=f"{name}: slope {slope:.3g}", **look)
    axes.set(xlabel="x", ylabel="f(x)", xticks=[at - h, at, at + h])
    place = f"{at:g} " if at else ""
    axes.set_xticklabels([f"{place}- h", f"{at:g}", f"{place}+ h"])
    axes.legend(frameon=False, loc="upper left")
    return figure


@styled
def cotangents(errors):
    """How far wrong rules are from right under two cotangents: {rule: (ones, drawn)}.

    Largest errors of slopes of order 1; what is below 1e-16 is drawn at 1e-16. Left of
    the dotted line a check sees rounding, right of it a mistake.
    """
    figure = new_figure(6.4, 1.7 + 0.75 * len(errors))
    axes = figure.subplots()
    y = np.arange(len(errors))
    both = np.maximum(np.array(list(errors.values())), 1e-16).T  # (2, rules)
    for k, (name, error) in enumerate(zip(("g of ones", "g drawn"), both)):
        look = dict(color=COLOURS[1 - k], label=name, hatch="//" if k == 0 else None)
        look["edgecolor"] = "white"
        axes.barh(y + 0.36 * (k - 0.5), error, 0.34, left=1e-17, **look)
    axes.axvline(1e-7, color=INK, linestyle=(0, (1, 1.2)))
    axes.text(2e-7, -0.62, "seen", color=INK)
    axes.text(5e-8, -0.62, "not seen", color=INK, ha="right")
    axes.set_yticks(y, list(errors))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(xscale="log", xlim=(1e-17, 30), ylim=(len(errors) - 0.4, -0.9))
    axes.set_xlabel("largest error of the wrong rule")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


@styled
def signatures(errors):
    """Failed checks side by side, a row each: {name: GradcheckError}.

    Three maps with one scale in a row: numeric, analytic, and their difference, of the
    input that is wrong most.
    """
    figure = new_figure(7.2, 0.6 + 1.75 * len(errors))
    grid = figure.subplots(len(errors), 3, squeeze=False)
    for row, (name, error) in zip(grid, errors.items()):
        r = getattr(error, "report", error)
        i = r.bad()[0]
        n, a = _flat(r.numeric[i]), _flat(r.analytic[i])
        top = np.abs([n, a]).max()
        for axes, m in zip(row, (n, a, a - n)):
            axes.imshow(m, cmap=_SIGNED, vmin=-top, vmax=top, aspect="auto")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
        row[2].annotate(
            r.letter, (1.06, 0.5), xycoords="axes fraction", fontsize=20, va="center"
        )
    for axes, title in zip(grid[0], ("numeric", "analytic", "difference")):
        axes.set_title(title)
    return figure


@styled
def row_sums(panels, line, y_label="sum"):
    """Bars that should all reach one line: {title: heights (n,)}, a panel each."""
    figure = new_figure(3.4 * len(panels), 3.2)
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, heights) in zip(all_axes, panels.items()):
        axes.bar(np.arange(len(heights)), heights, color=COLOURS[0])
        axes.axhline(line, color=INK, linestyle=(0, (1, 1.2)))
        axes.set(title=title, xlabel="row", xticks=np.arange(len(heights)))
    all_axes[0].set_ylabel(y_label)
    return figure
