"""Errors that are a factor: one for all, or one for each row, column or slice."""

import itertools
import math

import numpy as np

from .report import Finding, fits, slack


def ratio(r, i):
    """Every entry times one constant, looked up; -1 is a class of its own."""
    a, n = r.analytic[i], r.numeric[i]
    c = float(np.vdot(a, n) / np.vdot(n, n)) if n.any() else 0.0
    if abs(c) < 1e-9 or abs(c - 1) < 1e-3 or not fits(r, i, c * n):
        return None
    if abs(c + 1) < 1e-5:
        return Finding(
            "S",
            "every entry has the right size and the wrong sign",
            "a minus too many or too few; for losses, gradient is prediction - target",
        )
    means = _meaning(r, c)
    if n.size == 1 and not means:
        return None  # any two numbers have a ratio
    text = f"every entry is {c:.6g} times the right one"
    return Finding("R", f"{text} ({means})" if means else text, _ratio_hint(c))


def _ratio_hint(c):
    if c < 0:
        return "a factor and a sign: write out the rule for one entry"
    if c > 1:
        return (
            "a factor is lost on the way back: a mean's 1/n, a scale such as 1/sqrt(d)"
            ", or a term is counted twice"
        )
    return (
        "a mean where a sum belongs, a scale applied once more, or only one of several "
        "uses counted (gradients of all uses add up)"
    )


def _meaning(r, c):
    """Where a factor c may come from: a use, a size, a number among the inputs."""
    sign, size = ("-" if c < 0 else ""), abs(c)
    found = []
    if _equal(size, 2) or _equal(size, 0.5):
        two = "2" if size > 1 else "1/2"
        found.append(f"{sign}{two}: the 2 of a square, or one of two uses")
    for name, s in zip(r.names, r.inputs):
        if type(s) in (int, float) and s not in (0, 1):
            of_s = {name: s, f"1/{name}": 1 / s, f"1 - {name}": 1 - s}
            of_s[f"1/(1 - {name})"] = 1 / (1 - s)
            found += [f"{k}, {name} = {s}" for k, v in of_s.items() if _equal(c, v)]
    sizes = {}
    for n, place in _sizes(r):
        sizes.setdefault(n, []).append(place)
    small = [] if found else _small_numbers(size, sign)
    found += _of_size(_COMMON, size, sizes, sign)
    if found:
        return "; or ".join(found[: 2 - len(small)] + small)
    found += _of_two_sizes(size, sizes, sign) + _of_size(_RARE, size, sizes, sign)
    found = found[: 2 - len(small)] + small
    for formula, p in (("1 - p", 1 - c), ("1/(1 - p)", 1 - 1 / c)):
        if 0.005 < p < 0.995 and abs(p * 100 - round(p * 100)) < 1e-4:
            found.append(f"{formula}, such as a dropout of p = {round(p, 2)}")
    return "; or ".join(found[:2])


def _small_numbers(c, sign):
    """The fraction of two numbers up to 4 that c is: an exponent, a step."""
    for p, q in itertools.permutations(range(1, 5), 2):
        if math.gcd(p, q) == 1 and p * q > 2 and _equal(c, p / q):
            fraction = f"{sign}{p}/{q}" if q > 1 else f"{sign}{p}"
            return [f"{fraction}: an exponent or other number, lost or mistaken"]
    return []


def _of_two_sizes(c, sizes, sign):
    """A mean over the wrong axis: n/m for two sizes that give c, the smallest."""
    for n, m in sorted(itertools.permutations(sizes, 2), key=sum):
        if min(n, m) > 1 and _equal(c, n / m):
            place = f"n = {n}: {sizes[n][0]}, and m = {m}: {sizes[m][0]}"
            return [f"a mean over another axis, {sign}n/m with {place}"]
    return []


_COMMON = {
    "n": lambda n: n,
    "1/n": lambda n: 1 / n,
    "sqrt(n)": lambda n: n**0.5,
    "1/sqrt(n)": lambda n: n**-0.5,
}
_RARE = {
    "2/n": lambda n: 2 / n,
    "n/2": lambda n: n / 2,
    "(n-1)/n": lambda n: (n - 1) / n,
    "n/(n-1)": lambda n: n / (n - 1),
    "sqrt((n-1)/n)": lambda n: ((n - 1) / n) ** 0.5,
    "sqrt(n/(n-1))": lambda n: (n / (n - 1)) ** 0.5,
}


def _of_size(formulas, c, sizes, sign):
    """`1/n with n = 7: axis 0 of x` for each formula and size that give c."""
    return [
        f"{sign}{formula} with n = {n}: {', '.join(places[:3])}"
        for formula, of in formulas.items()
        for n, places in sizes.items()
        if n > 1 and _equal(c, of(n))
    ]


def _equal(c, value):
    return abs(c - value) <= 1e-5 * abs(value)


def _sizes(r):
    """Lengths of axes, and products of lengths, with the place of each."""
    arrays = [(x, name) for x, name in zip(r.inputs, r.names) if hasattr(x, "shape")]
    for x, name in [*arrays, (r.y, "the output")]:
        for count in range(1, x.ndim + 1):
            for axes in itertools.combinations(range(x.ndim), count):
                which = f"axis {axes[0]}" if count == 1 else f"axes {axes}"
                if count == x.ndim > 1:
                    which = "all entries"
                yield int(np.prod([x.shape[k] for k in axes])), f"{which} of {name}"


def ratio_by_slice(r, i):
    """One factor for each row, column or other slice."""
    a, n = r.analytic[i], r.numeric[i]
    if n.ndim < 2:
        return None
    for axis in range(n.ndim):
        others = tuple(k for k in range(n.ndim) if k != axis)
        power = (n * n).sum(others, keepdims=True)
        many = (np.abs(n) > slack(r, i)).sum(others).ravel()
        if (many >= 2).sum() < 2 or not (many[many > 0] >= 2).mean() > 0.5:
            continue
        c = (a * n).sum(others, keepdims=True) / np.where(power == 0, 1, power)
        if not fits(r, i, c * n):
            continue
        c = c.ravel()[many > 0]
        counts = _are_counts(c)
        if (np.abs(c - 1) < 1e-3).any() and not counts:
            continue  # right in some slices: a region
        word = {(2, 0): "row", (2, 1): "column"}.get((n.ndim, axis), "slice")
        factors = ", ".join(f"{v:.4g}" for v in c[:4]) + (", ..." if c.size > 4 else "")
        means = counts or _from_inputs(r, c)
        return Finding(
            "R",
            f"each {word} (axis {axis}) is the right one times a factor of its own: "
            f"{factors}{f' ({means})' if means else ''}",
            "a factor that belongs to the slice is missing or applied twice: a "
            "scale gamma, a standard deviation, a degree or number of uses",
        )


def _are_counts(c):
    """What makes whole numbers, not all the same, of the factors, if anything does."""
    squares = c * c
    counts = {"n": c, "1/n": 1 / c, "sqrt(n)": squares, "1/sqrt(n)": 1 / squares}
    for formula, k in counts.items():
        whole = np.round(k)
        if (np.abs(k - whole) < 1e-4).all() and (whole > 0).all() and whole.max() > 1:
            if len(set(whole.tolist())) > 1:
                return f"{formula} with n = {', '.join(f'{v:.0f}' for v in whole[:4])}"
    return None


def _from_inputs(r, c):
    """The input that the factors come from."""
    for name, x in zip(r.names, r.inputs):
        x = x if hasattr(x, "shape") else np.zeros(0)
        if x.size == c.size and x.dtype.kind in "fiu":
            x = x.ravel().astype(float)
            with np.errstate(all="ignore"):
                of_x = {name: x, f"1/{name}": 1 / x, f"{name}^2": x * x}
            for formula, v in of_x.items():
                if np.allclose(c, v, rtol=1e-5):
                    return formula
    return None
