"""One check: look at f, at its rule, then compare the two sides."""

import numpy as np

from .diagnose import diagnose
from .early import (
    changed_finding,
    failed,
    forward_finding,
    misshapen,
    noisy,
    repeat_finding,
    tied,
)
from .pair import array_of, draw
from .report import Report
from .slopes import along, by_entry, joint, scatter

_ROUNDS = 8  # how often inputs are moved away from a kink
_ROUGH = 1e-9  # scatter of f, relative: float32 has 1e-8, cancelling float64 1e-11
_STEPPED = 3e-11  # the same, if f also goes up in steps
_LARGE = 2000  # entries: a failed directional check is explained by entries up to here


class GradcheckError(AssertionError):
    """A gradient is wrong; `.report` holds both sides and the diagnosis."""

    def __init__(self, report):
        super().__init__(str(report))
        self.report = report


class VacuousCheck(ValueError):
    """The check could not have failed: nothing depends on anything."""


class Check:
    """One check at one order: look at f, at its rule, then compare."""

    order = 1

    def __init__(self, pair, mode, rng, rtol):
        self.pair, self.mode, self.rng, self.rtol = pair, mode, rng, rtol
        self.report = Report(pair.name, pair.names, pair.wrt, pair.plain(pair.xs))

    def run(self, g):
        with np.errstate(all="ignore"):
            self.look_at_forward()
            self.g = draw(self.y.shape, self.rng) if g is None else array_of(g)
            if self.g.shape != self.y.shape:
                raise ValueError(f"g has shape {self.g.shape}, f gives {self.y.shape}")
            self.report.order, self.report.mode = self.order, self.mode
            self.report.y, self.report.g = self.y, self.g
            self.look_at_rule()
            ties = self.move_off_kinks()
            self.compare()
            for xs, group in ties:
                self.compare_ties(xs, group)

    def fail_if(self, finding):
        if finding:
            self.report.finding = finding
            raise GradcheckError(self.report)

    # ---- before any difference is taken -----------------------------------------
    def look_at_forward(self):
        pair = self.pair
        if not any(x.size for x in pair.xs):
            raise VacuousCheck(
                f"gradcheck of {pair.name}: no input is a float array with entries, so "
                "nothing is checked (numbers, lists and tuples are constants). Give "
                "arrays: gradcheck(f, x, w)"
            )
        given = [x.copy() for x in pair.xs]
        y = pair.value(given)
        if y.dtype.kind != "f" or not y.size:
            raise VacuousCheck(
                f"gradcheck of {pair.name}: f returns shape {y.shape} of {y.dtype}, "
                "which has no slope. It must return floats, at least one"
            )
        self.y = y.copy()
        self.fail_if(forward_finding(pair, given, self.y))

    def look_at_rule(self):
        """Shapes, state and linearity: none needs a difference."""
        pair, report = self.pair, self.report
        given, g = [x.copy() for x in pair.xs], self.g.copy()
        try:
            raw = pair.pull(given, g)
        except (ValueError, IndexError) as error:
            self.fail_if(failed(error, pair))
        except (TypeError, KeyError, AttributeError, NameError) as error:
            if pair.backward is None:
                raise
            self.fail_if(failed(error, pair))
        first = [None if a is None else a.copy() for a in raw]
        for i, (a, x) in enumerate(zip(first, pair.xs)):
            if a is not None and a.shape != x.shape:
                few = x.size <= _LARGE
                slopes = by_entry(pair, pair.xs, i, self.y, self.g) if few else None
                self.fail_if(misshapen(report, i, a, slopes))
        self.fail_if(changed_finding(pair, given, g, self.g))
        report.shared = _any_shared(raw)
        report.integers = [a is not None and a.dtype.kind in "iub" for a in first]
        again = pair.pull([x.copy() for x in pair.xs], self.g.copy())
        doubled = pair.pull([x.copy() for x in pair.xs], 2 * self.g)
        for i, a in enumerate(first):
            if a is not None and np.isfinite(a).all() and not report.integers[i]:
                name = report.name_of(i)
                self.fail_if(repeat_finding(name, a, again[i], doubled[i]))

    # ---- the two sides ----------------------------------------------------------
    def pull(self, xs):
        """The analytic side at xs; zeros where there is no gradient."""
        found = self.pair.pull([x.copy() for x in xs], self.g.copy())
        return [np.zeros_like(x) if a is None else a for a, x in zip(found, xs)]

    def measure(self, xs):
        """Analytic and numeric sides at xs."""
        analytic = self.pull(xs)
        y, us = self.pair.value(xs), [self.direction(x) for x in xs]
        self.around = scatter(self.pair, xs, us, self.g)
        known = y, self.g, self.around
        if self.mode == "coords":
            slopes = [by_entry(self.pair, xs, i, *known) for i in range(len(xs))]
        else:
            slopes = [along(self.pair, xs, i, u, *known) for i, u in enumerate(us)]
            analytic = [np.asarray(np.vdot(a, u)) for a, u in zip(analytic, us)]
        return analytic, slopes

    def direction(self, x):
        """A random direction in which small entries move little."""
        size = np.minimum(np.abs(x), 1.0)
        return draw(x.shape, self.rng) * np.where(size == 0, 1.0, size)

    def move_off_kinks(self):
        """Move entries that sit on a kink, and measure. Returns the ties met."""
        xs, ties = self.pair.xs, []
        for attempt in range(_ROUNDS):
            self.analytic, self.slopes = self.measure(xs)
            kinks = [s.kink for s in self.slopes]
            if not any(k.any() for k in kinks):
                break
            if self.mode == "directional":
                kinks = [np.broadcast_to(k, x.shape) for k, x in zip(kinks, xs)]
            if attempt == 0 and self.mode == "coords":
                xs, ties = self.keep_ties(xs, kinks)
            else:
                xs = [self.nudged(x, k) for x, k in zip(xs, kinks)]
            if not np.isfinite(self.pair.value(xs)).all():
                xs = [np.where(k, np.abs(x), x) for x, k in zip(xs, kinks)]
        self.pair.xs = xs
        self.report.inputs = self.pair.plain(xs)
        vague = any(s.is_vague() for s in self.slopes) and not self.is_flat()
        bound = _STEPPED if self.around.stepped else _ROUGH
        if vague and self.around.part > bound:
            self.fail_if(noisy(self.around.part))
        if all(s.kink.all() for s in self.slopes):
            self.fail_if(noisy(None))
        return ties

    def keep_ties(self, xs, kinks):
        """Move equal values together; what is still a kink then is a tie."""
        shifts = {}
        moved = []
        for x, k in zip(xs, kinks):
            x = x.copy()
            for at in np.argwhere(np.isin(x, x[k])):
                v = x[tuple(at)]
                if v not in shifts:
                    shifts[v] = self.nudged(np.asarray(v), True) - v
                x[tuple(at)] = v + shifts[v]
            moved.append(x)
        groups = []
        for v, shift in shifts.items():
            group = [x == v + shift for x in moved]
            if sum(int(part.sum()) for part in group) > 1:
                groups.append((moved, group))
        return moved, groups

    def nudged(self, x, where):
        size = 0.03 * np.maximum(np.abs(x), 0.1)
        step = size * self.rng.uniform(1, 2, x.shape)
        return np.where(where, x + step * self.rng.choice([-1.0, 1.0], x.shape), x)

    def compare(self):
        """Accuse, if an entry is wrong at every step size.

        Kinks of several right rules may cancel, as in relu(x) - relu(-x) at 0, where
        no rule is to blame: then the error is gone beside that point.
        """
        xs = self.pair.xs
        wrong = self.find_wrong(self.analytic, self.slopes)
        if not _any(wrong):
            return self.refuse_vacuous()
        if not (_is_nan(self.analytic) or self.pair.is_one_rule()):
            beside = self.measure([self.nudged(x, True) for x in xs])
            if not _any(self.find_wrong(*beside)):
                return
        if self.mode == "directional" and sum(x.size for x in xs) <= _LARGE:
            self.mode = "coords"
            entries = self.measure(xs)
            found = self.find_wrong(*entries)
            if _any(found):
                (self.analytic, self.slopes), wrong = entries, found
            else:
                self.mode = "directional"
        self.accuse(wrong)

    def find_wrong(self, analytic, slopes):
        return [
            s.confirm(a, s.disagrees(a, self.rtol), self.rtol)
            for a, s in zip(analytic, slopes)
        ]

    def tolerances(self, analytic):
        return [s.tolerance(a, self.rtol) for s, a in zip(self.slopes, analytic)]

    def is_flat(self):
        """Whether f does not move, or is nothing but rounding errors around 0."""
        return self.around.part > 1e-2 or all(s.is_flat() for s in self.slopes)

    def refuse_vacuous(self):
        if self.order == 1 and self.is_flat():
            raise VacuousCheck(
                f"gradcheck of {self.pair.name}: <g, f> does not change with any input "
                "(every slope is 0 within rounding), so no rule could fail. Is f "
                "constant here, or is g orthogonal to all its changes (g of ones under "
                "a softmax)? Give other inputs, or leave g to be drawn"
            )

    def accuse(self, wrong):
        r = self.report
        r.analytic, r.wrong = self.analytic, wrong
        r.numeric = [s.value for s in self.slopes]
        r.tolerance = self.tolerances(r.analytic)
        r.mode = self.mode
        r.elementwise = [self.is_elementwise(i) for i in range(len(wrong))]
        self.fail_if(diagnose(r))

    def is_elementwise(self, i):
        """Whether entries of f stay when others of the i-th input move."""
        xs, x = list(self.pair.xs), self.pair.xs[i]
        if x.shape != self.y.shape:
            return False
        y = self.pair.value(xs)
        for _ in range(3):
            moved = np.asarray(self.rng.random(x.shape) < 0.5)
            xs[i] = np.where(moved, x + 0.01 * x + 1e-3, x)
            if (self.pair.value(xs) != y)[~moved].any():
                return False
        return self.mode == "coords"

    def compare_ties(self, xs, group):
        """Equal entries moved together follow a smooth line, unlike each by itself."""
        known = self.pair.value(xs), self.g, self.around
        slope = joint(self.pair, xs, [part.astype(float) for part in group], *known)
        analytic = self.pull(xs)
        total = sum(float(a[part].sum()) for a, part in zip(analytic, group))
        total = np.asarray(total)
        if slope.kink or not slope.confirm(
            total, slope.disagrees(total, self.rtol), self.rtol
        ):
            return
        self.analytic = analytic
        self.slopes = [by_entry(self.pair, xs, i, *known) for i in range(len(xs))]
        r = self.report
        r.inputs = self.pair.plain(xs)
        r.analytic, r.numeric, r.wrong = analytic, [s.value for s in self.slopes], group
        r.tolerance = self.tolerances(analytic)
        if _is_nan(analytic):
            r.wrong = [~np.isfinite(a) for a in analytic]
            self.fail_if(diagnose(r))
        self.fail_if(tied(r, float(slope.value), float(total)))


def _any(masks):
    return any(mask.any() for mask in masks)


def _is_nan(arrays):
    return any(not np.isfinite(a).all() for a in arrays)


def _any_shared(arrays):
    arrays = [a for a in arrays if a is not None]
    return any(
        np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :]
    )
