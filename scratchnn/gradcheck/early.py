"""Findings that need no comparison of entries: state, shapes, noise, ties."""

import itertools

import numpy as np

from .pair import Miscounted
from .report import Finding


# ---- the forward ----------------------------------------------------------------
def forward_finding(pair, given, y):
    """f was called on `given`, copies of pair.xs, and returned y: is all well?"""
    for k, x, before in zip(pair.wrt, given, pair.xs):
        if not _same(x, before):
            return Finding(
                "B",
                f"f changed its input {pair.names[k]}",
                "write into a new array: x = x + 1, not x += 1. f(x + h) and f(x - h) "
                "must start from the same x",
            )
    if y.dtype != np.float64:
        return Finding(
            "W",
            f"f returns {y.dtype} although its inputs are float64: differences drown "
            "in rounding",
            "check in float64: look for a float32 array or .astype inside f",
        )
    if not np.isfinite(y).all():
        at = tuple(int(k) for k in np.argwhere(~np.isfinite(y))[0])
        return Finding(
            "N",
            f"f itself returns {y[at]} at index {list(at)} of its output",
            "mend the forward first: a log or a division of 0, exp of a large number, "
            "an empty group, a row with everything masked?",
        )
    again = pair.value([x.copy() for x in pair.xs])
    largest = max(np.abs(x).max(initial=0) for x in pair.xs)
    rounding = 1e-11 * np.abs(y).max() + 1e-14 * largest  # BLAS: order may vary
    if again.shape != y.shape or np.abs(again - y).max() > rounding:
        return Finding(
            "W",
            "f gives different answers for the same inputs: it draws random numbers, "
            "or remembers earlier calls",
            "use the same noise for f(x + h) and f(x - h): pass the noise, or an rng "
            "that starts anew in each call",
        )


# ---- the backward ---------------------------------------------------------------
def failed(error, pair):
    """The backward raised an error, or returned another number of gradients."""
    text = f"the backward itself failed: {type(error).__name__}: {str(error).strip()}"
    call = f"backward is called as backward({', '.join(['g', *pair.names])})"
    if isinstance(error, Miscounted):
        each = ", ".join(f"d{pair.names[k]}" for k in pair.wrt)
        ask = "is `return` missing? " if "None" in str(error) else ""
        return Finding("H", str(error), f"{ask}{call}; it ends: return {each}")
    if isinstance(error, (ValueError, IndexError)):
        hint = (
            "write the shapes of g and of each input beside the line that fails; only "
            "one order of factors and transposes fits"
        )
        return Finding("H", text, hint)
    return Finding("H", text, f"{call}; the traceback above names the line that fails")


def changed_finding(pair, given, g, before):
    """The backward was called on copies: did it write into them?"""
    changed = [
        pair.names[k]
        for k, x, x_before in zip(pair.wrt, given, pair.xs)
        if not _same(x, x_before)
    ]
    if not _same(g, before):
        changed.append("g, the gradient it was given")
    if changed:
        return Finding(
            "B",
            f"the backward changed {' and '.join(changed)}",
            "others hold the same array (a sibling branch, the caller): make a new "
            "one, or copy before writing into it",
        )


def repeat_finding(name, first, again, doubled):
    """Gradients by one input for g, g again, and 2g."""
    if not _close(first, again):
        return Finding(
            "B",
            f"two equal calls give different gradients by {name}",
            "something is kept between calls: a gradient that is added to and never "
            "cleared, a cache, a fresh random mask",
        )
    if not _close(2 * first, doubled):
        if _close(first, doubled):
            what, ask = "changes nothing in", "Is g used at all?"
        else:
            what, ask = "does not double", "Is g squared, clipped or compared, "
            ask += "or is something added that does not depend on g?"
        return Finding(
            "X",
            f"doubling g {what} the gradient by {name}",
            "chain rule: what arrives (g) times the local slope, so the answer is "
            f"linear in g. {ask}",
        )


def _same(a, b):
    return np.array_equal(a, b, equal_nan=True)


def _close(a, b):
    if b is None or a.shape != b.shape:
        return False
    return bool(np.abs(a - b).max(initial=0) <= 1e-10 * np.abs(a).max(initial=0))


def misshapen(r, i, a, slopes):
    """A gradient of another shape than its input: which axis is lost or left over?"""
    n, name = np.zeros_like(r.x(i)) if slopes is None else slopes.value, r.name_of(i)
    both = f"the gradient by {name} has shape {a.shape}, {name} has {n.shape}"
    scale = np.abs(n).max(initial=0)

    def near(guess):
        return guess.shape == n.shape and np.allclose(guess, n, 1e-5, 1e-6 * scale)

    for axes in itertools.permutations(range(a.ndim)) if a.ndim < 5 else ():
        if near(a.transpose(axes)):
            return Finding(
                "T",
                f"{both}; its transpose is right",
                "swap the factors or transpose the result: a gradient has the shape "
                "of what it belongs to",
            )
    if a.size == n.size and near(a.reshape(n.shape)):
        text = f"{both}; the values are right in the order they come"
        return Finding("H", text, "reshape the result to the shape of the input")
    if a.size == 1 and n.size > 1:
        text = f"{both}: one number for all entries"
        hint = "sum over the axes that were broadcast only: one sum per entry"
        return Finding("X", text, hint)
    for k in range(a.ndim):
        if near(a.sum(k)) or near(a.sum(k, keepdims=True)):
            return Finding(
                "H",
                f"{both}: axis {k} (length {a.shape[k]}) should be summed over",
                f"{name} was broadcast along that axis, so each entry was used "
                f"{a.shape[k]} times: add their gradients",
            )
        if a.ndim == n.ndim + 1 and a.shape[:k] + a.shape[k + 1 :] == n.shape:
            hint = f"did a sum over axis {k} get lost, or a keepdims slip in?"
            return Finding("H", f"{both}: axis {k} is one too many", hint)
    for k in range(n.ndim):
        if n.shape[:k] + n.shape[k + 1 :] == a.shape:
            text = f"{both}: axis {k} (length {n.shape[k]}) is missing"
            hint = "a sum too many, or a reduced axis that was not put back: g[:, None]"
            return Finding("H", text, hint)
    if sorted(a.shape) == sorted(n.shape):
        text = f"{both}: the same axes in another order"
        return Finding("H", text, "transpose a factor, or swap the two factors")
    hint = "write the shape of each factor beside the line; the inner axes must meet"
    return Finding("H", both, hint)


# ---- the numeric side -----------------------------------------------------------
def noisy(rough):
    """The differences don't settle: no rule can be judged by them."""
    if not rough:
        return Finding(
            "W",
            "f has a kink or a jump at every entry, also after moving them",
            "f rounds, counts or compares: its slope is 0 or infinite everywhere",
        )
    return Finding(
        "W",
        f"f is rough: its values scatter by {rough:.0e} of their size, where float64 "
        "would by 1e-16, and the differences move with the step h",
        "f computes in float32, rounds, or subtracts nearly equal numbers somewhere "
        "inside: check in float64, at inputs of order 1",
    )


def tied(r, numeric, analytic):
    """Equal entries, moved together, follow a smooth line that the rule gets wrong."""
    ratio = f", {analytic / numeric:.4g} times as much" if numeric else ""
    return Finding(
        "G",
        f"wrong only at ties: where entries are equal their slopes add up to "
        f"{numeric:.4g}, yours to {analytic:.4g}{ratio}",
        "equal entries share one gradient: give it to one of them, or divide it",
    )
