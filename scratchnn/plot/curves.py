"""Curves of losses over time, and where the time went."""

import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def curves(panels, x_label, y_label):
    """One panel for each quantity: {title: {series: (x, y)}}, x shared.

    The vertical range leaves out the steep start, so that the rest can be read.
    """
    figure = new_figure(6.4, 0.7 + 2.3 * len(panels))
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    looks = [dict(color=COLOURS[0]), dict(color=COLOURS[1], linestyle=(0, (3, 1.5)))]
    for axes, (title, series) in zip(all_axes, panels.items()):
        for look, (name, (x, y)) in zip(looks, series.items()):
            axes.plot(x, y, label=name, marker="." if len(x) < 30 else None, **look)
        axes.set_ylim(_range([y for _, y in series.values()]))
        axes.set_title(title)
        axes.grid(axis="y", color=PALE, linewidth=0.8)
    all_axes[0].legend(frameon=False, loc="upper right")
    all_axes[-1].set_xlabel(x_label)
    figure.supylabel(y_label, fontsize=13)
    return figure


def _range(lines):
    """Limits that hold all but what is high in the first twentieth of each line."""
    low = min(np.min(y) for y in lines)
    high = max(np.max(y[len(y) // 20 :]) for y in lines)
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def smooth(x, y, points=200):
    """Means of runs of neighbours, so that at most about `points` remain."""
    width = max(1, len(x) // points)
    n = len(x) // width * width
    return tuple(np.reshape(a[:n], (-1, width)).mean(axis=1) for a in (x, y))


# ---- profiles -------------------------------------------------------------------
@styled
def profile(p, most=16):
    """Where the time went, as bars: forward, then rule; grey: what is no op.

    p: what `profile` returned. Of more than `most` parts the shortest are one bar.
    """
    rows = p.rows
    rest = rows[most - 1 :] if len(rows) > most else []
    bars = [
        (r.name.strip("_"), r.forward, r.rule, r.seconds, r.by)
        for r in rows[: len(rows) - len(rest)]
    ]
    if rest:
        sums = (sum(t) for t in zip(*((r.forward, r.rule, r.seconds) for r in rest)))
        bars.append((f"{len(rest)} others", *sums, ""))
    unit, scale = ("s", 1) if p.total >= 10 else ("ms", 1000)
    names, *times, by = zip(*bars)
    forward, rule, whole = scale * np.array(times)
    y = np.arange(len(bars))
    figure = new_figure(8, 1.6 + 0.36 * len(bars))
    axes = figure.subplots()
    for left, width, look in [
        (0, forward, dict(color=COLOURS[0], label="forward")),
        (forward, rule, dict(color=COLOURS[4], label="rule")),
        (forward + rule, whole - forward - rule, dict(color=GREY, label="no op")),
    ]:
        axes.barh(y, width, left=left, height=0.72, **look)
    label = dict(va="center", fontsize=11, color=INK)
    label["bbox"] = dict(facecolor="white", edgecolor="none", pad=1)
    for k in y:
        text = f"{whole[k] / (scale * p.total):.1%}  {by[k]}".replace("%", " %")
        end = (whole[k], k), (5, 0)
        axes.annotate(text.rstrip(), *end, textcoords="offset points", **label)
    axes.set_yticks(y, names)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(xlim=(0, 1.45 * whole.max()), ylim=(len(bars) - 0.4, -0.6))
    axes.grid(axis="x", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(f"where {scale * p.total:,.1f} {unit} went")
    axes.set_xlabel(unit)
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure
