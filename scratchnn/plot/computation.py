"""Computation graphs."""


import numpy as np
from matplotlib.figure import Figure

from ..opgraph import OpGraph, graph_of
from .style import GREY, INK, styled


_FILL = {"op": "#ffffff", "leaf": "#fbe3c8", "constant": "#e8e8e8"}


@styled
def graph(g):
    """A computation graph, inputs above, result below: `plot.graph(loss)`.

    g: a Tensor, or what `graph_of` returned. White: an op and the shape of its output.
    Orange: a trainable leaf. Grey: a constant. Raises GraphError if nothing was
    recorded behind the Tensor.
    """
    g = g if isinstance(g, OpGraph) else graph_of(g)
    place, paths = _layout(len(g.nodes), g.edges)
    xs, ys = place[:, 0], place[:, 1]
    width, height = np.ptp(xs) + 1.2, ys.max() + 1.2
    figure = Figure(figsize=(max(3.2, 1.25 * width), 0.8 * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(xs.min() - 0.6, xs.max() + 0.6), ylim=(height - 0.6, -0.6))
    axes.axis("off")
    for path in paths:
        axes.add_patch(_curve(path))
    for i, (node, (x, y)) in enumerate(zip(g.nodes, place)):
        shape = "x".join(map(str, node.shape)) or "scalar"
        last = i == len(g.nodes) - 1
        box = dict(
            boxstyle="round,pad=0.35", facecolor=_FILL[node.kind],
            edgecolor=INK if node.kind == "op" else GREY, linewidth=2 if last else 0.8,
        )  # fmt: skip
        text = f"{node.name.strip('_')}\n{shape}"
        axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box, color=INK)
    return figure


def _curve(points):
    """An arrow through points, each piece leaving and arriving vertically."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    corners, codes = [points[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        middle = (y0 + y1) / 2
        corners += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    return FancyArrowPatch(
        path=Curve(corners, codes), arrowstyle="-|>", mutation_scale=9,
        shrinkB=0, color=GREY, linewidth=1, zorder=0,
    )  # fmt: skip


def _layout(n, edges):
    """Places (n, 2) in layers, and for each edge the points that its line goes through.

    Sugiyama's method: layers by the longest path, a dummy in every layer that an edge
    crosses, then each node moved towards the mean of its neighbours.
    """
    layer = _layers(n, edges)
    chains = []  # each edge as nodes and dummies, one in each layer
    for i, j in edges:
        chain = [i, *range(len(layer), len(layer) + layer[j] - layer[i] - 1), j]
        layer += range(layer[i] + 1, layer[j])
        chains.append(chain)
    above, below = [[] for _ in layer], [[] for _ in layer]
    for chain in chains:
        for i, j in zip(chain, chain[1:]):
            above[j].append(i)
            below[i].append(j)
    members = [[] for _ in range(max(layer) + 1)]
    for i, k in enumerate(layer):
        members[k].append(i)
    x = np.zeros(len(layer))
    for row in members:
        x[row] = np.arange(len(row)) - len(row) / 2
    for sweep in range(24):
        neighbours = above if sweep % 2 == 0 else below
        for row in members if sweep % 2 == 0 else members[::-1]:
            wish = np.array(
                [np.mean(x[neighbours[i]]) if neighbours[i] else x[i] for i in row]
            )
            order = np.argsort(wish, kind="stable")
            row[:] = [row[k] for k in order]
            x[row] = _apart(wish[order])
    place = np.stack([x, np.array(layer, float)], axis=1)
    return place[:n], [_trimmed(place[chain]) for chain in chains]


def _layers(n, edges):
    """The layer of each node: below all of its inputs, and inputs near their use."""
    layer = [0] * n
    for i, j in sorted(edges, key=lambda edge: edge[1]):  # inputs come before ops
        layer[j] = max(layer[j], layer[i] + 1)
    for i in {i for i, _ in edges} - {j for _, j in edges}:
        layer[i] = min(layer[j] for k, j in edges if k == i) - 1
    return layer


def _apart(wish):
    """The places nearest to the wishes (rising) that are at least 1 apart.

    Least squares: blocks of neighbours that would collide move as one.
    """
    blocks = []  # (mean, size) of wish - index, kept in rising order
    for k, w in enumerate(wish):
        blocks.append((w - k, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return np.repeat(*map(list, zip(*blocks))) + np.arange(len(wish))


def _trimmed(points):
    """A line that ends at the edges of the boxes instead of their centres."""
    points = points.copy()
    points[0, 1] += 0.27
    points[-1, 1] -= 0.27
    return points
