"""Elementwise ops: arithmetic, powers, exponentials, comparisons.

Inputs broadcast as in NumPy. Rules here never undo broadcasting: the engine sums a
gradient back to its input's shape. In rules `g` is the gradient by the output `y`.
"""

import numpy as np

from ..tensor import op
from .examples import away, booleans, distinct, normal, positive


@op
def add(a, b):
    """a + b, elementwise."""
    return a + b


add.rules(a=lambda g, _y, _a, _b: g, b=lambda g, _y, _a, _b: g)
add.example(normal(3, 5), normal(5))
add.example(normal(3, 5), normal(3, 5))


@op
def subtract(a, b):
    """a - b, elementwise."""
    return a - b


subtract.rules(a=lambda g, _y, _a, _b: g, b=lambda g, _y, _a, _b: -g)
subtract.example(normal(3, 5), normal(3, 1))


@op
def multiply(a, b):
    """a * b, elementwise."""
    return a * b


multiply.rules(a=lambda g, _y, _a, b: g * b, b=lambda g, _y, a, _b: g * a)
multiply.example(normal(3, 5), normal(5))


@op
def divide(a, b):
    """a / b, elementwise."""
    return a / b


divide.rules(a=lambda g, _y, _a, b: g / b, b=lambda g, y, _a, b: -g * y / b)
divide.example(normal(3, 5), positive(2, 1, 5))


@op
def negative(x):
    """-x"""
    return -x


negative.rules(x=lambda g, _y, _x: -g)
negative.example(normal(3, 5))


@op
def power(a, b):
    """a ** b, elementwise; by a: b a^(b-1), by b: a^b log a (0 where a = 0).

    A negative a needs integer exponents. In float32, x * x * x is far faster than
    x ** 3: NumPy's general power is slow.
    """
    return a**b


def _power_slope(a, b):
    """b a^(b-1), and 0 where b = 0, also at a = 0."""
    if isinstance(b, (int, float)):
        return b * a ** (b - 1) if b else 0
    return b * a ** where(b == 0, 1, b - 1)


power.rules(
    a=lambda g, _y, a, b: g * _power_slope(a, b),
    b=lambda g, y, a, _b: g * y * log(where(a == 0, 1, a)),
)
power.example(positive(3, 5), normal(5))
power.example(away(3, 5), np.array([2, 3, -1, 1, 0], dtype=np.int8))


@op
def exp(x):
    """e ** x"""
    return np.exp(x)


exp.rules(x=lambda g, y, _x: g * y)
exp.example(normal(3, 5))


@op
def expm1(x):
    """e ** x - 1, exact near 0."""
    return np.expm1(x)


expm1.rules(x=lambda g, y, _x: g * (y + 1))
expm1.example(normal(3, 5))


@op
def log(x):
    """Natural logarithm of x > 0."""
    return np.log(x)


log.rules(x=lambda g, _y, x: g / x)
log.example(positive(3, 5))


@op
def log1p(x):
    """log(1 + x), exact near 0."""
    return np.log1p(x)


log1p.rules(x=lambda g, _y, x: g / (1 + x))
log1p.example(positive(3, 5))


@op
def sqrt(x):
    """Square root of x >= 0; its slope at 0 is infinite."""
    return np.sqrt(x)


sqrt.rules(x=lambda g, y, _x: g / (2 * y))
sqrt.example(positive(3, 5))


@op
def square(x):
    """x * x"""
    return np.square(x)


square.rules(x=lambda g, _y, x: g * 2 * x)
square.example(normal(3, 5))


@op
def sin(x):
    """Sine of x in radians."""
    return np.sin(x)


sin.rules(x=lambda g, _y, x: g * cos(x))
sin.example(normal(3, 5))


@op
def cos(x):
    """Cosine of x in radians."""
    return np.cos(x)


cos.rules(x=lambda g, _y, x: -g * sin(x))
cos.example(normal(3, 5))


@op
def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)"""
    return np.tanh(x)


tanh.rules(x=lambda g, y, _x: g * (1 - y * y))
tanh.example(normal(3, 5))


@op
def sigmoid(x):
    """1 / (1 + e^-x), as e^min(x, 0) / (1 + e^-|x|), which can't overflow."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


sigmoid.rules(x=lambda g, y, _x: g * y * (1 - y))
sigmoid.example(normal(3, 5))


@op
def softplus(x):
    """log(1 + e^x), as max(x, 0) + log1p(e^-|x|), which can't overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


softplus.rules(x=lambda g, _y, x: g * sigmoid(x))
softplus.example(normal(3, 5))


@op
def abs(x):
    """|x|; the slope at 0 is 0."""
    return np.abs(x)


abs.rules(x=lambda g, _y, x: g * sign(x))
abs.example(away(3, 5))


@op
def sign(x):
    """-1, 0 or 1; the slope is 0 everywhere."""
    return np.sign(x)


sign.rules(x=None)
sign.example(away(3, 5))


@op
def maximum(a, b):
    """The larger of a and b, elementwise; equals share the gradient in halves."""
    return np.maximum(a, b)


maximum.rules(
    a=lambda g, _y, a, b: where(a > b, g, where(a == b, 0.5 * g, 0)),
    b=lambda g, _y, a, b: where(b > a, g, where(a == b, 0.5 * g, 0)),
)
maximum.example(distinct(3, 5), np.full((3, 1), 0.05))


@op
def minimum(a, b):
    """The smaller of a and b, elementwise; equals share the gradient in halves."""
    return np.minimum(a, b)


minimum.rules(
    a=lambda g, _y, a, b: where(a < b, g, where(a == b, 0.5 * g, 0)),
    b=lambda g, _y, a, b: where(b < a, g, where(a == b, 0.5 * g, 0)),
)
minimum.example(distinct(3, 5), np.full((3, 1), 0.05))


@op
def clip(x, min=None, max=None):
    """x limited to [min, max] (numbers or None); the slope outside is 0."""
    return np.clip(x, min, max)


def _inside(x, low, high):
    inside = x == x
    inside = inside if low is None else inside & (x >= low)
    return inside if high is None else inside & (x <= high)


clip.rules(x=lambda g, _y, x, min, max: where(_inside(x, min, max), g, 0))
clip.example(distinct(3, 5), min=-0.96, max=0.94)
clip.example(distinct(3, 5), max=0.14)


@op
def where(condition, x, y):
    """x where the condition holds, else y; the condition has no derivative."""
    return np.where(condition, x, y)


where.rules(
    x=lambda g, _out, condition, _x, _y: where(condition, g, 0),
    y=lambda g, _out, condition, _x, _y: where(condition, 0, g),
)
where.example(booleans(3, 5), normal(3, 5), normal(5))
where.example(booleans(3, 5), normal(3, 5), normal(3, 5))


@op
def equal(a, b):
    """a == b, elementwise booleans."""
    return a == b


@op
def not_equal(a, b):
    """a != b, elementwise booleans."""
    return a != b


@op
def less(a, b):
    """a < b, elementwise booleans."""
    return a < b


@op
def less_equal(a, b):
    """a <= b, elementwise booleans."""
    return a <= b


@op
def greater(a, b):
    """a > b, elementwise booleans."""
    return a > b


@op
def greater_equal(a, b):
    """a >= b, elementwise booleans."""
    return a >= b


@op
def logical_and(a, b):
    """a and b, elementwise booleans."""
    return np.logical_and(a, b)


@op
def logical_or(a, b):
    """a or b, elementwise booleans."""
    return np.logical_or(a, b)


@op
def logical_not(x):
    """not x, elementwise booleans."""
    return np.logical_not(x)


for _compare in (equal, not_equal, less, less_equal, greater, greater_equal):
    _compare.rules(a=None, b=None)
    _compare.example(normal(3, 5), normal(5))
for _logic in (logical_and, logical_or):
    _logic.rules(a=None, b=None)
    _logic.example(booleans(3, 5), booleans(5))
logical_not.rules(x=None)
logical_not.example(booleans(3, 5))
