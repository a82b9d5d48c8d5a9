"""Densities: maps of the plane, rows of pictures, what dimensions do to distance."""

import numpy as np

from .images import mosaic
from .samples import as_array, plane
from .style import COLOURS, GREY, INK, PALE, new_figure, styled


def places(data, side=240):
    """A grid over the points data (N, 2) and around: low (2,), high (2,), (side^2, 2).

    The places are the centres of side x side squares, top row first.
    """
    low, high = data.min(axis=0), data.max(axis=0)
    middle, half = (low + high) / 2, 0.6 * max(high - low)
    t = (2 * np.arange(side) + 1 - side) / side * half
    x, y = np.meshgrid(middle[0] + t, middle[1] - t)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    return middle - half, middle + half, grid


@styled
def density(p, low, high, data, gaussians=()):
    """Points data (N, 2), and below them how dense a model takes each place to be.

    p (side^2,), the densities at `places(data)`. gaussians: (mu (2,), Sigma (2, 2)) of
    parts of the model, each drawn as the ellipse of two deviations.
    """
    figure = new_figure(6.0, 11.6)
    above, below = figure.subplots(2, 1)
    dots = dict(markersize=3.5, markeredgewidth=0, alpha=0.5)
    above.plot(*as_array(data).T, ".", color=COLOURS[0], **dots)
    above.set_title("held-out points")
    side = int(len(p) ** 0.5)
    most = np.quantile(p[p > 0], 0.995) if (p > 0).any() else 1
    extent = low[0], high[0], low[1], high[1]
    for axes in (above, below):
        plane(axes, low, high)
    below.imshow(p.reshape(side, side), vmin=0, vmax=most, extent=extent)
    below.grid(False)
    for mu, Sigma in gaussians:
        below.plot(*_ellipse(mu, Sigma).T, color=COLOURS[1], linewidth=1.2)
    rings = "\nellipses: two deviations of its Gaussians" if len(gaussians) else ""
    below.set_title("density of the model: darker is denser" + rings)
    return figure


def _ellipse(mu, Sigma, deviations=2):
    t = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(t), np.sin(t)], axis=1)  # (100, 2)
    return mu + deviations * circle @ np.linalg.cholesky(Sigma).T


@styled
def rows(named):
    """Pictures in labelled rows: {name: (n, H, W)}, the same n for all. 1 is ink."""
    pictures = list(named.values())
    n, h, w = pictures[0].shape
    figure = new_figure(6.4, 0.2 + 5.2 * len(named) * (h + 1) / (n * (w + 1)))
    axes = figure.subplots()
    axes.imshow(mosaic(np.concatenate(pictures), n), vmin=0, vmax=1, aspect="equal")
    axes.set_yticks(h / 2 + (h + 1) * np.arange(len(named)), list(named))
    axes.set_xticks([])
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    return figure


@styled
def dimensions(distances, gains, unit="nats"):
    """What breaks as dimensions grow: distances become alike, and bumps lose.

    distances: {d: those between points of N(0, I) in d dimensions}; gains: {model: (d,
    held-out log-likelihood minus that of one Gaussian)}.
    """
    figure = new_figure(6.4, 8.6)
    above, below = figure.subplots(2, 1)
    edges = np.linspace(0, 2.5, 101)
    for colour, line, (d, x) in zip(COLOURS, _LINES, distances.items()):
        y = np.histogram(x / x.mean(), edges, density=True)[0]
        label = f"d = {d}: spread / mean = {x.std() / x.mean():.2f}"
        middle = (edges[1:] + edges[:-1]) / 2
        above.plot(middle, y, color=colour, linestyle=line, label=label)
    above.set_title("distances between random points: all alike in the end")
    above.set(xlabel="distance / mean distance", yticks=[], xlim=(0, 2.5))
    below.axhline(0, color=GREY, linewidth=1.5)
    below.annotate("one Gaussian", (1, 0), (0, -18), textcoords="offset points")
    for colour, line, (name, (d, y)) in zip(COLOURS, _LINES, gains.items()):
        below.plot(d, y, marker="o", color=colour, linestyle=line, label=name)
    below.set_xscale("log", base=2)
    below.set_xticks(d, [str(k) for k in d])
    below.minorticks_off()
    below.set_title(f"log-likelihood of held-out digits, {unit} above one Gaussian")
    below.set(xlabel="principal components that are modelled", ylabel=unit)
    for axes in (above, below):
        axes.legend(frameon=False, fontsize=12)
        axes.grid(axis="y", color=PALE, linewidth=0.8)
    return figure


_LINES = ("-", (0, (4, 1.5)), (0, (1, 1)))
