"""Slopes by centred differences, each with an estimate of its own error.

(f(x + h) - f(x - h)) / 2h is wrong by O(h^2) and by rounding / h. The same at 2h tells
how large the first is, the sizes of the values how large the second. If the estimate
is poor, other steps are tried and the best is kept. Where the slope to the left and
the slope to the right differ, and go on to differ as h shrinks, there is a kink.
"""

from typing import NamedTuple

import numpy as np

_EPS = np.finfo(np.float64).eps
_STEPS = (1e-5, 1e-6, 1e-4, 1e-7, 1e-3)  # times max(1, |x|)
_TINY_STEPS = (1e-3, 1e-5)  # times |x|, for entries near the edge of a domain
_WIDE = 1e-2
_GOOD = 1e-8  # an error below this part of the slope's terms is good enough
_SAFETY = 5.0  # how many estimated errors a rule may be away


class Slopes:
    """Arrays of one shape: value, error of the value, size of its terms, kink, step.

    size is sum |g dy/dx|, what the slope would be if nothing cancelled. lines[k] is
    the function that the k-th slope was taken of, to take it again.
    """

    def __init__(self, found, shape):
        self.lines = [s.pop("line") for s in found]
        for name in ("value", "error", "size", "kink", "step"):
            kind = bool if name == "kink" else float
            values = [s[name] for s in found]
            setattr(self, name, np.array(values, dtype=kind).reshape(shape))
        if self.error.size:  # one lucky agreement doesn't make a noisy f precise
            self.error = np.maximum(self.error, np.median(self.error))

    def tolerance(self, analytic, rtol):
        bound = rtol * (np.abs(analytic) + np.abs(self.value))
        return bound + _SAFETY * self.error + 1e-9 * self.size

    def disagrees(self, analytic, rtol):
        """Entries further from the numeric slope than both errors allow."""
        off = np.abs(analytic - self.value)
        return ~(off <= self.tolerance(analytic, rtol)) & ~self.kink

    def confirm(self, analytic, wrong, rtol):
        """The wrong entries that are wrong with other steps, too."""
        wrong = np.array(wrong)
        for at in np.argwhere(wrong):
            at = tuple(at)
            a = analytic[at]
            k = int(np.ravel_multi_index(at, wrong.shape)) if at else 0
            for scale in (3.0, 1 / 3):
                s = _secants(*self.lines[k], self.step[at] * scale)
                bound = rtol * (abs(a) + abs(s["value"])) + _SAFETY * s["error"]
                if np.isfinite(s["error"]) and abs(a - s["value"]) <= bound:
                    wrong[at] = False
        return wrong

    def is_vague(self):
        """Whether most slopes are known to five digits at best."""
        part = self.error[self.size > 0] / self.size[self.size > 0]
        return bool(part.size and np.median(part) > 3e-6)

    def is_flat(self):
        """Whether all slopes are 0 within their errors."""
        zero = _SAFETY * self.error + 1e-9 * self.size
        return bool((np.abs(self.value) <= zero).all())


class Scatter(NamedTuple):
    """noise: how far <g, f> scatters about a smooth line. size: sum |g f| nearby.

    stepped: whether most of f stays as it is when the inputs change by 1e-10.
    """

    noise: float = 0.0
    size: float = 0.0
    stepped: bool = False

    @property
    def part(self):
        """The noise as a part of the size."""
        return self.noise / self.size if self.size else 0.0


def scatter(pair, xs, us, g):
    """The Scatter of <g, f> near xs along us.

    Fourth differences leave nothing of a smooth function (Hamming, 1962, 6.4), and of
    others 1e-16 of the size in float64, 1e-8 in float32. Windows begin beside xs, on
    both sides and in two widths; the calmer half counts: a kink disturbs one side.
    """
    line = _line(pair, xs, dict(enumerate(us)))
    noise = []
    for h in (1e-6, 1e-7, -1e-6, -1e-7):
        d4 = np.diff([(g * line(k * h)).sum() for k in range(1, 10)], 4)
        noise.append(np.sqrt(np.mean(d4 * d4) / 70))
    far = _line(pair, xs, {k: np.sign(u) for k, u in enumerate(us)})
    sizes = [np.abs(g * far(t)).sum() for t in (0.0, 0.3, -0.3)]
    sizes = sorted(v for v in sizes if np.isfinite(v))  # f may be near 0 just at xs
    noise = sorted(v for v in noise if np.isfinite(v))[:2] or [0.0]
    size, whole = sizes[len(sizes) // 2], np.abs(g).sum()
    size = whole if size < 1e-13 * whole else size  # else f is rounding errors around 0
    noise = max(noise[-1], _EPS * size)
    return Scatter(noise, size, bool(np.mean(line(1e-10) == line(0.0)) > 0.5))


def by_entry(pair, xs, i, y, g, around=Scatter()):
    """d <g, f> by each entry of xs[i]. around: the Scatter of <g, f>."""
    x = xs[i]
    found = []
    for at in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[at] = 1.0
        found.append(_slope(_line(pair, xs, {i: unit}), y, g, around, abs(x[at])))
    return Slopes(found, x.shape)


def along(pair, xs, i, u, y, g, around=Scatter()):
    """d <g, f> as xs[i] moves along u."""
    return Slopes([_slope(_line(pair, xs, {i: u}), y, g, around, 1.0)], ())


def joint(pair, xs, us, y, g, around=Scatter()):
    """d <g, f> as all xs move, each along its u."""
    return Slopes([_slope(_line(pair, xs, dict(enumerate(us))), y, g, around, 1.0)], ())


def _line(pair, xs, us):
    def line(t):
        return pair.value([x + t * us[k] if k in us else x for k, x in enumerate(xs)])

    return line


def _slope(line, y, g, around, x):
    best = None
    steps = [h * max(1.0, x) for h in _STEPS]
    steps += [h * x for h in _TINY_STEPS if 0 < x < 1e-2]
    for h in steps:
        s = _secants(line, y, g, around, h)
        if best is None or s["error"] < best["error"]:
            best = s
        if s["error"] <= _GOOD * s["size"]:
            break
    best["kink"] = best["kink"] or not np.isfinite(best["error"])
    best["line"] = (line, y, g, around)
    return best


def _secants(line, y, g, around, h):
    """Slopes at steps h and 2h, to the left and to the right."""
    up, down, up2, down2 = line(h), line(-h), line(2 * h), line(-2 * h)
    change = g * (up - down)
    value = change.sum() / (2 * h)
    far = (g * (up2 - down2)).sum() / (4 * h)
    rounding = 4 * max(_EPS * np.abs(g * y)[change != 0].sum(), around.noise) / h
    if not change.any():  # no effect, or one too small to be seen: a wide step tells
        rounding = np.abs(g * (line(_WIDE) - line(-_WIDE))).sum() / _WIDE
    error = abs(value - far) + rounding + 1e-13 * around.size
    bend = (g * (up - 2 * y + down)).sum() / h  # right slope less left slope
    bend2 = (g * (up2 - 2 * y + down2)).sum() / (2 * h)
    size = np.abs(change).sum() / (2 * h)
    seen = abs(bend) > max(50 * rounding, 1e-7 * size)
    return {
        "value": value,
        "error": error if np.isfinite(error) else np.inf,
        "size": size,
        "kink": bool(seen and abs(bend) > 0.75 * abs(bend2)),
        "step": h,
    }
