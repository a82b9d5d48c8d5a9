"""What an engine has recorded: numbers, the slopes between them, who was visited when.

A *tape* is a list of nodes in time order. A node has `parents` (nodes it was computed
from) and `slopes` (its derivative by each parent).
"""

from matplotlib.figure import Figure

from .computation import _curve, _layout
from .style import COLOURS, GREY, INK, styled


@styled
def tape(nodes, names, panels, visits=None, wrong=(), slopes=True):
    """One drawing of a tape for each panel, inputs above: {title: values}.

    nodes, names: in time order; values: the numbers to write in them, None for a node
    that has none yet (drawn dashed). visits: {title: nodes in the order of visit},
    numbered at their corners. wrong: (title, name) pairs to frame thickly. slopes:
    whether to write each slope beside its edge.
    """
    place = {id(i): k for k, i in enumerate(nodes)}
    edges, steep = [], []
    for j in nodes:
        edges += [(place[id(i)], place[id(j)]) for i in j.parents]
        steep += list(j.slopes)
    places, paths = _layout(len(nodes), edges)
    xs, ys = places.T
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    size = (3.0 if columns == 2 else 4.0, 0.85 * (ys.max() + 1.3))
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in all_axes:
        axes.axis("off")
    for axes, (title, values) in zip(all_axes, panels.items()):
        axes.set(xlim=(xs.min() - 0.6, xs.max() + 0.6), ylim=(ys.max() + 0.5, -0.5))
        axes.set_title(title)
        for path, s in zip(paths, steep):
            _edge(axes, path, f"{s:.3g}" if slopes else "")
        order = [place[id(v)] for v in (visits or {}).get(title, ())]
        for k, (name, value) in enumerate(zip(names, values)):
            framed = (title, name) in wrong
            _node(axes, places[k], name, value, framed)
            if k in order:
                _badge(axes, places[k], order.index(k) + 1)
    return figure


def _edge(axes, path, slope):
    """An arrow from an input to what was made of it, and the slope beside its start."""
    axes.add_patch(_curve(path))
    if slope:
        (x0, y0), (x1, y1) = path[:2]
        t = 0.34 if len(path) == 2 else 0.85  # of the curve that leaves vertically
        at = x0 + (3 - 2 * t) * t * t * (x1 - x0), y0 + t * (y1 - y0)
        look = dict(ha="center", va="center", fontsize=10, color=COLOURS[0], zorder=1)
        look["bbox"] = dict(facecolor="white", edgecolor="none", pad=1)
        axes.text(*at, slope, **look)


def _node(axes, at, name, value, framed):
    known = value is not None
    box = dict(
        boxstyle="round,pad=0.35", facecolor="#ffffff",
        edgecolor=COLOURS[1] if framed else INK if known else GREY,
        linewidth=3 if framed else 1, linestyle="-" if known else (0, (3, 2)),
    )  # fmt: skip
    text = f"{name}\n{value:.4g}" if known else f"{name}\n?"
    look = dict(ha="center", va="center", fontsize=11, color=INK if known else GREY)
    axes.text(*at, text, bbox=box, zorder=2, **look)


def _badge(axes, at, number):
    box = dict(boxstyle="circle,pad=0.18", facecolor=INK, edgecolor="none")
    look = dict(ha="center", va="center", fontsize=9, color="white", zorder=3)
    spot = dict(xytext=(20, 13), textcoords="offset points", bbox=box)
    axes.annotate(str(number), at, **spot, **look)
