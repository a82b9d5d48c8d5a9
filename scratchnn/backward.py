"""The derivative engine, second half: backward and grad.

The nodes behind a result, sorted by tick, are in topological order. So both are one
loop from the youngest node to the oldest: take the gradient `g` that has been added
up for a node, hand it to the rules of the node's op, add what they return to the
nodes of the inputs. Nothing is recursive: a chain of a million ops is fine.

`backward` runs the rules on arrays, adds to the leaves' `.grad`, and frees each node
as it passes. `grad` keeps the graph and runs the rules on Tensors, so that they are
recorded in turn and its answers can be differentiated again.
"""

import operator

import numpy as np

from .errors import GraphError, explain_rule
from .op import TABLE
from .recording import is_recording
from .tensor import Tensor, _wrap

_by_tick = operator.attrgetter("tick")


def backward(y, g=None):
    """Add d y / d leaf to each trainable leaf's `.grad`; free the graph.

    g: the gradient by y, of its shape; 1 for a scalar loss. Raises GraphError if
    nothing was recorded, if the graph was consumed before, or if a parameter changed
    after the forward pass.
    """
    _walk(y, _seed(y, g, "backward"))


Tensor.backward = backward


def grad(y, xs, g=None, allow_unused=False):
    """d y / d xs as Tensors that can be differentiated again; the graph is kept.

    xs: one Tensor or a list of them (leaves or intermediate results); the answer has
    the same form. g: the gradient by y (1 for a scalar y). Under `no_grad` the
    answers are plain values. An x that y does not depend on is an error, or zero
    with `allow_unused=True`. Answers may share memory with one another and with g.
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
    if not isinstance(y, Tensor):
        raise TypeError(f"{caller}: y must be a Tensor, got {type(y).__name__}")
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
    if not hasattr(g, "shape"):
        g = np.asarray(g, y.dtype)
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
                "backward() (perhaps one that failed). Compute the loss again, or use "
                "grad(loss, params), which keeps the graph"
            )
        for x in node.inputs:
            if type(x) is Tensor and x.node is not None:
                if x.node.tick > node.tick:
                    raise GraphError(
                        f"a parameter of shape {x.shape} changed, or began to require "
                        f"gradients, after the forward pass used it in {node.op.name}; "
                        "recompute the loss. (Two optimizers? Step one, then run the "
                        "other's forward pass)"
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
    if live:
        args, y = inputs, None if y is None else _wrap(y, node)
    else:
        args = [x._data if type(x) is Tensor else x for x in inputs]
    joint = NotImplemented
    if op.fast_rule is not None and not live:
        need = [
            type(x) is Tensor
            and x.node is not None
            and (leads is None or id(x.node) in leads)
            for x in inputs
        ]
        joint = op.fast_rule(g, y, need, *args, **node.params)
    rules = op.rules
    if rules is None:
        raise GraphError(
            f"{op.name} has no rules: give it {op.name}.rules(...), one for each input "
            "(None for an input without a derivative)"
        )
    for i, x in enumerate(inputs):
        if type(x) is not Tensor or x.node is None or rules[i] is None:
            continue
        key = id(x.node)
        if leads is not None and key not in leads:
            continue
        data = x._data
        try:
            if joint is NotImplemented:
                gx = rules[i](g, y, *args, **node.params)
            else:
                gx = joint[i]
            if gx.shape != data.shape or gx.dtype != data.dtype:
                gx = _fit(gx, data)
        except (TypeError, AttributeError, ValueError, IndexError) as e:
            raise explain_rule(op, i, e) from e
        # Gradients of several uses add up. The first is borrowed as it is, unless it
        # was made just now; a sum is our own, and later ones add to it in place.
        old = grads.get(key)
        if old is None:
            grads[key] = gx
            if not live and _is_new(gx, g, y, args):
                owned.add(key)
        elif key in owned:
            old += gx
        else:
            grads[key] = old = old + gx if live else TABLE["add"].run(old, gx)
            if type(old) is np.ndarray:
                owned.add(key)


def _fit(g, x):
    """Bring g to the shape and type of its input x.

    Axes along which x was repeated are summed; axes that x was summed over (g has
    length 1 there, or lacks them) are repeated. Any other shape is a mistake.
    """
    given, shape = g.shape, x.shape
    if given:
        g = _sum_repeated(g, shape)
        if any(n not in (1, m) for n, m in zip(reversed(g.shape), reversed(shape))):
            raise ValueError(f"it returned shape {given}, the input has {shape}")
    if g.shape != shape:
        g = _spread(g, shape)
    return g if g.dtype == x.dtype else g.astype(x.dtype)


def _sum_repeated(g, shape):
    lead = max(len(g.shape) - len(shape), 0)
    offset = len(shape) - len(g.shape)
    ones = tuple(
        i for i, n in enumerate(g.shape) if i >= lead and n != 1 == shape[i + offset]
    )
    if ones:
        g = g.sum(axis=(*range(lead), *ones), keepdims=True)
        return g.reshape(g.shape[lead:])
    return g.sum(axis=tuple(range(lead))) if lead else g


def _spread(g, shape):
    if type(g) is Tensor:
        return g.broadcast_to(shape)
    full = np.empty_like(g, shape=shape)
    full[...] = g
    return full


def _is_new(gx, g, y, args):
    """Whether an array that a rule returned shares no memory with anything else."""
    if gx is g or gx is y or gx.base is not None or isinstance(gx, np.generic):
        return False
    for a in args:
        if gx is a:
            return False
    return True


def _deposit(leaf, g, owned):
    """Add to a leaf's gradient; the array kept there must be its own."""
    if leaf.grad is None:
        leaf.grad = g if owned else g.copy()
    elif isinstance(leaf.grad, np.generic):
        leaf.grad = leaf.grad + g
    else:
        leaf.grad += g
