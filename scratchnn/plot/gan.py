"""Two players: their paths, D's answers, and which modes G has found."""

import numpy as np

from .images import mosaic
from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def games(panels, slopes=None, alike=True):
    """Paths of two players in the plane, a panel each: {title: points (n, 2)}.

    slopes: {title: f}, where f(x, y) is (dV/dx, dV/dy); arrows then show where both
    would go. A ring marks the start, a dot the end, a cross the solution (0, 0).
    alike: one scale for all panels.
    """
    figure = new_figure(3.7 * len(panels), 3.9)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    panels = {title: np.asarray(points) for title, points in panels.items()}
    edges = {title: 1.15 * np.abs(points).max() for title, points in panels.items()}
    for axes, (title, points) in zip(all_axes, panels.items()):
        edge = max(edges.values()) if alike else edges[title]
        if slopes:
            places = np.linspace(-0.9 * edge, 0.9 * edge, 8)
            x, y = np.meshgrid(places, places)
            V_x, V_y = np.vectorize(slopes[title])(x, y)
            axes.quiver(x, y, -V_x, V_y, color=PALE, width=0.007, zorder=0)
        axes.plot(*points.T, ".-", color=COLOURS[0], linewidth=1.2, markersize=4)
        axes.plot(*points[0], "o", color=COLOURS[0], markersize=9, fillstyle="none")
        axes.plot(*points[-1], "o", color=COLOURS[1], markersize=8)
        axes.plot(0, 0, "x", color=INK, markersize=9, markeredgewidth=2)
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal", title=title)
        axes.set(xlabel="x goes down V", ylabel="y goes up V")
    return figure


@styled
def best_discriminator(x, p_data, p_g, best, trained):
    """Two densities on a line, the best D for them and a trained one: all (n,)."""
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    answers = axes.twinx()
    for p, colour, name in [(p_data, 0, "density of data"), (p_g, 1, "of samples")]:
        axes.fill_between(x, p, color=COLOURS[colour], alpha=0.25, linewidth=0)
        axes.plot(x, p, color=COLOURS[colour], linewidth=1.2, label=name)
    thick = dict(color=PALE, linewidth=7, solid_capstyle="butt")
    answers.plot(x, best, label="best D", **thick)
    answers.plot(x, trained, color=INK, label="trained D", linestyle=(0, (3, 1.5)))
    axes.set(xlabel="x", ylabel="density", xlim=(x[0], x[-1]), ylim=(0, None))
    answers.set(ylabel="D(x)", ylim=(0, 1))
    answers.spines["right"].set_visible(True)
    axes.set_zorder(0)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=11)
    return figure


@styled
def generator_slopes(points=200):
    """How steep both losses of G are, against D's answer to a sample.

    By the logit a of D = sigmoid(a): D for log(1 - D), 1 - D for -log D.
    """
    D = np.linspace(0, 1, points)
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    dashed = (0, (3, 1.5))
    axes.plot(D, D, color=COLOURS[1], label="minimax: log(1 - D)", linestyle=dashed)
    axes.plot(D, 1 - D, color=COLOURS[0], label="non-saturating: -log D")
    axes.text(0.2, 0.03, "flat where D is sure:\nG learns nothing", color=GREY)
    axes.set(xlabel="D's answer to a sample", ylabel="slope by the logit")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False, loc="upper center")
    return figure


@styled
def early_win(leads):
    """What is left of G's gradient while D alone is trained: a list of `games.Lead`."""
    on_fake, saturating, steep = np.array(leads).T
    figure = new_figure(6.4, 5.4)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(on_fake, color=INK)
    above.set_title("D's mean answer to samples")
    below.plot(steep, color=COLOURS[0], label="non-saturating")
    look = dict(color=COLOURS[1], linestyle=(0, (3, 1.5)))
    below.plot(saturating, label="minimax", **look)
    below.set(yscale="log", xlabel="steps of D, G standing still")
    below.set_title("length of the gradient that G gets")
    below.legend(frameon=False)
    for axes in (above, below):
        axes.grid(axis="y", color=PALE, linewidth=0.8)
    return figure


# ---- a trained pair -------------------------------------------------------------
@styled
def heat(D, extent, data, samples, name="D(x)", limits=(0, 1)):
    """What D answers at each place, with data and samples on it.

    D (R, R): the answers over the square [-extent, extent]^2, bottom row first;
    data, samples (N, 2). limits: the answers at both ends of the scale.
    """
    figure = new_figure(7.2, 6.2)
    axes = figure.subplots()
    square = (-extent, extent, -extent, extent)
    low, high = limits
    look = dict(cmap="RdBu_r", vmin=low, vmax=high, alpha=0.75)
    image = axes.imshow(
        D, origin="lower", extent=square, interpolation="bilinear", **look
    )
    axes.scatter(*data.T, s=5, color=GREY, label="data", linewidths=0)
    axes.scatter(*samples.T, s=5, color=INK, label="samples", linewidths=0)
    axes.set(xlim=square[:2], ylim=square[2:])
    axes.legend(loc="upper right", markerscale=3, framealpha=0.9)
    figure.colorbar(image, ax=axes, shrink=0.85, label=name)
    return figure


@styled
def answers(real, fake, best, worst, name="D(x)"):
    """D's answers to data and to samples as histograms, and the extreme samples.

    real, fake (N,): the answers; best, worst (n, H, W): the samples that D takes for
    data most and least.
    """
    figure = new_figure(6.4, 6.4)
    above, middle, below = figure.subplots(3, 1, height_ratios=[2, 1, 1])
    low, high = min(real.min(), fake.min()), max(real.max(), fake.max())
    bins = np.linspace(low, high, 41)
    for x, colour, label in [(real, 0, "data, held out"), (fake, 1, "samples")]:
        look = dict(color=COLOURS[colour], alpha=0.55, label=label)
        above.hist(x, bins, density=True, **look)
    above.set(xlabel=name, yticks=[])
    above.spines["left"].set_visible(False)
    above.legend(frameon=False)
    for axes, x, title in [
        (middle, best, "samples that D takes for data"),
        (below, worst, "samples that D does not believe"),
    ]:
        axes.imshow(mosaic(x, len(x) // 2), vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], title=title)
        axes.spines[:].set_visible(False)
    return figure


@styled
def modes(series, total):
    """Modes that have samples and the share of good samples, over training.

    series: {name: (steps, covered, high_quality)}, three arrays (n,) of each run.
    """
    figure = new_figure(6.4, 5.4)
    above, below = figure.subplots(2, 1, sharex=True)
    looks = [dict(color=c, linestyle=s) for c, s in zip(COLOURS, _LINES)]
    for look, (name, (steps, covered, good)) in zip(looks, series.items()):
        above.plot(steps, covered, label=name, drawstyle="steps-post", **look)
        below.plot(steps, 100 * np.asarray(good), **look)
    above.axhline(total, color=PALE, zorder=0)
    above.set(ylim=(0, 1.08 * total), title=f"modes with samples, of {total}")
    below.set(ylim=(0, 105), title="samples within 3 sigma of a mode, %")
    below.set_xlabel("steps")
    above.legend(frameon=False, loc="best")
    for axes in (above, below):
        axes.grid(axis="y", color=PALE, linewidth=0.8)
    return figure


_LINES = ("-", (0, (3, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), "-", "-")
