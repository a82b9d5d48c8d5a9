"""Assignment 2: gradient checking.

You write the tool that tells right rules from wrong ones, and meet two rules that need
it. In this assignment f is a function that takes an array x and returns an array y; a
rule takes g, the slope of a loss by y in the shape of y, and returns the slope of the
loss by x in the shape of x. The loss itself is (g * y).sum().

NumPy is all you need. Check your work with `scratchnn check`.
"""

import numpy as np

### BEGIN TESTS
from scratchnn.course import task

### END TESTS


# ---- 2.1 ------------------------------------------------------------------------
def numeric_gradient(f, x, g, h):
    """The slope of (g * f(x)).sum() by each entry of x, by centred differences.

    For each entry: move it up by h and down by h, the others stay where they are, and
    divide the change of the loss by 2 h. f is called twice for each entry of x.

    f: takes an array in the shape of x and returns y, x: any shape, g: the shape of y,
    h: a number -> an array in the shape of x.
    """
    ### BEGIN SOLUTION
    slopes = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[at] = h
        slopes[at] = (g * (f(x + step) - f(x - step))).sum() / (2 * h)
    return slopes
    ### END SOLUTION


### BEGIN TESTS
NUMERIC = task(
    "2.1", "numeric_gradient", points=4,
    hint="for at in np.ndindex(x.shape) visits all entries; step[at] = h moves one",
)  # fmt: skip


def cubes(x):
    """x^3 and the sum of squares: each entry of x is felt in two places."""
    return np.append(x.ravel() ** 3, (x * x).sum())


def mixed(A):
    """x -> A x^2, whose centred differences are right at any h."""
    return lambda x: A @ (x * x)


@NUMERIC.value
def _(rng, n=3, d=2):
    """equals (g f(x + h) - g f(x - h)) / 2h for x^3"""
    x = rng.normal(size=(n, d))
    return cubes, x, rng.normal(size=n * d + 1), rng.uniform(0.1, 0.3)


@NUMERIC.gradient(
    forward=lambda x: mixed(np.array([[1.0, -2, 3], [4, 5, -6]]))(x),
    call=lambda numeric_gradient, g, x: numeric_gradient(
        mixed(np.array([[1.0, -2, 3], [4, 5, -6]])), x, g, 0.01
    ),
)
def _(rng, d=3):
    """is the rule of a function of second degree"""
    return rng.normal(size=d)


@NUMERIC.invariant
def _(numeric_gradient, rng):
    """calls f twice for each entry, in float64, one entry moved at a time"""
    x, seen = rng.normal(size=(2, 3)), []

    def f(v):
        seen.append(v)
        return v * v

    numeric_gradient(f, x, np.ones((2, 3)), 0.5)
    assert len(seen) == 12, f"x has 6 entries: 12 calls of f, yours makes {len(seen)}"
    kinds = {str(np.asarray(v).dtype) for v in seen}
    assert kinds == {"float64"}, f"f got {kinds.pop()}: check in float64"
    moved = {int((np.asarray(v) != x).sum()) for v in seen}
    assert moved == {1}, f"{max(moved)} entries differ from x in a call: move only one"


### END TESTS
### BEGIN HIDDEN TESTS
@NUMERIC.value
def _(rng, n=2, m=3, d=2):
    """also for three axes, and a softmax"""

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)

    shape = n, m, d
    h = rng.uniform(0.1, 0.3)
    return softmax, rng.normal(size=shape), rng.normal(size=shape), h


@NUMERIC.invariant
def _(numeric_gradient, rng):
    """x is as before, and so is g"""
    x, g = rng.normal(size=5), rng.normal(size=5)
    x_before, g_before = x.copy(), g.copy()
    numeric_gradient(np.sin, x, g, 0.1)
    assert (x == x_before).all(), "x must be left as it was: work on a copy of it"
    assert (g == g_before).all(), "g must be left as it was: make a new array"


def differences(f, x, g, h, one=None, width=2.0, kind=float, move=None):
    """numeric_gradient, with room for mistakes."""
    slopes = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[at if move is None else ...] = h
        up, down = f(x + step), f(x - step)
        up, down = {"left": (f(x), down), "right": (up, f(x))}.get(one, (up, down))
        slopes[at] = kind((g * (up - down)).sum() / (width * h))
    return slopes


def forgets_to_move_back(f, x, g, h):
    x, slopes = x.copy(), np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        x[at] += h
        up = f(x)
        x[at] -= 2 * h
        slopes[at] = (g * (up - f(x))).sum() / (2 * h)
    return slopes


NUMERIC.mistake(
    "one-sided", "one-sided: the error falls with h, centred with h squared: f(x - h)",
    lambda f, x, g, h: differences(f, x, g, h, one="right", width=1),
    lambda f, x, g, h: differences(f, x, g, h, one="left", width=1),
)  # fmt: skip
NUMERIC.mistake(
    "width", "from x - h to x + h it is 2 h: divide by that",
    lambda f, x, g, h: differences(f, x, g, h, width=1),
    lambda f, x, g, h: differences(f, x, g, h, one="right"),
    lambda f, x, g, h: differences(f, x, g, h, one="left"),
    lambda f, x, g, h: differences(f, x, g, h) * h * h,
    lambda f, x, g, h: differences(f, x, g, h) * 2 * h,
)  # fmt: skip
NUMERIC.mistake(
    "M17", "the loss is (g * y).sum(): weigh the changes of y by g",
    lambda f, x, g, h: differences(f, x, 1.0, h),
    lambda f, x, g, h: differences(f, x, 1.0, h) * g.sum(),
    lambda f, x, g, h: differences(f, x, 1.0, h) * g[: x.size].reshape(x.shape),
)  # fmt: skip
NUMERIC.mistake(
    "all at once", "move one entry at a time: step is 0 but for one entry",
    lambda f, x, g, h: differences(f, x, g, h, move=all),
    lambda f, x, g, h: g * (f(x + h) - f(x - h)) / (2 * h),
)  # fmt: skip
NUMERIC.mistake(
    "left moved", "an entry that was moved must go back to where it was",
    forgets_to_move_back,
    lambda f, x, g, h: np.array([
        (g * (f(np.where(np.arange(x.size) < k, x.ravel() + h, x.ravel())
                .reshape(x.shape))
              - f(x))).sum() / h
        for k in range(1, x.size + 1)
    ]).reshape(x.shape),
)  # fmt: skip
NUMERIC.mistake(
    "M31", "an array of whole numbers cuts off what is behind the point",
    lambda f, x, g, h: differences(f, x, g, h, kind=int),
    lambda f, x, g, h: differences(f, x, g, h, kind=int).astype(int),
)  # fmt: skip
NUMERIC.mistake(
    "minus", "up minus down, not down minus up",
    lambda f, x, g, h: -differences(f, x, g, h),
)  # fmt: skip
NUMERIC.mistake(
    "M33", "float32 has 7 digits, and a difference loses most of them: use float64",
    lambda f, x, g, h: differences(
        lambda v: f(v.astype(np.float32)).astype(np.float64), x, g, h
    ),
    lambda f, x, g, h: differences(f, x, g, h).astype(np.float32),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 2.2 ------------------------------------------------------------------------
def relative_error(analytic, numeric):
    """How far two gradients are apart: the largest error of an entry, by its size.

    For entries a and n it is |a - n| / max(|a|, |n|), and 0 where both are 0.

    analytic, numeric: one shape, any -> one number.
    """
    ### BEGIN SOLUTION
    size = np.maximum(np.abs(analytic), np.abs(numeric))
    apart = np.abs(analytic - numeric)
    return float((apart / np.where(size == 0, 1, size)).max())
    ### END SOLUTION


### BEGIN TESTS
ERROR = task(
    "2.2", "relative_error", points=3,
    hint="np.maximum compares entry by entry; where it is 0, divide by 1 instead",
)  # fmt: skip


def two_gradients(rng, n, d, part):
    """Two gradients of all sizes, apart by a part of each entry; a zero in both."""
    a = 10.0 ** rng.uniform(-9, 3, (n, d)) * rng.choice([-1.0, 1.0], (n, d))
    a[rng.random((n, d)) < 0.2] = 0.0
    return a, a * (1 + part * rng.uniform(-1, 1, (n, d)))


@ERROR.value
def _(rng, n=5, d=3):
    """for gradients of all sizes, a little apart"""
    return two_gradients(rng, n, d, 10.0 ** rng.uniform(-4, -1))


@ERROR.value
def _(rng, n=5, d=3):
    """for gradients that have nothing in common"""
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


@ERROR.invariant
def _(relative_error, rng):
    """small gradients are judged as large ones are"""
    a, n = rng.normal(size=5), rng.normal(size=5)
    one, tiny = relative_error(a, n), relative_error(1e-9 * a, 1e-9 * n)
    same = np.isclose(one, tiny, rtol=1e-6)
    assert same, f"{one:.3g}, and for both times 1e-9: {tiny:.3g}; must be the same"


@ERROR.invariant
def _(relative_error, rng):
    """0 for equal gradients, entries of 0 among them"""
    a = np.array([0.5, 0.0, -2.0])
    error = relative_error(a, a.copy())
    assert error == 0, f"equal gradients are 0 apart, yours says {error}"


### END TESTS
### BEGIN HIDDEN TESTS
@ERROR.gradient(backward=lambda g, a, n: slopes_of_error(g, a, n))
def _(rng, n=5, d=3):
    """its slopes, which only the worst entry has"""
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


def slopes_of_error(g, a, n):
    da, dn = np.zeros_like(a), np.zeros_like(n)
    at = np.unravel_index(np.argmax(np.abs(a - n) / np.fmax(abs(a), abs(n))), a.shape)
    large, small = (a[at], n[at]) if abs(a[at]) > abs(n[at]) else (n[at], a[at])
    by_small, by_large = -1 / large, small / large**2  # of |1 - small / large|
    if small / large > 1:
        by_small, by_large = -by_small, -by_large
    first = abs(a[at]) > abs(n[at])
    da[at], dn[at] = (by_large, by_small) if first else (by_small, by_large)
    return g * da, g * dn


@ERROR.value
def _(rng, n=7):
    """for one wrong entry, a small one, among many right ones"""
    a, at = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3, n), rng.integers(n)
    a[at] = 1e-9
    b = a.copy()
    b[at] *= -1.5
    return a, b


@ERROR.invariant
def _(relative_error, rng):
    """the same if the two change places"""
    a, n = rng.normal(size=5), rng.normal(size=5)
    same = np.isclose(relative_error(a, n), relative_error(n, a))
    assert same, "relative_error(a, n) and relative_error(n, a) must be the same"


def apart(a, n):
    return np.abs(a - n)


ERROR.mistake(
    "M37", "an absolute difference: divide by the size of the entry",
    lambda a, n: apart(a, n).max(),
    lambda a, n: apart(a, n).sum(),
    lambda a, n: apart(a, n).mean(),
    lambda a, n: np.sqrt(((a - n) ** 2).sum()),
)  # fmt: skip
ERROR.mistake(
    "by one", "divide by the larger of the two, max(|a|, |n|): then no side is special",
    lambda a, n: (apart(a, n) / np.where(n == 0, 1, np.abs(n))).max(),
    lambda a, n: (apart(a, n) / np.where(a == 0, 1, np.abs(a))).max(),
    lambda a, n: (apart(a, n) / np.abs(n)).max(),
    lambda a, n: (apart(a, n) / np.abs(a)).max(),
    lambda a, n: np.nanmax(apart(a, n) / np.abs(n)),
    lambda a, n: np.nanmax(apart(a, n) / np.abs(a)),
)  # fmt: skip
ERROR.mistake(
    "zero", "0/0 is nan: where both entries are 0, the error is 0",
    lambda a, n: (apart(a, n) / np.maximum(np.abs(a), np.abs(n))).max(),
)  # fmt: skip
ERROR.mistake(
    "sum", "here the size is the larger of the two, not their sum",
    lambda a, n: relative_by(a, n, np.abs(a) + np.abs(n)),
    lambda a, n: (apart(a, n) / (np.abs(a) + np.abs(n))).max(),
    lambda a, n: relative_by(a, n, (np.abs(a) + np.abs(n)) / 2),
)  # fmt: skip
ERROR.mistake(
    "sign", "gradients have both signs: take np.abs of each before comparing sizes",
    lambda a, n: relative_by(a, n, np.maximum(a, n)),
    lambda a, n: relative_by(a, n, np.abs(a + n)),
    lambda a, n: relative_by(a, n, a + n),
    lambda a, n: ((a - n) / safe(np.maximum(np.abs(a), np.abs(n)))).max(),
    lambda a, n: (apart(a, n) / np.maximum(a, n)).max(),
)  # fmt: skip
ERROR.mistake(
    "mean", "the worst entry counts: max. A mean hides it",
    lambda a, n: (apart(a, n) / safe(np.maximum(np.abs(a), np.abs(n)))).mean(),
    lambda a, n: (apart(a, n) / safe(np.maximum(np.abs(a), np.abs(n)))).sum(),
)  # fmt: skip
ERROR.mistake(
    "norms", "each entry by its own size: one large entry hides errors in small ones",
    lambda a, n: apart(a, n).max() / safe(max(np.abs(a).max(), np.abs(n).max())),
    lambda a, n: apart(a, n).max() / np.abs(n).max(),
    lambda a, n: apart(a, n).max() / np.abs(a).max(),
    lambda a, n: apart(a, n).max() / max(np.abs(a).max(), np.abs(n).max()),
    lambda a, n: apart(a, n).sum() / (np.abs(a) + np.abs(n)).sum(),
    lambda a, n: norm(a - n) / norm(n),
    lambda a, n: norm(a - n) / (norm(a) + norm(n)),
    lambda a, n: norm(a - n) / max(norm(a), norm(n)),
    lambda a, n: norm(a - n) / safe(max(norm(a), norm(n))),
    lambda a, n: norm(a - n) / safe(norm(a) + norm(n)),
    lambda a, n: norm(a - n) / safe(norm(n)),
    lambda a, n: norm(a - n) / safe(norm(a)),
)  # fmt: skip
ERROR.mistake(
    "entries", "one number for all entries: the largest",
    lambda a, n: apart(a, n) / safe(np.maximum(np.abs(a), np.abs(n))),
)  # fmt: skip
for eps in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16):
    ERROR.mistake(
        "eps", "a constant below the line makes small gradients look right: no eps",
        lambda a, n, eps=eps: relative_by(a, n, np.fmax(abs(a), abs(n)) + eps),
        lambda a, n, eps=eps: relative_by(a, n, abs(a) + abs(n) + eps),
    )  # fmt: skip
for eps in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8):  # smaller ones are as good as none
    ERROR.mistake(
        "eps", "a constant below the line makes small gradients look right: no eps",
        lambda a, n, eps=eps: relative_by(a, n, np.fmax(np.fmax(abs(a), abs(n)), eps)),
    )  # fmt: skip


def safe(size):
    return np.where(size == 0, 1, size)


def norm(a):
    return np.sqrt((a * a).sum())


def relative_by(a, n, size):
    return (apart(a, n) / safe(size)).max()


### END HIDDEN TESTS
# ---- 2.3 ------------------------------------------------------------------------
def check(f, rule, x, g):
    """Whether rule(g, x) is the gradient of (g * f(x)).sum() by x: True or False.

    True if rule(g, x) has the shape of x and its relative error against the numeric
    gradient with h = 1e-5 is below 1e-6. rule is called once.

    f: x -> y, rule: (g, x) -> the slope by x, x: any shape, g: the shape of y.
    """
    ### BEGIN SOLUTION
    analytic = rule(g, x)
    if analytic.shape != x.shape:
        return False
    return relative_error(analytic, numeric_gradient(f, x, g, 1e-5)) < 1e-6
    ### END SOLUTION


### BEGIN TESTS
CHECK = task(
    "2.3", "check", points=4, needs=["2.1", "2.2"],
    hint="one call of the rule, one of numeric_gradient; the shape decides first",
)  # fmt: skip


def squares(x):
    """x^2 and its sum by rows, side by side: (n, d) -> (n, d + 1)."""
    return np.concatenate([x * x, (x * x).sum(axis=1, keepdims=True)], axis=1)


def squares_rule(g, x):
    """The right one."""
    return 2 * x * (g[:, :-1] + g[:, -1:])


def half(g, x):
    """Half of it."""
    return x * (g[:, :-1] + g[:, -1:])


def minus(g, x):
    """With the wrong sign."""
    return -squares_rule(g, x)


def no_g(g, x):
    """Without what arrives."""
    return squares_rule(np.ones_like(g), x)


def one_wrong(g, x):
    """Right but for one entry."""
    wrong = squares_rule(g, x)
    wrong[-1, 0] += 1e-3
    return wrong


def a_part_in_1000(g, x):
    """Too large by a part in 1000."""
    return 1.001 * squares_rule(g, x)


def summed(g, x):
    """Summed over the rows: of another shape, which NumPy would stretch."""
    return squares_rule(g, x).sum(axis=0)


WRONG = half, minus, no_g, one_wrong, a_part_in_1000, summed


def positive(rng, n, d):
    """x, and a g that is not all ones."""
    return rng.uniform(0.5, 2, (n, d)), rng.uniform(0.5, 2, (n, d + 1))


@CHECK.value
def _(rng, n=3, d=2):
    """lets a right rule through"""
    return squares, squares_rule, *positive(rng, n, d)


for wrong in WRONG:

    @CHECK.value
    def _(rng, n=3, d=2, wrong=wrong):
        """refuses a wrong rule"""
        return squares, wrong, *positive(rng, n, d)


def tiny(x):
    """A billionth of squares."""
    return 1e-9 * squares(x)


@CHECK.value
def _(rng, n=3, d=2):
    """refuses a wrong rule of tiny slopes"""
    rule = lambda g, x: 1e-9 * half(g, x)
    return tiny, rule, *positive(rng, n, d)


@CHECK.value
def _(rng, n=3, d=2):
    """lets a right rule of tiny slopes through"""
    rule = lambda g, x: 1e-9 * squares_rule(g, x)
    return tiny, rule, *positive(rng, n, d)


@CHECK.gradient(
    forward=squares,
    call=lambda check, g, x: next(
        (rule(g, x) for rule in (*WRONG, squares_rule) if check(squares, rule, x, g)),
        np.zeros_like(x),
    ),
)
def _(rng, n=3, d=2):
    """the first of seven rules that it lets through is right"""
    return rng.uniform(0.5, 2, (n, d))


@CHECK.invariant
def _(check, rng):
    """calls the rule once, and f twice for each entry"""
    calls = {"f": 0, "rule": 0}

    def f(x):
        calls["f"] += 1
        assert x.dtype == np.float64, f"f got {x.dtype}: differences need float64"
        return squares(x)

    def rule(g, x):
        calls["rule"] += 1
        return squares_rule(g, x)

    check(f, rule, *positive(rng, 2, 3))
    assert calls["rule"] == 1, f"the rule is called {calls['rule']} times, expected 1"
    assert calls["f"] == 12, f"f is called {calls['f']} times, expected 2 for an entry"


### END TESTS
### BEGIN HIDDEN TESTS
@CHECK.value
def _(rng, n=3, d=2):
    """refuses the elementwise rule of a softmax"""
    y = lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    rule = lambda g, x: g * y(x) * (1 - y(x))
    d = max(d, 2)  # of one class a softmax is constant
    return y, rule, rng.normal(size=(n, d)), rng.normal(size=(n, d))


@CHECK.value
def _(rng, n=3, d=2):
    """refuses a rule that is nan"""
    return squares, lambda g, x: x * np.nan, *positive(rng, n, d)


@CHECK.invariant
def _(check, rng):
    """tries the rule with the g it is given"""
    seen = []

    def rule(g, x):
        seen.append(g)
        return squares_rule(g, x)

    x, g = positive(rng, 2, 3)
    check(squares, rule, x, g)
    assert np.array_equal(seen[0], g), "the rule must get g: ones instead hide mistakes"


def judge(f, rule, x, g, error, bound=1e-6, of=None, shape=True):
    """check, with room for mistakes."""
    a = rule(g, x)
    if shape and a.shape != x.shape:
        return False
    n = differences(f, x, g if of is None else of, 1e-5)
    return bool(error(a, n) < bound)


CHECK.mistake(
    "M37", "green for any rule whose slopes are tiny: compare the relative error",
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: apart(a, n).max()),
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: apart(a, n).max(), 1e-4),
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: apart(a, n).max(), 1e-5),
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: apart(a, n).mean()),
    lambda f, rule, x, g: np.allclose(rule(g, x), differences(f, x, g, 1e-5)),
)  # fmt: skip
CHECK.mistake(
    "shape", "NumPy stretches a gradient of the wrong shape: compare shapes first",
    lambda f, rule, x, g: judge(f, rule, x, g, relative_error, shape=False),
)  # fmt: skip
CHECK.mistake(
    "ones", "with a g of ones a rule that forgets g is right: use the g you are given",
    lambda f, rule, x, g: judge(f, rule, x, np.ones_like(g), relative_error),
    lambda f, rule, x, g: judge(f, rule, x, g, relative_error, of=np.ones_like(g)),
)  # fmt: skip
CHECK.mistake(
    "loose", "the bound is 1e-6: at 1e-2 a rule that is wrong by a part in 1000 passes",
    lambda f, rule, x, g: judge(f, rule, x, g, relative_error, 1e-2),
)  # fmt: skip
CHECK.mistake(
    "sign", "errors have both signs: without np.abs a rule that is too small passes",
    lambda f, rule, x, g: judge(
        f, rule, x, g, lambda a, n: ((a - n) / np.fmax(abs(a), abs(n))).max()
    ),
)  # fmt: skip
CHECK.mistake(
    "mean", "the worst entry counts: a mean or a sum hides one wrong entry",
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: abs(a.sum() - n.sum())),
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: apart(a, n).flat[0]),
    lambda f, rule, x, g: judge(f, rule, x, g, lambda a, n: apart(a, n).min()),
)  # fmt: skip
CHECK.mistake(
    "always", "it lets every rule through: is the comparison left out?",
    lambda f, rule, x, g: True,
)  # fmt: skip
CHECK.mistake(
    "M33", "it refuses right rules, too: float64? the same noise? centred, h = 1e-5?",
    lambda f, rule, x, g: False,
    lambda f, rule, x, g: judge(f, rule, x, g, relative_error, 1e-12),
)  # fmt: skip
CHECK.mistake(
    "turned", "True means that the rule is right: the error is small, <",
    lambda f, rule, x, g: not judge(f, rule, x, g, relative_error),
)  # fmt: skip
CHECK.mistake(
    "error", "the answer is True or False: compare the error with 1e-6",
    lambda f, rule, x, g: relative_error(rule(g, x), differences(f, x, g, 1e-5)),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 2.4 ------------------------------------------------------------------------
def softmax_rule(g, y):
    """The rule of a softmax over rows, by its output y: return dx.

    y[i, j] = exp(x[i, j]) / sum_k exp(x[i, k]), so dy_j/dx_k = y_j (1[j = k] - y_k).

    g, y: (n, C) -> dx: (n, C).
    """
    ### BEGIN SOLUTION
    return y * (g - (g * y).sum(axis=1, keepdims=True))
    ### END SOLUTION


### BEGIN TESTS
SOFTMAX = task(
    "2.4", "softmax_rule", points=3,
    hint="dx_k = sum_j g_j dy_j/dx_k: write out the sum, its second part is one number",
)  # fmt: skip


def probabilities(x):
    """Rows of positive numbers that sum to 1."""
    return np.exp(x) / np.einsum("nk -> n", np.exp(x))[:, None]


@SOFTMAX.gradient(
    forward=probabilities,
    call=lambda softmax_rule, g, x: softmax_rule(g, probabilities(x)),
)
def _(rng, n=5, C=3):
    """the slopes of a softmax"""
    return rng.normal(size=(n, C))


@SOFTMAX.value
def _(rng, n=5, C=3):
    """equals a loop over all pairs of classes"""
    return rng.normal(size=(n, C)), probabilities(2 * rng.normal(size=(n, C)))


@SOFTMAX.invariant
def _(softmax_rule, rng):
    """rows of dx sum to 0: a softmax doesn't feel a number added to a whole row"""
    y = probabilities(rng.normal(size=(5, 3)))
    sums = np.abs(softmax_rule(rng.normal(size=(5, 3)), y).sum(axis=1)).max()
    assert sums < 1e-12, (
        f"rows of dx sum to up to {sums:.2g} for 0: every output of a row depends on "
        "every input of that row"
    )


### END TESTS
### BEGIN HIDDEN TESTS
@SOFTMAX.value
def _(rng, n=7, C=11):
    """for other sizes, and less even probabilities"""
    return rng.normal(size=(n, C)), probabilities(3 * rng.normal(size=(n, C)))


@SOFTMAX.invariant
def _(softmax_rule, rng):
    """rows do not feel each other"""
    y, g = probabilities(rng.normal(size=(5, 3))), rng.normal(size=(5, 3))
    whole, row = softmax_rule(g, y), softmax_rule(g[2:3], y[2:3])
    assert np.allclose(whole[2:3], row), "a row's dx changes when other rows are there"


COUPLED = "every output depends on every input of its row: subtract the sum of g y"
SOFTMAX.mistake(
    "M43", COUPLED,
    lambda g, y: g * y * (1 - y),
    lambda g, y: y * (g - g * y),
    lambda g, y: g * (y - y * y),
)  # fmt: skip
SOFTMAX.mistake(
    "M45", "sum over the classes of a row, axis 1, not over the batch",
    lambda g, y: y * (g - (g * y).sum(0)),
    lambda g, y: y * (g - (g * y).sum(axis=0, keepdims=True)),
    lambda g, y: y * (g - (g * y).sum()),
)  # fmt: skip
SOFTMAX.mistake(
    "M11", "put the lost axis back: keepdims=True, or [:, None]",
    lambda g, y: y * (g - (g * y).sum(1)),
)  # fmt: skip
SOFTMAX.mistake(
    "half", "two parts: g y, less y times the sum of g y over the row",
    lambda g, y: g * y,
    lambda g, y: y * (g - g.sum(1, keepdims=True)),
    lambda g, y: g - (g * y).sum(1, keepdims=True),
    lambda g, y: g * y - (g * y).sum(1, keepdims=True),
    lambda g, y: y * (g + (g * y).sum(1, keepdims=True)),
    lambda g, y: y * (g - y * g.sum(1, keepdims=True)),
)  # fmt: skip
SOFTMAX.mistake(
    "mean", "a sum over the classes: a mean is C times less",
    lambda g, y: y * (g - (g * y).mean(1, keepdims=True)),
    lambda g, y: y * (g - (g * y).sum(1, keepdims=True)) / len(y),
)  # fmt: skip
SOFTMAX.mistake(
    "M17", "chain rule: multiply by what arrives, g",
    lambda g, y: y * (1 - y),
    lambda g, y: y * (1 - (y * y).sum(1, keepdims=True)),
    lambda g, y: softmax_rule(np.ones_like(g), y),
    lambda g, y: y * (1 - y.sum(1, keepdims=True)),
)  # fmt: skip
SOFTMAX.mistake(
    "M27", "y is the softmax already: do not apply it twice",
    lambda g, y: softmax_rule(g, probabilities(y)),
)  # fmt: skip
SOFTMAX.mistake(
    "minus", "the sign: dx_j/dx_j is y (1 - y), above 0",
    lambda g, y: -softmax_rule(g, y),
)  # fmt: skip
SOFTMAX.mistake(
    "label", "g is any slope, not a label: y - t is for a cross-entropy",
    lambda g, y: y - g,
    lambda g, y: g - y,
)  # fmt: skip


### END HIDDEN TESTS
# ---- 2.5 ------------------------------------------------------------------------
def trust(f, rule, x):
    """Whether a rule is right, tried with a g of our own. It has a bug: find it.

    The function draws what it needs and calls check. It lets all right rules through,
    but some wrong ones, too: that which forgets g, and any rule at all of a softmax
    that returns zeros. One line must change.

    f: x -> y, rule: (g, x) -> the slope by x, x: any shape -> True or False.
    """
    y = f(x)
    rng = np.random.default_rng(0)
    """ # BEGIN PROMPT
    g = rng.normal() * np.ones(y.shape)
    """  # END PROMPT
    # BEGIN SOLUTION NO PROMPT
    g = rng.normal(size=y.shape)
    # END SOLUTION
    return check(f, rule, x, g)


### BEGIN TESTS
TRUST = task(
    "2.5", "trust", points=3, needs=["2.3"],
    hint="what does g look like? Rows of a softmax sum to 1 whatever x is",
)  # fmt: skip


def probabilities_rule(g, x):
    """The right one."""
    y = probabilities(x)
    return g * y - y * np.einsum("nk, nk -> n", g, y)[:, None]


def scaled(x):
    """2 x and 3 x side by side."""
    return np.concatenate([2 * x, 3 * x], axis=1)


def scaled_rule(g, x):
    """The right one."""
    n = x.shape[1]
    return 2 * g[:, :n] + 3 * g[:, n:]


def zeros(g, x):
    """Zeros."""
    return np.zeros_like(x)


def halves_swapped(g, x):
    """2 and 3 meet the wrong halves of g."""
    n = x.shape[1]
    return 3 * g[:, :n] + 2 * g[:, n:]


@TRUST.value
def _(rng, n=5, C=3):
    """lets the right rule of a softmax through"""
    return probabilities, probabilities_rule, rng.normal(size=(n, max(C, 2)))


@TRUST.value
def _(rng, n=5, C=3):
    """refuses zeros as the rule of a softmax"""
    return probabilities, zeros, rng.normal(size=(n, max(C, 2)))


@TRUST.value
def _(rng, n=5, d=3):
    """refuses halves of g that are swapped"""
    return scaled, halves_swapped, rng.normal(size=(n, d))


@TRUST.gradient(
    forward=scaled,
    call=lambda trust, g, x: next(
        (r(g, x) for r in (zeros, halves_swapped, scaled_rule) if trust(scaled, r, x)),
        np.full_like(x, np.nan),
    ),
)
def _(rng, n=5, d=3):
    """the first of three rules that it lets through is right"""
    return rng.normal(size=(n, d))


@TRUST.invariant
def _(trust, rng):
    """g has no two equal entries"""
    seen = []

    def rule(g, x):
        seen.append(np.asarray(g))
        return scaled_rule(g, x)

    trust(scaled, rule, rng.normal(size=(5, 3)))
    few = len(np.unique(seen[0]))
    assert few == 30, f"g has 30 entries, and only {few} different numbers among them"


### END TESTS
### BEGIN HIDDEN TESTS
@TRUST.value
def _(rng, n=7, C=5):
    """refuses the elementwise rule of a softmax"""
    rule = lambda g, x: g * probabilities(x) * (1 - probabilities(x))
    return probabilities, rule, rng.normal(size=(n, max(C, 2)))


@TRUST.value
def _(rng, n=7, d=5):
    """refuses a rule that forgets g"""
    rule = lambda g, x: 5 * np.ones_like(x)
    return scaled, rule, rng.normal(size=(n, d))


ONES = "all entries of g are the same: with it zeros are right for a softmax. Draw each"
TRUST.mistake(
    "ones", ONES,
    lambda f, rule, x: check(f, rule, x, np.full(f(x).shape, 0.12573022)),
    lambda f, rule, x: check(f, rule, x, np.ones(f(x).shape)),
)  # fmt: skip
TRUST.mistake(
    "zero", "a g of zeros is right for every rule that is linear in g",
    lambda f, rule, x: check(f, rule, x, np.zeros(f(x).shape)),
)  # fmt: skip
TRUST.mistake(
    "always", "it says the same of every rule",
    lambda f, rule, x: True,
    lambda f, rule, x: False,
)  # fmt: skip
TRUST.mistake(
    "shape", "g has the shape of y, not of x",
    lambda f, rule, x: check(f, rule, x, drawn(*x.shape)),
)  # fmt: skip


def drawn(*shape):
    return np.random.default_rng(0).normal(size=shape)


### END HIDDEN TESTS
