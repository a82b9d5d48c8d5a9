"""Is a space of codes fit to draw from? Its continuity and its completeness."""

import numpy as np

from .images import _show, mosaic
from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def continuity(paths, fades, steps, measured):
    """What lies between two pictures: by codes, and by the cross-fade of pixels.

    paths, fades (P, n, H, W): P pairs, n pictures from one to the other. steps (m,):
    how far the picture moves from each place to the next, in steps of the cross-fade;
    measured: their `largest` and `length` (models.regularity.continuity).
    """
    pairs, n, h, w = paths.shape
    rows = np.stack([paths, fades], axis=1).reshape(-1, h, w)  # (P 2 n, H, W)
    tall = 5.0 * 2 * pairs * (h + 1) / (n * (w + 1))
    figure = new_figure(6.4, tall + 3.4)
    above, below = figure.subplots(2, 1, height_ratios=[tall + 0.4, 3.0])
    _show(above, rows, n)
    names = ["codes", "cross-fade"] * pairs
    above.set_yticks((np.arange(2 * pairs) + 0.5) * (h + 1), names)
    above.tick_params(length=0, labelcolor=INK, labelsize=11)
    above.set_title("from one picture to another", pad=10)
    t = (np.arange(len(steps)) + 0.5) / len(steps)
    below.plot(t, steps, color=COLOURS[0], label="codes")
    below.axhline(1, color=GREY, linestyle=(0, (3, 1.5)), label="cross-fade")
    below.set(xlim=(0, 1), ylim=(0, 1.15 * max(1, *steps)))
    below.set(xlabel="part of the way", ylabel="step")
    below.set_title(
        f"steps, against the cross-fade's: largest {measured.largest:.1f}, "
        f"mean {measured.length:.1f}"
    )
    below.grid(axis="y", color=PALE, linewidth=0.8)
    below.legend(frameon=False, loc="lower right", ncols=2)
    return figure


@styled
def completeness(grid, heading, samples, near, measured):
    """What all places of the cloud decode to, and how near random ones come to data.

    grid (R, K, H, W), its first row on top; samples (10, H, W), and near, the training
    picture nearest to each; measured: the `share` and distances that
    models.regularity.completeness gives.
    """
    r, k, h, w = grid.shape
    tall = 5.2 * r * h / (k * w)
    figure = new_figure(6.4, tall + 2.8)
    above, below = figure.subplots(2, 1, height_ratios=[tall, 1.9])
    flat = grid.reshape(-1, h, w)
    above.imshow(mosaic(flat, k, gap=max(1, w // 8), ground=0), vmin=0, vmax=1)
    above.set(xticks=[], yticks=[])
    above.spines[:].set_visible(False)
    above.set_title(heading)
    n = len(samples)
    _show(below, np.concatenate([samples, near]), n)
    below.set_yticks([(h + 1) / 2, (h + 1) * 3 / 2], ["random code", "nearest real"])
    below.tick_params(length=0, labelcolor=INK, labelsize=11)
    below.set_title(
        f"{100 * measured.share:.0f} % of random codes look as near to real pictures\n"
        f"as 95 % of held-out ones (mean distance {measured.distance:.2f}; "
        f"{measured.real:.2f})",
        pad=10,
    )
    return figure
