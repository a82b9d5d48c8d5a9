"""Pictures, reconstructions and codes."""

import numpy as np
from matplotlib.figure import Figure

from .style import COLOURS, INK, new_figure, styled


def mosaic(images, columns, gap=1, ground=0.25):
    """Images (N, H, W) as one array, row by row, with grey lines between them."""
    n, h, w = images.shape
    rows = -(-n // columns)
    tiles = np.full((rows * columns, h + gap, w + gap), ground, np.float32)
    tiles[:n, :h, :w] = np.clip(images, 0, 1)
    tiles = tiles.reshape(rows, columns, h + gap, w + gap).swapaxes(1, 2)
    whole = tiles.reshape(rows * (h + gap), columns * (w + gap))
    return np.pad(whole, ((gap, 0), (gap, 0)), constant_values=ground)


def _show(axes, images, columns):
    """A mosaic on the axes, without frame or ticks; 1 is ink, 0 paper."""
    axes.imshow(mosaic(images, columns), vmin=0, vmax=1, aspect="equal")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


@styled
def images(pictures, columns=10):
    """A sheet of pictures (N, H, W), every pixel a sharp square. 1 is ink."""
    h, w = mosaic(pictures, columns).shape
    scale = max(1, round(960 / w))  # screen pixels for a pixel: a whole number
    figure = Figure(figsize=(w * scale / 150, h * scale / 150), dpi=150)
    _show(figure.add_axes((0, 0, 1, 1)), pictures, columns)
    return figure


@styled
def reconstructions(x, x_hat, name="decoded"):
    """Originals (N, H, W) above what came back for them, in labelled rows of 10."""
    blocks = -(-len(x) // 10)
    figure = new_figure(6.4, 1.25 * blocks)
    for block, axes in enumerate(figure.subplots(blocks, 1, squeeze=False)[:, 0]):
        some = slice(10 * block, 10 * block + 10)
        _show(axes, np.concatenate([x[some], x_hat[some]]), len(x[some]))
        height = x.shape[1] + 1
        axes.set_yticks([height / 2, height * 3 / 2], ["original", name])
        axes.tick_params(length=0, labelcolor=INK)
    return figure


# ---- latent codes ---------------------------------------------------------------
@styled
def latent_map(mu, labels, grid, extent, names=("z_1", "z_2")):
    """The plane of codes, twice: where pictures go, and what each place decodes to.

    mu (N, 2), labels (N,) in 0..9; grid (R, R, H, W) holds the pictures decoded at an
    even grid over [-extent, extent]^2, top row first.
    """
    figure = new_figure(6.4, 12.6)
    above, below = figure.subplots(2, 1)
    for k in np.unique(labels):
        colour = COLOURS[k % len(COLOURS)]
        dots = dict(marker=f"${k}$", s=55, linewidths=0.3, color=colour)
        above.scatter(*mu[labels == k].T, **dots)
    above.set_title("where the encoder puts held-out pictures")
    below.set_title("what the decoder draws at each place")
    flat = grid.reshape(-1, *grid.shape[2:])
    sheet = mosaic(flat, len(grid), gap=grid.shape[-1] // 4, ground=0)
    below.imshow(sheet, vmin=0, vmax=1, extent=(-extent, extent, -extent, extent))
    for axes in (above, below):
        axes.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
        axes.set(xlabel=f"${names[0]}$", ylabel=f"${names[1]}$")
    return figure


@styled
def traversal(rows, values, names):
    """What each coordinate of the code does: rows (K, V, H, W), one for each."""
    k, v = rows.shape[:2]
    h, w = rows.shape[2] + 1, rows.shape[3] + 1
    figure = new_figure(6.4, 1.2 + 5.4 * k * h / (v * w))
    axes = figure.subplots()
    _show(axes, rows.reshape(-1, *rows.shape[2:]), v)
    axes.set_yticks(h / 2 + h * np.arange(k), names)
    axes.set_xticks(w / 2 + w * np.arange(v), [f"{z:g}" for z in values])
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_title("one coordinate at a time, and its KL in nats", pad=10)
    axes.set_xlabel("value of the coordinate")
    return figure
