"""Values and gradients equal PyTorch's, on the table's own examples.

Each op of the families below has its counterpart in THE_SAME, or stands in
NO_COUNTERPART with the reason: a new op in neither fails.
"""

import numpy as np
import pytest
from table_checks import Example, gradients, tree_map

from scratchnn import TABLE, Tensor

torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
torch.set_num_threads(2)

FAMILIES = ("elementwise", "reduce", "shape", "index", "linalg")
OPS = {
    name: entry
    for name, entry in TABLE.items()
    if entry.body.__module__.removeprefix("scratchnn.ops.") in FAMILIES
}


def dims(axis):
    """NumPy's axis=None or int or tuple as torch's dim."""
    return {} if axis is None else {"dim": axis}


def reduction(f):
    """f(x, dim, keepdim) for NumPy's (x, axis, keepdims)."""

    def reduce(x, axis=None, keepdims=False, **more):
        axis = tuple(range(x.ndim)) if axis is None else axis
        return f(x, dim=axis, keepdim=keepdims, **more)

    return reduce


def padding(pad_width):
    """torch names the last axis first."""
    return [n for before_after in reversed(pad_width) for n in before_after]


def scattered(x, index, shape):
    index = index if isinstance(index, tuple) else (index,)
    y = torch.zeros(shape, dtype=x.dtype)
    if any(isinstance(i, torch.Tensor) for i in index):
        return y.index_put(index, x, accumulate=True)
    return y.index_put(flat(index, shape), x.reshape(-1))


def flat(index, shape):
    places = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape))
    return tuple(
        torch.tensor(p.reshape(shape)[index].ravel().copy()) for p in places
    )


def indexed(x, index):
    """torch has no negative steps: those axes are turned by a list of positions."""
    parts = index if isinstance(index, tuple) else (index,)
    axes = iter(x.shape)
    parts = [None if p is None else turned(p, next(axes)) for p in parts]
    return x[tuple(parts)]


def turned(part, n):
    if isinstance(part, slice) and (part.step or 1) < 0:
        return torch.arange(n).numpy()[part].tolist()
    return part


def normal_log_prob(x, mean, cov):
    return torch.distributions.MultivariateNormal(mean, cov).log_prob(x)


THE_SAME = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "negative": torch.neg,
    "power": torch.pow,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "abs": torch.abs,
    "sign": torch.sign,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "clip": torch.clip,
    "where": torch.where,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_not": torch.logical_not,
    "sum": reduction(torch.sum),
    "mean": reduction(torch.mean),
    "var": reduction(lambda x, ddof=0, **k: torch.var(x, correction=ddof, **k)),
    "std": reduction(lambda x, ddof=0, **k: torch.std(x, correction=ddof, **k)),
    "max": reduction(torch.amax),
    "min": reduction(torch.amin),
    "argmax": lambda x, axis: torch.argmax(x, dim=axis),
    "argmin": lambda x, axis: torch.argmin(x, dim=axis),
    "argsort": lambda x, axis: torch.argsort(x, dim=axis),
    "sort": lambda x, axis: torch.sort(x, dim=axis).values,
    "prod": lambda x, axis: torch.prod(x, dim=axis),
    "cumsum": lambda x, axis=None: (
        torch.cumsum(x.reshape(-1) if axis is None else x, dim=axis or 0)
    ),
    "logsumexp": reduction(torch.logsumexp),
    "softmax": lambda x, axis=-1: torch.softmax(x, dim=axis),
    "log_softmax": lambda x, axis=-1: torch.log_softmax(x, dim=axis),
    "norm": reduction(torch.linalg.vector_norm),
    "reshape": torch.reshape,
    "transpose": lambda x, axes=None: (
        torch.permute(x, axes or tuple(range(x.ndim))[::-1])
    ),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "moveaxis": torch.moveaxis,
    "expand_dims": lambda x, axis: x[None, ..., None],
    "squeeze": lambda x, axis=None: torch.squeeze(x, **dims(axis)),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "astype": lambda x, dtype: x.to({np.float64: torch.float64}[dtype]),
    "concatenate": lambda *xs, axis=0: torch.concatenate(xs, dim=axis),
    "stack": lambda xs, axis=0: torch.stack(xs, dim=axis),
    "split": lambda x, indices_or_sections, axis: (
        torch.tensor_split(x, indices_or_sections, dim=axis)
    ),
    "pad": lambda x, pad_width, constant_values: (
        torch.nn.functional.pad(x, padding(pad_width), value=constant_values)
    ),
    "flip": lambda x, axis: torch.flip(x, (axis,)),
    "roll": lambda x, shift, axis: torch.roll(x, shift, axis),
    "tile": lambda x, reps: torch.tile(x, reps),
    "repeat": lambda x, repeats, axis=None: (
        torch.repeat_interleave(x, repeats, **dims(axis))
    ),
    "tril": lambda x, k: torch.tril(x, k),
    "triu": lambda x, k: torch.triu(x, k),
    "getitem": indexed,
    "scatter": scattered,
    "take": lambda x, indices, axis: x[(slice(None),) * axis + (indices,)],
    "take_along_axis": lambda x, indices, axis: (
        torch.take_along_dim(x, indices, dim=axis)
    ),
    "embedding": torch.nn.functional.embedding,
    "one_hot": lambda indices, num_classes: (
        torch.nn.functional.one_hot(indices, num_classes).float()
    ),
    "matmul": torch.matmul,
    "linear": torch.nn.functional.linear,
    "outer": torch.outer,
    "dot": torch.matmul,
    "_einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "einsum": torch.einsum,
    "trace": lambda x: torch.diagonal(x, dim1=0, dim2=1).sum(-1),
    "inv": torch.linalg.inv,
    "solve": torch.linalg.solve,
    "logdet": torch.logdet,
    "gaussian_log_prob": normal_log_prob,
}
NO_COUNTERPART = {}


def in_torch(f):
    """The example's arguments and float inputs as torch Tensors."""
    leaves = {id(x): torch.tensor(x, requires_grad=True) for x in f.xs}
    convert = lambda x: leaves[id(x)] if id(x) in leaves else torch.tensor(x)
    return tree_map(convert, f.args), tree_map(convert, f.params), leaves.values()


@pytest.mark.parametrize(
    "name, i",
    [(name, i) for name in THE_SAME for i in range(len(OPS[name].examples))],
)
def test_value_and_gradient_equal_torch(name, i):
    f = Example(OPS[name], i)
    args, params, leaves = in_torch(f)
    theirs = THE_SAME[name](*args, **params)
    theirs = list(theirs) if isinstance(theirs, (tuple, list)) else [theirs]
    ours = f.outputs([Tensor(x) for x in f.xs])
    close = dict(rtol=1e-11, atol=1e-12)  # a few hundred roundings of float64
    for a, b in zip(ours, theirs, strict=True):
        a, b = getattr(a, "data", a) if isinstance(a, Tensor) else a, b.detach().numpy()
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, **close)
    gs = f.cotangents()
    theirs = [y for y in theirs if y.requires_grad]
    if theirs and gs:
        theirs = torch.autograd.grad(
            theirs, leaves, [torch.tensor(g) for g in gs], allow_unused=True
        )
        for a, b, x in zip(gradients(f, f.xs, gs), theirs, f.xs):
            b = np.zeros(x.shape) if b is None else b.numpy()
            np.testing.assert_allclose(a, b, **close)


def test_every_op_has_a_counterpart_or_a_reason():
    assert OPS.keys() == THE_SAME.keys() | NO_COUNTERPART.keys()
    assert not THE_SAME.keys() & NO_COUNTERPART.keys()
