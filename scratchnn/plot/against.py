"""Measurements against what was varied, with the line to compare them with."""

from .style import COLOURS, GREY, PALE, new_figure, styled

_LOOKS = [
    dict(color=COLOURS[0], marker="o"),
    dict(color=COLOURS[1], marker="s", linestyle=(0, (3, 1.5))),
    dict(color=COLOURS[2], marker="^", linestyle=(0, (1, 1))),
]


@styled
def against(x, series, x_label, y_label, references=(), log=None):
    """Lines over a common x: {name: y (n,)}, at most three, each with its own marks.

    references: {name: y}, at most two, horizontal grey lines; log: a base for the axis
    of x, whose ticks are then the x themselves.
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for look, (name, y) in zip(_LOOKS, series.items()):
        axes.plot(x, y, label=name, markersize=6, **look)
    for dots, (name, y) in zip([(1, 1), (6, 2)], dict(references).items()):
        look = dict(color=GREY, linewidth=1.5, linestyle=(0, dots), zorder=1)
        axes.axhline(y, label=name, **look)
    if log:
        axes.set_xscale("log", base=log)
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()
    axes.set(xlabel=x_label, ylabel=y_label, ylim=(0, None))
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure
