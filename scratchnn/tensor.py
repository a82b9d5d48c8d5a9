"""The derivative engine, first half: Tensor and op; what is recorded and how.

A Tensor is an array and the Node that made it. A Node remembers the op, its
inputs, and when (a tick of one counter). Sorting nodes by tick is a topological
order; backward.py, the second half, walks it.

    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward()          # consumes the graph, adds to x.grad
    grad(loss, x)            # keeps the graph, returns Tensors to differentiate again

Each op has for each input one *rule*, the vector-Jacobian product: given `g`, the
gradient of the loss by the output `y`, it returns the gradient by that input.
Rules are written in ops. On arrays they are fast training; on Tensors they are
recorded in turn, which gives second and higher derivatives.
"""

import itertools

import numpy as np

from .errors import GraphError, explain
from .op import ALL, Op, Shape
from .recording import is_recording

_tick = itertools.count(1).__next__
_new = object.__new__
_SMALL = 4096  # bytes: below this, dropping an unread input is not worth the time
_EXPLAINED = ValueError, IndexError, TypeError, AttributeError, ZeroDivisionError


class Node:
    """One recorded step: `y = op(*inputs, **params)` at time `tick`.

    `inputs` is None once backward has consumed the node. `y` is kept only if a
    rule reads it. The node never points at its own Tensor, so no cycles arise.
    """

    __slots__ = ("op", "inputs", "params", "y", "tick")


class Leaf:
    """The Node of a trainable Tensor: made by nobody, it collects `grad`.

    `tick` is when the values last changed; see `Tensor.data`.
    """

    __slots__ = ("grad", "tick")
    op, inputs = None, ()

    def __init__(self):
        self.grad, self.tick = None, _tick()


class Tensor:
    """An array that remembers how it was made: `Tensor(data, requires_grad=False)`.

    data: array, number or nested list. Arrays keep their dtype and are not copied;
    Python floats become float32. With `requires_grad=True` it is trainable: a leaf
    whose `.grad` (a plain array) collects what `backward` finds.
    """

    __slots__ = ("_data", "node")

    def __init__(self, data, requires_grad=False, dtype=None):
        if isinstance(data, Tensor):
            data = data._data
        if isinstance(data, np.generic):
            data = np.asarray(data)
        elif not hasattr(data, "dtype"):
            data = _to_array(data)
            if dtype is None and data.dtype == np.float64:
                dtype = np.float32
        if data.dtype.kind not in "biufc":
            raise TypeError(f"Tensor: data must be numbers, got {data.dtype}")
        self._data = data if dtype is None else data.astype(dtype)
        self.node = None
        if requires_grad:
            self.requires_grad = True

    # ---- what it is -------------------------------------------------------------
    @property
    def data(self):
        """The array. Assigning (also `p.data -= step`) marks the change in time.

        `backward` refuses an op whose input changed after the op ran. Writing into
        the array (`p.data[...] = 0`) leaves no mark: do so before the forward pass.
        The array of an op's output is read-only, since rules may still need it.
        """
        x = self._data
        if self.node is not None and self.node.op is not None and type(x) is np.ndarray:
            x = x.view()
            x.flags.writeable = False
        return x

    @data.setter
    def data(self, value):
        if self.node is not None:
            if self.node.op is not None:
                raise GraphError(
                    f"cannot assign to the data of the output of {self.node.op.name}: "
                    "its gradient would be wrong. Make a new Tensor instead: t = "
                    "scratchnn.where(mask, new, t), or t.detach() to leave the graph"
                )
            self.node.tick = _tick()
        self._data = value

    @property
    def requires_grad(self):
        """Whether derivatives flow to this Tensor: trainable, or made from such."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, flag):
        if self.node is not None and self.node.op is not None:
            raise GraphError(
                f"requires_grad can be set on leaves only; this Tensor is the output "
                f"of {self.node.op.name}. Use t.detach() to stop gradients here"
            )
        if flag and self._data.dtype.kind != "f":
            raise TypeError(
                f"only floating-point Tensors can require gradients; got "
                f"{self._data.dtype}. Convert first: Tensor(x, dtype=np.float32)"
            )
        self.node = (self.node or Leaf()) if flag else None

    @property
    def grad(self):
        """The gradient that `backward` has added up here, or None. A plain array."""
        return getattr(self.node, "grad", None)

    @grad.setter
    def grad(self, value):
        if not isinstance(self.node, Leaf):
            raise GraphError("only trainable leaves (requires_grad=True) have a .grad")
        if value is not None and value.shape != self._data.shape:
            raise ValueError(
                f".grad must have the Tensor's shape {self._data.shape}; "
                f"got {value.shape}"
            )
        self.node.grad = value

    @property
    def is_leaf(self):
        """True unless an op made this Tensor."""
        return self.node is None or self.node.op is None

    shape = property(lambda self: self._data.shape, doc="Lengths of the axes.")
    ndim = property(lambda self: self._data.ndim, doc="Number of axes.")
    size = property(lambda self: self._data.size, doc="Number of elements.")
    dtype = property(lambda self: self._data.dtype, doc="Type of the elements.")

    # ---- the graph ---------------------------------------------------------------
    def detach(self):
        """The same values outside the graph (memory is shared)."""
        return _wrap(self._data, None)

    def __reduce__(self):
        if not self.is_leaf:
            raise TypeError(
                f"the output of {self.node.op.name} can't be copied or saved with its "
                "graph; use t.detach()"
            )
        return Tensor, (self._data, self.requires_grad)

    def __deepcopy__(self, memo):
        copy = Tensor(self._data.copy(), requires_grad=isinstance(self.node, Leaf))
        if self.grad is not None:
            copy.grad = self.grad.copy()
        return copy


def _to_array(data):
    try:
        return np.asarray(data)
    except ValueError:  # NumPy's word is "inhomogeneous"
        raise ValueError(
            "Tensor: the rows of data have different lengths; make them equal"
        ) from None


def _wrap(data, node):
    t = _new(Tensor)
    t._data, t.node = data, node
    return t


# ---- ops ------------------------------------------------------------------------
def op(body):
    """Turn an array function into an op of the table, recorded when given Tensors.

        @op
        def multiply(a, b):
            \"\"\"a * b, elementwise. ...\"\"\"
            return a * b

        multiply.rules(a=lambda g, _y, _a, b: g * b,
                       b=lambda g, _y, a, _b: g * a)
        multiply.example(normal(3, 5), normal(5))

    Inputs are the arguments up to the last one with a rule; the rest (axis, shape,
    ...) are parameters and reach rules by keyword. A rule's argument whose name
    starts with `_` is not read: the graph then need not keep that array, and the
    rule sees its shape and dtype only.
    """
    return Op(body, _caller).call


def composite(body):
    """Enter a function written in ops into the table; its rules are its ops' rules."""
    return Op(body, lambda entry: body).call


def _caller(entry):
    """The public function of an op: unwrap the inputs, run, wrap, record."""

    def call(*args, **params):
        if entry.variadic or len(args) != entry.n or entry.defaults or params:
            args, params = entry.bind(args, params)
            for name, value in params.items():
                if type(value) is Tensor:
                    params[name] = _untracked(entry, name, value)
        arrays, tensors, recorded = [], False, False
        for a in args:
            if type(a) is Tensor:
                tensors = True
                if a.node is not None:
                    recorded = True
                a = a._data
            elif type(a) is list or type(a) is tuple:
                a = _like(a, args)
            arrays.append(a)
        try:
            y = entry.run(*arrays, **params)
        except _EXPLAINED as e:
            raise explain(entry, arrays, params, e) from None
        if not tensors:
            return y
        t = _new(Tensor)
        t._data, t.node = y, None
        if recorded and is_recording():
            t.node = _record(entry, args, params, y)
        return t

    def binary(a, b):  # the same for f(a, b) without parameters, twice as fast
        if type(a) is Tensor:
            x, node = a._data, a.node
            if type(b) is Tensor:
                z = b._data
                if node is None:
                    node = b.node
            else:
                z = b = _like(b, (a,))
        elif type(b) is Tensor:
            x, z, node = _like(a, (b,)), b._data, b.node
            a = x
        else:
            return run(_like(a, (b,)), _like(b, (a,)))
        try:
            y = entry.run(x, z)
        except (ValueError, IndexError, TypeError) as e:
            raise explain(entry, (x, z), {}, e) from None
        t = _new(Tensor)
        t._data = y
        if node is None or not is_recording():
            t.node = None
        elif entry.reads_inputs_only:  # _record written out, for speed
            t.node = n = Node()
            n.op = entry
            n.inputs = (a, b)
            n.params = _NO_PARAMS
            n.tick = _tick()
            n.y = None
        else:
            t.node = _record(entry, (a, b), _NO_PARAMS, y)
        return t

    def run(a, b):
        try:
            return entry.run(a, b)
        except (ValueError, IndexError, TypeError) as e:
            raise explain(entry, (a, b), {}, e) from None

    return binary if entry.is_binary else call


_NO_PARAMS = {}


def _untracked(entry, name, t):
    if t.node is not None:
        raise TypeError(
            f"{entry.name}: {name} has no rule, so no gradient would reach this Tensor;"
            f" give {name}.detach(), or an array"
        )
    return t._data


def _like(x, others):
    """Numbers and lists take the type of the Tensor they meet, and promote nothing.

    That goes for NumPy's float64 numbers too, such as np.sqrt(2).
    """
    if type(x) is np.float64:
        return float(x)
    if type(x) is not list and type(x) is not tuple:
        return x
    x = np.asarray(x)
    types = [t._data.dtype for t in others if type(t) is Tensor]
    if x.dtype == np.float64 and types and types[0].kind == "f":
        x = x.astype(types[0])
    return x


def _record(entry, args, params, y):
    if entry.is_constant:
        return None
    n = Node()
    n.op = entry
    n.params = params
    n.tick = _tick()
    n.y = y if entry.keeps_y else None
    n.inputs = _drop(entry, args) if entry.drops else args
    return n


def _drop(entry, args):
    """Replace large inputs that no rule reads by their shapes."""
    for i in range(len(args)) if entry.drops is ALL else entry.drops:
        x = args[i]
        if type(x) is Tensor and x.node is not None and x._data.nbytes > _SMALL:
            hollow = _wrap(Shape(x._data), x.node)
            args = (*args[:i], hollow, *args[i + 1 :])
    return args
