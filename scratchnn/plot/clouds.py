"""Clouds of codes: what one costs, and where those of pictures lie in the plane."""

import numpy as np
from matplotlib.collections import EllipseCollection

from .images import _show
from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def cloud_costs(mu, sigma, kl):
    """Clouds N(mu, sigma^2) of one coordinate, each with its KL to N(0, 1) in nats.

    mu, sigma, kl (K,): a panel for each, with N(0, 1) dashed.
    """
    figure = new_figure(2.5 * len(mu), 2.9)
    t = np.linspace(-3.2, 3.2, 321)
    panels = figure.subplots(1, len(mu), sharey=True, squeeze=False)[0]
    top = 1.08 * _normal(0, 0, min([1, *sigma]))
    for axes, m, s, nats in zip(panels, mu, sigma, kl):
        axes.fill_between(t, _normal(t, m, s), color=COLOURS[1], alpha=0.6, linewidth=0)
        axes.plot(t, _normal(t, 0, 1), color=INK, linestyle=(0, (3, 1.5)))
        axes.set_title(f"$\\mu$ = {m:g}, $\\sigma$ = {s:g}\nKL = {nats:.2f} nats")
        axes.set(xlabel="z", xticks=[-2, 0, 2], xlim=(-3.2, 3.2), ylim=(0, top))
    panels[0].set_ylabel("density")
    return figure


def _normal(t, mu, sigma):
    return np.exp(-(((t - mu) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))


@styled
def posteriors(clouds, labels, names=("$z_1$", "$z_2$")):
    """Where pictures lie in the plane of codes, as points or as clouds, side by side.

    clouds: {title: (mu (N, 2), sigma (N, 2), or None for points)}; labels (N,) in 0..9,
    drawn as digits of their own colour. Ellipses are of one deviation. The dashed
    circle holds 95 % of N(0, I).
    """
    figure = new_figure(4.1 * len(clouds), 4.7)
    panels = figure.subplots(1, len(clouds), squeeze=False)[0]
    angle = np.linspace(0, 2 * np.pi, 121)
    circle = np.sqrt(-2 * np.log(0.05)) * np.stack([np.cos(angle), np.sin(angle)])
    for axes, (title, (mu, sigma)) in zip(panels, clouds.items()):
        for k in np.unique(labels):
            colour, rows = COLOURS[k % len(COLOURS)], labels == k
            if sigma is not None:
                look = dict(facecolors=colour, alpha=0.12, linewidths=0)
                _ellipses(axes, mu[rows], sigma[rows], **look)
            dots = dict(marker=f"${k}$", s=38, linewidths=0.3, color=colour)
            axes.scatter(*mu[rows].T, zorder=2, **dots)
        axes.plot(*circle, color=INK, linewidth=1.5, linestyle=(0, (3, 1.5)), zorder=3)
        extent = 1.08 * max(np.abs(mu).max(), np.abs(circle).max())
        axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
        axes.set(xlabel=names[0], ylabel=names[1], title=title)
        axes.grid(color=PALE, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure


def _ellipses(axes, mu, sigma, **look):
    """Ellipses of half-widths sigma (N, 2) around mu (N, 2), in units of the data."""
    wide, high = 2 * sigma.T
    where = dict(units="xy", offsets=mu, offset_transform=axes.transData)
    axes.add_collection(EllipseCollection(wide, high, 0 * wide, **where, **look))


# ---- the price of a regular cloud -----------------------------------------------
@styled
def rate_distortion(beta, kl, reconstruction, samples, limit=None):
    """What pictures cost given their codes, against what codes cost; and samples.

    beta: K weights of the KL; kl, reconstruction (K,) in nats; samples (K, n, H, W), a
    row for each weight. limit: (name, nats) of a horizontal reference.
    """
    K, n, h, w = samples.shape
    tall = 4.6 * K * (h + 1) / (n * (w + 1))
    figure = new_figure(6.4, 3.7 + tall)
    above, below = figure.subplots(2, 1, height_ratios=[3.3, tall])
    above.plot(kl, reconstruction, "o-", color=COLOURS[0])
    for x, y, b in zip(kl, reconstruction, beta):
        where = dict(xytext=(7, 5), textcoords="offset points", fontsize=12)
        above.annotate(f"$\\beta$ = {b:g}", (x, y), **where)
    if limit:
        above.axhline(limit[1], color=GREY, linewidth=1.5, linestyle=(0, (1, 1)))
        where = dict(xytext=(0, -16), textcoords="offset points", ha="right")
        above.annotate(limit[0], (1.12 * max(kl), limit[1]), color=GREY, **where)
    low, high = min(reconstruction), max([*reconstruction, limit[1] if limit else 0])
    above.set(xlim=(-0.03 * max(kl), 1.15 * max(kl)))
    above.set(ylim=(low - 0.1 * (high - low), high + 0.15 * (high - low)))
    above.set(xlabel="KL, nats per picture", ylabel="reconstruction, nats")
    above.grid(color=PALE, linewidth=0.8)
    _show(below, samples.reshape(-1, h, w), n)
    names = [f"$\\beta$ = {b:g}" for b in beta]
    below.set_yticks((h + 1) * (np.arange(K) + 0.5), names)
    below.tick_params(length=0, labelcolor=INK)
    below.set_title("pictures of random codes", pad=8)
    return figure
