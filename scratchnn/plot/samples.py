"""Samples of any kind: a sheet of pictures, or points in the plane."""

import numpy as np

from .images import images
from .style import COLOURS, GREY, PALE, new_figure, styled


def samples(x, data=None):
    """A sheet of pictures x (N, H, W), 1 ink; or points x (N, 2), by their shape.

    data (M, 2): real points, drawn pale behind those of x. Arrays or Tensors.
    Raises ValueError for other shapes.
    """
    x = as_array(x)
    return images(x) if x.ndim == 3 else _scatter(x, data)


@styled
def _scatter(x, data):
    figure = new_figure(5.6, 5.9)
    axes = figure.subplots()
    low, high = square([x], data)
    plane(axes, low, high)
    if data is not None:
        axes.plot(*as_array(data).T, ".", color=GREY, label="data", **PALE_DOTS)
    axes.plot(*x.T, ".", color=COLOURS[0], label="samples", **DOTS)
    if data is not None:
        figure.legend(loc="outside upper right", ncols=2, frameon=False, markerscale=4)
    return figure


DOTS = dict(markersize=4.5, markeredgewidth=0, alpha=0.6)
PALE_DOTS = dict(markersize=4.5, markeredgewidth=0, alpha=0.3)


def as_array(x):
    """Samples as an array (N, H, W) or (N, 2); ValueError if they are neither."""
    x = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if x.ndim != 3 and x.shape[1:] != (2,):
        raise ValueError(
            f"samples of shape {x.shape} can't be drawn; expected pictures (N, H, W) "
            "or points (N, 2)"
        )
    return x


def square(clouds, data=None):
    """Corners (2,), (2,) of a square that holds nearly all points of all clouds (N, 2).

    Of each cloud a hundredth on each side may lie outside, as may what is not finite:
    else one lost point would shrink all others to a dot. With data the square holds
    all of them, and is at most half as wide again: points of an untrained model can
    be far away.
    """
    clouds = [x[np.isfinite(x).all(axis=1)].astype(float) for x in clouds]
    edges = [np.quantile(x, [0.01, 0.99], axis=0) for x in clouds if len(x)]
    edges = np.concatenate(edges or [np.zeros((1, 2))])
    if data is None:
        middle = (edges.min(0) + edges.max(0)) / 2
        half = np.abs(edges - middle).max()
    else:
        data = as_array(data)
        middle = (data.min(0) + data.max(0)) / 2
        own = np.abs(data - middle).max()
        half = np.clip(np.abs(edges - middle).max(), own, 1.5 * own)
    half = 1.1 * max(half, 1e-3)
    return middle - half, middle + half


def plane(axes, low, high):
    """Axes of the plane from one corner to the other, both coordinates alike."""
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
