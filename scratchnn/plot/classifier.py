"""What a classifier says: which class it takes for which, and of single pictures."""

import numpy as np

from .style import COLOURS, INK, new_figure, styled


@styled
def confusion(counts, names):
    """Pictures of class i that were taken for class j: counts (C, C), C names.

    The right ones lie on the diagonal, in plain figures; shades are for mistakes.
    """
    classes = len(counts)
    mistakes = np.where(np.eye(classes, dtype=bool), 0, counts)
    figure = new_figure(6.4, 6.4)
    axes = figure.subplots()
    most = max(int(mistakes.max()), 1)
    axes.imshow(mistakes, cmap="Oranges", vmax=1.5 * most)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            if count:
                look = dict(color=INK, fontsize=9 if i == j else 10)
                axes.text(j, i, f"{count}", ha="center", va="center", **look)
    wordy = max(map(len, names)) > 2
    axes.set_xticks(range(classes), names, rotation=60 if wordy else 0)
    axes.set_yticks(range(classes), names)
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    right = np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{100 * right:.1f} % right; mistakes are shaded")
    axes.set(xlabel="classified as", ylabel="what it is")
    return figure


@styled
def guesses(pictures, y, p, names, columns=5):
    """Pictures (N, H, W) of classes y (N,) over the guesses p (N, C): "7: 98 %".

    A wrong guess is coloured, and says what is right.
    """
    rows, tall = -(-len(pictures) // columns), 1.4  # the height of a place, width 1
    figure = new_figure(6.4, 0.2 + 6.2 * tall * rows / columns)
    axes = figure.subplots()
    for i, (picture, label, row) in enumerate(zip(pictures, y, p)):
        left, top, guess = i % columns, tall * (i // columns), int(row.argmax())
        extent = left + 0.05, left + 0.95, top + 0.95, top + 0.05
        axes.imshow(picture, vmin=0, vmax=1, extent=extent)
        text, colour = f"{names[guess]}: {100 * row[guess]:.0f} %", INK
        if guess != label:
            text, colour = f"{text}\nis {names[label]}", COLOURS[1]
        axes.text(left + 0.05, top + 0.98, text, fontsize=10, color=colour, va="top")
    axes.set(xticks=[], yticks=[], xlim=(0, columns), ylim=(tall * rows, 0))
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    return figure
