"""An answer beside the right one: equal, or how it differs, in words.

Runs where the checks are, on arrays that came through the pipe: nothing here calls
methods of the student's objects.
"""

import numpy as np

RTOL, ATOL = 1e-9, 1e-12
FEW = 12  # numbers: arrays up to here are shown whole


def difference(given, expected):
    """What is wrong with `given`, in words; an empty string if nothing is.

    Type, shape and dtype must be those of `expected`, numbers finite where its are, and
    equal to 1e-9 of their size or 1e-12 of the largest.
    """
    if isinstance(expected, (tuple, list)):
        return _of_several(given, expected)
    if isinstance(expected, (bool, str, type(None))):
        if type(given) is type(expected) and given == expected:
            return ""
        return f"it returned {shown_value(given)}, expected {shown_value(expected)}"
    if not isinstance(given, (np.ndarray, int, float)) or isinstance(given, bool):
        return f"it returned {shown_value(given)}, expected {_kind(expected)}"
    return _of_arrays(np.asarray(given), np.asarray(expected))


def _of_several(given, expected):
    n = len(expected)
    if not isinstance(given, (tuple, list)):
        return f"it returned {_kind(given)}, expected {n} things: return a, b"
    if len(given) != n:
        return f"it returned {len(given)} things, expected {n}"
    for k, (a, b) in enumerate(zip(given, expected)):
        wrong = difference(a, b)
        if wrong:
            return f"the {_ordinal(k)} of the {n} things returned: {wrong}"
    return ""


def _of_arrays(a, b):
    if a.shape != b.shape:
        turned = "; its transpose has it" if a.T.shape == b.shape else ""
        return f"shape {a.shape}, expected {b.shape}{turned}"
    if a.dtype.kind in "iub" and b.dtype.kind == "f":
        return f"dtype {a.dtype}, expected {b.dtype}: whole numbers lose the rest"
    if b.dtype.kind == "f" and a.dtype != b.dtype:
        return f"dtype {a.dtype}, expected {b.dtype}: the inputs are {b.dtype}"
    if a.dtype.kind not in "iubf":
        return f"dtype {a.dtype}, expected {b.dtype}"
    lost = np.isnan(a) & ~np.isnan(b)
    if lost.any():
        return f"nan at {_first(lost)}, expected {_number(b[tuple(_first(lost))])}"
    size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= RTOL * np.abs(b) + ATOL * size
    wrong = ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))
    if not wrong.any():
        return ""
    at = _first(wrong)
    count = f"{int(wrong.sum())} of {wrong.size} entries wrong, the first at {at}: "
    given, right = _number(a[tuple(at)]), _number(b[tuple(at)])
    if not a.ndim:
        return f"it returned {given}, expected {right}"
    whole = f"\nyours    {shown_value(a)}\nexpected {shown_value(b)}"
    return f"{count}{given}, expected {right}{whole if b.size <= FEW else ''}"


def shown(named):
    """Inputs as `x = [[0.12, 0.5]], k = 3`, long arrays by their shape alone."""
    return ", ".join(f"{name} = {shown_value(x)}" for name, x in named.items())


def shown_value(x):
    """A value as a student reads it: few numbers whole, many by shape and dtype."""
    if isinstance(x, np.ndarray):
        if x.ndim and x.size > FEW:
            return f"array of shape {x.shape}"
        return str(np.round(x, 4).tolist()) if x.dtype.kind == "f" else str(x.tolist())
    if isinstance(x, float):
        return _number(x)
    if callable(x):
        return getattr(x, "__name__", "a function")
    return repr(x) if len(repr(x)) < 80 else f"{type(x).__name__}"


def _kind(x):
    if isinstance(x, np.ndarray) and x.ndim:
        return f"an array of shape {x.shape}"
    if isinstance(x, (tuple, list)):
        return f"{len(x)} things"
    return "None (is `return` missing?)" if x is None else f"a {type(x).__name__}"


def _ordinal(k):
    return ("first", "second", "third", "fourth", "fifth")[k] if k < 5 else f"{k + 1}th"


def _number(x):
    return f"{float(x):.6g}"


def _first(mask):
    return [int(i) for i in np.argwhere(mask)[0]]
