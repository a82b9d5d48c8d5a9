"""Typical mistakes in hand-written backward code, planted: right forward, wrong rule.

Each row is `@plant(id, letter)` on a function of (rng, n, d, m) that returns
`(forward, backward, inputs)`; backward None means that the mistake is in forward, which
is then a function of Tensors. Ids M.. are rows of the project's list of mistakes, ids
E.. are further ones; letters are the classes that `diagnose` names. Those in losses,
layers and models are in planted_models.py.
"""

from typing import NamedTuple

import numpy as np

import scratchnn as snn

ROWS = []


class Row(NamedTuple):
    id: str
    letter: str
    make: object


def plant(id, letter):
    def enter(make):
        ROWS.append(Row(id, letter, make))
        return make

    return enter


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax_rule(g, s):
    return s * (g - (g * s).sum(-1, keepdims=True))


# ---- the engine and single ops ---------------------------------------------------
@plant("M01", "R")
def last_use_only(rng, n, d, m):
    return lambda x: x * x, lambda g, x: g * x, [rng.normal(size=(n, d))]


@plant("M03", "G")
def passed_on_too_early(rng, n, d, m):
    """x[0] goes down a chain, the others through a diamond y = t + 3t, t = 2x."""

    def forward(x):
        t = 2 * x
        return np.where(np.arange(n) == 0, np.sin(t), t + np.sin(t))

    def backward(g, x):
        first = np.arange(n) == 0
        return 2 * g * np.where(first, np.cos(2 * x), 1.0)  # before the second user

    return forward, backward, [rng.normal(size=n)]


@plant("M05", "B")
def two_names_for_one_array(rng, n, d, m):
    def backward(g, a, b):
        ga = gb = g.copy()
        ga += g * b
        return ga, gb

    return lambda a, b: a + b + a * b, backward, [
        rng.normal(size=(n, d)),
        rng.normal(size=(n, d)),
    ]


@plant("M07", "R")
def bias_by_mean(rng, n, d, m):
    return (
        lambda x, b: x + b,
        lambda g, x, b: (g, g.mean(0)),
        [rng.normal(size=(n, d)), rng.normal(size=d)],
    )


@plant("M09", "X")
def bias_by_total(rng, n, d, m):
    return (
        lambda x, b: x + b,
        lambda g, x, b: (g, g.sum()),
        [rng.normal(size=(n, d)), rng.normal(size=d)],
    )


@plant("M11", "T")
def lost_axis(rng, n, d, m):
    return (
        lambda x: x.sum(1),
        lambda g, x: np.ones_like(x) * g,
        [rng.normal(size=(n, n))],
    )


@plant("M11", "H")
def lost_axis_unequal(rng, n, d, m):
    return (
        lambda x: x.sum(1),
        lambda g, x: np.ones_like(x) * g,
        [rng.normal(size=(n, d))],
    )


@plant("M13", "T")
def reshape_for_transpose(rng, n, d, m):
    return lambda x: x.T, lambda g, x: g.reshape(x.shape), [rng.normal(size=(n, d))]


@plant("M15", "T")
def transposed_weight_gradient(rng, n, d, m):
    return (
        lambda x, W: x @ W,
        lambda g, x, W: (g @ W.T, g.T @ x),
        [rng.normal(size=(n, d)), rng.normal(size=(d, m))],
    )


@plant("M17", "X")
def g_forgotten(rng, n, d, m):
    return np.sin, lambda g, x: np.cos(x), [rng.normal(size=(n, d))]


@plant("M19", "X")
def second_use_of_tied_weights(rng, n, d, m):
    def forward(x, W):
        return np.tanh(x @ W) @ W.T

    def backward(g, x, W):
        h = np.tanh(x @ W)
        dh = g @ W
        return (dh * (1 - h * h)) @ W.T, g.T @ h

    return forward, backward, [rng.normal(size=(n, d)), rng.normal(size=(d, m))]


@plant("M21", "G")
def repeated_rows_buffered(rng, n, d, m):
    def backward(g, E, k):
        dE = np.zeros_like(E)
        dE[k] += g
        return dE

    k = np.array([1, 0, 1, 3, 4, 1, 0])
    return lambda E, k: E[k], backward, [rng.normal(size=(n + 1, d)), k]


@plant("M23", "G")
def relu_slope_by_output(rng, n, d, m):
    return (
        lambda x: np.maximum(x, 0),
        lambda g, x: g * np.minimum(1, np.maximum(x, 0)),
        [rng.normal(size=(n, d)) * 2],
    )


@plant("M25", "B")
def relu_changes_g(rng, n, d, m):
    def backward(g, x):
        g[x < 0] = 0
        return g

    return lambda x: np.maximum(x, 0), backward, [rng.normal(size=(n, d))]


@plant("M27", "X")
def sigmoid_twice(rng, n, d, m):
    def backward(g, x):
        s = sigmoid(sigmoid(x))
        return g * s * (1 - s)

    return sigmoid, backward, [rng.normal(size=(n, d)) * 2]


@plant("M29", "X")
def step_before_dx(rng, n, d, m):
    def backward(g, x, W):
        dW = x.T @ g
        W = W - 0.1 * dW
        return g @ W.T, dW

    return lambda x, W: x @ W, backward, [
        rng.normal(size=(n, d)),
        rng.normal(size=(d, m)),
    ]


@plant("M31", "Z")
def integer_gradient(rng, n, d, m):
    def backward(g, x):
        dx = np.zeros(x.shape, dtype=int)
        dx[...] = 0.3 * g
        return dx

    return lambda x: 0.3 * x, backward, [rng.normal(size=n)]


@plant("M33", "W")
def computed_in_float32(rng, n, d, m):
    x = rng.normal(size=(n, d))
    return lambda x: snn.tanh(snn.astype(x, np.float32)), None, [x]


@plant("M33", "W")
def float32_inside(rng, n, d, m):
    return (
        lambda x: np.tanh(x.astype(np.float32)).astype(np.float64),
        lambda g, x: g * (1 - np.tanh(x) ** 2),
        [rng.normal(size=(n, d))],
    )


@plant("M35", "W")
def noise_inside(rng, n, d, m):
    return (
        lambda x: x * (rng.random(x.shape) < 0.7),
        lambda g, x: g,
        [rng.normal(size=(n, d))],
    )


@plant("M37", "R")
def wrong_but_tiny(rng, n, d, m):
    return lambda x: 1e-7 * x * x, lambda g, x: 1e-7 * g * x, [rng.normal(size=(n, d))]


# ---- further ones, by the same classes -------------------------------------------
@plant("E01", "H")
def broadcast_not_undone(rng, n, d, m):
    return (
        lambda x, b: x + b,
        lambda g, x, b: (g, g),
        [rng.normal(size=(n, d)), rng.normal(size=d)],
    )


@plant("E02", "H")
def keepdims_left(rng, n, d, m):
    return (
        lambda x, b: x + b,
        lambda g, x, b: (g, g.sum(0, keepdims=True)),
        [rng.normal(size=(n, d)), rng.normal(size=d)],
    )


@plant("E03", "B")
def added_up_over_calls(rng, n, d, m):
    kept = np.zeros((n, d))

    def backward(g, x):
        kept[...] += g * np.cos(x)
        return kept

    return np.sin, backward, [rng.normal(size=(n, d))]


@plant("E04", "B")
def forward_in_place(rng, n, d, m):
    def forward(x):
        x *= 2
        return x

    return forward, lambda g, x: 2 * g, [rng.normal(size=(n, d))]


@plant("E05", "G")
def ties_all_take_everything(rng, n, d, m):
    x = rng.integers(0, 3, (n, d)).astype(float)
    return (
        lambda x: x.max(1),
        lambda g, x: g[:, None] * (x == x.max(1, keepdims=True)),
        [x],
    )


@plant("E06", "X")
def tanh_slope_not_squared(rng, n, d, m):
    return np.tanh, lambda g, x: g * (1 - np.tanh(x)), [rng.normal(size=(n, d))]


@plant("E07", "R")
def dropout_scale_lost(rng, n, d, m):
    keep = rng.random((n, d)) < 0.7
    return lambda x: x * keep / 0.7, lambda g, x: g * keep, [rng.normal(size=(n, d))]


@plant("E10", "R")
def degree_forgotten(rng, n, d, m):
    A = np.tril(np.ones((n, n)))
    degree = A.sum(0)
    return (
        lambda x: (A @ (x / degree[:, None])),
        lambda g, x: A.T @ g,
        [rng.normal(size=(n, d))],
    )


@plant("E11", "N")
def prod_by_division(rng, n, d, m):
    x = rng.normal(size=(n, d))
    x[2, 1] = 0.0
    return (
        lambda x: x.prod(1),
        lambda g, x: g[:, None] * x.prod(1, keepdims=True) / x,
        [x],
    )


@plant("E12", "G")
def clip_lets_all_through(rng, n, d, m):
    return lambda x: np.clip(x, -1, 1), lambda g, x: g, [2 * rng.normal(size=(n, d))]


@plant("E13", "G")
def leaky_slope_lost(rng, n, d, m):
    return (
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda g, x: g * (x > 0),
        [rng.normal(size=(n, d))],
    )


@plant("E14", "T")
def cumsum_not_reversed(rng, n, d, m):
    return (
        lambda x: np.flip(x, 0),
        lambda g, x: g,
        [rng.normal(size=(n, d))],
    )


@plant("E15", "T")
def rolled_the_same_way(rng, n, d, m):
    return (
        lambda x: np.roll(x, 1, 0),
        lambda g, x: np.roll(g, 1, 0),
        [rng.normal(size=(n, d))],
    )


@plant("E17", "S")
def target_minus_prediction(rng, n, d, m):
    return (
        lambda y, t: ((y - t) ** 2).mean(),
        lambda g, y, t: (2 * g * (t - y) / y.size, 2 * g * (t - y) / y.size),
        [rng.normal(size=(n, d)), rng.normal(size=(n, d))],
    )


@plant("E18", "R")
def only_dW_averaged(rng, n, d, m):
    return (
        lambda x, W, b: x @ W + b,
        lambda g, x, W, b: (g @ W.T, x.T @ g / len(x), g.mean(0)),
        [rng.normal(size=(n, d)), rng.normal(size=(d, m)), rng.normal(size=m)],
    )


@plant("E22", "H")
def factors_swapped(rng, n, d, m):
    return (
        lambda x, W: x @ W,
        lambda g, x, W: (W @ g, x.T @ g),
        [rng.normal(size=(n, d)), rng.normal(size=(d, m))],
    )


@plant("E23", "G")
def first_step_forgotten(rng, n, d, m):
    def backward(g, x):
        dx = np.flip(np.flip(g, 0).cumsum(0), 0)
        dx[0] = 0
        return dx

    return lambda x: x.cumsum(0), backward, [rng.normal(size=(n, d))]


@plant("E25", "R")
def two_uses_one_counted_twice(rng, n, d, m):
    return (
        lambda x: (x * x).sum(1),
        lambda g, x: 4 * g[:, None] * x,
        [rng.normal(size=(n, d))],
    )


@plant("E26", "S")
def difference_as_sum(rng, n, d, m):
    return (
        lambda a, b: a - b,
        lambda g, a, b: (g, g),
        [rng.normal(size=(n, d)), rng.normal(size=(n, d))],
    )


@plant("E27", "G")
def masked_scores_get_gradient(rng, n, d, m):
    mask = np.tril(np.ones((n, n), dtype=bool))

    def forward(S):
        return softmax(np.where(mask, S, -1e9))

    return (
        forward,
        lambda g, S: softmax_rule(g, forward(S)) + 0.1 * g * ~mask,
        [rng.normal(size=(n, n))],
    )


@plant("E28", "N")
def empty_row_divided(rng, n, d, m):
    A = np.ones((n, n))
    A[2] = 0
    degree = A.sum(1, keepdims=True)

    def backward(g, x):
        with np.errstate(all="ignore"):
            return A.T @ (g / degree)

    return lambda x: A @ x / np.maximum(degree, 1), backward, [rng.normal(size=(n, d))]


@plant("E29", "G")
def slope_by_sign_of_g(rng, n, d, m):
    return (
        lambda x: np.maximum(x, 0),
        lambda g, x: g * (g > 0) * (x > 0),
        [rng.normal(size=(n, d))],
    )
