"""How a class did: the spread of its scores, and what became of each task."""

import io

import matplotlib
import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled

OUTCOMES = ("passed", "in part", "failed", "can't check yet", "not started")
LOOKS = (
    dict(color=COLOURS[0]),
    dict(color=COLOURS[5], hatch="//", edgecolor="white", linewidth=0),
    dict(color=COLOURS[1]),
    dict(color=GREY, hatch="..", edgecolor="white", linewidth=0),
    dict(color=PALE),
)


@styled
def scores(shares, bins=10):
    """How many of a class have which share of the points: a histogram.

    shares: (n,) of 0 to 1.
    """
    figure = new_figure(5, 2.9)
    axes = figure.subplots()
    counts, edges = np.histogram(shares, bins, (0.0, 1.0))
    left, width = 100 * edges[:-1], 100 / bins
    bars = axes.bar(left, counts, width, align="edge", color=COLOURS[0], edgecolor="w")
    axes.bar_label(bars, [str(n) if n else "" for n in counts], color=INK, fontsize=11)
    middle = 100 * float(np.median(shares))
    axes.axvline(middle, color=COLOURS[1], linestyle=(0, (3, 1.5)))
    axes.set(xlim=(0, 100), ylim=(0, 1.18 * max(counts.max(), 1)))
    axes.set_xlabel("score, % of the points")
    axes.set_ylabel("submissions")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"half of them have {middle:.0f} % or more", color=COLOURS[1])
    return figure


@styled
def tasks(counts):
    """What became of each task: {task: number of submissions for each of OUTCOMES}."""
    figure = new_figure(5, 1.7 + 0.42 * len(counts))
    axes = figure.subplots()
    y = np.arange(len(counts))
    numbers = np.array(list(counts.values()), float).reshape(len(counts), len(OUTCOMES))
    left = np.zeros(len(counts))
    for k, (name, look) in enumerate(zip(OUTCOMES, LOOKS)):
        if numbers[:, k].any():
            axes.barh(y, numbers[:, k], left=left, height=0.72, label=name, **look)
        left += numbers[:, k]
    axes.set_yticks(y, list(counts))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(xlim=(0, max(left.max(initial=0.0), 1.0)), ylim=(len(counts) - 0.4, -0.6))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("submissions")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=11)
    return figure


@styled
def as_svg(figure):
    """A figure as SVG text that a page can hold: the same figure, the same text."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "scratchnn"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
