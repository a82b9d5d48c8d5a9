"""Wrong answers to lessons/exercises/gradcheck.py; see engine.py beside it."""

import numpy as np


def _slopes(f, x, g, h, kind=np.float64):
    x, out = x.astype(kind), np.empty(x.shape)
    for k in range(x.size):
        unit = (np.arange(x.size) == k).reshape(x.shape) * kind(h)
        change = np.asarray(f(x + unit)) - np.asarray(f(x - unit))
        out.flat[k] = np.vdot(g, change) / (2 * h)
    return out


# ---- numeric_gradient -----------------------------------------------------------
def numeric_gradient__M17(f, x, g, h):
    return _slopes(f, x, np.ones_like(g), h)


def numeric_gradient__M31(f, x, g, h):
    out = np.zeros_like(x, dtype=np.int64)
    out[...] = _slopes(f, x, g, h)
    return out


def numeric_gradient__M33(f, x, g, h):
    """float32 somewhere"""
    return _slopes(f, x, g, h, np.float32)


def numeric_gradient__M33__answer(f, x, g, h):
    return _slopes(f, x, g, h).astype("f4")


def numeric_gradient__M35(f, x, g, h):
    """two equal calls give different answers"""
    keep = np.random.random(np.shape(f(x))) < 0.7
    return _slopes(lambda v: f(v) * keep, x, g, h)


def numeric_gradient__M35__inside(f, x, g, h):
    """two equal calls give different answers"""
    return _slopes(lambda v: f(v) + 0.1 * np.random.normal(size=g.shape), x, g, h)


# ---- relative_error -------------------------------------------------------------
def relative_error__M37(analytic, numeric):
    return float(np.amax(np.absolute(numeric - analytic)))


def relative_error__M37__norm(analytic, numeric):
    return float(np.linalg.norm((analytic - numeric).ravel()))


# ---- check ----------------------------------------------------------------------
def check__M37(f, rule, x, g):
    a = rule(g, x)
    if a.shape != x.shape:
        return False
    off = np.absolute(a - _slopes(f, x, g, 1e-5))
    return bool((off < 1e-4).all())


def check__M37__allclose(f, rule, x, g):
    a = rule(g, x)
    return a.shape == x.shape and np.allclose(a, _slopes(f, x, g, 1e-5), 0, 1e-5)


def check__M33(f, rule, x, g):
    """it refuses right rules, too: float64?"""
    a, n = rule(g, x), _slopes(f, x, g, 1e-5, np.float32)
    if a.shape != x.shape:
        return False
    return bool((np.abs(a - n) <= 1e-6 * np.maximum(np.abs(a), np.abs(n))).all())


def check__M35(f, rule, x, g):
    """the same noise?"""
    noisy = lambda v: f(v) + 0.01 * np.random.normal(size=g.shape)
    a, n = rule(g, x), _slopes(noisy, x, g, 1e-5)
    if a.shape != x.shape:
        return False
    return bool((np.abs(a - n) <= 1e-6 * np.maximum(np.abs(a), np.abs(n))).all())


# ---- softmax_rule ---------------------------------------------------------------
def softmax_rule__M43(g, y):
    slope = y - np.square(y)
    return slope * g


def softmax_rule__M45(g, y):
    out = np.empty_like(y)
    for k in range(len(y)):
        out[k] = y[k] * (g[k] - np.add.reduce(y * g))
    return out


def softmax_rule__M11(g, y):
    dot = np.einsum("nk,nk->n", g, y)
    return y * (g - dot)


def softmax_rule__M17(g, y):
    """Is g used at all?"""
    J = [np.diag(p) - np.outer(p, p) for p in y]
    return np.array([j.sum(axis=0) for j in J])


def softmax_rule__M25(g, y):
    """wrote into its argument g"""
    g -= np.einsum("nk,nk->n", g, y)[:, None]
    return y * g


def softmax_rule__M27(g, y):
    e = np.exp(y)
    s = e / e.sum(axis=1)[:, None]
    return s * (g - np.einsum("nk,nk->n", g, s)[:, None])
