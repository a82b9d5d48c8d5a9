"""Where codes lie: those of data, and those that are drawn."""

import numpy as np

from .style import COLOURS, GREY, new_figure, styled


@styled
def codes(clouds):
    """Clouds of codes beside each other: {title: (points (N, 2), labels (N,) or None)}.

    Labels in 0..9 are drawn as digits of their own colour; points without as dots.
    """
    figure = new_figure(4.3 * len(clouds), 4.7)
    points = np.concatenate([z for z, _ in clouds.values()])
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    all_axes = figure.subplots(1, len(clouds))
    for axes, (title, (z, labels)) in zip(all_axes, clouds.items()):
        if labels is None:
            axes.scatter(*z.T, s=8, linewidths=0, color=GREY)
        for k in [] if labels is None else np.unique(labels):
            look = dict(marker=f"${k}$", s=36, linewidths=0.2)
            axes.scatter(*z[labels == k].T, color=COLOURS[k % len(COLOURS)], **look)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        axes.set_title(title)
        axes.spines[:].set_visible(True)
    return figure
