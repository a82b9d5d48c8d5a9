"""The derivative engine: Tensor, op, backward, grad, no_grad.

A Tensor is an array and the Node that made it. A Node remembers the op, its
inputs, and when (a tick of one counter). Sorting nodes by tick is a topological
order, so backward is one loop from the youngest node to the oldest, and no
function here is recursive: a chain of a million ops is fine.

    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward()          # consumes the graph, adds to x.grad
    grad(loss, x)            # keeps the graph, returns Tensors to differentiate again

Each op has for each input one *rule*, the vector-Jacobian product: given `g`, the
gradient of the loss by the output `y`, it returns the gradient by that input.
Rules are written in ops. On arrays they are fast training; on Tensors they are
recorded in turn, which gives second and higher derivatives.
"""

import contextlib
import contextvars
import itertools
import operator

import numpy as np

from .errors import GraphError, explain
from .op import Op, Shape

_tick = itertools.count(1).__next__
_new = object.__new__
_by_tick = operator.attrgetter("tick")
_SMALL = 4096  # bytes: below this, dropping an unread input is not worth the time


_mode = contextvars.ContextVar("recording", default=True)  # one value per thread
is_recording = _mode.get


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
        if not hasattr(data, "dtype"):
            data = np.asarray(data)
            if dtype is None and data.dtype == np.float64:
                dtype = np.float32
        if data.dtype == object:
            raise TypeError(
                "Tensor: data must be numbers in a rectangular array; got an array "
                "of objects. Are all rows of the same length?"
            )
        self._data = data if dtype is None else data.astype(dtype)
        self.node = None
        if requires_grad:
            self.requires_grad = True

    # ---- what it is -------------------------------------------------------------
    @property
    def data(self):
        """The array. Assigning (also `p.data -= step`) marks the change in time.

        `backward` refuses an op whose input changed after the op ran.
        """
        return self._data

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

    # ---- derivatives ------------------------------------------------------------
    def backward(self, g=None):
        """Add d self / d leaf to each trainable leaf's `.grad`; free the graph.

        g: the gradient by this Tensor, of its shape; 1 for a scalar loss.
        Raises GraphError if nothing was recorded, if the graph was consumed before,
        or if a parameter changed after the forward pass.
        """
        _walk(self, _seed(self, g, "backward"))

    def detach(self):
        """The same values outside the graph (memory is shared)."""
        return _wrap(self._data, None)

    def __deepcopy__(self, memo):
        copy = Tensor(self._data.copy(), requires_grad=isinstance(self.node, Leaf))
        if self.grad is not None:
            copy.grad = self.grad.copy()
        return copy


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
            return np.multiply(a, b)

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
    """The public function of an op, as `op.call`. Specialised for speed only."""

    def call(*args, **params):
        if entry.variadic:
            if len(args) == 1 and isinstance(args[0], (list, tuple)):
                args = tuple(args[0])
            params = {**entry.defaults, **params}
        elif len(args) != entry.n or entry.defaults or params:
            args, params = entry.bind(args, params)
        arrays, tensors, traced = [], False, False
        for a in args:
            if type(a) is Tensor:
                tensors = True
                if a.node is not None:
                    traced = True
                a = a._data
            elif type(a) is list:
                a = np.asarray(a)
            arrays.append(a)
        try:
            y = entry.run(*arrays, **params)
        except (ValueError, IndexError, TypeError) as e:
            raise explain(entry, arrays, params, e) from None
        if not tensors:
            return y
        node = _record(entry, args, params, y) if traced and is_recording() else None
        return _wrap(y, node)

    def binary(a, b):
        tensors = traced = False
        x, z = a, b
        if type(a) is Tensor:
            tensors, traced, x = True, a.node is not None, a._data
        if type(b) is Tensor:
            tensors, traced, z = True, traced or b.node is not None, b._data
        try:
            y = entry.run(x, z)
        except (ValueError, IndexError, TypeError) as e:
            raise explain(entry, (x, z), {}, e) from None
        if not tensors:
            return y
        t = _new(Tensor)
        t._data, t.node = y, None
        if traced and is_recording() and entry.rules:
            n = t.node = _new(Node)
            n.op, n.params, n.tick = entry, _NO_PARAMS, _tick()
            n.y = y if entry.keeps_y else None
            n.inputs = _drop(entry, (a, b)) if entry.drops else (a, b)
        return t

    return binary if entry.is_binary else call


_NO_PARAMS = {}


def _record(entry, args, params, y):
    if not entry.rules:
        return None
    n = _new(Node)
    n.op, n.params, n.tick = entry, params, _tick()
    n.y = y if entry.keeps_y else None
    n.inputs = _drop(entry, args) if entry.drops else args
    return n


def _drop(entry, args):
    """Replace large inputs that no rule reads by their shapes."""
    for i in entry.drops:
        x = args[i]
        if type(x) is Tensor and x.node is not None and x._data.nbytes > _SMALL:
            hollow = _wrap(Shape(x._data), x.node)
            args = (*args[:i], hollow, *args[i + 1 :])
    return args


# ---- backward -------------------------------------------------------------------
def grad(y, xs, g=None, allow_unused=False):
    """d y / d xs as Tensors that can be differentiated again; the graph is kept.

    xs: one Tensor or a list of them (leaves or intermediate results); the answer has
    the same form. g: the gradient by y (1 for a scalar y). Under `no_grad` the
    answers are plain values. An x that y does not depend on is an error, or zero
    with `allow_unused=True`.
    """
    single = isinstance(xs, Tensor)
    targets = [xs] if single else list(xs)
    for i, x in enumerate(targets):
        if not isinstance(x, Tensor) or x.node is None:
            raise GraphError(
                f"grad: xs[{i}] is not recorded. Give it requires_grad=True before "
                "computing y from it"
            )
    found = _walk(y, _seed(y, g, "grad"), targets)
    for i, x in enumerate(targets):
        if found[i] is None:
            if not allow_unused:
                raise GraphError(
                    f"grad: y does not depend on xs[{i}] (shape {x.shape}). Was it "
                    "detached on the way? allow_unused=True gives zeros instead"
                )
            found[i] = _wrap(np.zeros_like(x._data), None)
    return found[0] if single else found


def _seed(y, g, caller):
    if y.node is None:
        raise GraphError(
            f"{caller}: this Tensor was not recorded. No input has requires_grad=True, "
            "or it was computed under no_grad or detached"
        )
    if g is None:
        if y._data.size != 1:
            raise GraphError(
                f"{caller}: needs a scalar, got shape {y.shape}. Reduce it with "
                ".sum() or .mean(), or pass g, a gradient of that shape"
            )
        one = y._data
        return one.dtype.type(1) if isinstance(one, np.generic) else np.ones_like(one)
    if g.shape != y.shape:
        raise GraphError(f"{caller}: g must have y's shape {y.shape}, got {g.shape}")
    return g


def _history(root):
    """All nodes that `root` was made from, oldest first."""
    seen, todo = {id(root): root}, [root]
    while todo:
        node = todo.pop()
        if node.inputs is None:
            raise GraphError(
                f"the graph behind {node.op.name} was consumed by an earlier "
                "backward(). Compute the loss again, or use grad(loss, params), which "
                "keeps the graph"
            )
        for x in node.inputs:
            if type(x) is Tensor and x.node is not None:
                if x.node.tick > node.tick:
                    raise GraphError(
                        f"a parameter of shape {x.shape} changed after the forward "
                        f"pass used it in {node.op.name}; recompute the loss. (Two "
                        "optimizers? Step one, then run the other's forward pass)"
                    )
                if id(x.node) not in seen:
                    seen[id(x.node)] = x.node
                    todo.append(x.node)
    return sorted(seen.values(), key=_by_tick)


def _walk(y, g, targets=None):
    """Run the rules from y back, youngest node first.

    Without targets: add to the leaves' `.grad` and consume each node on the way.
    With targets: visit only what leads to them; return their gradients in order.
    """
    order = _history(y.node)
    live = targets is not None and is_recording()  # rules run on Tensors
    leads, found = None, {}
    if targets is not None:
        found = {id(t.node): None for t in targets}
        leads = set(found)
        for node in order:
            if any(type(x) is Tensor and id(x.node) in leads for x in node.inputs):
                leads.add(id(node))
    if live:
        g = g if type(g) is Tensor else _wrap(g, None)
    elif type(g) is Tensor:
        g = g._data
    grads, owned = {id(y.node): g}, set()
    while order:
        node = order.pop()
        key = id(node)
        g = grads.pop(key, None)
        if g is None:
            continue
        if key in found:
            found[key] = g
        if node.op is not None:
            _pull_back(node, g, grads, owned, live, leads)
        elif targets is None:
            _deposit(node, g, key in owned)
        owned.discard(key)
        if targets is None and node.op is not None:
            node.inputs = node.params = node.y = None
    found = [found[id(t.node)] for t in targets or ()]
    return found if live else [t if t is None else _wrap(t, None) for t in found]


def _pull_back(node, g, grads, owned, live, leads):
    """Add to `grads` what the rules of one node make of its gradient g."""
    op, inputs, y = node.op, node.inputs, node.y
    args = inputs if live else [x._data if type(x) is Tensor else x for x in inputs]
    if live and y is not None:
        y = _wrap(y, node)
    gs = NotImplemented
    if op.fast_rule is not None and not live:
        need = [_leads(x, leads) for x in inputs]
        gs = op.fast_rule(g, y, need, *args, **node.params)
    for i, x in enumerate(inputs):
        if not _leads(x, leads):
            continue
        if gs is not NotImplemented:
            gx = gs[i]
        elif op.rules[i] is None:
            continue
        else:
            gx = op.rules[i](g, y, *args, **node.params)
        data = x._data
        if gx.shape != data.shape or gx.dtype != data.dtype:
            gx = _fit(gx, data)
        key = id(x.node)
        old = grads.get(key)
        if old is None:  # the first contribution is borrowed, unless made just now
            grads[key] = gx
            if not live and _is_new(gx, g, y, args):
                owned.add(key)
        elif key in owned:
            old += gx
        else:
            grads[key] = old = old + gx
            if type(old) is np.ndarray:
                owned.add(key)


def _leads(x, leads):
    """Whether a gradient is wanted for an input: it leads to a leaf, or to a target."""
    if type(x) is not Tensor or x.node is None:
        return False
    return leads is None or id(x.node) in leads


def _fit(g, x):
    """Bring g to the shape and type of its input x.

    Axes along which x was repeated are summed; axes that x was summed over (g has
    length 1 there, or lacks them all) are repeated.
    """
    shape = x.shape
    lead = len(g.shape) - len(shape)
    repeated = tuple(
        i
        for i, n in enumerate(g.shape)
        if i < lead or (n != 1 and shape[i - lead] == 1)
    )
    if repeated:
        g = g.sum(axis=repeated)
        lead = len(g.shape) - len(shape)
    if g.shape != shape:
        g = _spread(g, shape) if g.size < x.size else g.reshape(shape)
    return g if g.dtype == x.dtype else g.astype(x.dtype)


def _spread(g, shape):
    if type(g) is Tensor:
        return g.broadcast_to(shape)
    full = np.empty_like(g, shape=shape)
    full[...] = g
    return full


def _is_new(gx, g, y, args):
    """Whether an array a rule returned shares no memory with anything else."""
    if gx is g or gx is y or gx.base is not None or isinstance(gx, np.generic):
        return False
    return not any(gx is a for a in args)


def _deposit(leaf, g, owned):
    """Add to a leaf's gradient; the array kept there must be its own."""
    if leaf.grad is None:
        leaf.grad = g if owned else g.copy()
    elif isinstance(leaf.grad, np.generic):
        leaf.grad = leaf.grad + g
    else:
        leaf.grad += g


# ---- recording on and off -------------------------------------------------------
class no_grad(contextlib.ContextDecorator):
    """Record nothing: `with no_grad():`, or `@no_grad()` before a function."""

    def __enter__(self):
        self.token = _mode.set(False)

    def __exit__(self, *exc):
        _mode.reset(self.token)

    def _recreate_cm(self):  # a decorated function may call itself
        return no_grad()
