"""Small arrays with their numbers, and the shapes that a computation goes through."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from .style import GREY, INK, new_figure, styled

# Pale enough for dark figures on it, and dark below white: signs differ in grey too.
_SIGNED = LinearSegmentedColormap.from_list("pale", ["#e8b48f", "#ffffff", "#9cc3e0"])


@styled
def arrays(steps, columns=3):
    """Arrays as tables of their numbers, each with its shape: {title: array}.

    Arrays of one axis are drawn as a row, single numbers as a cell; two axes at most.
    All cells have one size.
    """
    tables = [np.atleast_2d(a) for a in steps.values()]
    rows = -(-len(tables) // columns)
    lines = [tables[r * columns :][:columns] for r in range(rows)]
    heights = [max(len(a) for a in line) for line in lines]
    widths = [max(a.shape[1] for a in tables[c::columns]) for c in range(columns)]
    wide = [max(width, 3.2) for width in widths]  # room for the title
    figure = new_figure(0.62 * sum(wide) + 0.8, 0.5 * sum(heights) + 0.75 * rows)
    ratios = dict(height_ratios=heights, width_ratios=wide)
    grid = figure.subplots(rows, columns, squeeze=False, **ratios)
    for axes in grid.ravel():
        axes.set_axis_off()
    for k, (axes, name, table) in enumerate(zip(grid.ravel(), steps, tables)):
        most = max(np.abs(table).max(), 1e-12)
        look = dict(cmap=_SIGNED, vmin=-most, vmax=most, edgecolors=GREY, linewidth=0.8)
        axes.pcolormesh(table, **look)
        style = dict(ha="center", va="center", fontsize=12, color=INK)
        for (i, j), number in np.ndenumerate(table):
            axes.text(j + 0.5, i + 0.5, f"{number:.3g}", **style)
        axes.set(xlim=(0, wide[k % columns]), ylim=(heights[k // columns], 0))
        axes.set_title(f"{name}   {_shape(np.shape(steps[name]))}", fontsize=12)
    return figure


def _shape(shape):
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
