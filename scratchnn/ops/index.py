"""Picking elements, and its reverse, adding into places.

`getitem` and `scatter` are each other's rules: what one reads, the other writes.
"""

import math
import sys

import numpy as np

from ..tensor import composite, op
from .examples import indices, normal


@op
def getitem(x, index):
    """x[index]: slices, integers, ellipsis, newaxis, integer or boolean arrays."""
    is_rows = getattr(index, "ndim", 0) and index.dtype.kind in "iu"
    if is_rows and x.flags.c_contiguous:
        return np.take(x, index, axis=0)  # the same, 3 to 10 times as fast
    return x[index]


getitem.rules(x=lambda g, _y, _x, index: scatter(g, index, _x.shape))
getitem.example(normal(3, 5), index=(slice(None, None, -2), None, 1))
getitem.example(normal(4, 5), index=np.array([[2, 0, 2], [3, 0, -1]]))
getitem.example(normal(4, 5), index=(np.array([2, 0, 2]), np.array([1, 1, 1])))
getitem.example(
    normal(2, 3), index=np.array([[True, False, True], [False, True, True]])
)


@op
def scatter(x, index, shape):
    """Zeros of a shape, with x added at [index]; repeated places add up."""
    y = np.zeros_like(x, shape=shape, order="C")
    if _is_basic(index):
        y[index] = x
    else:
        accumulate("add", y, index, x)
    return y


def accumulate(ufunc, y, index, x):
    """Change y in place: y[index] += x for "add"; repeated places add up.

    y is C-contiguous. Whole rows are spread to flat places first: 4 times faster. The
    ufunc is that of y's library: NumPy's protocol would hand np.add(y, x) to CuPy, but
    not np.add.at.
    """
    rows = getattr(index, "shape", None)
    if rows is not None and index.dtype.kind in "iu" and rows + y.shape[1:] == x.shape:
        width = math.prod(y.shape[1:])
        index = index.reshape(-1, 1).astype(np.intp) * width
        index = (index + np.arange(width, like=index)).reshape(-1)
        y, x = y.reshape(-1), x.reshape(-1)
    library = sys.modules[type(y).__module__.partition(".")[0]]
    getattr(library, ufunc).at(y, index, x)


def _is_basic(index):
    """Whether an index has no arrays, so that no place can occur twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        p is None or p is Ellipsis or isinstance(p, (slice, int, np.integer))
        for p in parts
    )


scatter.rules(x=lambda g, _y, _x, index, shape: getitem(g, index))
scatter.example(normal(3, 2), index=(slice(None), slice(1, 5, 3)), shape=(3, 5))
scatter.example(normal(3, 5), index=np.array([1, 3, 1]), shape=(4, 5))


def _plain(x):
    """The array of a Tensor, or of a list."""
    return getattr(x, "_data", x if hasattr(x, "dtype") else np.asarray(x))


@composite
def take(x, indices, axis=None):
    """Entries at integer positions along an axis (of the flattened array if None)."""
    if axis is None:
        return x.reshape(-1)[_plain(indices)]
    return x[(slice(None),) * (axis % x.ndim) + (_plain(indices),)]


take.example(normal(3, 5), indices=np.array([[4, 0], [4, 1]]), axis=1)


@composite
def take_along_axis(x, indices, axis):
    """y[i, j] = x[indices[i, j], j] for axis=0: one position for each entry."""
    indices = _plain(indices)
    place = []
    for i in range(x.ndim):
        n = indices.shape[i]
        along = tuple(n if k == i else 1 for k in range(x.ndim))
        place.append(np.reshape(np.arange(n, like=indices), along))
    place[axis] = indices
    return x[tuple(place)]


take_along_axis.example(normal(3, 5), indices=np.array([[0, 2, 2, 1, 0]]), axis=0)


@composite
def embedding(indices, weight):
    """Rows of a table: weight[indices]. indices (...), weight (V, d) -> (..., d)."""
    return weight[_plain(indices)]


embedding.example(indices(7, 2, 5), normal(7, 3))


@composite
def one_hot(indices, num_classes):
    """1 at the index, 0 elsewhere: (...) -> (..., num_classes), float32."""
    indices = _plain(indices)
    return (indices[..., None] == np.arange(num_classes, like=indices)).astype(
        np.float32
    )


one_hot.example(indices(7, 2, 5), num_classes=7)
