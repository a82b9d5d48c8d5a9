"""Find the op that made the first NaN or infinity.

    with detect_anomaly():
        loss = model(x)      # raises AnomalyError: log: made nan from finite inputs ...
        loss.backward()

Outside the context nothing is checked and nothing is slower.
"""

import contextlib

import numpy as np

from .errors import AnomalyError
from .op import TABLE


@contextlib.contextmanager
def detect_anomaly():
    """Raise AnomalyError at the first op, or rule, that makes a NaN or an infinity.

    NaN counts if no input had one; infinity, if all inputs were finite: so a mask of
    -inf is no anomaly, and the blame falls on the op where the trouble began.
    """
    entries = [e for e in TABLE.values() if not e.is_composite]
    before = [(e.run, e.rules, e.fast_rule) for e in entries]
    for e in entries:
        e.run, e.fast_rule = _checked(e, e.run), None
        e.rules = _CheckedRules(e, e.rules) if e.rules else e.rules
    try:
        yield
    finally:
        for e, (run, rules, fast_rule) in zip(entries, before):
            e.run, e.rules, e.fast_rule = run, rules, fast_rule


def _checked(entry, run):
    def checked(*arrays, **params):
        with np.errstate(all="ignore"):
            y = run(*arrays, **params)
        _blame(y, arrays, entry.name, "")
        return y

    return checked


class _CheckedRules:
    """An op's rules, each followed by a look at what it returned."""

    def __init__(self, entry, rules):
        self.entry, self.rules = entry, rules

    def __getitem__(self, i):
        rule = self.rules[i]
        if rule is None:
            return None

        def checked(g, y, *inputs, **params):
            with np.errstate(all="ignore"):
                gx = rule(g, y, *inputs, **params)
            name = f"xs[{i}]" if self.entry.variadic else self.entry.names[i]
            _blame(gx, (g, *inputs), self.entry.name, f"in the gradient by {name} ")
            return gx

        return checked


def _blame(y, inputs, name, what):
    y = getattr(y, "_data", y)
    if getattr(y, "dtype", None) is None or y.dtype.kind != "f":
        return
    bad = ~np.isfinite(y)
    if not bad.any():
        return
    arrays = [getattr(x, "_data", x) for x in inputs]
    arrays = [np.asarray(x) if isinstance(x, float) else x for x in arrays]
    arrays = [x for x in arrays if hasattr(x, "min") and x.size and x.dtype.kind == "f"]
    if np.isnan(y).any():
        kind, guilty = "nan", not any(np.isnan(x).any() for x in arrays)
    else:
        kind, guilty = "infinity", all(np.isfinite(x).all() for x in arrays)
    if guilty:
        index = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(bad)))
        ranges = ", ".join(
            f"{x.shape} from {float(x.min()):.3g} to {float(x.max()):.3g}"
            for x in arrays
        )
        raise AnomalyError(
            name,
            f"made {kind} {what}at {int(bad.sum())} of {y.size} entries, the first at "
            f"index {index}; its inputs: {ranges or 'none'}",
        )
