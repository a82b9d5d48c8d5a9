"""Small arrays with their numbers, and the shapes that a computation goes through."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from .style import INK, PALE, new_figure, styled

# Pale enough for dark figures on it, and dark below white: signs differ in grey too.
_SIGNED = LinearSegmentedColormap.from_list("pale", ["#e8b48f", "#ffffff", "#9cc3e0"])


@styled
def arrays(steps, columns=3):
    """Arrays as tables of their numbers, each with its shape: {title: array}.

    Arrays of one axis are drawn as a row, single numbers as a cell; two axes at most.
    """
    tables = {name: np.atleast_2d(a) for name, a in steps.items()}
    rows = -(-len(tables) // columns)
    parts = list(tables.values())
    heights = [max(len(a) for a in parts[r * columns :][:columns]) for r in range(rows)]
    figure = new_figure(2.9 * columns, sum(0.5 * h + 1.2 for h in heights))
    widths = [max(a.shape[1] for a in parts[i::columns]) for i in range(columns)]
    ratios = dict(height_ratios=heights, width_ratios=np.add(widths, 1))
    grid = figure.subplots(rows, columns, squeeze=False, **ratios)
    for axes in grid.ravel()[len(tables) :]:
        axes.set_visible(False)
    for axes, (name, table) in zip(grid.ravel(), tables.items()):
        most = max(np.abs(table).max(), 1e-12)
        axes.imshow(table, cmap=_SIGNED, vmin=-most, vmax=most)
        style = dict(ha="center", va="center", fontsize=12, color=INK)
        for (i, j), number in np.ndenumerate(table):
            axes.text(j, i, f"{number:.3g}", **style)
        axes.set_xticks(np.arange(table.shape[1] + 1) - 0.5, [])
        axes.set_yticks(np.arange(table.shape[0] + 1) - 0.5, [])
        axes.grid(color=PALE)
        axes.tick_params(length=0)
        axes.set_title(name, fontsize=12)
        axes.set_xlabel(_shape(np.shape(steps[name])))
    return figure


def _shape(shape):
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})" if shape else "()"
