"""What a Tensor can do: operators and methods from the op table, NumPy's protocols.

Importing this module gives Tensor its operators (`a + b`, `a @ b`, `a[i]`), methods
(`t.sum()`, `t.reshape(2, -1)`), and makes NumPy's own functions accept Tensors:
`np.exp(t)` is `scratchnn.exp(t)`.
"""

import inspect

import numpy as np

from . import ops
from .device import device_of, to_device
from .errors import GraphError
from .op import TABLE
from .tensor import Leaf, Tensor, _wrap


def _reflected(f):
    def reflected(self, other):
        return f(other, self)

    return reflected


def _in_place(symbol, f):
    def in_place(self, other):
        if isinstance(self.node, Leaf):
            raise GraphError(
                f"`p {symbol}= ...` would make a new Tensor and leave the trainable "
                f"one as it was. To update it in place write `p.data {symbol}= ...`"
            )
        return f(self, other)

    return in_place


ARITHMETIC = {
    "add": ("+", ops.add),
    "sub": ("-", ops.subtract),
    "mul": ("*", ops.multiply),
    "truediv": ("/", ops.divide),
    "pow": ("**", ops.power),
    "matmul": ("@", ops.matmul),
}
for _name, (_symbol, _op) in ARITHMETIC.items():
    setattr(Tensor, f"__{_name}__", _op)
    setattr(Tensor, f"__r{_name}__", _reflected(_op))
    setattr(Tensor, f"__i{_name}__", _in_place(_symbol, _op))


def _of_booleans(symbol, f):
    """`&`, `|`, `~` join comparisons; bits of integers they don't touch."""

    def operator(*tensors):
        for t in tensors:
            if getattr(t, "dtype", np.dtype(type(t))) != bool:
                raise TypeError(
                    f"{symbol} joins booleans, such as (t > 0) {symbol} (t < 1); got "
                    f"{getattr(t, 'dtype', type(t).__name__)}"
                )
        return f(*tensors)

    return operator


Tensor.__and__ = Tensor.__rand__ = _of_booleans("&", ops.logical_and)
Tensor.__or__ = Tensor.__ror__ = _of_booleans("|", ops.logical_or)
Tensor.__xor__ = Tensor.__rxor__ = _of_booleans("^", ops.not_equal)
Tensor.__invert__ = _of_booleans("~", ops.logical_not)
Tensor.__neg__ = ops.negative
Tensor.__abs__ = ops.abs
Tensor.__eq__ = ops.equal
Tensor.__ne__ = ops.not_equal
Tensor.__lt__ = ops.less
Tensor.__le__ = ops.less_equal
Tensor.__gt__ = ops.greater
Tensor.__ge__ = ops.greater_equal
Tensor.__hash__ = object.__hash__

for _name in (
    "sum mean var std max min prod cumsum argmax argmin argsort sort swapaxes squeeze "
    "repeat broadcast_to astype take dot trace clip exp log sqrt abs norm softmax "
    "logsumexp tanh sigmoid square sin cos"
).split():
    setattr(Tensor, _name, TABLE[_name].call)


def _one_or_many(args):
    """t.reshape(2, 3) and t.reshape((2, 3)) mean the same."""
    return args[0] if len(args) == 1 else args


def reshape(self, *shape):
    """The same elements in another shape: t.reshape(2, -1) or t.reshape((2, -1))."""
    return ops.reshape(self, _one_or_many(shape))


def transpose(self, *axes):
    """Axes in another order, reversed if none are given: t.transpose(0, 2, 1)."""
    return ops.transpose(self, _one_or_many(axes) if axes else None)


def flatten(self):
    """All elements along one axis."""
    return ops.reshape(self, (-1,))


Tensor.reshape, Tensor.transpose, Tensor.flatten = reshape, transpose, flatten
Tensor.T = property(ops.transpose, doc="Axes in reverse order.")


# ---- indexing -------------------------------------------------------------------
def _plain_index(index):
    """The index with Tensors in it replaced by their arrays."""
    if type(index) is tuple:
        return tuple(i._data if type(i) is Tensor else i for i in index)
    return index._data if type(index) is Tensor else index


def _getitem(self, index):
    return ops.getitem(self, index=_plain_index(index))


def _setitem(self, index, value):
    if self.node is not None:
        what = (
            f"the output of {self.node.op.name}"
            if self.node.op
            else "a trainable Tensor"
        )
        raise GraphError(
            f"t[...] = value would change {what} behind the graph's back. Use "
            "scratchnn.where(mask, value, t), or t.data[...] = value outside training"
        )
    self._data[_plain_index(index)] = value._data if type(value) is Tensor else value


def _iter(self):
    if self._data.ndim == 0:
        raise TypeError("iteration over a 0-d Tensor; use .item() for its value")
    return (self[i] for i in range(len(self._data)))


Tensor.__getitem__, Tensor.__setitem__, Tensor.__iter__ = _getitem, _setitem, _iter
Tensor.__len__ = lambda self: len(self._data)


# ---- to and from other libraries ------------------------------------------------
def _array(self, dtype=None, copy=None):
    if self.node is not None:
        raise TypeError(
            "this Tensor is part of a graph and can't become an array by itself: use "
            "t.detach().numpy() (or np.asarray(t.detach())), or t.data"
        )
    return np.array(self._data, dtype=dtype, copy=copy)


def numpy(self):
    """The values as a NumPy array (shared memory on the CPU); detach() first."""
    return _array(self) if not hasattr(self._data, "get") else self._data.get()


def item(self):
    """The value of a one-element Tensor as a Python number."""
    if self._data.size != 1:
        raise ValueError(
            f"item() needs one element; this Tensor has shape {self.shape}"
        )
    return self._data.item()


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    """np.exp(t) is scratchnn.exp(t)."""
    if ufunc.__name__ in BITS:
        return BITS[ufunc.__name__](*inputs)
    entry = _counterpart(ufunc)
    if method != "__call__" or kwargs:
        what = "out= and where= are" if kwargs else f"np.{ufunc.__name__}.{method} is"
        raise TypeError(f"{what} not for Tensors; np.{ufunc.__name__}(t) alone is")
    return entry.call(*inputs)


def _array_function(self, func, types, args, kwargs):
    """np.sum(t, axis=1) is scratchnn.sum(t, axis=1).

    Arguments by position must mean the same to both; NumPy's signature tells.
    """
    entry = _counterpart(func)
    for name in _names(func)[1 : len(args)]:
        position = _names(func).index(name)
        ours = entry.names[position : position + 1]
        if [ALIASES.get(name, name)] != ours:
            raise TypeError(
                f"np.{func.__name__}: {name} is not supported for Tensors; see "
                f"scratchnn.{entry.name}{entry.signature}"
            )
    return entry.call(*args, **kwargs)


def _counterpart(func):
    name = {"true_divide": "divide"}.get(func.__name__, func.__name__)
    if name not in TABLE:
        raise TypeError(
            f"np.{func.__name__} has no counterpart for Tensors here; use a scratchnn "
            "op, or work on t.data"
        )
    return TABLE[name]


def _names(func):
    """The names of a NumPy function's arguments; none if it doesn't tell them."""
    try:
        names = inspect.signature(func).parameters
    except ValueError:
        return []
    return [] if "operands" in names else list(names)  # einsum takes any number


BITS = {
    "bitwise_and": Tensor.__and__,
    "bitwise_or": Tensor.__or__,
    "bitwise_xor": Tensor.__xor__,
}
ALIASES = {"a_min": "min", "a_max": "max", "newshape": "shape"}


def _dlpack(self, **kwargs):
    if self.node is not None:
        raise BufferError("can't export a recorded Tensor; export t.detach()")
    return self._data.__dlpack__(**kwargs)


def from_dlpack(x):
    """A Tensor on the memory of another library's array, such as a torch.Tensor."""
    return _wrap(np.from_dlpack(x), None)


Tensor.to = to_device
Tensor.device = property(device_of, doc='Where the values are: "cpu" or "gpu".')
Tensor.__array__, Tensor.numpy, Tensor.item = _array, numpy, item
Tensor.__array_ufunc__, Tensor.__array_function__ = _array_ufunc, _array_function
Tensor.__dlpack__ = _dlpack
Tensor.__dlpack_device__ = lambda self: self._data.__dlpack_device__()
Tensor.tolist = lambda self: self._data.tolist()
Tensor.__float__ = lambda self: float(item(self))
Tensor.__int__ = lambda self: int(item(self))


def _bool(self):
    if self._data.size != 1:
        raise ValueError(
            f"the truth of a Tensor of shape {self.shape} is ambiguous; use "
            "(t > 0).data.any() or .all()"
        )
    return bool(self._data)


def _format(self, spec):
    return format(self.item(), spec) if spec else repr(self)


def _repr(self):
    body = np.array2string(numpy(self.detach()), separator=", ", prefix="Tensor(")
    how = ""
    if isinstance(self.node, Leaf):
        how = ", requires_grad=True"
    elif self.node is not None:
        how = f", op={self.node.op.name}"
    return f"Tensor({body}, shape={self.shape}, dtype={self.dtype}{how})"


Tensor.__bool__, Tensor.__format__, Tensor.__repr__ = _bool, _format, _repr
