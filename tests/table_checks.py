"""What is asked of every op: a `check_` function takes a row of the table (and the
number of one of its examples) and fails if something is wrong.

test_table.py runs them over the table, and shows that each catches what it is for.
"""

import copy
import inspect
import itertools
import zlib

import numpy as np

import scratchnn
from scratchnn import Tensor, grad, kernels, no_grad
from scratchnn.ops.examples import drawn


# ---- an example as a function of its float inputs -------------------------------
def tree_map(f, x):
    """f applied to the arrays in nested tuples, lists, dicts and slices."""
    if isinstance(x, (tuple, list)):
        return type(x)(tree_map(f, v) for v in x)
    if isinstance(x, dict):
        return {k: tree_map(f, v) for k, v in x.items()}
    return f(x) if isinstance(x, np.ndarray) else x


def arrays_in(x):
    """The arrays and Tensors in nested tuples and lists, in order."""
    if isinstance(x, (tuple, list)):
        return [leaf for v in x for leaf in arrays_in(v)]
    return [x] if hasattr(x, "dtype") else []


class Example:
    """One example as `ys = f(xs)`: float inputs to float outputs, all else fixed.

    Arrays are read-only: an op that writes to its input raises. `change` is applied
    to every array first (to move it to a device, say).
    """

    def __init__(self, entry, i, dtype=np.float64, change=lambda x: x):
        self.entry = entry
        self.rng = np.random.default_rng([zlib.crc32(entry.name.encode()), i])
        args, params = entry.examples[i]

        def prepare(x):
            x = change(x.astype(dtype) if x.dtype.kind == "f" else x)
            if isinstance(x, np.ndarray):
                x.flags.writeable = False
            return x

        self.args = tree_map(prepare, tree_map(np.array, drawn(args, self.rng)))
        self.params = tree_map(prepare, tree_map(np.array, params))
        n = len(args) if entry.variadic or entry.is_composite else entry.n
        self.xs = [x for x in arrays_in(self.args[:n]) if x.dtype.kind == "f"]

    def outputs(self, xs):
        """All outputs with the float inputs replaced by xs (arrays or Tensors)."""
        new = iter(xs)
        fixed = {id(x) for x in self.xs}

        def put(x):
            if isinstance(x, (tuple, list)):
                return type(x)(put(v) for v in x)
            return next(new) if id(x) in fixed else x

        params = {
            k: copy.deepcopy(v) if isinstance(v, np.random.Generator) else v
            for k, v in self.params.items()
        }
        return arrays_in((self.entry.call(*put(self.args), **params),))

    def __call__(self, xs):
        return [y for y in self.outputs(xs) if y.dtype.kind == "f"]

    def cotangents(self, change=lambda x: x):
        """A random gradient for each output: constant ones would miss many a bug."""
        if not self.xs:
            return []
        shapes = [(y.shape, y.dtype) for y in self(self.xs)]
        draws = [self.rng.standard_normal(s).astype(d) for s, d in shapes]
        return [change(np.asarray(g)) for g in draws]

    def has_rule(self, k):
        """Whether the op claims a derivative by its k-th float input."""
        rules = self.entry.rules
        if not isinstance(rules, tuple) or not rules:
            return True
        place = [
            j for j, a in enumerate(self.args) for x in arrays_in(a) if x is self.xs[k]
        ]
        return rules[place[0]] is not None


def pull_back(f, xs, gs, wrap=lambda g: g):
    """The gradients by xs of sum_k <g_k, y_k>, ys = f(xs), and the Tensors they are."""
    total = [None] * len(xs)
    for y, g in zip(f(xs), gs):
        if y.requires_grad:
            for k, gx in enumerate(grad(y, xs, g=wrap(g), allow_unused=True)):
                total[k] = gx if total[k] is None else total[k] + gx
    return [np.zeros_like(x.data) if t is None else t for x, t in zip(xs, total)]


def plain(x):
    return x.data if isinstance(x, Tensor) else x


def gradients(f, xs, gs):
    """First derivatives, as arrays."""
    with no_grad():
        leaves = recorded(f, xs)
        return [plain(t) for t in pull_back(*leaves, gs)]


def recorded(f, xs):
    """f as a function that records, and leaves to call it with."""

    def recording(xs):
        token = scratchnn.recording._mode.set(True)
        try:
            return f(xs)
        finally:
            scratchnn.recording._mode.reset(token)

    return recording, [Tensor(x, requires_grad=True) for x in xs]


def second_gradients(f, xs, gs, us):
    """The gradients by xs and by gs of sum_k <u_k, gradient by x_k>, as arrays."""
    leaves = [Tensor(v, requires_grad=True) for v in (*xs, *gs)]
    n = len(xs)

    def first(leaves):
        return [
            t if isinstance(t, Tensor) else Tensor(t)
            for t in pull_back(f, leaves[:n], leaves[n:])
        ]

    return [plain(t) for t in pull_back(first, leaves, us)]


# ---- the gradient checker -------------------------------------------------------
STEP = 1e-5


def check_against_differences(f, xs, us, analytic, claimed):
    """Compare the gradients of L(xs) = sum_k <u_k, f(xs)_k> with centred differences.

    The difference (L(x + h d) - L(x - h d)) / 2h is off by h^2/6 L''' and by about
    eps L / h: both 1e-10 for L''' and L of order 1. The tolerance, 1e-6 of the largest
    entry, leaves room for L''' of 10,000. `claimed[k]`: whether a derivative by
    input k exists; without one both sides must be zero. Returns the inputs at which
    both were zero, and refuses that as vacuous where a derivative is claimed.
    """
    rng = np.random.default_rng(0)

    def slope(k, d):
        def loss(sign):
            moved = [*xs[:k], xs[k] + sign * STEP * d, *xs[k + 1 :]]
            return sum(float(np.vdot(u, y)) for u, y in zip(us, f(moved)))

        return (loss(1) - loss(-1)) / (2 * STEP)

    zero = []
    for k, (x, a) in enumerate(zip(xs, analytic)):
        assert a.shape == x.shape, f"input {k}: gradient {a.shape} of x {x.shape}"
        close = 1e-6 * (1 + np.abs(a).max(initial=0))
        for j in rng.permutation(x.size)[:64]:
            d = np.zeros(x.shape)
            d.flat[j] = 1
            numeric = slope(k, d)
            assert abs(numeric - a.flat[j]) < close, (
                f"input {k} at {np.unravel_index(j, x.shape)}: the rule gives "
                f"{a.flat[j]}, differences {numeric}"
            )
        if not a.any():
            zero.append(k)
            assert not claimed[k], f"input {k}: vacuous check, the gradient is all zero"
            continue
        d = telling_direction(a, rng)
        numeric, exact = slope(k, d), float(np.vdot(a, d))
        assert abs(numeric - exact) < close * np.sqrt(x.size), (
            f"input {k} along a random direction: {exact} by rule, {numeric} by "
            "differences"
        )
    return zero


def telling_direction(a, rng):
    """A random direction d with <a, d> at least |a| / 10: others would test nothing."""
    while True:
        d = rng.standard_normal(a.shape)
        if abs(np.vdot(a, d)) > 0.1 * np.linalg.norm(a):
            return d


# ---- what is asked of each op ---------------------------------------------------
def check_documented(entry):
    text = inspect.getdoc(entry.call) or ""
    assert text.split("\n")[0].strip(), f"{entry.name} has no docstring"
    assert text.strip() not in (entry.name, f"{entry.name}."), "only its own name"
    assert entry.examples, f"{entry.name} has no example"


def check_first_order(entry, i):
    f = Example(entry, i)
    gs = f.cotangents()
    claimed = [f.has_rule(k) for k in range(len(f.xs))]
    if gs:
        check_against_differences(f, f.xs, gs, gradients(f, f.xs, gs), claimed)


def check_second_order(entry, i):
    """Returns the inputs by which the second derivative is zero on both sides."""
    f = Example(entry, i)
    gs = f.cotangents()
    n = len(f.xs)
    us = [f.rng.standard_normal(x.shape) for x in f.xs]

    def first(xs_gs):
        return gradients(f, xs_gs[:n], xs_gs[n:])

    # By g the first derivative is linear and can't vanish; by x it may.
    claimed = [False] * n + [any(map(f.has_rule, range(n)))] * len(gs)
    if gs and n:
        second = second_gradients(f, f.xs, gs, us)
        return check_against_differences(first, [*f.xs, *gs], us, second, claimed)


def check_float32(entry, i, monkeypatch):
    """No float64 appears on the way, in either direction, to either order."""
    f = Example(entry, i, np.float32)
    expected = np.dtype(f.params.get("dtype", np.float32))
    assert all(y.dtype == expected for y in f(f.xs))
    if expected == np.float32:
        fit = scratchnn.backward._fit

        def refuse_other_types(g, x):
            assert g.dtype == x.dtype, f"a rule gives {g.dtype} for {x.dtype}"
            return fit(g, x)

        monkeypatch.setattr(scratchnn.backward, "_fit", refuse_other_types)
        gs = f.cotangents()
        us = [np.ones_like(x) for x in f.xs]
        for t in gradients(f, f.xs, gs) + second_gradients(f, f.xs, gs, us):
            assert t.dtype == np.float32


def check_numbers_do_not_promote(entry, i):
    """x32 * 2.0 is float32, also with NumPy's numbers, on either side."""
    f = Example(entry, i, np.float32)
    numbers = (2, 2.0, np.float32(2)) + (np.float64(2),) * entry.is_binary
    for number in numbers:
        for k in range(len(f.xs)):
            for wrap in (Tensor, lambda x: Tensor(x, requires_grad=True)):
                xs = [number if j == k else wrap(x) for j, x in enumerate(f.xs)]
                if len(xs) > 1:
                    assert all(y.dtype == np.float32 for y in f(xs)), number


def check_empty(entry, i):
    """Inputs with a side of 0 give an output, and gradients, with a side of 0."""
    empty = lambda x: x[..., :0] if x.ndim and x.shape[-1] != 1 else x
    f = Example(entry, i, change=empty)
    ys = f.outputs(f.xs)
    assert all(y.size == 0 for y in ys)
    gs = f.cotangents()
    for x, t in zip(f.xs, gradients(f, f.xs, gs) if gs else ()):
        assert t.shape == x.shape and t.dtype == x.dtype


def check_scalars(entry, i):
    """0-d inputs give the same as a one-element array, 0-d."""
    one = Example(entry, i, change=lambda x: x[(slice(0, 1),) * x.ndim].reshape(1))
    f = Example(entry, i, change=lambda x: x[(0,) * x.ndim].reshape(()))
    for y, z in zip(f.outputs(f.xs), one.outputs(one.xs)):
        assert y.shape == () and y == z
    gs = [np.float64(1.5)] * len(f(f.xs))
    in_one = gradients(one, one.xs, [np.array([1.5])] * len(gs))
    for t, u in zip(gradients(f, f.xs, gs), in_one):
        assert t.shape == () and t == u


def every_other(x):
    """The same values, spread out in memory."""
    return np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x


def column_major(x):
    """The same values, the first axis fastest."""
    return np.asfortranarray(x) if x.ndim else x


def backwards(x):
    """The same values with negative strides."""
    turned = (slice(None, None, -1),) * x.ndim
    return np.ascontiguousarray(x[turned])[turned] if x.ndim else x


def check_layouts(entry, i):
    """Strides change nothing, apart from the order in which sums are rounded."""
    f = Example(entry, i)
    gs = f.cotangents()
    expected = f.outputs(f.xs) + gradients(f, f.xs, gs)
    for layout in (every_other, backwards, column_major):
        h = Example(entry, i, change=layout)
        found = h.outputs(h.xs) + gradients(h, h.xs, [layout(g) for g in gs])
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def check_inputs_unchanged(entry, i):
    """Neither the body nor a rule writes to x, y or g (also if they were writable)."""
    f = Example(entry, i, change=np.array)
    gs = f.cotangents()
    before = [x.copy() for x in (*f.xs, *gs)]
    for x in arrays_in((f.args, tuple(f.params.values()))):
        if isinstance(x, np.ndarray):
            x.flags.writeable = True
    xs = [Tensor(x, requires_grad=True) for x in f.xs]
    ys = f(xs)
    values = [plain(y).copy() for y in ys]
    for y, g in zip(ys, gs):
        if y.requires_grad:
            grad(y, xs, g=g, allow_unused=True)
    for was, now in zip(before + values, [*f.xs, *gs, *map(plain, ys)]):
        np.testing.assert_array_equal(was, now)


def check_arrays_and_tensors_agree(entry, i):
    """Bodies and rules give the same on arrays, on Tensors, and in backward()."""
    f = Example(entry, i)
    on_arrays = f.outputs(f.xs)
    on_tensors = f.outputs([Tensor(x) for x in f.xs])
    assert not any(isinstance(y, Tensor) for y in on_arrays)
    assert not f.xs or all(isinstance(y, Tensor) for y in on_tensors)
    gs = f.cotangents()
    plain_rules = gradients(f, f.xs, gs)
    live = [Tensor(x, requires_grad=True) for x in f.xs]
    live_rules = [plain(t) for t in pull_back(f, live, gs)]
    for y, g in zip(f(live), gs):
        if y.requires_grad:
            y.backward(g)
    leaves = [np.zeros(x.shape) if x.grad is None else x.grad for x in live]
    for a, b in zip(
        on_arrays + plain_rules + plain_rules,
        [plain(y) for y in on_tensors] + live_rules + leaves,
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def check_unread_inputs(entry, i, monkeypatch):
    """With every unread input dropped, the rules still find what they need."""
    f = Example(entry, i)
    gs = f.cotangents()
    us = [f.rng.standard_normal(x.shape) for x in f.xs]
    expected = gradients(f, f.xs, gs) + second_gradients(f, f.xs, gs, us)
    monkeypatch.setattr(scratchnn.tensor, "_SMALL", 0)
    found = gradients(f, f.xs, gs) + second_gradients(f, f.xs, gs, us)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


def check_kernel(entry, monkeypatch):
    """The kernel equals the body, its joint rule the rules; some example runs it."""
    monkeypatch.setattr(kernels, "SMALL", 0)
    ran = set()
    for i, dtype in itertools.product(range(len(entry.examples)), ("f4", "f8")):
        close = dict(rtol=64 * np.finfo(dtype).eps, atol=64 * np.finfo(dtype).eps)
        f = Example(entry, i, dtype)
        args, params = entry.bind(*tree_map(np.array, (f.args, f.params)))  # writable
        y = entry.body(*args, **params)
        fast = entry.fast(*args, **params) if entry.fast else NotImplemented
        if fast is not NotImplemented:
            ran.add("body")
            assert fast.dtype == y.dtype
            np.testing.assert_allclose(fast, y, **close)
        (g,) = f.cotangents()
        for need in masks(entry, args) if entry.fast_rule else ():
            joint = entry.fast_rule(g, y, need, *args, **params)
            if joint is NotImplemented:
                continue
            ran.add("rule")
            for k, wanted in enumerate(need):
                if not wanted:
                    assert joint[k] is None
                    continue
                slow = entry.rules[k](g, y, *args, **params)
                slow = scratchnn.backward._fit(slow, args[k])
                assert joint[k].dtype == args[k].dtype
                np.testing.assert_allclose(joint[k], slow, **close)
    file = kernels.KERNELS.get(entry.name)
    fast = kernels._part(entry.name, file, "forward") if file else entry.fast
    wanted = "body" if fast else "rule"
    assert wanted in ran, f"no example of {entry.name} reaches its kernel: add one"


def masks(entry, args):
    """Each input alone, then all: the masks a joint rule must serve."""
    can = [
        getattr(x, "dtype", np.dtype(int)).kind == "f" and entry.rules[k] is not None
        for k, x in enumerate(args)
    ]
    alone = [[j == k for j in range(len(can))] for k, yes in enumerate(can) if yes]
    return [*alone, can]


def check_device(entry, i, device):
    """Forward, first and second derivatives stay on the device and equal the CPU's."""
    f = Example(entry, i)
    gs = f.cotangents()
    us = [f.rng.standard_normal(x.shape) for x in f.xs]
    h = Example(entry, i, change=device.put)
    hgs, hus = [device.put(g) for g in gs], [device.put(u) for u in us]
    expected = f.outputs(f.xs) + gradients(f, f.xs, gs)
    expected += second_gradients(f, f.xs, gs, us)
    found = h.outputs(h.xs) + gradients(h, h.xs, hgs)
    found += second_gradients(h, h.xs, hgs, hus)
    for a, b in zip(expected, found, strict=True):
        assert isinstance(b, device.array), f"left the device: {type(b)}"
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b.get(), rtol=1e-12, atol=1e-13)
