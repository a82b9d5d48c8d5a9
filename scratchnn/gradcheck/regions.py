"""Naming a set of entries: "column 3", "0 < x < 1", "rows whose index is repeated".

`name_region` is given the wrong entries and the right ones (entries that are 0 on both
sides are neither) and returns words that fit all of them, or None.
"""

import numpy as np


def name_region(r, i, wrong, right):
    """Words for where `wrong` holds and `right` doesn't, for float input i."""
    for others in (~wrong, right):  # a region that leaves out what is neither is best
        for name in _names(r, i, wrong, others):
            if name:
                return name
    return None


def _names(r, i, wrong, right):
    yield _by_index_input(r, wrong, right)
    if wrong.ndim > 1:
        yield _by_slices(wrong, right)
    yield _by_value(r, i, wrong, right)
    yield _by_mask(r, wrong, right)
    yield _by_slices(wrong, right)
    yield _by_place(wrong, right)


def _is(region, wrong, right):
    """Whether a region holds all that is wrong, and nothing that is right."""
    region = np.broadcast_to(region, wrong.shape)
    return not (wrong & ~region).any() and not (right & region).any()


def _by_index_input(r, wrong, right):
    """Integer inputs: rows used more than once, columns that are labels."""
    for name, k in zip(r.names, r.inputs):
        k = k if hasattr(k, "shape") else np.zeros(0)
        if k.dtype.kind not in "iu" or not k.size or not wrong.ndim:
            continue
        for axis, n in enumerate(wrong.shape):
            if k.min() < 0 or k.max() >= n:
                continue
            word = _word(wrong, axis)
            uses = _along(np.bincount(k.ravel(), minlength=n), axis, wrong.ndim)
            if _is(uses > 1, wrong, right):
                return f"{_plural(word)} whose index occurs more than once in {name}"
            if k.ndim == 1 and wrong.ndim == 2 and k.size == wrong.shape[1 - axis]:
                chosen = _along(k, 1 - axis, 2) == _along(np.arange(n), axis, 2)
                if _is(chosen, wrong, right):
                    row = _word(wrong, 1 - axis)
                    return f"the entry that {name} picks in each {row}"
            if _is(uses > 0, wrong, right):
                return f"the {_plural(word)} that {name} names"
            if _is(uses == 0, wrong, right):
                return f"the {_plural(word)} that {name} never names"
    return None


def _by_value(r, i, wrong, right):
    """Between two thresholds of an input's values, of the right shape."""
    inputs = list(zip(r.inputs, r.names))
    mine = inputs.pop(r.wrt[i])
    for x, name in [mine, *inputs, (r.y, "the output"), (r.g, "g")]:
        x = x if hasattr(x, "shape") else np.zeros(0)
        if x.dtype.kind != "f" or x.shape != wrong.shape or x.ndim == 0:
            continue
        for what, v in ((name, x), (f"|{name}|", np.abs(x))):
            found = _interval(what, v, wrong, right)
            if found:
                return found
        values, places, counts = np.unique(x, return_inverse=True, return_counts=True)
        if _is((counts > 1)[places].reshape(x.shape), wrong, right):
            return f"ties, entries of {name} that equal another"
    return None


def _interval(what, v, wrong, right):
    """`0 < x < 1`, if thresholds 0, 1 or -1 separate wrong from right."""
    for t in (0.0, 1.0, -1.0):
        for sign, region in (("=", v == t), ("<", v < t), (">", v > t)):
            if _is(region, wrong, right):
                return f"{what} {sign} {t:g}"
    for low, high in ((0.0, 1.0), (-1.0, 1.0), (-1.0, 0.0)):
        if _is((v > low) & (v < high), wrong, right):
            return f"{low:g} < {what} < {high:g}"
        if _is((v <= low) | (v >= high), wrong, right):
            return f"{what} outside ({low:g}, {high:g})"
    if min(wrong.sum(), right.sum()) >= 4:
        if v[wrong].max() < v[right].min():
            return f"small {what}, up to {v[wrong].max():.3g}"
        if v[wrong].min() > v[right].max():
            return f"large {what}, from {v[wrong].min():.3g}"
    return None


def _by_mask(r, wrong, right):
    """Where a boolean input is False, or True."""
    for name, m in zip(r.names, r.inputs):
        m = m if hasattr(m, "shape") else np.zeros(0)
        if m.dtype.kind != "b" or not m.size:
            continue
        try:
            m = np.broadcast_to(m, wrong.shape)
        except ValueError:
            continue
        for value in (False, True):
            if _is(m == value, wrong, right):
                return f"entries where {name} is {value}"
    return None


def _by_slices(wrong, right):
    """Whole rows, columns or slices: first, last, odd, even, or listed."""
    for axis in range(wrong.ndim):
        n = wrong.shape[axis]
        others = tuple(k for k in range(wrong.ndim) if k != axis)
        bad, good = wrong.any(others), right.any(others)
        if n < 2 or (bad & good).any() or not bad.any() or not good.any():
            continue
        word, k = _word(wrong, axis), np.arange(n)
        named = {
            f"the first {word}": k == 0,
            f"the last {word}": k == n - 1,
            f"the first and the last {word}": (k == 0) | (k == n - 1),
            f"odd {_plural(word)}": k % 2 == 1,
            f"even {_plural(word)}": k % 2 == 0,
            f"all {_plural(word)} but the first": k > 0,
            f"all {_plural(word)} but the last": k < n - 1,
        }
        for name, region in named.items():
            if _is(region, bad, good) and n > 2:
                return name
        which = np.flatnonzero(bad)
        if wrong.ndim == 1 and len(which) > good.sum():
            return None  # most entries, listed, are no region
        word = _plural(word) if len(which) > 1 else word
        return f"{word} {', '.join(map(str, which[:6]))}"
    return None


def _by_place(wrong, right):
    """Diagonals, triangles, the border, parts where two windows overlap."""
    if wrong.ndim < 2:
        return None
    rows = np.arange(wrong.shape[-2])[:, None]
    columns = np.arange(wrong.shape[-1])
    inner = (
        (rows > 0)
        & (rows < wrong.shape[-2] - 1)
        & (columns > 0)
        & (columns < wrong.shape[-1] - 1)
    )
    named = {
        "the diagonal": rows == columns,
        "entries off the diagonal": rows != columns,
        "the upper triangle": rows < columns,
        "the lower triangle": rows > columns,
        "the upper triangle and the diagonal": rows <= columns,
        "the lower triangle and the diagonal": rows >= columns,
        "the border": ~inner,
        "the inside, border left out": inner,
    }
    for step in (2, 3):
        named[f"entries whose place is no multiple of {step} on both axes"] = (
            rows % step != 0
        ) | (columns % step != 0)
    for name, region in named.items():
        if _is(region, wrong, right):
            return name
    return None


def _word(a, axis):
    if a.ndim == 1:
        return "entry"
    if a.ndim == 2:
        return ("row", "column")[axis]
    return f"slice of axis {axis}"


def _plural(word):
    first, space, rest = word.partition(" ")
    return ("entries" if first == "entry" else f"{first}s") + space + rest


def _along(v, axis, ndim):
    """A 1-D array laid along one axis of ndim."""
    return v.reshape(tuple(-1 if k == axis else 1 for k in range(ndim)))
