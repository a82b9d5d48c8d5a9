"""Errors that say what was given, what was expected, and the fix.

Op bodies contain the formula and no checks. When NumPy refuses, `explain` looks up
what the op's inputs must satisfy and says it in the reader's terms.
"""

import difflib
import sys

import numpy as np


class GraphError(RuntimeError):
    """The graph can't give the derivative asked for."""


class OpError(Exception):
    """Something an op can't do. `where` is the op, or the layer that called it."""

    def __init__(self, where, text):
        super().__init__(where, text)
        self.where, self.text = where, text

    def __str__(self):
        return f"{self.where}: {self.text}"


class ShapeError(OpError, ValueError):
    """Inputs of an op don't fit together."""


class AnomalyError(OpError, FloatingPointError):
    """An op made a NaN or an infinity; see detect_anomaly."""


def nearest(name, names):
    """`; did you mean 'x'?` for the name most like `name`, or an empty string."""
    known = {n.lower(): n for n in names if n[:1] != "_"}
    close = difflib.get_close_matches(name.lower(), known, 1, 0.66)
    return f"; did you mean {known[close[0]]!r}?" if close else ""


def missing_name(module):
    """A module's `__getattr__`, which answers a typo with the nearest name."""

    def __getattr__(name):
        hint = nearest(name, vars(sys.modules[module]))
        raise AttributeError(f"{module} has no {name!r}{hint}", name=name)

    return __getattr__


def explain(op, inputs, params, error):
    """The exception to raise instead of NumPy's `error` from the body of `op`."""
    if isinstance(error, ShapeError) and op.name not in FITS:
        return error  # of an op in the body: it says what doesn't fit
    try:
        fits = FITS[op.name] if op.name in FITS else _broadcast
        text = fits(*map(_shape, inputs), **params)
    except Exception:  # the explanation must never hide the error itself
        text = None
    if text:
        return ShapeError(op.name, text)
    if isinstance(error, ShapeError):
        return error
    given = ", ".join(
        f"{name} {_describe(x)}" for name, x in zip(_input_names(op, inputs), inputs)
    )
    given += "".join(f", {k}={_describe(v)}" for k, v in params.items())
    kind = ShapeError if isinstance(error, ValueError) else None
    text = f"{_tidy(error)} (given {given})"
    return kind(op.name, text) if kind else type(error)(f"{op.name}: {text}")


def explain_rule(op, i, error):
    """The exception for a rule of `op`, that by input i, which ended in `error`."""
    name = f"xs[{i}]" if op.variadic else op.names[i]
    text, hint = str(error), ""
    if "Shape" in text:
        hint = ". An argument that begins with _ is not kept: to read it, drop the _"
    elif "NoneType" in text:
        hint = ". Is `return` missing? (And _y is not kept: to read it, call it y)"
    return GraphError(f"the rule of {op.name} by {name} failed: {text}{hint}")


def _input_names(op, inputs):
    return [f"xs[{i}]" for i in range(len(inputs))] if op.variadic else op.names


def _shape(x):
    return None if x is None else np.shape(x)


def _describe(x):
    if isinstance(x, tuple):
        return f"({', '.join(map(_describe, x))})"
    return f"{x.shape} {x.dtype}" if hasattr(x, "dtype") else repr(x)


def _tidy(error):
    text = str(error)
    return text[:1].lower() + text[1:]


def _broadcast(*shapes, **_):
    """Elementwise ops: the first axis, from the right, that clashes."""
    shapes = [s for s in shapes if s is not None]
    for i, a in enumerate(shapes):
        for b in shapes[i + 1 :]:
            for back in range(1, min(len(a), len(b)) + 1):
                n, m = a[-back], b[-back]
                if n != m and 1 not in (n, m):
                    fix = f"make them equal, or one of them 1 to broadcast{_hint(a, b)}"
                    clash = f"clash at axis -{back}: {n} against {m}"
                    return f"shapes {a} and {b} {clash}; {fix}"


def _hint(a, b):
    short, long = sorted((a, b), key=len)
    if len(short) == 1 and len(long) > 1:
        for axis in range(len(long) - 1):
            if long[axis] == short[0]:
                ones = (short[0],) + (1,) * (len(long) - 1 - axis)
                return f". To meet axis {axis}, reshape {short} to {ones}"
    return ""


def _matmul(a, b):
    if not a or not b:
        return f"{a} @ {b}: a scalar has no axis to sum over; use * instead"
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        axis = -2 if len(b) > 1 else 0
        fix = f"b needs {a[-1]} there"
        if len(b) > 1 and b[-1] == a[-1]:
            fix = f"the transpose of b, {(*b[:-2], b[-1], b[-2])}, would fit"
        elif len(a) > 1 and a[-2] == inner:
            fix = f"the transpose of a, {(*a[:-2], a[-1], a[-2])}, would fit"
        sums = f"{a} @ {b} sums axis -1 of a ({a[-1]}) with axis {axis} of b ({inner})"
        return f"{sums}; {fix}"
    return _broadcast(a[:-2], b[:-2])


def _linear(x, weight, bias=None, **_):
    if x[-1:] != weight[1:]:
        return f"input {x} needs last axis {weight[1]} to match weight {weight}"
    if bias is not None and bias != weight[:1]:
        return f"bias {bias} needs shape {weight[:1]} to match weight {weight}"


def _image_and_kernel(x, weight, groups, channels):
    if len(weight) != 4:
        return f"weight {weight} needs 4 axes ({channels}, kh, kw)"
    if len(x) < 3:
        return f"input {x} needs 4 axes (N, C, H, W), or 3 (C, H, W) without a batch"
    if weight[0] % groups:
        return (
            f"axis 0 of weight {weight}, the {channels.partition(',')[0]}, must be a "
            f"multiple of groups={groups}"
        )


def _conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    channels = "out channels, in channels / groups"
    if wrong := _image_and_kernel(x, weight, groups, channels):
        return wrong
    if x[-3] != weight[1] * groups:
        return (
            f"input {x} needs {weight[1] * groups} channels (axis -3) to match weight "
            f"{weight}" + (f" with groups={groups}" if groups != 1 else "")
        )
    if bias not in (None, weight[:1]):
        return f"bias {bias} needs shape {weight[:1]} to match weight {weight}"
    for axis in (-2, -1):
        p, d = _of_pair(padding, axis), _of_pair(dilation, axis)
        span, room = d * (weight[axis] - 1) + 1, x[axis] + 2 * p
        if span > room:
            return (
                f"the kernel of weight {weight} spans {span} along axis {axis}, but "
                f"input {x} has only {room} there, padding included; use a smaller "
                f"kernel, or padding of at least {-((x[axis] - span) // 2)}"
            )


def _of_pair(n, axis):
    return n[axis] if isinstance(n, (tuple, list)) else n


def _conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    channels = "in channels, out channels / groups"
    if wrong := _image_and_kernel(x, weight, groups, channels):
        return wrong
    if x[-3] != weight[0]:
        return (
            f"input {x} needs {weight[0]} channels (axis -3) to match weight {weight}, "
            f"which is ({channels}, kh, kw) here"
        )
    out = (weight[1] * groups,)
    if bias not in (None, out):
        return f"bias {bias} needs shape {out} to match weight {weight}"
    for axis in (-2, -1):
        s, d = _of_pair(stride, axis), _of_pair(dilation, axis)
        extra, most = _of_pair(output_padding, axis), max(s, d) - 1
        if extra > most:
            return (
                f"output_padding {extra} at axis {axis} must be less than stride {s} "
                f"or dilation {d}: it tells apart the sizes that conv2d takes to one. "
                f"Use {most} or less"
            )


def _conv2d_weight(x, dy, size, **_):
    return (
        f"dy {dy} does not fit: it needs the batch and the rows and columns that "
        f"conv2d makes of x {x} with a kernel {size}, and channels that groups divide"
    )


def _attention(q, k, v, mask=None, causal=False):
    for name, x in (("q", q), ("k", k), ("v", v)):
        if len(x) < 2:
            return f"{name} {x} needs 2 axes or more: (..., its rows, numbers)"
    if q[-1] != k[-1]:
        return (
            f"q {q} and k {k} need equal last axes, not {q[-1]} and {k[-1]}: a score "
            "is the product of a query and a key"
        )
    if k[-2] != v[-2]:
        return (
            f"k {k} and v {v} need equal axes -2, not {k[-2]} and {v[-2]}: each key "
            "has its value"
        )
    if k[-2] == 0:
        return f"k {k} has no keys to choose from; give at least one"
    for a, b in ((q, k), (k, v), (q, v)):
        if clash := _broadcast(a[:-2], b[:-2]):
            return f"the axes before the last two of q {q}, k {k}, v {v}: {clash}"
    scores = (*np.broadcast_shapes(q[:-2], k[:-2]), q[-2], k[-2])
    return None if mask is None else _mask(_shape(mask), scores)


def _mask(mask, scores):
    """Whether a mask fits scores (..., T, S)."""
    if not _broadcast(mask, scores):
        return None
    text = f"mask {mask} needs to be {scores[-2:]}, a row for each query, a column for "
    text += f"each key, or to broadcast against the scores {scores}"
    if mask[-2:] == scores[:-3:-1] != scores[-2:]:
        return f"{text}. Its transpose would fit"
    if len(mask) == 3 and len(scores) == 4 and mask == scores[:1] + scores[2:]:
        return f"{text}. mask[:, None] would: one for all heads"
    return text


def _multihead_attention(q, kv=None, heads=1, mask=None, causal=False):
    width = q[-1] // 3 if kv is None else q[-1]
    if kv is None and q[-1] % 3:
        return (
            f"the last axis of q {q} needs to be 3 d: queries, keys and values side by "
            "side; or give kv, for keys and values of their own"
        )
    if kv is not None and kv[-1] != 2 * width:
        return (
            f"the last axis of kv {kv} needs to be {2 * width}, twice that of q {q}: "
            "keys and values side by side"
        )
    if not isinstance(heads, (int, np.integer)) or heads < 1 or width % heads:
        return f"d = {width} is not heads={heads!r} equal parts; heads must divide it"
    for name, x in (("q", q), ("kv", kv)):
        if x is not None and len(x) < 2:
            return f"{name} {x} needs 2 axes or more: (..., its rows, numbers)"

    if kv is not None and (clash := _broadcast(q[:-2], kv[:-2])):
        return f"the axes before the last two of q {q} and kv {kv}: {clash}"

    def split(x):
        return (*x[:-2], heads, x[-2], width // heads)

    k = split(q if kv is None else kv)
    return _attention(split(q), k, k, mask)


def _reshape(x, shape):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size, known = int(np.prod(x)), int(np.prod([n for n in shape if n != -1]))
    if -1 in shape:
        return f"{x} has {size} elements, not a multiple of the {known} in {shape}"
    return (
        f"{x} has {size} elements but {shape} needs {known}; -1 for one axis infers it"
    )


def _axis(x, axis=None, **_):
    axes = axis if isinstance(axis, tuple) else (axis,)
    for a in axes:
        if isinstance(a, int) and not -len(x) <= a < len(x):
            return (
                f"axis {a} does not exist in shape {x}; it has axes 0 to {len(x) - 1}"
            )


def _join(*shapes, axis=0):
    first = shapes[0]
    for i, s in enumerate(shapes):
        if len(s) != len(first):
            return f"xs[{i}] has shape {s}, xs[0] {first}: they need as many axes"
        for k, (n, m) in enumerate(zip(first, s)):
            if n != m and k != axis % len(first):
                return (
                    f"xs[{i}] has shape {s}, xs[0] {first}: axis {k} differs; only "
                    f"axis {axis} may"
                )
    return _axis(first, axis)


# What must fit, by op. Each takes the inputs' shapes and the parameters, and returns
# the sentence, or None if it sees nothing wrong.
FITS = {
    "matmul": _matmul,
    "linear": _linear,
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "conv2d_weight": _conv2d_weight,
    "attention": _attention,
    "multihead_attention": _multihead_attention,
    "reshape": _reshape,
    "concatenate": _join,
}
FITS.update(
    dict.fromkeys("sum mean var std max min prod cumsum logsumexp".split(), _axis)
)
FITS.update(
    dict.fromkeys("softmax log_softmax norm argmax argmin flip".split(), _axis),
    standardize=_axis,
)
