"""Errors that are not a factor: lost, moved, a sum rule, a region, a known rest."""

import itertools

import numpy as np

from .regions import name_region
from .report import Finding, fits, slack


def aliased(r, i):
    """Two gradients that share memory."""
    a, n = r.analytic[i], r.numeric[i]
    untouched = a.shape == r.g.shape and (a == r.g).all()  # `return g, g` is no sin
    if r.shared and not untouched and not fits(r, i, -n):
        return Finding(
            "B",
            "two gradients are one array: what is added to one appears in the other",
            "a.grad = b.grad = g gives two names to one array; copy it, or add into "
            "a new one",
        )


def nan(r, i):
    """Not a number, or infinite."""
    lost = ~np.isfinite(r.analytic[i])
    if lost.any():
        where = "every entry" if lost.all() else name_region(r, i, lost, ~lost)
        where = where or _list(lost)
        what = "nan" if np.isnan(r.analytic[i]).any() else "inf"
        return Finding(
            "N",
            f"it is {what} at {where}, where f is finite",
            "0/0, log 0 or inf - inf in the rule at these entries: an empty row, a "
            "fully masked one, a length or a deviation of 0",
        )


def zero(r, i):
    """Nothing arrives, or only whole numbers."""
    a, n = r.analytic[i], r.numeric[i]
    if r.integers and r.integers[i] and (a == np.trunc(n + np.sign(n) * 1e-7)).all():
        return Finding(
            "Z",
            "everything behind the decimal point is cut off: the gradient is an "
            "integer array",
            "np.zeros_like of integers, or np.array([0, 0]), holds integers: make it "
            "of floats",
        )
    if (np.abs(n) <= r.tolerance[i]).all():
        return Finding(
            "X",
            "the right gradient is zero everywhere, yours is not",
            "f does not depend on this input here (or g, if given, is orthogonal to "
            "all changes: g of ones under a softmax)",
        )
    if not a.any() and n.any():
        return Finding(
            "Z",
            "it is zero everywhere, the numeric one is not: the input is cut off",
            "is the path to it detached, overwritten in a loop, or left out of what "
            "backward returns?",
        )


def permuted(r, i):
    """The right values in other places."""
    a, n = r.analytic[i], r.numeric[i]
    if n.size < 2 or fits(r, i, n):
        return None
    letter, axes = "T", tuple(range(n.ndim))
    hint = "the backward of a move is the move back: g.T for a transpose, g[inverse]"
    for p in itertools.permutations(axes) if n.ndim < 5 else ():
        turned = n.transpose(p)
        if turned.shape == n.shape and p != axes and fits(r, i, turned):
            order = f", axes in the order {p}" if n.ndim > 2 else ""
            text = f"it equals the right one transposed{order}"
            return Finding(letter, text, hint)
        if turned.size == n.size and p != axes and fits(r, i, turned.reshape(n.shape)):
            text = "it has the values of the transpose, read in another order"
            return Finding(letter, text, hint + "; reshape does not transpose")
    for count in range(1, n.ndim + 1):
        for some in itertools.combinations(axes, count):
            if fits(r, i, np.flip(n, some)):
                text = f"it is the right one reversed along {_axes(some)}"
                return Finding(letter, text, "flip the kernel or the steps back")
    for k in axes:
        for s in range(1, n.shape[k]):
            if fits(r, i, np.roll(n, s, k)):
                text = f"it is the right one shifted by {s} along axis {k}"
                return Finding(letter, text, "off by one in an index or an offset?")
    apart = np.abs(np.sort(a, None) - np.sort(n, None))
    if n.any() and (apart <= slack(r, i).max()).all():
        return Finding(letter, "it has the right values in other places", hint)


def _axes(some):
    return f"axis {some[0]}" if len(some) == 1 else f"axes {some}"


def sums(r, i):
    """The numeric side sums to 0 along an axis (times x, too): does the analytic?"""
    a, n, x = r.analytic[i], r.numeric[i], r.x(i)
    if (np.abs(n[r.wrong[i]]) <= slack(r, i)[r.wrong[i]]).all():
        return None  # wrong where f has no slope at all: a region
    name = r.name_of(i)
    rules = ("", f" times {name}", f" times ({name} - its mean)")
    for what, axis in itertools.product(rules, range(n.ndim)):
        if n.shape[axis] < 2:
            continue
        part = 2e-3 if what else 1e-6  # an eps in f breaks the rules with x a little
        mean = x.mean(axis, keepdims=True) if "its mean" in what else 0.0
        weight = x - mean if what else np.ones_like(x)
        spread = np.abs(n * weight).sum(axis)
        error = (r.tolerance[i] * np.abs(weight)).sum(axis)
        holds = np.abs((n * weight).sum(axis)) <= part * spread + error
        live = spread > 10 * error
        if not (holds[live].all() and live.sum() >= (2 if what else 1)):
            continue
        sums = (a * weight).sum(axis)
        broken = np.abs(sums) > 10 * part * np.abs(a * weight).sum(axis) + 10 * error
        if broken.mean() >= 0.5:
            word = {(2, 0): "columns", (2, 1): "rows"}.get((n.ndim, axis), "slices")
            how = "is stretched" if what else "is shifted by one number"
            why = f"f does not change when one of these {word} {how}"
            return Finding(
                "I",
                f"the {word} of the right gradient{what} sum to 0 along axis {axis}; "
                f"yours sum to up to {np.abs(sums).max():.3g}",
                f"{why}, because a softmax, a mean or a variance lies in between: so "
                "every output depends on every input there, and part of that is left "
                "out",
            )


def region(r, i):
    """Some entries right, others wrong: where?"""
    a, n, wrong = r.analytic[i], r.numeric[i], r.wrong[i]
    right = ~wrong & ((np.abs(n) > slack(r, i)) | (np.abs(a) > slack(r, i)))
    dead = wrong & (np.abs(n) <= slack(r, i))  # no slope there
    cut = wrong & (a == 0)
    special = (dead | cut)[wrong].all()
    if right.sum() < max(1 if special else 2, 0.05 * wrong.size):
        return None  # one entry may agree by accident
    where = name_region(r, i, wrong, right)
    if where is None and (dead == wrong).all():
        where = "entries that have no effect on f (dropped, masked, clipped)"
    if where is None and not special and right.sum() < wrong.sum():
        return None
    where = where or _list(wrong)
    if (dead == wrong).all():
        how, hint = "there the slope is 0, yours is not", (
            "what the forward cut off (a mask, a threshold) must be cut off in the "
            "backward, too"
        )
    elif (cut == wrong).all():
        how, hint = "there yours is 0", "the backward never reaches these entries"
    else:
        entries = "entry" if right.sum() == 1 else "entries"
        how = f"right in {right.sum()} other {entries}"
        hint = "what is special there in the forward: used twice, another branch?"
        c = a[wrong] / n[wrong] if (n[wrong] != 0).all() else np.zeros(0)
        if c.size > 1 and np.ptp(c) < 1e-5 * np.abs(c).max():
            how = f"there it is {c[0]:.6g} times the right one"
    return Finding("G", f"wrong only at {where}; {how}", hint)


def _list(mask):
    places = [str([int(k) for k in at]) for at in np.argwhere(mask)[:4]]
    return ", ".join(places) + (", ..." if mask.sum() > 4 else "")


def proportional(r, i):
    """Ratio or difference equal to something at hand: an input, the output, g."""
    a, n, small = r.analytic[i], r.numeric[i], slack(r, i)
    with np.errstate(all="ignore"):
        live = np.abs(n) > 1e3 * small
        shift = np.where(live, (n / a - 1), np.nan)
        for x, name in _same_shape(r, n.shape):
            for excess, side in ((shift, "backward"), (1 / (shift + 1) - 1, "forward")):
                eps = (excess * x)[live]
                if eps.size > 2 and _one_value(eps) and abs(eps[0]) < 0.01:
                    return Finding(
                        "G",
                        f"wrong where {name} is small: {eps[0]:.1g} is added to it in "
                        f"the {side} only",
                        "the same eps in forward and backward, or none",
                    )
        if live.any() and np.abs(a / n - 1)[live].max() < 1e-2:
            worst = np.abs(a / n - 1)[live].max()
            return Finding(
                "X",
                f"it is almost right, by a part of {worst:.0e}: too far for rounding",
                "a small constant (eps) on one side only, a one-sided difference, or "
                "values taken after an update",
            )
        for x, name in _same_shape(r, n.shape):
            for v, formula in _functions(x, name):
                if n.size > 2 and np.ptp(v) > 0 and fits(r, i, n * v):
                    return Finding(
                        "X",
                        f"every entry is the right one times {formula}",
                        "a factor of the chain rule too many, or one that is missing",
                    )
        rest = a - n
        others = [*_same_shape(r, n.shape), (np.ones_like(n), "a constant")]
        for x, name in others:
            c = float(np.vdot(rest, x) / np.vdot(x, x)) if x.any() else 0.0
            if n.size > 1 and abs(c) > 1e-6 and fits(r, i, n + c * x):
                return Finding(
                    "X",
                    f"the error is {c:.6g} times {name}",
                    "a term of f, such as a penalty, is missing in the backward or has "
                    "the wrong factor",
                )
    if n.size > 1 and np.ptp(a) <= 1e-12 * np.abs(a).max():
        text = "all entries are the same number, the right ones are not"
        return Finding("X", text, "a sum or a mean over one axis too many")


def _one_value(v):
    return np.isfinite(v).all() and np.ptp(v) <= 1e-3 * np.abs(v).max()


def _same_shape(r, shape):
    """Float arrays of that shape: inputs, output, cotangent."""
    named = [*zip(r.inputs, r.names), (r.y, "the output"), (r.g, "g")]
    for x, name in named:
        x = x if hasattr(x, "shape") else None
        if x is not None and x.shape == shape and x.dtype.kind == "f":
            yield x, name


def _functions(x, name):
    yield x, name
    yield 1 / x, f"1/({name})"
    yield 2 * x, f"2 * {name}"
    yield 1 - x, f"1 - {name}"
    yield x * (1 - x), f"{name} * (1 - {name})"
    yield 1 / (x * (1 - x)), f"1 / ({name} * (1 - {name}))"
    yield 1 - x * x, f"1 - {name}^2"
    yield 1 / (1 - x * x), f"1 / (1 - {name}^2)"
    yield x * x, f"{name}^2"
