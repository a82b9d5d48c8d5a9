"""Pictures: images, latent codes, curves and computation graphs.

The only place that imports matplotlib. Every function returns a Figure, which a
notebook shows and `save` writes; nothing here opens a window or touches pyplot.
Curves differ in line style and digits in shape as well as in colour, so that they can
be told apart in grey, and text is large enough for a telephone.
"""

import math
import os
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .opgraph import OpGraph, graph_of

INK, GREY, PALE = "#222222", "#777777", "#dddddd"
# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
    "#56b4e9", "#222222", "#8c6d31", "#777777", "#6a3d9a",
)  # fmt: skip
STYLE = {
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "lines.linewidth": 2,
    "savefig.dpi": 150,
    "image.cmap": "gray_r",
    "image.interpolation": "nearest",
}
_styled = matplotlib.rc_context(STYLE)


@_styled
def save(figure, path):
    """Write a figure as PNG: whole, or not at all."""
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", metadata={"Software": "scratchnn"})
    os.replace(part, path)


def _figure(width, height):
    """A figure of so many inches, 150 dots each, that makes room for its labels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure


# ---- images ---------------------------------------------------------------------
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


@_styled
def images(pictures, columns=10):
    """A sheet of pictures (N, H, W), every pixel a sharp square. 1 is ink."""
    h, w = mosaic(pictures, columns).shape
    scale = max(1, round(960 / w))  # screen pixels for a pixel: a whole number
    figure = Figure(figsize=(w * scale / 150, h * scale / 150), dpi=150)
    _show(figure.add_axes((0, 0, 1, 1)), pictures, columns)
    return figure


@_styled
def reconstructions(x, x_hat, name="decoded"):
    """Originals (N, H, W) above what came back for them, in labelled rows of 10."""
    blocks = -(-len(x) // 10)
    figure = _figure(6.4, 1.25 * blocks)
    for block, axes in enumerate(figure.subplots(blocks, 1, squeeze=False)[:, 0]):
        some = slice(10 * block, 10 * block + 10)
        _show(axes, np.concatenate([x[some], x_hat[some]]), len(x[some]))
        height = x.shape[1] + 1
        axes.set_yticks([height / 2, height * 3 / 2], ["original", name])
        axes.tick_params(length=0, labelcolor=INK)
    return figure


# ---- latent codes ---------------------------------------------------------------
@_styled
def latent_map(mu, labels, grid, extent, names=("z_1", "z_2")):
    """The plane of codes, twice: where pictures go, and what each place decodes to.

    mu (N, 2), labels (N,) in 0..9; grid (R, R, H, W) holds the pictures decoded at an
    even grid over [-extent, extent]^2, top row first.
    """
    figure = _figure(6.4, 12.6)
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


@_styled
def traversal(rows, values, names):
    """What each coordinate of the code does: rows (K, V, H, W), one for each."""
    k, v = rows.shape[:2]
    h, w = rows.shape[2] + 1, rows.shape[3] + 1
    figure = _figure(6.4, 1.2 + 5.4 * k * h / (v * w))
    axes = figure.subplots()
    _show(axes, rows.reshape(-1, *rows.shape[2:]), v)
    axes.set_yticks(h / 2 + h * np.arange(k), names)
    axes.set_xticks(w / 2 + w * np.arange(v), [f"{z:g}" for z in values])
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_title("one coordinate at a time, and its KL in nats", pad=10)
    axes.set_xlabel("value of the coordinate")
    return figure


# ---- curves ---------------------------------------------------------------------
@_styled
def curves(panels, x_label, y_label):
    """One panel for each quantity: {title: {series: (x, y)}}, x shared.

    The vertical range leaves out the steep start, so that the rest can be read.
    """
    figure = _figure(6.4, 0.7 + 2.3 * len(panels))
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    looks = [dict(color=COLOURS[0]), dict(color=COLOURS[1], linestyle=(0, (3, 1.5)))]
    for axes, (title, series) in zip(all_axes, panels.items()):
        for look, (name, (x, y)) in zip(looks, series.items()):
            axes.plot(x, y, label=name, marker="." if len(x) < 30 else None, **look)
        axes.set_ylim(_range([y for _, y in series.values()]))
        axes.set_title(title)
        axes.grid(axis="y", color=PALE, linewidth=0.8)
    all_axes[0].legend(frameon=False, loc="upper right")
    all_axes[-1].set_xlabel(x_label)
    figure.supylabel(y_label, fontsize=13)
    return figure


def _range(lines):
    """Limits that hold all but what is high in the first twentieth of each line."""
    low = min(np.min(y) for y in lines)
    high = max(np.max(y[len(y) // 20 :]) for y in lines)
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def smooth(x, y, points=200):
    """Means of runs of neighbours, so that at most about `points` remain."""
    width = max(1, len(x) // points)
    n = len(x) // width * width
    return tuple(np.reshape(a[:n], (-1, width)).mean(axis=1) for a in (x, y))


# ---- profiles -------------------------------------------------------------------
@_styled
def profile(p, most=16):
    """Where the time went, as bars: forward, then rule; grey: what is no op.

    p: what `profile` returned. Of more than `most` parts the shortest are one bar.
    """
    rows = p.rows
    rest = rows[most - 1 :] if len(rows) > most else []
    bars = [
        (r.name.strip("_"), r.forward, r.rule, r.seconds, r.by)
        for r in rows[: len(rows) - len(rest)]
    ]
    if rest:
        sums = (sum(t) for t in zip(*((r.forward, r.rule, r.seconds) for r in rest)))
        bars.append((f"{len(rest)} others", *sums, ""))
    unit, scale = ("s", 1) if p.total >= 10 else ("ms", 1000)
    names, *times, by = zip(*bars)
    forward, rule, whole = scale * np.array(times)
    y = np.arange(len(bars))
    figure = _figure(8, 1.6 + 0.36 * len(bars))
    axes = figure.subplots()
    for left, width, look in [
        (0, forward, dict(color=COLOURS[0], label="forward")),
        (forward, rule, dict(color=COLOURS[4], label="rule")),
        (forward + rule, whole - forward - rule, dict(color=GREY, label="no op")),
    ]:
        axes.barh(y, width, left=left, height=0.72, **look)
    label = dict(va="center", fontsize=11, color=INK)
    label["bbox"] = dict(facecolor="white", edgecolor="none", pad=1)
    for k in y:
        text = f"{whole[k] / (scale * p.total):.1%}  {by[k]}".replace("%", " %")
        end = (whole[k], k), (5, 0)
        axes.annotate(text.rstrip(), *end, textcoords="offset points", **label)
    axes.set_yticks(y, names)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(xlim=(0, 1.45 * whole.max()), ylim=(len(bars) - 0.4, -0.6))
    axes.grid(axis="x", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(f"where {scale * p.total:,.1f} {unit} went")
    axes.set_xlabel(unit)
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


# ---- computation graphs ---------------------------------------------------------
_FILL = {"op": "#ffffff", "leaf": "#fbe3c8", "constant": "#e8e8e8"}


@_styled
def graph(g):
    """A computation graph, inputs above, result below: `plot.graph(loss)`.

    g: a Tensor, or what `graph_of` returned. White: an op and the shape of its output.
    Orange: a trainable leaf. Grey: a constant. Raises GraphError if nothing was
    recorded behind the Tensor.
    """
    g = g if isinstance(g, OpGraph) else graph_of(g)
    place, paths = _layout(len(g.nodes), g.edges)
    xs, ys = place[:, 0], place[:, 1]
    width, height = np.ptp(xs) + 1.2, ys.max() + 1.2
    figure = Figure(figsize=(max(3.2, 1.25 * width), 0.8 * height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(xs.min() - 0.6, xs.max() + 0.6), ylim=(height - 0.6, -0.6))
    axes.axis("off")
    for path in paths:
        axes.add_patch(_curve(path))
    for i, (node, (x, y)) in enumerate(zip(g.nodes, place)):
        shape = "x".join(map(str, node.shape)) or "scalar"
        last = i == len(g.nodes) - 1
        box = dict(
            boxstyle="round,pad=0.35", facecolor=_FILL[node.kind],
            edgecolor=INK if node.kind == "op" else GREY, linewidth=2 if last else 0.8,
        )  # fmt: skip
        text = f"{node.name.strip('_')}\n{shape}"
        axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box, color=INK)
    return figure


def _curve(points):
    """An arrow through points, each piece leaving and arriving vertically."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    corners, codes = [points[0]], [Curve.MOVETO]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        middle = (y0 + y1) / 2
        corners += [(x0, middle), (x1, middle), (x1, y1)]
        codes += [Curve.CURVE4] * 3
    return FancyArrowPatch(
        path=Curve(corners, codes), arrowstyle="-|>", mutation_scale=9,
        shrinkB=0, color=GREY, linewidth=1, zorder=0,
    )  # fmt: skip


def _layout(n, edges):
    """Places (n, 2) in layers, and for each edge the points that its line goes through.

    Sugiyama's method: layers by the longest path, a dummy in every layer that an edge
    crosses, then each node moved towards the mean of its neighbours.
    """
    layer = _layers(n, edges)
    chains = []  # each edge as nodes and dummies, one in each layer
    for i, j in edges:
        chain = [i, *range(len(layer), len(layer) + layer[j] - layer[i] - 1), j]
        layer += range(layer[i] + 1, layer[j])
        chains.append(chain)
    above, below = [[] for _ in layer], [[] for _ in layer]
    for chain in chains:
        for i, j in zip(chain, chain[1:]):
            above[j].append(i)
            below[i].append(j)
    members = [[] for _ in range(max(layer) + 1)]
    for i, k in enumerate(layer):
        members[k].append(i)
    x = np.zeros(len(layer))
    for row in members:
        x[row] = np.arange(len(row)) - len(row) / 2
    for sweep in range(24):
        neighbours = above if sweep % 2 == 0 else below
        for row in members if sweep % 2 == 0 else members[::-1]:
            wish = np.array(
                [np.mean(x[neighbours[i]]) if neighbours[i] else x[i] for i in row]
            )
            order = np.argsort(wish, kind="stable")
            row[:] = [row[k] for k in order]
            x[row] = _apart(wish[order])
    place = np.stack([x, np.array(layer, float)], axis=1)
    return place[:n], [_trimmed(place[chain]) for chain in chains]


def _layers(n, edges):
    """The layer of each node: below all of its inputs, and inputs near their use."""
    layer = [0] * n
    for i, j in sorted(edges, key=lambda edge: edge[1]):  # inputs come before ops
        layer[j] = max(layer[j], layer[i] + 1)
    for i in {i for i, _ in edges} - {j for _, j in edges}:
        layer[i] = min(layer[j] for k, j in edges if k == i) - 1
    return layer


def _apart(wish):
    """The places nearest to the wishes (rising) that are at least 1 apart.

    Least squares: blocks of neighbours that would collide move as one.
    """
    blocks = []  # (mean, size) of wish - index, kept in rising order
    for k, w in enumerate(wish):
        blocks.append((w - k, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return np.repeat(*map(list, zip(*blocks))) + np.arange(len(wish))


def _trimmed(points):
    """A line that ends at the edges of the boxes instead of their centres."""
    points = points.copy()
    points[0, 1] += 0.27
    points[-1, 1] -= 0.27
    return points


# ---- gradient checks ------------------------------------------------------------
# From dark (negative) to light (positive) through grey: signs can be told in grey.
_SIGNED = LinearSegmentedColormap.from_list(
    "signed", ["#10194f", "#3f62ad", "#a9a9a9", "#f2b85c", "#fff6c9"]
)


@_styled
def gradcheck(error):
    """The two sides of a failed gradient check, and their difference, as heat maps.

    error: a GradcheckError, or its `.report`. Each input whose gradient is wrong has a
    row of three maps with one scale; wrong entries are framed in the last. Arrays of
    more than two axes are drawn as (all but the last, last).
    """
    report = getattr(error, "report", error)
    if report.wrong is None or report.mode == "directional":
        raise ValueError(
            "this check failed before entries were compared; there is nothing to draw: "
            f"{report.diagnosis}"
        )
    bad = report.bad()
    tall = [_flat(report.wrong[i]).shape for i in bad]
    heights = [min(4.0, max(1.1, 6.0 / 3 * h / w)) for h, w in tall]
    figure = Figure(figsize=(9.6, sum(heights) + 2.1), layout="constrained")
    words = textwrap.fill(f"Diagnosis {report.letter}: {report.diagnosis}", 88)
    figure.suptitle(f"gradcheck of {report.name}\n{words}", x=0.01, ha="left", size=13)
    grid = figure.subplots(len(bad), 3, squeeze=False, height_ratios=heights)
    for row, i in zip(grid, bad):
        _three_maps(figure, row, report, i)
    return figure


def _flat(a):
    """Any array as a matrix: a vector lies down, leading axes are joined."""
    return np.reshape(a, (-1, np.shape(a)[-1])) if np.ndim(a) else np.reshape(a, (1, 1))


def _three_maps(figure, row, report, i):
    n, a, wrong = (_flat(s[i]) for s in (report.numeric, report.analytic, report.wrong))
    maps = {"numeric (right)": n, "analytic (yours)": a, "yours - right": a - n}
    top = max(np.abs(m[np.isfinite(m)]).max(initial=0) for m in maps.values()) or 1.0
    for axes, (title, m) in zip(row, maps.items()):
        image = axes.imshow(m, cmap=_SIGNED, vmin=-top, vmax=top, aspect="auto")
        axes.set_title(title)
        axes.set(xticks=_few(m.shape[1]), yticks=_few(m.shape[0]))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _numbers(axes, m, top)
    shape = report.numeric[i].shape
    lead = "axis 0" if len(shape) == 2 else f"axes 0 to {len(shape) - 2}"
    row[0].set_ylabel(f"{report.name_of(i)} {shape}" + (f"\n{lead}" * (len(shape) > 1)))
    row[1].set_xlabel(f"axis {max(0, len(shape) - 1)}")
    for y, x in np.argwhere(wrong) if not wrong.all() else ():
        frame = Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False)
        frame.set(edgecolor=INK, linewidth=1.5)
        row[2].add_patch(frame)
    bar = figure.colorbar(image, ax=row, shrink=0.9, pad=0.01)
    bar.outline.set_visible(False)


def _few(n):
    return np.arange(0, n, max(1, -(-n // 12)))


def _numbers(axes, m, top):
    """The values in their cells, where these are few enough to hold them."""
    if m.shape[0] > 12 or m.shape[1] > 8:
        return
    decimals = 1 - math.floor(math.log10(top))  # two digits for the largest
    for (y, x), v in np.ndenumerate(m):
        text = f"{v:.1g}"
        if np.isfinite(v) and 0 <= decimals <= 3:
            text = f"{v:.{decimals}f}"
            text = text.replace("0.", ".") if abs(v) < 1 else text  # narrow: .07, -.3
            text = "0" if float(text) == 0 else text
        light = np.isfinite(v) and v > -0.35 * top
        colour = INK if light or not np.isfinite(v) else "white"
        axes.text(x, y, text, ha="center", va="center", fontsize=9, color=colour)
