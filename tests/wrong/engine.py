"""Wrong answers to lessons/exercises/engine.py, as students write them.

`function__row` or `function__row__more`: row is an id of the list of mistakes. A
docstring is what the student must be told, where it is not the hint of that row.
"""

import numpy as np


# ---- multiply_rule --------------------------------------------------------------
def multiply_rule__M17(g, a, b):
    da = 1.0 * b
    db = 1.0 * a
    return da, db


def multiply_rule__M05(g, a, b):
    da = db = g.copy()
    da *= b
    db *= a
    return da, db


def multiply_rule__M25(g, a, b):
    """wrote into its argument g"""
    da = g
    da *= b
    return da, g * a


def multiply_rule__M25__undone(g, a, b):
    """wrote into its argument g"""
    right = g * b, g * a
    g *= 0
    return right


def multiply_rule__M31(g, a, b):
    da, db = np.array([[0] * a.shape[-1]] * len(a)), np.zeros(b.shape)
    if a.ndim == 2:
        for at in np.ndindex(a.shape):
            da[at], db[at] = g[at] * b[at], g[at] * a[at]
    return da, db


# ---- matmul_rule ----------------------------------------------------------------
def matmul_rule__M15(g, A, B):
    return np.dot(g, B.T), np.einsum("nm,nd->md", g, A)


def matmul_rule__M13(g, A, B):
    dB = np.einsum("nm,nd->md", g, A)
    return g.dot(B.T), np.reshape(dB, B.shape)


def matmul_rule__M17(g, A, B):
    one = 0 * g + 1
    return one.dot(B.T), A.T.dot(one)


# ---- affine_rule ----------------------------------------------------------------
def affine_rule__M07(g, x, W, b):
    return g @ W, g.T @ x, np.add.reduce(g) / len(g)


def affine_rule__M09(g, x, W, b):
    return np.dot(g, W), np.dot(g.T, x), np.add.reduce(g, axis=None)


def affine_rule__M09__spread(g, x, W, b):
    return np.dot(g, W), np.dot(g.T, x), b * 0 + np.add.reduce(g, axis=None)


def affine_rule__M13(g, x, W, b):
    dW = np.einsum("nm,nd->dm", g, x)
    return g @ W, dW.reshape(W.shape), g.sum(axis=0)


def affine_rule__M15(g, x, W, b):
    return g @ W, np.einsum("nm,nd->dm", g, x), g.sum(axis=0)


def affine_rule__M29(g, x, W, b):
    dW = g.T @ x
    W = W - 0.1 * dW
    return g @ W, dW, g.sum(axis=0)


def affine_rule__M29__in_place(g, x, W, b):
    dW = g.T @ x
    W -= 0.01 * dW
    return g @ W, dW, g.sum(axis=0)


# ---- pull_back ------------------------------------------------------------------
def _blank(parents, kind=float):
    out = np.zeros(len(parents), dtype=kind)
    out[len(parents) - 1] = 1
    return out


def pull_back__M01(parents, slopes):
    out, k = _blank(parents), len(parents) - 1
    while k >= 0:
        p, q = parents[k]
        if p != -1:
            out[p] = out[k] * slopes[k][0]
        if q != -1:
            out[q] = out[k] * slopes[k][1]
        k -= 1
    return out


def pull_back__M03(parents, slopes):
    out, todo, done = _blank(parents), [len(parents) - 1], []
    while todo:
        k, todo = todo[0], todo[1:]
        if k in done:
            continue
        done.append(k)
        for p, s in zip(parents[k], slopes[k]):
            if p != -1:
                out[p] = out[p] + s * out[k]
                todo.append(p)
    return out


def pull_back__M03__deep(parents, slopes):
    out, done = _blank(parents), set()

    def go(k):
        done.add(k)
        for c in range(2):
            p = parents[k][c]
            if p == -1:
                continue
            out[p] = out[p] + out[k] * slopes[k][c]
            if p not in done:
                go(p)

    go(len(parents) - 1)
    return out


def pull_back__M19(parents, slopes):
    """x * x uses x twice: two terms"""
    out = _blank(parents)
    for k in range(len(parents) - 1, -1, -1):
        terms = {}
        for p, s in zip(parents[k].tolist(), slopes[k].tolist()):
            terms[p] = s
        terms.pop(-1, None)
        for p, s in terms.items():
            out[p] += out[k] * s
    return out


def pull_back__M21(parents, slopes):
    out = np.append(_blank(parents), 0.0)  # the last one takes what -1 gets
    for k in range(len(parents) - 1, -1, -1):
        out[parents[k]] += out[k] * slopes[k]
    return out[:-1]


def pull_back__M21__last_node(parents, slopes):
    """take the parents one by one, test >= 0"""
    out = _blank(parents)
    for k in range(len(parents) - 1, -1, -1):
        out[parents[k]] += out[k] * slopes[k]
    return out


def pull_back__M01__last_node(parents, slopes):
    """+=, not =; and -1, no parent, is the last node"""
    out = _blank(parents)
    for k in range(len(parents) - 1, -1, -1):
        for p, s in zip(parents[k], slopes[k]):
            out[p] = out[k] * s
    return out


def pull_back__M01__list(parents, slopes):
    """+=, not =; and -1, no parent, is the last node"""
    out = _blank(parents)
    for k in range(len(parents) - 1, -1, -1):
        out[parents[k]] = out[k] * slopes[k]
    return out


def pull_back__M17(parents, slopes):
    out = _blank(parents)
    for k in np.arange(len(parents))[::-1]:
        for c in (0, 1):
            if parents[k, c] > -1:
                out[parents[k, c]] += slopes[k, c]
    return out


def pull_back__M31(parents, slopes):
    out = _blank(parents, kind=int)
    for k in np.arange(len(parents))[::-1]:
        for c in (0, 1):
            if parents[k, c] > -1:
                out[parents[k, c]] = out[parents[k, c]] + out[k] * slopes[k, c]
    return out


# ---- pull_back_sorted -----------------------------------------------------------
pull_back_sorted__M03 = pull_back__M03__deep


def pull_back_sorted__M03__as_they_stand(parents, slopes):
    out = _blank(parents)
    for k in np.arange(len(parents))[::-1]:
        for c in (0, 1):
            if parents[k, c] > -1:
                out[parents[k, c]] += out[k] * slopes[k, c]
    return out
