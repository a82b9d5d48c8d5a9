"""Elementwise kernels: one pass over memory, exp included.

NumPy makes a pass and a temporary for each operation of a formula, and its log1p and
tanh are slow where they are not SIMD. A rule's kernel computes the slope from x (or
y) again: cheaper than keeping it.
"""

import numpy as np
from numba import float32

from . import exp as e
from .exp import EXACT, ONE, TWO, ZERO
from .share import compiled, share, team

loop = compiled(EXACT)

COPY, EXP = 200_000, 65_536  # entries from which two threads pay: x > 0, e^x

C1 = float32(0.7978845608028654)  # sqrt(2 / pi)
C3 = float32(0.044715)


@loop
def _add(a, b, y):
    for i in range(a.size):
        y[i] = a[i] + b[i]


@loop
def _relu(x, y):
    for i in range(x.size):
        y[i] = e.positive(x[i])


@loop
def _relu_rule(g, y, gx):
    for i in range(g.size):
        gx[i] = g[i] * (ONE if y[i] > ZERO else ZERO)


@loop
def _leaky_relu(x, y, slope):
    for i in range(x.size):
        y[i] = x[i] * (ONE if x[i] > ZERO else slope)


@loop
def _leaky_relu_rule(g, x, gx, slope):
    for i in range(g.size):
        up = ONE if x[i] > ZERO else ZERO
        down = ONE if x[i] <= ZERO else ZERO
        gx[i] = g[i] * up + slope * (g[i] * down)


@loop
def _exp(x, y):
    for i in range(x.size):
        y[i] = e.exp(x[i])


@loop
def _tanh(x, y):
    for i in range(x.size):
        y[i] = e.tanh(x[i])


@loop
def _tanh_rule(g, y, gx):
    for i in range(g.size):
        gx[i] = g[i] * (ONE - y[i] * y[i])


@loop
def _sigmoid(x, y):
    for i in range(x.size):
        y[i] = e.sigmoid(x[i])


@loop
def _sigmoid_rule(g, y, gx):
    for i in range(g.size):
        gx[i] = g[i] * y[i] * (ONE - y[i])


@loop
def _softplus(x, y):
    for i in range(x.size):
        y[i] = e.softplus(x[i])


@loop
def _softplus_rule(g, x, gx):
    for i in range(g.size):
        gx[i] = g[i] * e.sigmoid(x[i])


@loop
def _silu(x, y):
    for i in range(x.size):
        y[i] = x[i] * e.sigmoid(x[i])


@loop
def _silu_rule(g, x, gx):
    for i in range(g.size):
        s = e.sigmoid(x[i])
        gx[i] = g[i] * (s + x[i] * s * (ONE - s))


# (1 + tanh u) / 2 = sigmoid(2 u): the tanh form of gelu needs only exp.
@loop
def _gelu(x, y):
    for i in range(x.size):
        u = C1 * (x[i] + C3 * x[i] * x[i] * x[i])
        y[i] = x[i] * e.sigmoid(TWO * u)


@loop
def _gelu_rule(g, x, gx):
    for i in range(g.size):
        v = x[i]
        s = e.sigmoid(TWO * C1 * (v + C3 * v * v * v))
        slope = TWO * C1 * (ONE + float32(3) * C3 * v * v)  # of 2 u
        gx[i] = g[i] * (s + v * s * (ONE - s) * slope)


# NumPy's where branches: slow, where the processor can't guess the condition.
@loop
def _where(condition, x, y, z):
    for i in range(x.size):
        a, b = x[i], y[i]  # both read: no branch
        z[i] = a if condition[i] else b


@loop
def _where_or(condition, x, z, value, number):
    for i in range(x.size):
        a = x[i]
        z[i] = a if condition[i] == value else number


def _forward(run, least=EXP):
    """The kernel that runs a loop over the entries of x and y, given in one row."""

    def forward(x, **params):
        if not all(map(np.isscalar, params.values())):
            return NotImplemented
        y, numbers = np.empty_like(x), tuple(map(np.float32, params.values()))
        share(run, (x.reshape(-1), y.reshape(-1)), numbers, team(x, least))
        return y

    return forward


def _rule(run, reads, least=EXP):
    """Likewise for a rule, whose slope is computed from x or from y."""

    def rule(g, y, need, x, **params):
        if not all(map(np.isscalar, params.values())):
            return NotImplemented
        source = x if reads == "x" else y
        gx, numbers = np.empty_like(source), tuple(map(np.float32, params.values()))
        arrays = row(g), row(source), gx.reshape(-1)
        share(run, arrays, numbers, team(g, least))
        return (gx,)

    return rule


def row(x):
    """x as a one-dimensional contiguous float32 array, copied only if it isn't one."""
    return np.ascontiguousarray(x, dtype=np.float32).reshape(-1)


def add_forward(a, b):
    """a + b of one shape: NumPy's loop, shared by the threads."""
    if type(b) is not np.ndarray or b.shape != a.shape:
        return NotImplemented
    if b.dtype != np.float32 or not b.flags.c_contiguous:
        return NotImplemented
    y = np.empty_like(a)
    share(_add, (a.reshape(-1), b.reshape(-1), y.reshape(-1)), (), team(y, COPY))
    return y


def where_forward(condition, x, y):
    """x where the condition holds, else y; one of them may be a number."""
    shape = x.shape if type(x) is np.ndarray else y.shape
    c = condition
    if type(c) is not np.ndarray or c.dtype != bool or c.shape != shape:
        return NotImplemented
    arrays = [v for v in (x, y) if type(v) is np.ndarray]
    numbers = [np.float32(v) for v in (x, y) if type(v) in (int, float)]
    same = all(v.dtype == np.float32 and v.shape == shape for v in arrays)
    if not same or len(arrays) + len(numbers) < 2:
        return NotImplemented
    z = np.empty(shape, np.float32)
    rows = (np.ascontiguousarray(c).reshape(-1), *map(row, arrays), z.reshape(-1))
    if numbers:
        value = np.bool_(type(x) is np.ndarray)
        share(_where_or, rows, (value, *numbers), team(z, COPY))
    else:
        share(_where, rows, (), team(z, COPY))
    return z


relu_forward, relu_rule = _forward(_relu, COPY), _rule(_relu_rule, "y", COPY)
leaky_relu_forward = _forward(_leaky_relu, COPY)
leaky_relu_rule = _rule(_leaky_relu_rule, "x", COPY)
exp_forward = _forward(_exp)
tanh_forward, tanh_rule = _forward(_tanh), _rule(_tanh_rule, "y", COPY)
sigmoid_forward = _forward(_sigmoid)
sigmoid_rule = _rule(_sigmoid_rule, "y", COPY)
softplus_forward, softplus_rule = _forward(_softplus), _rule(_softplus_rule, "x")
silu_forward, silu_rule = _forward(_silu), _rule(_silu_rule, "x")
gelu_tanh_forward, gelu_tanh_rule = _forward(_gelu), _rule(_gelu_rule, "x")


def warmup():
    """Compile all kernels of this file."""
    x = np.ones(1, np.float32)
    add_forward(x, x)
    for f in (exp_forward, tanh_forward, sigmoid_forward, softplus_forward):
        f(x)
    for f in (relu_forward, silu_forward, gelu_tanh_forward):
        f(x)
    for f in (relu_rule, tanh_rule, sigmoid_rule, softplus_rule, silu_rule):
        f(x, x, (True,), x)
    gelu_tanh_rule(x, x, (True,), x)
    leaky_relu_forward(x, negative_slope=0.1)
    leaky_relu_rule(x, x, (True,), x, negative_slope=0.1)
    where_forward(x > 0, x, x)
    where_forward(x > 0, x, 0)
