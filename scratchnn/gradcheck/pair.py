"""A function and its backward, as functions of plain arrays."""

import inspect

import numpy as np

from ..backward import _history, grad
from ..recording import no_grad
from ..tensor import Tensor


class Miscounted(ValueError):
    """A hand-written backward returned None, or not one gradient for each input."""


class Pair:
    """A forward and its backward, as functions of plain arrays.

    xs: the float inputs, float64; wrt: their places among all inputs.
    """

    def __init__(self, f, inputs, backward):
        self.f, self.backward = f, backward
        inputs = [np.asarray(x) if isinstance(x, list) else x for x in inputs]
        plain = [x.data if isinstance(x, Tensor) else x for x in inputs]
        self.wrt = [k for k, x in enumerate(plain) if is_float(x)]
        self.xs = [array_of(plain[k]) for k in self.wrt]
        self.constants = inputs
        self.name = getattr(f, "__name__", type(f).__name__).strip("<>")
        self.names = getattr(f, "names", None) or argument_names(f, len(inputs))

    def arguments(self, xs):
        """All inputs of f, with xs in the places of the float ones."""
        args = list(self.constants)
        for k, x in zip(self.wrt, xs):
            args[k] = x
        return args

    def plain(self, xs):
        """The same, with arrays for Tensors."""
        return [a.data if isinstance(a, Tensor) else a for a in self.arguments(xs)]

    def value(self, xs):
        """f as an array."""
        if self.backward is None:
            xs = [Tensor(x) for x in xs]
        y = self.f(*self.arguments(xs))
        if isinstance(y, (list, tuple)):
            raise TypeError(
                f"{self.name} returns {len(y)} things; gradcheck needs one Tensor: "
                "pick one, or concatenate them"
            )
        return np.asarray(y.data if isinstance(y, Tensor) else y)

    def pull(self, xs, g):
        """The gradients by xs that the author of f computes; None if there is none."""
        if self.backward is None:
            return self._pull_recorded(xs, g)
        self.f(*self.arguments([x.copy() for x in xs]))  # a layer may cache
        grads = self.backward(g, *self.arguments(xs))
        if grads is None:
            raise Miscounted("backward returned None")
        grads = list(grads) if isinstance(grads, (tuple, list)) else [grads]
        if len(grads) == len(self.constants) != len(self.wrt):
            grads = [grads[k] for k in self.wrt]
        if len(grads) != len(self.wrt):
            found = f"{len(grads)} gradient" + "s" * (len(grads) != 1)
            wanted = " and ".join(self.names[k] for k in self.wrt)
            raise Miscounted(
                f"backward returned {found}, expected {len(self.wrt)}: by {wanted}"
            )
        grads = [x.data if isinstance(x, Tensor) else x for x in grads]
        return [None if x is None else np.asarray(x) for x in grads]

    def _pull_recorded(self, xs, g):
        leaves = [Tensor(x, requires_grad=True) for x in xs]
        y = self.f(*self.arguments(leaves))
        if not isinstance(y, Tensor) or not y.requires_grad:
            return [None] * len(xs)
        with no_grad():
            return [dx.data for dx in grad(y, leaves, g, allow_unused=True)]

    def is_one_rule(self):
        """Whether a single rule answers, so that no convention meets another."""
        if self.backward is not None:
            return True
        y = self.f(*self.arguments([Tensor(x, requires_grad=True) for x in self.xs]))
        if not isinstance(y, Tensor) or not y.requires_grad:
            return True
        return sum(node.op is not None for node in _history(y.node)) == 1


def array_of(x):
    """The values of a Tensor or array, in float64."""
    return np.array(x.data if isinstance(x, Tensor) else x, dtype=np.float64)


def is_float(x):
    """Whether x is a float array or Tensor, and so has a gradient."""
    kind = getattr(getattr(x, "dtype", None), "kind", "")
    if kind == "c":
        raise TypeError("gradcheck: give complex inputs as two real ones")
    return kind == "f"


def argument_names(f, n):
    """Names for n arguments of f, from its signature."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return [f"input {k}" for k in range(n)]
    names = []
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{k}]" for k in range(n - len(names))]
        else:
            names.append(p.name)
    return (names + [f"input {k}" for k in range(len(names), n)])[:n]


def draw(shape, rng):
    """Numbers of both signs, none near 0 and none equal."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def second(pair, g, rng):
    """<u, J^T g> as a function of the inputs and g, for a fixed random u."""

    us, wrt = [draw(x.shape, rng) for x in pair.xs], pair.wrt

    def slope_along_u(*args):
        *args, g = args
        leaves = [_traced(args[k]) for k in wrt]
        for k, x in zip(wrt, leaves):
            args[k] = x
        y = pair.f(*args)
        total = (g * 0).sum()
        if isinstance(y, Tensor) and y.requires_grad:
            for u, dx in zip(us, grad(y, leaves, g, allow_unused=True)):
                total = total + (dx * u).sum()
        return total

    slope_along_u.__name__ = f"the slope of {pair.name}"
    slope_along_u.names = [*pair.names, "g"]
    return Pair(slope_along_u, [*pair.arguments(pair.xs), g], None)


def _traced(x):
    return x if x.requires_grad else Tensor(x.data, requires_grad=True)
