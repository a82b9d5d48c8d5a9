"""The computation graph behind a result, as data: to print, to count, to draw."""

from typing import NamedTuple

from .backward import _history
from .errors import GraphError
from .tensor import Tensor


class OpNode(NamedTuple):
    """One node: an op's output, a trainable leaf, or a constant."""

    name: str
    kind: str  # "op", "leaf" or "constant"
    shape: tuple
    dtype: str


class OpGraph(NamedTuple):
    """Nodes in time order (the result is last); edges (i, j) from input i to op j."""

    nodes: list
    edges: list

    def __str__(self):
        """One line a node: number, name, shape and the numbers of its inputs."""
        inputs = {j: [] for j in range(len(self.nodes))}
        for i, j in self.edges:
            inputs[j].append(str(i))
        wide = max(len(n.name) for n in self.nodes)
        return "\n".join(
            f"{j:3}  {n.name:{wide}}  {n.shape!s:16} {n.dtype:8}"
            + (f"  <- {', '.join(inputs[j])}" if inputs[j] else "")
            for j, n in enumerate(self.nodes)
        )


def graph_of(y):
    """The graph that y was computed by, as an OpGraph; print it, or see plot.graph.

    Constants are arrays and untracked Tensors that entered an op; Python numbers and
    parameters such as `axis` are left out. Raises GraphError if y wasn't recorded.
    """
    if not isinstance(y, Tensor) or y.node is None:
        raise GraphError(
            "graph_of: nothing was recorded behind this value. Compute it from a "
            "Tensor with requires_grad=True, outside no_grad"
        )
    history = _history(y.node)
    seen_as = {id(y.node): y}  # any Tensor of a node knows its shape
    for node in history:
        for x in node.inputs:
            if type(x) is Tensor and x.node is not None:
                seen_as.setdefault(id(x.node), x)
    nodes, edges, number = [], [], {}

    def enter(key, name, kind, x):
        number[key] = len(nodes)
        nodes.append(OpNode(name, kind, tuple(x.shape), str(x.dtype)))

    for node in history:
        if node.op is None:
            enter(id(node), "leaf", "leaf", seen_as[id(node)])
            continue
        keys = []
        for x in node.inputs:
            if not hasattr(x, "shape"):
                continue
            key = id(getattr(x, "node", None) or x)
            if key not in number:
                enter(key, "constant", "constant", x)
            keys.append(key)
        enter(id(node), node.op.name, "op", seen_as[id(node)])
        edges += [(number[key], number[id(node)]) for key in keys]
    return OpGraph(nodes, edges)
