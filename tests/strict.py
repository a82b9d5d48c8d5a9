"""A stand-in for a GPU array: StrictArray behaves as cupy.ndarray does (CuPy 13).

It speaks NumPy's protocols, so op bodies written in NumPy run on it. And it refuses
what CuPy refuses, so that a body which would break on a GPU breaks in CI, without one:

- turning into a NumPy array by itself (`np.asarray(x)`); `x.get()` does it;
- meeting a NumPy array in a ufunc, a function or an index (numbers are fine). CuPy
  lets an index pass, at the price of a copy to the device at each call;
- `np.add.at`, `np.add.reduce` and the other methods of NumPy's ufuncs: NumPy asks
  CuPy, which answers `__call__` only. `cupy.add.at` is right, `strict.add.at` here;
- functions and keywords that CuPy lacks. `np.eye(n, like=x)` is one: NumPy 2 hands on
  `device=None`, which cupy.eye does not know; `np.diag(np.ones_like(x, shape=n))` does.

Results stay on the device: a sum over all axes is a 0-d StrictArray, not a number.
"""

import builtins

import numpy as np

FUNCTIONS = frozenset(
    """
    all allclose amax amin any append arange argmax argmin argpartition argsort
    argwhere around array array_equal array_split asarray ascontiguousarray average
    bincount broadcast_arrays broadcast_to clip column_stack compress concatenate copy
    copyto count_nonzero cross cumprod cumsum diag diagonal diff digitize dot dsplit
    dstack einsum empty empty_like expand_dims extract eye flatnonzero flip fliplr
    flipud full full_like histogram hsplit hstack identity imag inner interp isclose
    isin kron lexsort linspace max mean median meshgrid min moveaxis nan_to_num
    nanargmax nanargmin nanmax nanmean nanmin nanstd nansum nanvar ndim nonzero ones
    ones_like outer pad partition percentile prod ptp quantile ravel real repeat reshape
    result_type roll rollaxis rot90 round searchsorted shape size sort split squeeze
    stack std sum swapaxes take take_along_axis tensordot tile trace transpose tri tril
    tril_indices triu triu_indices unique vdot vsplit vstack var where zeros zeros_like
    linalg.cholesky linalg.det linalg.eigh linalg.inv linalg.lstsq linalg.matrix_power
    linalg.matrix_rank linalg.norm linalg.pinv linalg.qr linalg.slogdet linalg.solve
    linalg.svd lib.stride_tricks.sliding_window_view
    """.split()
)
LACKING = frozenset("where initial device correction stable".split())  # keywords
CONVERSIONS = ("array", "asarray")  # of host data: np.asarray(host, like=device)
_set = object.__setattr__


class StrictArray:
    """An array on a device of its own. `put(host)` makes one, `.get()` brings it back.

    `_host` is the NumPy array it hides.
    """

    __slots__ = ("_host",)
    __hash__ = None

    # ---- NumPy's protocols ------------------------------------------------------
    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` "
            "to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method != "__call__":
            return NotImplemented
        if kwargs.keys() - {"out", "dtype", "casting"}:
            raise TypeError(f"Wrong arguments {sorted(kwargs)}")
        for x in inputs:
            if not isinstance(x, _SCALARS + (StrictArray, np.ndarray)):
                return NotImplemented
        return _run(ufunc, inputs, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        name = f"{func.__module__}.{func.__name__}".removeprefix("numpy.")
        if name not in FUNCTIONS:
            return NotImplemented
        if not builtins.all(issubclass(t, (StrictArray, np.ndarray)) for t in types):
            return NotImplemented
        if kwargs.keys() & LACKING:
            raise TypeError(f"{name}() got an unexpected keyword of {sorted(kwargs)}")
        if name in CONVERSIONS:
            return _wrap(func(_host(args[0], True), *args[1:], **kwargs), args)
        return _run(func, args, kwargs)

    # ---- what it is -------------------------------------------------------------
    shape = property(lambda self: self._host.shape)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    dtype = property(lambda self: self._host.dtype)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: self.transpose())
    device = property(lambda self: "strict")

    @property
    def base(self):
        return None if self._host.base is None else _wrap(self._host.base)

    # ---- to the host ------------------------------------------------------------
    def get(self):
        return self._host.copy()

    def item(self, *args):
        return self._host.item(*args)

    def tolist(self):
        return self._host.tolist()

    def __bool__(self):
        return bool(self._host)

    def __int__(self):
        return int(self._host)

    def __float__(self):
        return float(self._host)

    def __repr__(self):
        return f"strict.{self._host!r}"

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        return _wrap(self._host[_host(index)])

    def __setitem__(self, index, value):
        self._host[_host(index)] = _host(value)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()


def put(x):
    """A copy of a NumPy array on the strict device."""
    return _wrap(np.array(x))


def _wrap(y, sources=()):
    """Results on the device; an array that is one of the sources stays that object."""
    if isinstance(y, (tuple, list)):  # named tuples, as slogdet's, become plain
        return (list if type(y) is list else tuple)(_wrap(v, sources) for v in y)
    if not isinstance(y, (np.ndarray, np.generic)):
        return y
    for x in sources:
        if isinstance(x, StrictArray) and x._host is y:
            return x
    x = object.__new__(StrictArray)
    _set(x, "_host", np.asarray(y))
    return x


def _host(x, numpy_allowed=False):
    """Arguments with their arrays on the host, for the one call that uses them."""
    if isinstance(x, StrictArray):
        return x._host
    if isinstance(x, np.ndarray) and not numpy_allowed:
        raise TypeError(f"Unsupported type {np.ndarray} (shape {x.shape})")
    if type(x) in (tuple, list):
        return type(x)(_host(v, numpy_allowed) for v in x)
    if isinstance(x, slice):
        return slice(*(_host(v) for v in (x.start, x.stop, x.step)))
    return x


def _run(f, args, kwargs):
    sources = (*args, *kwargs.values(), *(kwargs.get("out") or ()))
    y = f(*_host(args), **{k: _host(v) for k, v in kwargs.items()})
    return _wrap(y, sources)


_SCALARS = (builtins.bool, int, float, complex, np.generic)


# ---- methods and operators ------------------------------------------------------
def _method(name):
    def method(self, *args, **kwargs):
        if kwargs.keys() & LACKING:
            raise TypeError(f"{name}() got an unexpected keyword of {sorted(kwargs)}")
        return _run(getattr(np.ndarray, name), (self, *args), kwargs)

    return method


for _name in (
    "all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill "
    "flatten max mean min nonzero prod ravel repeat reshape sort squeeze std sum "
    "swapaxes take trace transpose var view"
).split():
    setattr(StrictArray, _name, _method(_name))


def _operator(ufunc, reflected=False, in_place=False):
    def operate(self, other):
        if in_place:
            return ufunc(self, other, out=self)
        return ufunc(other, self) if reflected else ufunc(self, other)

    return operate


_ARITHMETIC = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "rshift": np.right_shift,
}
for _name, _ufunc in _ARITHMETIC.items():
    setattr(StrictArray, f"__{_name}__", _operator(_ufunc))
    setattr(StrictArray, f"__r{_name}__", _operator(_ufunc, reflected=True))
    setattr(StrictArray, f"__i{_name}__", _operator(_ufunc, in_place=True))
for _name, _ufunc in {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}.items():
    setattr(StrictArray, f"__{_name}__", _operator(_ufunc))
StrictArray.__neg__ = lambda self: np.negative(self)
StrictArray.__abs__ = lambda self: np.absolute(self)
StrictArray.__invert__ = lambda self: np.invert(self)


class _Ufunc:
    """What cupy.add is to np.add: the methods that NumPy's protocol doesn't reach."""

    def __init__(self, ufunc):
        self.ufunc = ufunc

    def at(self, y, index, x):
        self.ufunc.at(y._host, _host(index), _host(x))


add, maximum, minimum = map(_Ufunc, (np.add, np.maximum, np.minimum))
