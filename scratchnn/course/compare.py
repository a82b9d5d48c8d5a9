"""An answer beside the right one: equal, or how it differs, in words.

Runs where the checks are, on arrays that came through the pipe: nothing here calls
methods of the student's objects.
"""

from typing import NamedTuple

import numpy as np

from ..gradcheck.patterns import permuted, region
from ..gradcheck.ratios import ratio, ratio_by_slice
from ..gradcheck.report import Report

RTOL = 1e-11  # centred differences in float64 are a few 1e-11 off at their best
ALIKE = 1e-6  # as close as two answers with the same mistake: one may round more
FEW = 15  # numbers: arrays up to here are shown whole
PARTS = 9  # things that a function may return
SLIPS = ("NameError", "UnboundLocalError", "AttributeError", "SyntaxError")


class Raised(NamedTuple):
    """Stands for the answer of a function that raised: the error's name, its text."""

    error: str
    text: str = ""


def difference(given, expected, rtol=RTOL):
    """What is wrong with `given`, in words; an empty string if nothing is.

    Type, shape and dtype must be those of `expected`, numbers finite where its are, and
    equal to rtol of their size or a thousandth of that of the largest.
    """
    if isinstance(given, Raised):
        return given.text or given.error
    if isinstance(expected, Raised):
        return f"it returned {shown_value(given)}, expected {expected.error}"
    if isinstance(expected, (tuple, list)):
        return _of_several(given, expected, rtol)
    given, expected = _plain(given), _plain(expected)
    if isinstance(expected, (bool, str, type(None))):
        if type(given) is type(expected) and given == expected:
            return ""
        return f"it returned {shown_value(given)}, expected {shown_value(expected)}"
    if not isinstance(given, (np.ndarray, int, float)) or isinstance(given, bool):
        return f"it returned {_kind(given)}, expected {_kind(expected)}"
    if isinstance(given, int):
        given = float(given)
    return _of_arrays(np.asarray(given), np.asarray(expected), rtol)


def same_kind(given, expected):
    """Whether an answer is of the kind of the right one, whatever its numbers are.

    One that raised is, unless by a slip of the pen.
    """
    if isinstance(given, Raised) or isinstance(expected, Raised):
        return not isinstance(given, Raised) or given.error not in SLIPS
    if isinstance(expected, (tuple, list)):
        several = isinstance(given, (tuple, list)) and len(given) == len(expected)
        return several and all(map(same_kind, given, expected))
    given, expected = _plain(given), _plain(expected)
    if isinstance(expected, (bool, str, type(None))):
        return type(given) is type(expected)
    if type(given) in (int, float):
        return True
    if not isinstance(given, np.ndarray):
        return False
    dtype = np.asarray(expected).dtype
    return given.dtype == dtype or dtype.kind in "iu" and given.dtype.kind in "iuf"


def _plain(x):
    """NumPy's numbers as Python's, too large ones as infinite."""
    x = x.item() if isinstance(x, np.generic) else x
    return np.inf if type(x) is int and abs(x) > 2**1000 else x


def _of_several(given, expected, rtol):
    n = len(expected)
    if not isinstance(given, (tuple, list)):
        return f"it returned {_kind(given)}, expected {n} things: return a, b"
    if len(given) != n:
        return f"it returned {len(given)} things, expected {n}"
    for k, (a, b) in enumerate(zip(given, expected)):
        wrong = difference(a, b, rtol)
        if wrong:
            return f"the {_ordinal(k)} of the {n} things returned: {wrong}"
    return ""


def _of_arrays(a, b, rtol):
    if a.shape != b.shape:
        turned = "; its transpose has it" if a.T.shape == b.shape else ""
        return f"shape {a.shape}, expected {b.shape}{turned}"
    if a.dtype.kind in "iub" and b.dtype.kind == "f":
        return f"dtype {a.dtype}, expected {b.dtype}: whole numbers lose the rest"
    if b.dtype.kind == "f" and a.dtype != b.dtype:
        return f"dtype {a.dtype}, expected {b.dtype}: the inputs are {b.dtype}"
    if a.dtype.kind not in "iubf" or (b.dtype == bool) != (a.dtype == bool):
        return f"dtype {a.dtype}, expected {b.dtype}"
    a, b = (x.astype(float) if x.dtype == bool else x for x in (a, b))
    lost = ~np.isfinite(a) & np.isfinite(b)
    if lost.any():
        at = _first(lost)
        number, right = _number(a[tuple(at)]), _number(b[tuple(at)])
        return f"{number}{f' at {at}' if at else ''}, expected {right}"
    size = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    with np.errstate(all="ignore"):
        near = np.abs(a - b) <= rtol * np.abs(b) + 1e-3 * rtol * size
    wrong = ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))
    if not wrong.any():
        return ""
    at = _first(wrong)
    given, right = _number(a[tuple(at)]), _number(b[tuple(at)])
    if given == right:
        given, right = repr(float(a[tuple(at)])), repr(float(b[tuple(at)]))
    if b.size == 1:
        return f"it is {given}, expected {right}"
    count = f"{int(wrong.sum())} of {wrong.size} entries wrong, the first at {at}: "
    whole = f"\nyours    {shown_value(a)}\nexpected {shown_value(b)}"
    return f"{count}{given}, expected {right}{whole if b.size <= FEW else ''}"


# ---- parts: the things that a function returns -----------------------------------
def equal_parts(given, other, rtol=ALIKE):
    """The places at which two answers are equal; [0] if they are single things."""
    if isinstance(given, Raised) or isinstance(other, Raised):
        both = isinstance(given, Raised) and isinstance(other, Raised)
        return list(range(PARTS)) if both and given.error == other.error else []
    several = [isinstance(x, (tuple, list)) for x in (given, other)]
    if not any(several):
        given, other = [given], [other]
    elif not all(several) or len(given) != len(other):
        return []
    pairs = enumerate(zip(given, other))
    return [k for k, (a, b) in pairs if not difference(a, b, rtol)]


def wrong_parts(given, right):
    """The places at which an answer is not the right one."""
    n = len(right) if isinstance(right, (tuple, list)) else 1
    equal = equal_parts(given, right, RTOL)
    return [k for k in range(n) if k not in equal]


# ---- patterns -------------------------------------------------------------------
def pattern(given, right, named):
    """How all of an answer is wrong, in words: `every entry is 2 times the right one`.

    An empty string if there is no pattern. named: the inputs by name. A factor is
    looked up among their sizes; see gradcheck, which reads errors of gradients so.
    """
    if isinstance(right, (tuple, list)):
        for k in wrong_parts(given, right):
            if isinstance(given, (tuple, list)) and len(given) == len(right):
                words = pattern(given[k], right[k], named)
                if words:
                    return f"in the {_ordinal(k)}, {words}"
        return ""
    if isinstance(given, Raised) or not isinstance(given, (np.ndarray, float)):
        return ""
    a, b = np.asarray(given), np.asarray(right)
    if a.shape != b.shape or b.dtype.kind != "f" or a.dtype != b.dtype:
        return ""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return ""
    size, off = np.abs(b).max(initial=0.0), np.abs(a - b).max(initial=0.0)
    if np.abs(a).max(initial=0.0) < 1e-12 * size:
        return "it is zero everywhere"
    if off < 1e-5 * size:
        return (
            f"it is almost right, by a part of {off / size:.0e}: float32 somewhere, or "
            "a small constant (eps)?"
        )
    report = Report("", ["the answer", *named], [0], [b, *named.values()])
    report.analytic, report.numeric, report.y = [a], [b], np.zeros(())
    report.tolerance = [RTOL * np.abs(b) + 1e-3 * RTOL * size]
    report.wrong = [np.abs(a - b) > report.tolerance[0]]
    with np.errstate(all="ignore"):
        for reading in (ratio, ratio_by_slice, permuted, region):
            found = reading(report, 0)
            if found:
                return found.text
    return ""


# ---- values in words ------------------------------------------------------------
def shown(named):
    """Inputs as `x = [[0.12, 0.5]], k = 3`, long arrays by their shape alone."""
    return ", ".join(f"{name} = {shown_value(x)}" for name, x in named.items())


def shown_value(x):
    """A value as a student reads it: few numbers whole, many by shape and dtype."""
    if isinstance(x, np.ndarray):
        if x.ndim and x.size > FEW:
            return f"array of shape {x.shape}"
        if x.dtype.kind != "f":
            return str(x.tolist())
        four = {"float_kind": lambda v: f"{v:.4g}"}
        text = np.array2string(x, separator=", ", formatter=four)
        return " ".join(text.split())
    if isinstance(x, float):
        return _number(x)
    if callable(x):
        return getattr(x, "__name__", "a function")
    return repr(x) if len(repr(x)) < 80 else f"{type(x).__name__}"


def _kind(x):
    if isinstance(x, np.ndarray) and x.ndim:
        return f"an array of shape {x.shape}"
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)} things"
    if isinstance(x, np.ndarray):
        return "a number"
    words = {type(None): "None (is `return` missing?)", int: "a number"}
    words |= {float: "a number", bool: repr(x)}
    return words.get(type(x), f"a {type(x).__name__}")


def _ordinal(k):
    return ("first", "second", "third", "fourth", "fifth")[k] if k < 5 else f"{k + 1}th"


def _number(x):
    return f"{float(x):.6g}"


def _first(mask):
    return [int(i) for i in np.argwhere(mask)[0]]
