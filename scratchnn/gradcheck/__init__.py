"""Is a gradient right? Compare it with differences; if it is wrong, say how.

`gradcheck(f, x, w)` draws a random cotangent g and asks how <g, f(x, w)> changes with
each entry of each input. *analytic* is the answer of the rules (or of a hand-written
`backward`), *numeric* that of centred differences in float64. The numeric side has
an error too: it is estimated from two step sizes and from rounding, and a rule is
accused only where it is further away than that, at every step size tried.
"""

import contextlib

import numpy as np

from .. import tensor
from .check import Check, GradcheckError, VacuousCheck
from .pair import Pair, draw, second


@contextlib.contextmanager
def _unread_is_dropped():
    """What a rule says it doesn't read is dropped, however small: so it can't lie."""
    before, tensor._SMALL = tensor._SMALL, -1
    try:
        yield
    finally:
        tensor._SMALL = before


@_unread_is_dropped()
def gradcheck(
    f,
    *inputs,
    order=1,
    mode="coords",
    rng=None,
    backward=None,
    g=None,
    rtol=1e-7,
):
    """True if the gradient of f equals centred differences; else GradcheckError.

    f: takes Tensors and returns a Tensor. With `backward`, a hand-written pair: f
    takes arrays, and `backward(g, *inputs)` returns the gradient by each float input.
    inputs: float arrays or Tensors are checked, in float64. Integers, booleans,
    Python numbers and the rest are passed on as constants.
    order: 2 checks the gradient of the directional derivative as well.
    mode: "coords" compares every entry; "directional" <u, J v> with <J^T u, v> for
    random u and v, at a cost that doesn't grow with the size.
    rng: seeds g and the directions; fixed if None, so that a check repeats itself.
    g: the cotangent, drawn if None (a g of ones hides mistakes: see VacuousCheck).

    Entries on a kink are moved off it first. Raises VacuousCheck if all slopes are 0.
    """
    if mode not in ("coords", "directional"):
        raise ValueError(f"mode is {mode!r}, expected 'coords' or 'directional'")
    if order not in (1, 2):
        raise ValueError(f"order is {order!r}, expected 1 or 2")
    if order == 2 and backward is not None:
        raise ValueError("order=2 needs f written in ops: `backward` has no rules")
    rng = np.random.default_rng(0) if rng is None else rng
    first = Check(Pair(f, inputs, backward), mode, rng, rtol)
    first.run(g)
    if order == 2:
        slope = Check(second(first.pair, first.g, rng), mode, rng, rtol)
        slope.order = 2
        slope.run(None)
    return True


from .table import gradcheck_table  # noqa: E402 (it calls gradcheck)
