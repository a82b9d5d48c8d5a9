"""Looking values up by keys: what comes back for each query, and by which weights."""

import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def look_ups(keys, values, panels, truth=None):
    """Values against keys as dots, and what each way of looking up returns, as lines.

    keys, values (T,); panels: {title: (queries (n,), returned (n,))}; truth: the same
    pair for the curve that the values are samples of, dashed.
    """
    wide = 3.4 if len(panels) < 3 else 2.6
    figure = new_figure(wide * len(panels), 3.6)
    axes_of = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, (queries, returned)) in zip(axes_of, panels.items()):
        if truth is not None:
            axes.plot(*truth, color=GREY, linestyle=(0, (3, 1.5)), label="truth")
        axes.plot(queries, returned, color=COLOURS[1], label="returned")
        axes.plot(keys, values, "o", color=COLOURS[0], label="stored", markersize=5)
        axes.set(xlabel="key, query", title=title)
        axes.grid(color=PALE, linewidth=0.8)
    axes_of[0].set_ylabel("value")
    handles = axes_of[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


@styled
def readings(weights, returned, keys):
    """Several rows of weights over the same keys, and what each returns.

    weights: {name: (S,)}, returned: {name: text}, keys: S labels. Bars side by side;
    the dotted line is 1 / S, the weight of a query that does not care.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    S, n = len(keys), len(weights)
    for i, (name, alpha) in enumerate(weights.items()):
        place = np.arange(S) + 0.8 * ((i + 0.5) / n - 0.5)
        label = f"{name}: {returned[name]}"
        look = dict(color=COLOURS[i], hatch=("", "//", "..")[i % 3], edgecolor="white")
        axes.bar(place, alpha, 0.8 / n, label=label, **look)
    axes.axhline(1 / S, color=INK, linewidth=1.5, linestyle=(0, (1, 1)))
    axes.set_xticks(range(S), keys)
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    top = max(np.max(alpha) for alpha in weights.values())
    axes.set(xlabel="key", ylabel="weight", ylim=(0, (1.2 + 0.14 * n) * top))
    axes.legend(frameon=False, loc="upper left", fontsize=12)
    return figure


@styled
def weight_sums(maps):
    """Maps of weights side by side, with the sum of each row and of each column.

    maps: {title: (T, S)}, a row for each query. Sums that should be 1 and are not can
    be read at the edges.
    """
    figure = new_figure(3.9 * len(maps), 4.5)
    for axes, (title, alpha) in zip(figure.subplots(1, len(maps)), maps.items()):
        T, S = alpha.shape
        axes.imshow(alpha, vmin=0, vmax=1)
        style = dict(fontsize=10, color=COLOURS[0], ha="center", va="center")
        for t, total in enumerate(alpha.sum(axis=1)):
            axes.text(S + 0.1, t, f"{total:.2f}", **style)
        for s, total in enumerate(alpha.sum(axis=0)):
            axes.text(s, T + 0.1, f"{total:.2f}", rotation=90, **style)
        axes.set(xlim=(-0.5, S + 0.8), ylim=(T + 0.8, -0.5), title=title)
        axes.set_xticks(range(S), range(1, S + 1))
        axes.set_yticks(range(T), range(1, T + 1))
        axes.set(xlabel="key", ylabel="query")
        axes.tick_params(length=0, labelcolor=INK)
        axes.spines[:].set_visible(False)
    return figure
