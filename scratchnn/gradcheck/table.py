"""Checking the whole op table."""

import copy
import time
from typing import NamedTuple

import numpy as np

from ..op import TABLE
from ..ops import concatenate
from ..ops.examples import drawn
from . import gradcheck
from .check import GradcheckError, VacuousCheck
from .pair import argument_names, is_float


class Row(NamedTuple):
    """One line of `gradcheck_table`. ok is None where there is nothing to check."""

    op: str
    example: int
    order: int
    ok: bool
    message: str
    seconds: float


def gradcheck_table(rng=None, names=None):
    """Check every example of every op of the table (or of `names`): yields Rows.

    First order by entries, second order by directions. An op without a derivative
    gives one Row with ok None and the reason.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    for name in names or sorted(TABLE):
        entry = TABLE[name]
        if entry.is_constant:
            yield Row(name, 0, 1, None, "has no derivative", 0.0)
            continue
        for k, (args, params) in enumerate(entry.examples):
            args = drawn(args, rng)
            for order in (1, 2):
                start = time.perf_counter()
                ok, message = _check_example(entry, args, params, order, rng)
                yield Row(name, k, order, ok, message, time.perf_counter() - start)


def _check_example(entry, args, params, order, rng):
    f, floats = _of_floats(entry, args, params)
    if not floats:
        return None, "has no float input"
    mode = "coords" if order == 1 else "directional"
    try:
        return gradcheck(f, *floats, order=order, mode=mode, rng=rng), ""
    except VacuousCheck as e:
        return None, str(e)
    except GradcheckError as e:
        return False, str(e)


def _of_floats(entry, args, params):
    """The call as a function of its float arrays alone, and those arrays."""
    rules = () if entry.is_composite or entry.variadic else entry.rules
    floats, names = [], []

    def take(x, name):
        """Put a stand-in where a float array was; lists are searched."""
        if isinstance(x, (list, tuple)) and any(is_float(v) for v in x):
            return [take(v, f"{name}[{k}]") for k, v in enumerate(x)]
        if not is_float(x):
            return x
        floats.append(x)
        names.append(name)
        return _Slot(len(floats) - 1)

    def put(x, given):
        if isinstance(x, list):
            return [put(v, given) for v in x]
        if isinstance(x, np.random.Generator):
            return copy.deepcopy(x)  # the same noise in every call
        return given[x.place] if isinstance(x, _Slot) else x

    named = zip(args, argument_names(entry.body, len(args)))
    slots = [
        x if k < len(rules) and rules[k] is None else take(x, name)
        for k, (x, name) in enumerate(named)
    ]

    def f(*given):
        fixed = {k: put(v, given) for k, v in params.items()}
        y = entry.call(*(put(x, given) for x in slots), **fixed)
        return concatenate([v.reshape(-1) for v in y]) if type(y) is list else y

    f.__name__, f.names = entry.name, names
    return f, floats


class _Slot(NamedTuple):
    place: int
