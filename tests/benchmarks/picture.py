"""The figure of docs/benchmarks.md: ratios of the steps, then curves."""

import math

import report
import scaling
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from peers import NAMES

from scratchnn import plot

COLOUR = dict(zip(NAMES, plot.COLOURS))  # Okabe and Ito's
LOOK = {
    "scratchnn": dict(marker="o", linestyle="-"),
    "torch": dict(marker="s", linestyle=(0, (4, 1.5))),
}
HATCH = {"torch": "", "compile": "///", "jax": "..."}
STYLE = {**plot.STYLE, "font.size": 9, "axes.titlesize": 9.5, "lines.linewidth": 1.6}
PANELS = ("sequence", "causal", "edges", "batch", "depth")
TITLES = {
    "sequence": "attention, 4 heads of 64: ms",
    "causal": "causal attention: ms",
    "edges": "sparse product, 64 features: ms",
    "batch": "VAE step: ms",
    "depth": "MLP step, layers of 256: ms",
}


def label(ratio):
    """Two digits: 13, 2.4, .85."""
    if ratio >= 9.95:
        return f"{ratio:.0f}"
    return f"{ratio:.1f}" if ratio >= 0.995 else f"{ratio:.2f}".lstrip("0")


@rc_context(STYLE)
def draw(results, path):
    """Write the figure; parts that weren't measured leave their panels out."""
    figure = Figure(figsize=(7.2, 9.6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.08, w_pad=0.08)
    bars, *panels = figure.subplot_mosaic(
        [["steps", "steps"], ["a", "b"], ["c", "d"], ["e", "f"]],
        height_ratios=[1.25, 1, 1, 1],
    ).values()
    ratios(bars, results.get("steps"))
    rows = results.get("scaling", {}).get("rows", {})
    for axes, curve in zip(panels, PANELS):
        races = {int(size): race for size, race in rows.get(curve, {}).items()}
        lines(axes, races, report.middle)
        axes.set(title=TITLES[curve], xlabel=scaling.UNITS[curve].split(",")[0])
    peaks = results.get("memory", {}).get("rows", {}).get("attention", {})
    races = {int(size): race for size, race in peaks.items()}
    lines(panels[-1], races, lambda result: result.get("own", math.nan) / 1e6)
    panels[-1].set(title="causal attention: peak memory, MB", xlabel="sequence length")
    if rows:
        panels[0].legend(frameon=False, loc="best")
    plot.save(figure, path)


def ratios(axes, measured):
    """Bars of each step: a peer's time by ours, from the line at 1 up or down."""
    rows = measured["rows"] if measured else {}
    found, peers = report.step_ratios(rows), report.peers_of(rows)
    width = 0.8 / max(len(peers), 1)
    for i, peer in enumerate(peers):
        heights = [r[peer] for r in found.values()]
        at = [step + (i - (len(peers) - 1) / 2) * width for step in range(len(found))]
        axes.bar(
            at,
            [h - 1 for h in heights],
            width * 0.92,
            bottom=1,
            color=COLOUR[peer],
            hatch=HATCH[peer],
            edgecolor="white",
            linewidth=0,
            label=NAMES[peer],
        )
        for x, h in zip(at, heights):
            if not math.isnan(h):
                offset = (0, 2 if h >= 1 else -2)
                axes.annotate(
                    label(h),
                    (x, h),
                    offset,
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if h >= 1 else "top",
                    fontsize=7,
                    color=plot.INK,
                )
    axes.axhline(1, color=plot.INK, linewidth=1)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_locator(LogLocator(2, numticks=20))
    axes.margins(x=0.01, y=0.12)
    axes.set_ylim(top=2 * axes.get_ylim()[1])  # room for the legend
    tick = lambda y, _: f"{y:g}" if y >= 1 else f"1/{1 / y:g}"
    axes.yaxis.set_major_formatter(FuncFormatter(tick))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xticks(range(len(found)), list(found))
    axes.tick_params(axis="x", length=0, labelcolor=plot.INK)
    axes.grid(axis="y", color=plot.PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_title("training steps: a peer's time by ours (above 1, ours is faster)")
    if peers:
        axes.legend(frameon=False, ncols=3, loc="upper right")


def lines(axes, races, value):
    """value(result) against size for ours and PyTorch's, both axes logarithmic."""
    for framework, look in LOOK.items():
        pairs = [(n, value(r[framework])) for n, r in races.items() if framework in r]
        if pairs:
            axes.plot(
                *zip(*pairs),
                color=COLOUR[framework],
                markersize=4,
                label=NAMES[framework],
                **look,
            )
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(list(races), [short(n) for n in races])
    axes.xaxis.set_minor_locator(NullLocator())
    bottom, top = axes.get_ylim()
    few = (1, 2, 5) if top < 30 * bottom else (1,)  # labels of a decade
    axes.yaxis.set_major_locator(LogLocator(subs=few))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.grid(color=plot.PALE, linewidth=0.7)


def short(n):
    """1,000,000 as 1M, 10,000 as 10k."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if n >= unit and n % unit == 0:
            return f"{n // unit}{letter}"
    return str(n)
