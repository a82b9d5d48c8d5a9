"""Gradient checks: numeric, analytic, and their difference."""

import math
import textwrap

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .style import INK, styled


# From dark (negative) to light (positive) through grey: signs can be told in grey.
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#10194f", "#3f62ad", "#a9a9a9", "#f2b85c", "#fff6c9"]
)


@styled
def gradcheck(error):
    """The two sides of a failed gradient check, and their difference, as heat maps.

    error: a GradcheckError, or its `.report`. Each input whose gradient is wrong has a
    row of three maps with one scale; wrong entries are framed in the last. Arrays of
    more than two axes are drawn as (all but the last, last).
    """
    report = getattr(error, "report", error)
    if report.wrong is None or report.mode == "directional":
        raise ValueError(
            "this check failed before entries were compared; there is nothing to draw: "
            f"{report.diagnosis}"
        )
    bad = report.bad()
    tall = [_flat(report.wrong[i]).shape for i in bad]
    heights = [min(4.0, max(1.1, 6.0 / 3 * h / w)) for h, w in tall]
    figure = Figure(figsize=(9.6, sum(heights) + 2.1), layout="constrained")
    words = textwrap.fill(f"Diagnosis {report.letter}: {report.diagnosis}", 88)
    figure.suptitle(f"gradcheck of {report.name}\n{words}", x=0.01, ha="left", size=13)
    grid = figure.subplots(len(bad), 3, squeeze=False, height_ratios=heights)
    for row, i in zip(grid, bad):
        _three_maps(figure, row, report, i)
    return figure


def _flat(a):
    """Any array as a matrix: a vector lies down, leading axes are joined."""
    return np.reshape(a, (-1, np.shape(a)[-1])) if np.ndim(a) else np.reshape(a, (1, 1))


def _three_maps(figure, row, report, i):
    n, a, wrong = (_flat(s[i]) for s in (report.numeric, report.analytic, report.wrong))
    maps = {"numeric (right)": n, "analytic (yours)": a, "yours - right": a - n}
    top = max(np.abs(m[np.isfinite(m)]).max(initial=0) for m in maps.values()) or 1.0
    for axes, (title, m) in zip(row, maps.items()):
        image = axes.imshow(m, cmap=_SIGNED, vmin=-top, vmax=top, aspect="auto")
        axes.set_title(title)
        axes.set(xticks=_few(m.shape[1]), yticks=_few(m.shape[0]))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _numbers(axes, m, top)
    shape = report.numeric[i].shape
    lead = "axis 0" if len(shape) == 2 else f"axes 0 to {len(shape) - 2}"
    row[0].set_ylabel(f"{report.name_of(i)} {shape}" + (f"\n{lead}" * (len(shape) > 1)))
    row[1].set_xlabel(f"axis {max(0, len(shape) - 1)}")
    for y, x in np.argwhere(wrong) if not wrong.all() else ():
        frame = Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False)
        frame.set(edgecolor=INK, linewidth=1.5)
        row[2].add_patch(frame)
    bar = figure.colorbar(image, ax=row, shrink=0.9, pad=0.01)
    bar.outline.set_visible(False)


def _few(n):
    return np.arange(0, n, max(1, -(-n // 12)))


def _numbers(axes, m, top):
    """The values in their cells, where these are few enough to hold them."""
    if m.shape[0] > 12 or m.shape[1] > 8:
        return
    decimals = 1 - math.floor(math.log10(top))  # two digits for the largest
    for (y, x), v in np.ndenumerate(m):
        text = f"{v:.1g}"
        if np.isfinite(v) and 0 <= decimals <= 3:
            text = f"{v:.{decimals}f}"
            text = text.replace("0.", ".") if abs(v) < 1 else text  # narrow: .07, -.3
            text = "0" if float(text) == 0 else text
        light = np.isfinite(v) and v > -0.35 * top
        colour = INK if light or not np.isfinite(v) else "white"
        axes.text(x, y, text, ha="center", va="center", fontsize=9, color=colour)
