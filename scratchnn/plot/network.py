"""Networks of nodes: who is joined to whom, and what a model makes of each."""

import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled


def spring(graph, steps=300):
    """Places (n, 2) to draw nodes at: edges pull like springs, nodes push each other.

    In each step a node moves along the sum of d^2 / k for its neighbours and -k^2 / d
    for all, d the distance and k^2 the area for a node, by less and less. The same for
    the same graph. Fruchterman and Reingold, "Graph drawing by force-directed
    placement", 1991. Takes memory n^2: for up to some hundred nodes.
    """
    n = graph.num_nodes
    joined = np.zeros((n, n))
    j, i = graph.edge_index
    joined[i, j] = joined[j, i] = 1
    np.fill_diagonal(joined, 0)
    k = 2 / max(n, 1) ** 0.5
    places = 0.1 * np.random.default_rng(0).standard_normal((n, 2))
    if n > 3:  # from where no edge is long: two smooth waves of the Laplacian
        _, waves = np.linalg.eigh(np.diag(joined.sum(axis=0)) - joined)
        places += waves[:, 1:3] * n**0.5
    for step in range(steps):
        apart = places[:, None] - places  # (n, n, 2)
        d = np.maximum(np.sqrt((apart**2).sum(axis=2)), 1e-3)
        push = k**2 / d**2 - joined * d / k  # over d once more, for the direction
        move = (apart * push[..., None]).sum(axis=1) - 0.3 * k * places
        size = np.maximum(np.sqrt((move**2).sum(axis=1, keepdims=True)), 1e-9)
        places = places + move / size * np.minimum(size, 0.2 * (1 - step / steps))
    return places


@styled
def network(graph, places, classes, title="", known=(), wrong=(), names=None):
    """A graph with its nodes at places (n, 2), coloured by classes (n,).

    known: nodes with a ring of ink around them; wrong: nodes with a cross in them.
    names: what the classes are called. Nodes of up to 60 have their numbers.
    """
    from matplotlib.collections import LineCollection

    n, small = graph.num_nodes, graph.num_nodes <= 60
    figure = new_figure(6.4, 6.6)
    axes = figure.subplots()
    j, i = graph.edge_index
    once = j < i
    lines = np.stack([places[j[once]], places[i[once]]], axis=1)  # (edges, 2, 2)
    width, size = (1.0, 260) if small else (0.25, 9)
    axes.add_collection(LineCollection(lines, colors=PALE, linewidths=width, zorder=1))
    for k in np.unique(classes):
        name = str(k) if names is None else names[k]
        colour = COLOURS[k % len(COLOURS)] if k >= 0 else GREY
        dots = dict(s=size, color=colour, label=name, zorder=2, linewidths=0)
        axes.scatter(*places[classes == k].T, **dots)
    ring = dict(s=1.5 * size, facecolors="none", edgecolors=INK, zorder=3)
    if len(known):
        axes.scatter(*places[known].T, linewidths=2 if small else 0.8, **ring)
    if len(wrong) and small:
        axes.scatter(*places[wrong].T, marker="x", s=2 * size, color=INK, zorder=4)
    if small:
        style = dict(ha="center", va="center", fontsize=9, color="white", zorder=3)
        for node in range(n):
            axes.text(*places[node], str(node), **style)
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
    axes.margins(0.06)
    axes.set_aspect("equal", adjustable="datalim")
    if len(np.unique(classes)) > 1:
        key = dict(frameon=False, markerscale=1 if not small else 0.5)
        figure.legend(loc="outside lower center", ncols=4, **key)
    return figure


@styled
def embedding(points, classes, title="", names=None):
    """What a model knows of each node, in the plane: points (n, 2), classes (n,)."""
    figure = new_figure(6.4, 6.6)
    axes = figure.subplots()
    size = 60 if len(points) <= 60 else 8
    for k in np.unique(classes):
        name = str(k) if names is None else names[k]
        look = dict(marker=f"${k}$" if size > 20 else ".", color=COLOURS[k % 10])
        axes.scatter(*points[classes == k].T, s=size, label=name, **look)
    axes.set(title=title, xlabel="first principal direction", ylabel="second")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, markerscale=2)
    return figure
