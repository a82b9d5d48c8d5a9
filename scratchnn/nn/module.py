"""Module: parameters are the trainable Tensors reachable from an object.

Nothing registers anything. A Module is an object with a `forward`; its parts are what
`vars()` finds: Tensors (parameters), arrays (state that is not trained, such as running
means), other Modules, and lists, tuples and dicts of Tensors and Modules. There is no
`__init__` to call first.
"""

import inspect
from collections import namedtuple

import numpy as np

from ..device import to_device
from ..errors import OpError, nearest
from ..tensor import Tensor

Mismatch = namedtuple("Mismatch", "missing_keys unexpected_keys")


class Module:
    """A function with parameters: assign Tensors and Modules, write `forward`.

        class Net(Module):
            def __init__(self):
                self.hidden = Linear(784, 100)
                self.out = Linear(100, 10)

            def forward(self, x):
                return self.out(relu(self.hidden(x)))

    Array attributes are state: saved and moved, not trained. Those whose name starts
    with `_`, such as constants, are moved only.
    """

    training = True

    def __call__(self, *args, **kwargs):
        try:
            return self.forward(*args, **kwargs)
        except OpError as error:
            _locate(error, self)
            raise

    # ---- parts ------------------------------------------------------------------
    def parameters(self):
        """The trainable Tensors, each once, as a list."""
        return parameters(self)

    def named_parameters(self):
        """(name, Tensor) of each trainable Tensor, each once: ("0.weight", ...)."""
        return [(k, t) for k, t in _once(_walk(self)) if _is_trainable(t)]

    def named_modules(self):
        """(path, Module) of this module, "", and of all within it, each once."""
        within = ((k, m) for k, m in _walk(self) if isinstance(m, Module))
        return [("", self), *_once(within)]

    def modules(self):
        """This module and all within it, each once, as a list."""
        return [m for _, m in self.named_modules()]

    def num_parameters(self):
        """The number of trainable numbers."""
        return sum(p.size for p in self.parameters())

    # ---- changes, each of which returns the module ------------------------------
    def train(self, mode=True):
        """Behave as in training: Dropout drops, BatchNorm uses the batch."""
        for m in self.modules():
            m.training = mode
        return self

    def eval(self):
        """Behave as in use: Dropout passes, BatchNorm uses its running averages."""
        return self.train(False)

    def zero_grad(self):
        """Forget the gradients."""
        for p in self.parameters():
            p.grad = None
        return self

    def requires_grad_(self, flag=True):
        """Freeze (False) or train (True) all Tensors; set it before the forward."""
        for t in _tensors(self):
            t.requires_grad = flag and t.dtype.kind == "f"
        return self

    def to(self, device):
        """Move Tensors and arrays to "cpu" or "gpu"."""
        for t in _tensors(self):
            t.data = to_device(t.data, device)
            if t.grad is not None:
                t.grad = to_device(t.grad, device)
        for m in self.modules():
            for name, x in vars(m).items():
                if _is_array(x) and not isinstance(x, Tensor):
                    setattr(m, name, to_device(x, device))
        return self

    def apply(self, f):
        """Call f(module) on this module and all within it, innermost first."""
        for m in reversed(self.modules()):
            f(m)
        return self

    # ---- saving -----------------------------------------------------------------
    def state_dict(self):
        """Copies of all Tensors and state arrays by name, with PyTorch's names.

        A Tensor reachable by two names appears under both, as in PyTorch.
        """
        return {k: _data(x).copy() for k, x in self._state().items()}

    def load_state_dict(self, state, strict=True):
        """Copy arrays into the Tensors and state arrays of the same names.

        strict=False ignores missing and unexpected names; shapes must always agree.
        Returns (missing_keys, unexpected_keys). Raises ValueError that lists all that
        does not fit; nothing is changed then.
        """
        own = self._state()
        state = {k: _data(x) for k, x in state.items()}
        missing = [k for k in own if k not in state]
        unexpected = [k for k in state if k not in own]
        wrong = [
            f"{k} is {x.shape} in the model, {tuple(np.shape(state[k]))} in the state"
            for k, x in own.items()
            if k in state and x.shape != tuple(np.shape(state[k]))
        ]
        faults = {"wrong shape": wrong}
        if strict:
            faults = {"missing": missing, "unexpected": unexpected, **faults}
        lines = [f"{k}: {', '.join(names)}" for k, names in faults.items() if names]
        if lines:
            lines.insert(0, f"the state does not fit {type(self).__name__}")
            if not wrong:
                lines.append("(strict=False loads what the two have in common)")
            raise ValueError("\n  ".join(lines))
        for k, x in own.items():
            if k in state:
                values = np.array(state[k], dtype=x.dtype, like=_data(x))
                if isinstance(x, Tensor):
                    x.data = values
                else:
                    x[...] = values
        return Mismatch(missing, unexpected)

    def _state(self):
        return {
            path: x
            for path, x in _walk(self)
            if isinstance(x, Tensor)
            or _is_array(x)
            and not path.rpartition(".")[2].startswith("_")
        }

    # ---- what a reader sees -----------------------------------------------------
    def __getattr__(self, name):  # called only if the usual search failed
        if hasattr(type(self), name):  # a property raised: show its own error
            return object.__getattribute__(self, name)
        hint = nearest(name, {*vars(self), *dir(type(self))})
        raise AttributeError(
            f"{type(self).__name__!r} has no attribute {name!r}{hint}"
        )

    def __repr__(self):
        counted = set()
        rows = list(_rows(self, "", "", counted))
        total = sum(count for _, _, count in rows)
        rows.append(("total", "", total))
        frozen = total - self.num_parameters()
        if frozen:
            rows.append(("of them frozen", "", frozen))
        left = max(len(row[0]) for row in rows)
        middle = max(len(row[1]) for row in rows)
        right = len(f"{total:,}")
        lines = []
        for label, shapes, count in rows:
            number = f"{count:,}" if count or label == "total" else ""
            line = f"{label:{left}}  {shapes:{middle}}  {number:>{right}}"
            lines.append(line.rstrip())
        return "\n".join(lines)


def parameters(x):
    """The trainable Tensors reachable from a Module, or a list or dict of them."""
    return [t for _, t in _once(_walk(x)) if _is_trainable(t)]


# ---- walking --------------------------------------------------------------------
def _members(x, path=""):
    """(name, part) of what x holds itself: "weight", or "layers.0" in a list."""
    parts = vars(x) if isinstance(x, Module) else x
    parts = parts if isinstance(parts, dict) else dict(enumerate(parts))
    for name, part in parts.items():
        name = f"{path}{name}"
        if isinstance(part, (list, tuple, dict)):
            yield from _members(part, f"{name}.")
        elif isinstance(part, Tensor):
            if part.is_leaf:  # not an output kept to look at, such as attention weights
                yield name, part
        elif isinstance(part, Module):
            yield name, part
        elif isinstance(x, Module) and _is_array(part):
            yield name, part


def _walk(x, path="", above=()):
    """(path, part) of all Modules, Tensors and state arrays reachable from x."""
    for name, part in _members(x):
        if any(part is m for m in above):  # a module that knows its parent
            continue
        yield path + name, part
        if isinstance(part, Module):
            yield from _walk(part, f"{path}{name}.", (*above, x))


def _once(pairs):
    """Leave out what came before under another name."""
    seen = set()
    for path, x in pairs:
        if id(x) not in seen:
            seen.add(id(x))
            yield path, x


def _tensors(x):
    return [t for _, t in _once(_walk(x)) if isinstance(t, Tensor)]


def _is_trainable(x):
    return isinstance(x, Tensor) and x.requires_grad


def _is_array(x):
    return hasattr(type(x), "__array_function__")  # on any device, but not a scalar


def _data(x):
    return x.data if isinstance(x, Tensor) else x


# ---- errors and the tree --------------------------------------------------------
def _locate(error, module):
    """Name in an error of an op the innermost layer, by its path from `module`."""
    if not hasattr(error, "layer"):
        kind = type(module).__name__
        same = error.where.replace("_", "") in kind.lower()  # batch_norm: BatchNorm2d
        error.layer, error.op = module, "" if same else f", {error.where}"
    for path, m in module.named_modules():
        if m is error.layer:
            kind = type(m).__name__
            error.where = (f"{kind} {path!r}" if path else kind) + error.op


def _rows(module, name, indent, counted):
    """(label, shapes, number of values) of a module and of all within it."""
    tensors = [(k, t) for k, t in _members(module) if isinstance(t, Tensor)]
    new = {id(t): t.size for _, t in tensors if id(t) not in counted}
    shapes = [
        f"{k} {t.shape}" + (" shared" if id(t) in counted else "") for k, t in tensors
    ]
    if len(shapes) > 4:  # several recurrent layers: a row must fit a screen
        shapes[1:] = [f"... {len(shapes)} in all"]
    counted.update(new)
    yield f"{indent}{name}{_title(module)}", ", ".join(shapes), sum(new.values())
    for k, m in _members(module):
        if isinstance(m, Module):
            yield from _rows(m, f"{k}: ", indent + "  ", counted)


def _title(module):
    """The class and the settings that are not the defaults: Conv2d(stride=2)."""
    usual = inspect.signature(type(module)).parameters
    settings = ", ".join(
        f"{k}={getattr(v, '__name__', v)}"
        for k, v in vars(module).items()
        if _is_plain(v) and k[0] != "_" and k != "training"
        if k not in usual or usual[k].default != v
    )
    return type(module).__name__ + (f"({settings})" if settings else "")


def _is_plain(v):
    """Whether a value tells a reader something in one line."""
    if isinstance(v, tuple):
        return all(map(_is_plain, v))
    return isinstance(v, (bool, int, float, str)) or inspect.isroutine(v)
