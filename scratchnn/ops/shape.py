"""Ops that move elements without changing them: reshape, transpose, join, pad, ..."""

import numpy as np

from ..tensor import composite, op
from .examples import normal


@op
def reshape(x, shape):
    """The same elements in another shape; -1 for one axis infers its length."""
    return np.reshape(x, shape)


reshape.rules(x=lambda g, _y, _x, shape: reshape(g, _x.shape))
reshape.example(normal(3, 4), shape=(2, -1))


@op
def transpose(x, axes=None):
    """Axes in another order, reversed if None: y[i, j] = x[j, i]."""
    return np.transpose(x, axes)


def _inverse(axes):
    return (
        None
        if axes is None
        else tuple(np.argsort([a % len(axes) for a in axes]).tolist())
    )


transpose.rules(x=lambda g, _y, _x, axes: transpose(g, _inverse(axes)))
transpose.example(normal(3, 5))
transpose.example(normal(3, 5, 2), axes=(1, -1, 0))


@op
def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    return np.swapaxes(x, axis1, axis2)


swapaxes.rules(x=lambda g, _y, _x, axis1, axis2: swapaxes(g, axis1, axis2))
swapaxes.example(normal(3, 5, 2), axis1=0, axis2=-1)


@op
def moveaxis(x, source, destination):
    """Axes `source` moved to places `destination`."""
    return np.moveaxis(x, source, destination)


moveaxis.rules(
    x=lambda g, _y, _x, source, destination: moveaxis(g, destination, source)
)
moveaxis.example(normal(3, 5, 2), source=0, destination=-1)


@op
def expand_dims(x, axis):
    """New axes of length 1 at the places `axis` of the result."""
    return np.expand_dims(x, axis)


expand_dims.rules(x=lambda g, _y, _x, axis: reshape(g, _x.shape))
expand_dims.example(normal(3, 5), axis=(0, -1))


@op
def squeeze(x, axis=None):
    """Axes of length 1 taken away: those named, or all."""
    return np.squeeze(x, axis)


squeeze.rules(x=lambda g, _y, _x, axis: reshape(g, _x.shape))
squeeze.example(normal(3, 1, 5, 1), axis=1)


@op
def broadcast_to(x, shape):
    """x repeated to a larger shape, as NumPy broadcasts."""
    return np.broadcast_to(x, shape)


broadcast_to.rules(x=lambda g, _y, _x, shape: g)  # the engine sums
broadcast_to.example(normal(3, 1), shape=(2, 3, 5))


@op
def astype(x, dtype):
    """The same values as another type; gradients come back in x's type."""
    return x.astype(dtype)


astype.rules(x=lambda g, _y, _x, dtype: astype(g, _x.dtype))
astype.example(normal(3, 5), dtype=np.float64)


@op
def concatenate(*xs, axis=0):
    """Arrays joined along an existing axis: concatenate([a, b], axis=0)."""
    return np.concatenate(xs, axis=axis)


def _slice_of_part(g, _y, *_xs, i, axis):
    start = sum(x.shape[axis] for x in _xs[:i])
    place = [slice(None)] * g.ndim
    place[axis] = slice(start, start + _xs[i].shape[axis])
    return g[tuple(place)]


concatenate.rules(xs=_slice_of_part)
concatenate.example(normal(3, 2), normal(3, 5), axis=1)


@composite
def stack(xs, axis=0):
    """Arrays of one shape joined along a new axis."""
    return concatenate([expand_dims(x, axis) for x in xs], axis=axis)


stack.example((np.arange(3.0), np.arange(3.0) ** 2), axis=1)


@composite
def split(x, indices_or_sections, axis=0):
    """A list of parts along an axis: equal ones, or cut before given indices."""
    n = x.shape[axis]
    cuts = indices_or_sections
    if isinstance(cuts, (int, np.integer)):
        if cuts < 1 or n % cuts:
            raise ValueError(
                f"split: axis {axis} of length {n} does not divide into {cuts} equal "
                "parts; give a list of indices to cut before"
            )
        cuts = range(n // cuts, n, n // cuts)
    edges = [0, *cuts, n]
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(a, b))] for a, b in zip(edges, edges[1:])]


split.example(normal(3, 5), indices_or_sections=[2, 3], axis=1)


@op
def pad(x, pad_width, constant_values=0):
    """A constant border: pad_width as in NumPy, ((before, after), ...) by axis."""
    return np.pad(x, pad_width, constant_values=constant_values)


def _unpad(g, _y, _x, pad_width, constant_values):
    widths = np.broadcast_to(pad_width, (_x.ndim, 2)).tolist()
    return g[tuple(slice(a, a + n) for (a, _), n in zip(widths, _x.shape))]


pad.rules(x=_unpad)
pad.example(normal(3, 5), pad_width=((1, 2), (0, 3)), constant_values=0.5)


@op
def flip(x, axis=None):
    """Order reversed along axes (all if None)."""
    return np.flip(x, axis)


flip.rules(x=lambda g, _y, _x, axis: flip(g, axis))
flip.example(normal(3, 5), axis=1)


@op
def roll(x, shift, axis=None):
    """Elements shifted along axes; what falls off one end comes in at the other."""
    return np.roll(x, shift, axis)


def _roll_back(g, _y, _x, shift, axis):
    back = tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift
    return roll(g, back, axis)


roll.rules(x=_roll_back)
roll.example(normal(3, 5), shift=2, axis=1)
roll.example(normal(3, 5), shift=(1, -2), axis=(0, 1))


@composite
def tile(x, reps):
    """x laid out again and again: reps times along each axis."""
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    apart = [n for s in shape for n in (1, s)]  # (1, n0, 1, n1, ...)
    full = [n for r, s in zip(reps, shape) for n in (r, s)]
    together = tuple(r * s for r, s in zip(reps, shape))
    return reshape(broadcast_to(reshape(x, tuple(apart)), tuple(full)), together)


tile.example(normal(3, 5), reps=(2, 1, 2))


@composite
def repeat(x, repeats, axis=None):
    """Each element (along an axis; of the flattened array if None) `repeats` times.

    repeats is one number for all elements.
    """
    if not isinstance(repeats, (int, np.integer)):
        raise TypeError(f"repeat: repeats must be one whole number, got {repeats!r}")
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = axis % x.ndim
    shape = x.shape
    wide = (*shape[: axis + 1], repeats, *shape[axis + 1 :])
    full = (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :])
    return reshape(broadcast_to(expand_dims(x, axis + 1), wide), full)


repeat.example(normal(3, 5), repeats=2, axis=0)
repeat.example(normal(3, 5), repeats=3)


@op
def tril(x, k=0):
    """Zero above the k-th diagonal of the last two axes."""
    return np.tril(x, k)


tril.rules(x=lambda g, _y, _x, k: tril(g, k))
tril.example(normal(2, 3, 5), k=1)


@op
def triu(x, k=0):
    """Zero below the k-th diagonal of the last two axes."""
    return np.triu(x, k)


triu.rules(x=lambda g, _y, _x, k: triu(g, k))
triu.example(normal(2, 3, 5), k=-1)
