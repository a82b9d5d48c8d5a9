"""What a failed check knows, and how it says it."""

from collections import namedtuple

import numpy as np

LETTERS = {
    "R": "constant ratio",
    "S": "sign",
    "T": "transposed or permuted",
    "H": "shape",
    "Z": "all zero",
    "N": "nan or inf",
    "G": "wrong in a region",
    "I": "broken sum rule",
    "X": "no simple pattern",
    "W": "numeric side",
    "B": "state",
}

Finding = namedtuple("Finding", "letter text hint")


class Report:
    """Both sides of a failed check, by float input, and the diagnosis.

    numeric, analytic, wrong (a mask), tolerance: lists over the float inputs, None
    if the check failed before they were known. names, inputs: all inputs; wrt: the
    places of the float ones. elementwise: whether each entry of f depends on one entry
    of that input. letter, diagnosis, hint: what it looks like.
    """

    numeric = analytic = wrong = tolerance = y = g = finding = None
    order, mode, shared, integers, elementwise = 1, "coords", False, (), ()

    def __init__(self, name, names, wrt, inputs):
        self.name, self.names, self.wrt, self.inputs = name, names, wrt, inputs

    letter = property(lambda self: self.finding.letter)
    diagnosis = property(lambda self: self.finding.text)
    hint = property(lambda self: self.finding.hint)

    def x(self, i):
        """The i-th float input."""
        return self.inputs[self.wrt[i]]

    def name_of(self, i):
        """Its name among the arguments of f."""
        return self.names[self.wrt[i]]

    def bad(self):
        """The float inputs whose gradient is wrong, the worst first."""
        bad = [i for i, w in enumerate(self.wrong) if w.any()]
        return sorted(bad, key=lambda i: -self.worst(i)[3])

    def worst(self, i):
        """(index, analytic, numeric, relative error) of the worst entry of input i."""
        a, n = self.analytic[i], self.numeric[i]
        off = np.where(self.wrong[i], np.abs(a - n), -1.0)
        off[self.wrong[i] & ~np.isfinite(a)] = np.inf
        at = np.unravel_index(np.argmax(off), off.shape) if off.ndim else ()
        a, n = float(a[at]), float(n[at])
        relative = abs(a - n) / max(abs(a), abs(n)) if np.isfinite(a) else np.inf
        return [int(k) for k in at], a, n, relative

    def __str__(self):
        what = f"gradcheck of {self.name}" + (" (order 2)" if self.order == 2 else "")
        lines = [f"{what} failed"]
        if self.wrong is not None:
            lines[0] += "; these are slopes of <g, f> for a random g:"
            lines += [self._line(i) for i in self.bad()]
        letter, text, hint = self.finding
        lines.append(f"Diagnosis {letter} ({LETTERS[letter]}): {text}.")
        lines.append(f"Look at: {hint}{'' if hint[-1] in '.?!' else '.'}")
        return "\n".join(lines)

    def _line(self, i):
        at, a, n, relative = self.worst(i)
        name, shape = self.name_of(i), np.shape(self.x(i))
        if self.mode == "directional":
            return (
                f"  gradient by {name} {shape}: along a random direction "
                f"analytic {a:.6g}, numeric {n:.6g}, relative error {relative:.1e}"
            )
        count = f"{int(self.wrong[i].sum())} of {self.wrong[i].size} entries wrong"
        return (
            f"  gradient by {name} {shape}: {count}, most at {at}: analytic {a:.6g}, "
            f"numeric {n:.6g}, relative error {relative:.1e}"
        )


def slack(r, i):
    """How far two sides may differ and still count as equal, for naming a pattern."""
    n = np.abs(r.numeric[i])
    return 3 * r.tolerance[i] + 1e-6 * n + 1e-8 * np.median(n)


def fits(r, i, guess):
    """Whether the analytic side of float input i is `guess`."""
    near = np.abs(r.analytic[i] - guess) <= slack(r, i) + 1e-6 * np.abs(guess)
    return bool(near.all())
