"""Samples that change, as a GIF: how a model learned, or how it samples."""

import math
import os
import zlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .images import mosaic
from .samples import DOTS, PALE_DOTS, as_array, plane, square
from .style import COLOURS, GREY, INK, styled

DPI = 100
WIDTH = 600  # screen pixels at most, a whole number for each of a picture's
LARGEST = 3e6  # bytes, about; sheets of noise are drawn smaller to stay below
STRIP = 34  # for the title
GREYS = 15  # steps from paper to ink: more can't be seen, and make the file large
HOLD = 1.5  # seconds that the first and the last frame stay


@styled
def animate(frames, titles, path, fps=10, data=None, colours=None):
    """Write frames, each pictures (n, H, W) or points (n, 2), as a GIF: whole or not.

    titles: one for each frame, walked while they are drawn, so that a caller can show
    progress. Points have the same axes in all frames; data (M, 2) is drawn pale behind
    them, and colours (n,) are their classes. Raises ValueError if there is no frame, or
    none that can be drawn.
    """
    from matplotlib.animation import PillowWriter

    frames = [as_array(x) for x in frames]
    if not frames:
        raise ValueError("there are no frames to draw; expected at least one")
    if frames[0].ndim == 2:
        figure, title, show = _points(frames, data, colours)
    else:
        figure, title, show = _pictures(frames)
    path = Path(path)
    part = path.with_name(f".part.{path.name}")
    writer = PillowWriter(fps=fps)
    try:
        writer.setup(figure, part, DPI)
        for i, (text, x) in enumerate(zip(titles, frames)):
            title.set_text(text)
            show(x)
            still = i in (0, len(frames) - 1)  # equal frames are stored as one
            for _ in range(max(1, round(HOLD * fps)) if still else 1):
                writer.grab_frame()
        writer.finish()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _pictures(frames):
    """Figure, title and a function that shows a frame: a sheet of sharp pixels."""
    n = len(frames[0])
    columns = 10 if n % 10 == 0 else math.ceil(math.sqrt(n))
    sheets = [_sheet(x, columns) for x in frames]
    h, w = sheets[0].shape
    scale = _scale(sheets)
    height = scale * h + STRIP
    figure = Figure(figsize=(scale * w / DPI, height / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, scale * h / height))
    axes.axis("off")
    image = axes.imshow(np.zeros((h, w)), vmin=0, vmax=1, aspect="equal")

    def show(x):
        image.set_data(_sheet(x, columns) / GREYS)

    return figure, _title(figure, height), show


def _sheet(x, columns):
    """Pictures (n, H, W) side by side, in whole numbers: 0 is paper, GREYS ink."""
    sheet = mosaic(np.nan_to_num(x), columns)
    return np.round(GREYS * sheet).astype(np.uint8)


def _scale(sheets):
    """How many screen pixels one of a picture is wide, so that the file stays small."""
    shortest = sum(len(zlib.compress(sheet.tobytes(), 1)) for sheet in sheets)
    largest = max(1, WIDTH // sheets[0].shape[1])
    fitting = (LARGEST / (1.2 * shortest)) ** (1 / 1.35)  # as measured for GIF
    return int(max(1, min(largest, fitting)))


def _points(frames, data, colours):
    """Figure, title and a function that shows a frame: a cloud in the plane."""
    if colours is None:
        colours = np.zeros(len(frames[0]), int)
    height = 480 + STRIP
    figure = Figure(figsize=(4.8, height / DPI), dpi=DPI)
    axes = figure.add_axes((70 / 480, 55 / height, 400 / 480, 400 / height))
    plane(axes, *square(frames, data))
    if data is not None:
        axes.plot(*as_array(data).T, ".", color=GREY, **PALE_DOTS)
    clouds = {
        k: axes.plot([], [], ".", color=COLOURS[k % len(COLOURS)], **DOTS)[0]
        for k in np.unique(colours)
    }

    def show(x):
        for k, dots in clouds.items():
            dots.set_data(*x[colours == k].T)

    return figure, _title(figure, height), show


def _title(figure, height):
    place = dict(x=8 / (DPI * figure.get_figwidth()), y=1 - STRIP / 2 / height)
    return figure.text(s="", va="center", fontsize=12, color=INK, **place)
