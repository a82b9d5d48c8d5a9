"""What is wrong with a gradient, read off the pattern of its error.

`diagnose(report)` tries the readings in order and stops at the first that fits. Each
compares the analytic side `a` with the numeric side `n` of one input; none knows which
function is checked.

Letters: R constant ratio, S sign, T transposed or permuted, H shape, Z all zero, N nan
or inf, G wrong in a region, I a sum rule broken, X none of these (with a remark if
there is one), W the numeric side is at fault, B state. H, W, B and part of X need no
comparison of entries: see early.py.
"""

from .patterns import aliased, nan, permuted, proportional, region, sums, zero
from .ratios import ratio, ratio_by_slice
from .report import Finding

NOTHING = "not a factor, not a permutation, not a region"
READINGS = (
    nan,
    aliased,
    zero,
    ratio,
    ratio_by_slice,
    permuted,
    sums,
    region,
    proportional,
)


def diagnose(r):
    """The Finding for a report with wrong entries."""
    bad = r.bad()
    for reading in READINGS:  # a pattern that all wrong inputs share comes first
        found = [reading(r, i) for i in bad]
        if all(found):
            return _said_of(r, bad, found[0])
    for reading in READINGS:
        for i in bad:
            found = reading(r, i)
            if found:
                return _said_of(r, [i], found)
    hint = (
        "derive the rule once more for one output entry and one input entry; a term "
        "may be missing, evaluated at the wrong place, or counted once too often"
    )
    if all(r.elementwise[i] and r.wrong[i].mean() > 0.5 for i in bad):
        hint = (
            "each entry is wrong by a factor of its own: is the formula of the slope "
            "right? Test it at one number by hand"
        )
    return Finding("X", NOTHING, hint)


def _said_of(r, which, finding):
    if len(r.wrt) == 1:
        return finding
    names = " and ".join(r.name_of(i) for i in sorted(which))
    return finding._replace(text=f"in the gradient by {names}, {finding.text}")
