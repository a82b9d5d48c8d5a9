"""The op table: what is known of each op, in one place.

`TABLE` maps a name to its Op. From it come the public functions, the operators,
the docs page of formulas, the benchmark's list and the generated tests. The
recording itself is in tensor.py; kernels are attached from outside (`attach`).
"""

import functools
import inspect

from .errors import nearest

TABLE = {}
TORCH = {"dim": "axis", "keepdim": "keepdims", "dims": "axes"}
ALL = "all"  # of a variadic op's inputs


class Shape:
    """Stands for an array that the graph need not keep: shape and dtype only."""

    __slots__ = ("shape", "dtype", "ndim", "size")

    def __init__(self, x):
        self.shape, self.dtype, self.ndim, self.size = x.shape, x.dtype, x.ndim, x.size


class Op:
    """One row of the table: a body, a rule for each input, examples, a kernel.

    body: the formula in NumPy. run: what is called, the body or a kernel in front of
    it. names: all arguments; the first `n` are inputs, the others parameters.
    keeps_y, drops: whether a rule reads y, and which inputs no rule reads.
    """

    def __init__(self, body, make_call):
        self.body = self.run = body
        self.name = body.__name__.rstrip("_")
        self.signature = inspect.signature(body)
        self.names = list(self.signature.parameters)
        kinds = [p.kind for p in self.signature.parameters.values()]
        self.variadic = inspect.Parameter.VAR_POSITIONAL in kinds
        self.is_binary = self.names == ["a", "b"]
        self.rules, self.examples = None, []
        self.fast = self.fast_rule = None
        self.is_constant = False  # all rules are None: nothing is recorded
        self._set_inputs(len(self.names))
        self.call = make_call(self)
        if self.call is not body:
            functools.update_wrapper(self.call, body)
        self.is_composite = self.call is body
        self.call.op = self
        self.call.rules, self.call.example = self.set_rules, self.add_example
        self._enter()

    def _enter(self):
        """Take a place in the table; a reader's own op may not take the library's."""
        taken = TABLE.get(self.name)
        if taken is not None and _is_ours(taken):
            if _is_ours(self):
                raise ValueError(f"two ops are named {self.name!r}")
            return
        TABLE[self.name] = self

    def _set_inputs(self, n):
        self.n, parameters = n, self.signature.parameters
        all_defaults = {
            k: p.default for k, p in parameters.items() if p.default is not p.empty
        }
        self.defaults = {
            k: all_defaults[k] for k in self.names[n:] if k in all_defaults
        }
        self.all_defaults = all_defaults
        self.keeps_y, self.drops, self.reads_inputs_only = True, (), False

    def set_rules(self, **rules):
        """Give the vector-Jacobian product `(g, y, *inputs, **parameters)` by input.

        None says that there is no derivative by that input. A rule of a variadic
        input also takes `i`, the position.
        """
        if self.is_binary and len(rules) < 2:
            raise ValueError(
                f"{self.name} has the inputs a and b: give a rule for each, None for "
                "one without a derivative"
            )
        for name in rules:
            if name not in self.names:
                raise ValueError(f"{self.name} has no argument {name!r} to give a rule")
        if self.variadic:
            self._set_inputs(1)
            (rule,) = rules.values()
            self.rules = _ForEach(rule)
            self.keeps_y = False  # as `_y` in every such rule says
            if "_xs" in inspect.signature(rule).parameters:
                self.drops = ALL
            return
        self._set_inputs(max(self.names.index(k) for k in rules) + 1)
        self.rules = tuple(rules.get(k) for k in self.names[: self.n])
        self.is_constant = not any(self.rules)
        read = [False] * (self.n + 1)
        for rule in filter(None, self.rules):
            for i, p in enumerate(
                list(inspect.signature(rule).parameters)[1 : self.n + 2]
            ):
                read[i] = read[i] or not p.startswith("_")
        self.keeps_y = read[0]
        self.drops = tuple(i for i in range(self.n) if not read[i + 1])
        self.reads_inputs_only = not self.keeps_y and not self.drops

    def add_example(self, *args, **params):
        """Add inputs for the generated tests: arrays, or draws (see examples.py)."""
        self.examples.append((args, params))

    def attach(self, fast=None, rule=None):
        """Put a kernel in front of the body, and a joint rule in front of the rules.

        fast(*inputs, **params) -> y; rule(g, y, need, *inputs, **params) -> one
        gradient (or None where `need` is False) per input, no two sharing memory.
        Either may return NotImplemented to decline: then body or rules run.
        """
        self.fast, self.fast_rule = fast, rule
        body = self.body

        def run(*args, **params):
            kernel = self.fast  # None if it was taken off meanwhile
            y = NotImplemented if kernel is None else kernel(*args, **params)
            return body(*args, **params) if y is NotImplemented else y

        self.run = body if fast is None else run

    def bind(self, args, params):
        """Sort what a caller gave into inputs and parameters, defaults filled in."""
        if self.variadic:
            if len(args) == 1 and isinstance(args[0], (list, tuple)):
                args = args[0]
            return tuple(args), {**self.defaults, **params}
        if len(args) == self.n and params.keys() <= self.defaults.keys():
            return args, {**self.defaults, **params}
        if not params and self.n < len(args) <= len(self.names):
            given = dict(zip(self.names[self.n :], args[self.n :]))
            given = {**self.defaults, **given}
            if len(given) == len(self.names) - self.n:
                return args[: self.n], given
        given = {**self.all_defaults, **dict(zip(self.names, args)), **params}
        positional = self.names[: len(args)]
        if (
            len(args) > len(self.names)
            or len(given) != len(self.names)
            or any(name in params for name in positional)
        ):
            self._refuse(args, params)
        return tuple(given.pop(name) for name in self.names[: self.n]), given

    def _refuse(self, args, params):
        try:
            self.signature.bind(*args, **params)
        except TypeError as e:
            unknown = [k for k in params if k not in self.names]
            hint = nearest(unknown[0], self.names) if unknown else ""
            if unknown and unknown[0] in TORCH:
                hint = f"; the name here is {TORCH[unknown[0]]!r}, as in NumPy"
            raise TypeError(f"{self.name}{self.signature}: {e}{hint}") from None

    def __repr__(self):
        return f"<op {self.name}{self.signature}>"


def _is_ours(entry):
    return entry.body.__module__.startswith("scratchnn.")


class _ForEach:
    """The rules of a variadic op: one rule, told which input is asked for."""

    def __init__(self, rule):
        self.rule = rule

    def __getitem__(self, i):
        return functools.partial(self.rule, i=i)
