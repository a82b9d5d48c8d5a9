"""Reductions of rows by group: a graph's edges into nodes, words into sentences.

`segments[e]`, an integer from 0 to num_segments - 1, names the group of row e. Rows
need no order, and a group may be empty.
"""

import numpy as np

from ..errors import ShapeError
from ..tensor import composite, op
from .elementwise import exp
from .examples import distinct, normal
from .index import accumulate, getitem, scatter


@composite
def segment_sum(x, segments, num_segments):
    """y_s = sum of the rows x_e with segments[e] = s; 0 if there are none.

    x (E, ...), segments (E) -> (num_segments, ...).
    """
    segments = _checked("segment_sum", x, segments, num_segments)
    return _sum(x, segments, num_segments)


@composite
def segment_mean(x, segments, num_segments):
    """y_s = mean of the rows x_e with segments[e] = s; 0 if there are none.

    x (E, ...), segments (E) -> (num_segments, ...).
    """
    segments = _checked("segment_mean", x, segments, num_segments)
    count = np.maximum(np.bincount(segments, minlength=num_segments), 1)
    share = (1 / count).astype(x.dtype).reshape(-1, *(1 for _ in x.shape[1:]))
    return _sum(x, segments, num_segments) * share


@composite
def segment_max(x, segments, num_segments):
    """y_s = largest of the x_e with segments[e] = s, by entry; 0 if there are none.

    x (E, ...), segments (E) -> (num_segments, ...). Ties share the gradient equally.
    """
    segments = _checked("segment_max", x, segments, num_segments)
    return _segment_max(x, segments=segments, num_segments=num_segments)


@composite
def segment_softmax(x, segments, num_segments):
    """e^{x_e} / sum of e^{x_f} over the rows f of e's segment, by entry.

    x (E, ...), segments (E) -> (E, ...). Shifted by each segment's maximum, so that it
    can't overflow. The attention weights of a graph attention network.
    """
    segments = _checked("segment_softmax", x, segments, num_segments)
    top = _segment_max(getattr(x, "_data", x), segments, num_segments)
    e = exp(x - getitem(top, segments))
    return e / getitem(_sum(e, segments, num_segments), segments)


def _sum(x, segments, num_segments):
    return scatter(x, index=segments, shape=(num_segments, *x.shape[1:]))


@op
def _segment_max(x, segments, num_segments):
    """segment_max of checked segments."""
    shape = (num_segments, *x.shape[1:])
    y = np.full_like(x, -np.inf, shape=shape, order="C")
    accumulate("maximum", y, segments, x)
    y[np.bincount(segments, minlength=num_segments) == 0] = 0
    return y


def _share_among_equals(g, y, x, segments, num_segments):
    """Hand g to the entries equal to their segment's largest; ties share it."""
    chosen = (x == getitem(y, segments)).astype(x.dtype)
    share = chosen / getitem(_sum(chosen, segments, num_segments), segments)
    return getitem(g, segments) * share


_segment_max.rules(x=_share_among_equals)


def _checked(name, x, segments, num_segments):
    """The segments as a plain array of integers, or an error that names the culprit."""
    segments = getattr(segments, "_data", segments)
    if not hasattr(segments, "dtype"):
        segments = np.asarray(segments)
    if segments.shape != x.shape[:1] or x.ndim == 0:
        raise ShapeError(
            name,
            f"segments {segments.shape} needs one entry for each row of x {x.shape}: "
            f"shape {x.shape[:1]}",
        )
    if segments.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: segments must be integers, got {segments.dtype}; convert with "
            "segments.astype(int)"
        )
    bad = (segments < 0) | (segments >= num_segments)
    if bad.any():
        e = int(bad.argmax())
        raise IndexError(
            f"{name}: segments[{e}] is {int(segments[e])}; with "
            f"num_segments={num_segments} they are 0 to {num_segments - 1}"
        )
    return segments.astype(np.intp, copy=False)


_segments = np.array([3, 0, 3, 1, 0, 3, 1])  # segments 2 and 4 are empty
for _f in (segment_sum, segment_mean, segment_softmax):
    _f.example(normal(7, 2), segments=_segments, num_segments=5)
for _f in (segment_max, _segment_max):
    _f.example(distinct(7, 2), segments=_segments, num_segments=5)
segment_softmax.example(normal(7), segments=_segments, num_segments=4)
