"""Assignment 4: attention.

You write attention from one query to several heads, and its backward rule by hand. A
token is a row. Queries Q (T, d) ask keys K (S, d); the answer to query t is a mean of
the values V (S, m), with weights softmax(q_t k_s / sqrt(d)) over the S keys.

NumPy is all you need. Check your work with `scratchnn check`.
"""

import numpy as np

### BEGIN TESTS
from scratchnn.course import task

### END TESTS


# ---- 4.1 ------------------------------------------------------------------------
def softmax(scores):
    """exp(scores) over its sum along the last axis: weights that sum to 1.

    It must hold for any scores: rows of a thousand, and -inf beside a number, which
    gets the weight 0. A softmax does not feel a number that is added to a whole row.

    scores: (..., S), any number of axes -> the same shape.
    """
    ### BEGIN SOLUTION
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
    ### END SOLUTION


### BEGIN TESTS
SOFTMAX = task(
    "4.1", "softmax", points=3,
    hint="subtract the largest score of each row first; keepdims=True keeps the axis",
)  # fmt: skip


@SOFTMAX.value
def _(rng, T=5, S=3):
    """equals exp over its sum, row by row"""
    return 3 * rng.normal(size=(T, S))


@SOFTMAX.value
def _(rng, T=5, S=3):
    """also for scores of a thousand, and -inf"""
    scores = 1000 * rng.normal(size=(T, S))
    scores[rng.random((T, S)) < 0.3] = -np.inf
    scores[:, 0] = rng.normal(size=T)
    return scores


@SOFTMAX.gradient(
    backward=lambda g, scores: np.exp(scores)
    / np.exp(scores).sum(1)[:, None]
    * (g - (g * np.exp(scores)).sum(1)[:, None] / np.exp(scores).sum(1)[:, None])
)
def _(rng, T=5, S=3):
    """its slopes: every weight of a row depends on every score of it"""
    return rng.normal(size=(T, S))


@SOFTMAX.invariant
def _(softmax, rng):
    """rows sum to 1"""
    sums = softmax(rng.normal(size=(5, 3))).sum(axis=1)
    assert np.allclose(sums, 1), f"rows sum to {np.round(sums, 3)}, expected 1"


### END TESTS
### BEGIN HIDDEN TESTS
@SOFTMAX.value
def _(rng, H=2, T=5, S=3):
    """for three axes, with equal scores"""
    return rng.integers(-2, 3, (H, T, S)) * 1.3


@SOFTMAX.value
def _(rng, S=7):
    """for one axis"""
    return 3 * rng.normal(size=S)


@SOFTMAX.invariant
def _(softmax, rng):
    """a number added to a row changes nothing"""
    scores, more = rng.normal(size=(5, 3)), 900 * rng.normal(size=(5, 1))
    same = np.allclose(softmax(scores), softmax(scores + more))
    assert same, "with a number added to each row the weights must be the same"


def over(scores, axis=-1, shift=None):
    """softmax, with room for mistakes."""
    e = np.exp(scores if shift is None else scores - shift)
    return e / e.sum(axis=axis, keepdims=True)


SOFTMAX.mistake(
    "M41", "exp overflows from 710 on: subtract the largest score of the row first",
    lambda x: over(x),
    lambda x: np.nan_to_num(over(x)),
    lambda x: over(x, shift=x.mean(axis=-1, keepdims=True)),
    lambda x: over(x, shift=x.min(axis=-1, keepdims=True)),
)  # fmt: skip
SOFTMAX.mistake(
    "M39", "which numbers compete? Normalise over the last axis",
    lambda x: over(x, 0),
    lambda x: over(x, 0, x.max(axis=0, keepdims=True)),
    lambda x: over(x, 0, x.max(axis=-1, keepdims=True)),
    lambda x: over(x, 0, x.max()),
    lambda x: over(x, None),
    lambda x: over(x, None, x.max()),
    lambda x: over(x, 1),
    lambda x: over(x, 1, x.max(axis=1, keepdims=True)),
)  # fmt: skip
SOFTMAX.mistake(
    "largest of all", "the largest of each row: far below it all of a row would be 0",
    lambda x: over(x, shift=x.max()),
    lambda x: over(x, shift=x.max(axis=0, keepdims=True)),
)  # fmt: skip
SOFTMAX.mistake(
    "M11", "put the lost axis back: keepdims=True, or [..., None]",
    lambda x: np.exp(x) / np.exp(x).sum(-1),
    lambda x: np.exp(x - x.max(-1)) / np.exp(x - x.max(-1)).sum(-1),
    lambda x: shifted(x) / shifted(x).sum(-1),
    lambda x: shifted(x) / shifted(x).sum(1),
    lambda x: np.exp(x - x.max(-1)) / np.exp(x - x.max(-1)).sum(-1, keepdims=True),
    lambda x: np.exp(x) / np.exp(x).sum(1),
)  # fmt: skip
SOFTMAX.mistake(
    "shift lost", "the shift must be in both exp: above and below the line",
    lambda x: np.exp(x) / shifted(x).sum(-1, keepdims=True),
    lambda x: shifted(x) / np.exp(x).sum(-1, keepdims=True),
)  # fmt: skip
SOFTMAX.mistake(
    "not exp", "weights are exp of scores: above 0, and a sum of 1",
    lambda x: x / x.sum(-1, keepdims=True),
    lambda x: 1 / (1 + np.exp(-x)),
    lambda x: shifted(x),
    lambda x: np.exp(x),
    lambda x: np.log(over(x, shift=x.max(-1, keepdims=True))),
    lambda x: over(-x, shift=(-x).max(-1, keepdims=True)),
    lambda x: shifted(x) / shifted(x).max(-1, keepdims=True),
    lambda x: shifted(x) / shifted(x).mean(-1, keepdims=True),
)  # fmt: skip


def shifted(x):
    return np.exp(x - x.max(axis=-1, keepdims=True))


### END HIDDEN TESTS
# ---- 4.2 ------------------------------------------------------------------------
def single_query_attention(e, e_t, W_q, b_q, W_k, b_k, W_v, b_v):
    """What one token gets from a context: algorithm 3 of the Formal Algorithms.

    q = W_q e + b_q, and for each token t of the context k_t = W_k e_t + b_k and
    v_t = W_v e_t + b_v. The answer is sum_t alpha_t v_t with the weights
    alpha = softmax over t of q . k_t / sqrt(d).

    e: (n,), e_t: (T, n), W_q, W_k: (d, n), b_q, b_k: (d,), W_v: (m, n), b_v: (m,)
    -> (m,).
    """
    ### BEGIN SOLUTION
    q = W_q @ e + b_q
    k = e_t @ W_k.T + b_k
    v = e_t @ W_v.T + b_v
    alpha = softmax(k @ q / np.sqrt(len(q)))
    return alpha @ v
    ### END SOLUTION


### BEGIN TESTS
QUERY = task(
    "4.2", "single_query_attention", points=4, needs=["4.1"],
    hint="all keys at once: e_t @ W_k.T + b_k is (T, d), and times q it is (T,)",
)  # fmt: skip


def tokens(rng, T, n, d, m, size=1.0):
    """e, e_t and all weights and biases."""
    shapes = (n,), (T, n), (d, n), (d,), (d, n), (d,), (m, n), (m,)
    return tuple(size * rng.normal(size=s) for s in shapes)


@QUERY.value
def _(rng, T=7, n=5, d=3, m=2):
    """equals a loop over the tokens"""
    return tokens(rng, T, n, d, m)


@QUERY.gradient(
    backward=lambda g, T: np.full(3, g @ [1.0, 2.0] / 3),
    call=lambda attention, e: attention(
        np.zeros(4), e[:, None] * np.ones(4), np.ones((5, 4)), np.zeros(5),
        np.ones((5, 4)), np.zeros(5), np.array([[1.0, 0, 0, 0], [2, 0, 0, 0]]),
        np.zeros(2),
    ),
)  # fmt: skip
def _(rng, T=3):
    """where q is 0 all tokens count the same: a plain mean"""
    return rng.normal(size=T)


@QUERY.invariant
def _(single_query_attention, rng):
    """the order of the context does not matter"""
    e, e_t, *weights = tokens(rng, 7, 5, 3, 2)
    one = single_query_attention(e, e_t, *weights)
    two = single_query_attention(e, e_t[::-1], *weights)
    assert np.allclose(one, two), "with the context turned round the answer changes"


@QUERY.invariant
def _(single_query_attention, rng):
    """one token in the context: the answer is its value"""
    e, e_t, *weights = tokens(rng, 1, 5, 3, 2)
    value = weights[4] @ e_t[0] + weights[5]
    answer = single_query_attention(e, e_t, *weights)
    same = np.shape(answer) == (2,) and np.allclose(answer, value)
    assert same, "a single weight is 1, so the answer must be v_t = W_v e_t + b_v"


### END TESTS
### BEGIN HIDDEN TESTS
@QUERY.value
def _(rng, T=2, n=7, d=11, m=3):
    """for other sizes, scores of many"""
    return tokens(rng, T, n, d, m, 2.0)


@QUERY.invariant
def _(single_query_attention, rng):
    """b_k adds the same to all scores, so it does not matter"""
    e, e_t, W_q, b_q, W_k, b_k, *values = tokens(rng, 7, 5, 3, 2)
    one = single_query_attention(e, e_t, W_q, b_q, W_k, b_k, *values)
    two = single_query_attention(e, e_t, W_q, b_q, W_k, 5 * b_k, *values)
    assert np.allclose(one, two), "the answer changes with b_k, which all scores share"


def one_query(
    e, e_t, W_q, b_q, W_k, b_k, W_v, b_v, scale="d", weights=None, ask=None, keys=None,
    biases=(1, 1, 1), values=None,
):  # fmt: skip
    """single_query_attention, with room for mistakes."""
    weights = weights or (lambda s: over(s, shift=s.max()))
    q = W_q @ (e if ask is None else ask) + biases[0] * b_q
    k = e_t @ (W_k if keys is None else keys).T + biases[1] * b_k
    v = e_t @ (W_v if values is None else values).T + biases[2] * b_v
    sizes = {"d": len(q) ** 0.5, "no": 1.0, "d^1": len(q), "n": len(e) ** 0.5}
    sizes |= {"T": len(e_t) ** 0.5, "m": len(b_v) ** 0.5, "times": len(q) ** -0.5}
    return weights(k @ q / sizes[scale]) @ v


UNSCALED = "scores of d terms have the deviation sqrt(d): divide by it"
QUERY.mistake("M95", UNSCALED, lambda *x: one_query(*x, scale="no"))
QUERY.mistake(
    "scale", "the scale is the root of the length of a query, sqrt(d)",
    lambda *x: one_query(*x, scale="d^1"),
    lambda *x: one_query(*x, scale="n"),
    lambda *x: one_query(*x, scale="T"),
    lambda *x: one_query(*x, scale="m"),
    lambda *x: one_query(*x, scale="times"),
)  # fmt: skip
QUERY.mistake(
    "M97", "scale before the softmax: after it the weights don't sum to 1",
    lambda *x: one_query(*x, scale="no") / np.sqrt(len(x[3])),
    lambda *x: one_query(*x) / np.sqrt(len(x[3])),
)  # fmt: skip
QUERY.mistake(
    "no softmax", "weights are a softmax of the scores: above 0, and they sum to 1",
    lambda *x: one_query(*x, weights=lambda s: s),
    lambda *x: one_query(*x, weights=lambda s: s / s.sum()),
    lambda *x: one_query(*x, weights=np.exp),
    lambda *x: one_query(*x, weights=lambda s: 1 / (1 + np.exp(-s))),
    lambda *x: one_query(*x, weights=lambda s: np.full(len(s), 1 / len(s))),
    lambda *x: one_query(*x, weights=lambda s: np.eye(len(s))[s.argmax()]),
    lambda *x: one_query(*x, weights=np.ones_like),
)  # fmt: skip
QUERY.mistake(
    "biases", "queries, keys and values each have a bias: add it",
    lambda *x: one_query(*x, biases=(0, 1, 1)),
    lambda *x: one_query(*x, biases=(1, 1, 0)),
    lambda *x: one_query(*x, biases=(0, 0, 0)),
    lambda *x: one_query(*x, biases=(0, 0, 1)),
)  # fmt: skip
QUERY.mistake(
    "roles", "q from e by W_q, keys from e_t by W_k, values from e_t by W_v",
    lambda *x: one_query(*x, ask=x[1][0]),
    lambda *x: one_query(*x, ask=x[1][-1]),
    lambda *x: one_query(*x, keys=x[2]),
    lambda *x: one_query(*x, values=x[4]),
    lambda *x: one_query(x[0], x[1], x[4], x[5], x[2], x[3], *x[6:]),
    lambda *x: one_query(x[0], x[1], *x[2:4], *x[6:8], *x[4:6]),
)  # fmt: skip
QUERY.mistake(
    "transpose", "W is (d, n): W @ e for one token, e_t @ W.T for all rows at once",
    lambda e, e_t, W_q, *x: W_q.T @ e + x[0],
    lambda e, e_t, W_q, b_q, W_k, *x: e_t @ W_k + x[0],
    lambda e, e_t, W_q, b_q, W_k, *x: W_k @ e_t + x[0],
)  # fmt: skip


### END HIDDEN TESTS
# ---- 4.3 ------------------------------------------------------------------------
def masked_attention(Q, K, V, mask):
    """Attention of T queries to S keys, where mask says who may look at whom.

    Row t of the answer is the mean of the rows of V with the weights
    softmax(Q K^T / sqrt(d)) of row t. Where mask[t, s] is False, the weight is exactly
    0, and the others of the row sum to 1. Each row of mask has a True.

    Q: (T, d), K: (S, d), V: (S, m), mask: (T, S) of True = may look -> (T, m).
    """
    ### BEGIN SOLUTION
    scores = Q @ K.T / np.sqrt(Q.shape[1])
    return softmax(np.where(mask, scores, -np.inf)) @ V
    ### END SOLUTION


### BEGIN TESTS
MASKED = task(
    "4.3", "masked_attention", points=4, needs=["4.1"],
    hint="a weight is exp of a score: for the weight 0 the score must be -inf",
)  # fmt: skip


def masked(rng, T, S, d, m):
    """Queries, keys, values, and a mask with a True in each row."""
    mask = rng.random((T, S)) < 0.5
    mask[np.arange(T), rng.integers(S, size=T)] = True
    return tuple(rng.normal(size=s) for s in ((T, d), (S, d), (S, m))) + (mask,)


@MASKED.value
def _(rng, T=5, S=7, d=3, m=2):
    """equals a loop over queries and the keys they may see"""
    return masked(rng, T, S, d, m)


@MASKED.gradient(
    backward=lambda g, V: np.outer([0.5, 0.5, 0.0], g[0]) + np.outer([0, 0, 1.0], g[1]),
    call=lambda attention, V: attention(
        np.ones((2, 5)), np.ones((3, 5)), V,
        np.array([[True, True, False], [False, False, True]]),
    ),
)  # fmt: skip
def _(rng, m=2):
    """equal keys: the slopes by V are those of a mean of the rows that are seen"""
    return rng.normal(size=(3, m))


@MASKED.invariant
def _(masked_attention, rng):
    """a key that no query may see does not matter"""
    Q, K, V, mask = masked(rng, 5, 7, 3, 2)
    mask[:, 2], mask[:, 3] = False, True
    one = masked_attention(Q, K, V, mask)
    K[2], V[2] = 9 * rng.normal(size=3), 9 * rng.normal(size=2)
    two = masked_attention(Q, K, V, mask)
    assert np.allclose(one, two), "key 2 is masked in all rows, yet the answer feels it"


### END TESTS
### BEGIN HIDDEN TESTS
@MASKED.value
def _(rng, T=3, S=5, d=11, m=7):
    """for other sizes"""
    return masked(rng, T, S, d, m)


@MASKED.value
def _(rng, T=5, S=3, d=2, m=2):
    """nothing masked"""
    return (*masked(rng, T, S, d, m)[:3], np.ones((T, S), dtype=bool))


@MASKED.invariant
def _(masked_attention, rng):
    """equal values come back as they are: weights sum to 1"""
    Q, K, V, mask = masked(rng, 5, 7, 3, 2)
    V[:] = V[0]
    same = np.allclose(masked_attention(Q, K, V, mask), V[0])
    assert same, "all rows of V are equal, yet the answer is another: weights sum to 1?"


def attend(Q, K, V, mask, scale=None, hide=None, axis=-1, after=1.0, weigh=None):
    """masked_attention, with room for mistakes."""
    d = Q.shape[1]
    scores = Q @ K.T / (np.sqrt(d) if scale is None else scale)
    hide = hide or (lambda s, mask: np.where(mask, s, -np.inf))
    s = hide(scores, mask)
    weights = over(s, axis, s.max(axis=axis, keepdims=True))
    return (weigh(weights, mask) if weigh else weights) / after @ V


MASKED.mistake("M95", UNSCALED, lambda Q, K, V, mask: attend(Q, K, V, mask, 1.0))
MASKED.mistake(
    "scale", "the scale is the root of the length of a query, sqrt(d)",
    lambda Q, K, V, mask: attend(Q, K, V, mask, Q.shape[1]),
    lambda Q, K, V, mask: attend(Q, K, V, mask, len(Q) ** 0.5),
    lambda Q, K, V, mask: attend(Q, K, V, mask, len(K) ** 0.5),
    lambda Q, K, V, mask: attend(Q, K, V, mask, V.shape[1] ** 0.5),
    lambda Q, K, V, mask: attend(Q, K, V, mask, Q.shape[1] ** -0.5),
)  # fmt: skip
MASKED.mistake(
    "M97", "scale before the softmax: after it the weights don't sum to 1",
    lambda Q, K, V, mask: attend(Q, K, V, mask, 1.0, after=Q.shape[1] ** 0.5),
    lambda Q, K, V, mask: attend(Q, K, V, mask, after=Q.shape[1] ** 0.5),
)  # fmt: skip
MASKED.mistake(
    "M99", "rows are queries: Q @ K.T is (T, S)",
    lambda Q, K, V, mask: attend(K, Q, V, mask),
    lambda Q, K, V, mask: attend(K, Q, V, mask.T),
    lambda Q, K, V, mask: over(K @ Q.T / np.sqrt(Q.shape[1])).T @ V,
)  # fmt: skip
MASKED.mistake(
    "M101", "exp(0) is 1, not 0: a masked score must be -inf",
    lambda Q, K, V, mask: attend(Q, K, V, mask, hide=lambda s, mask: s * mask),
    lambda Q, K, V, mask: attend(
        Q, K, V, mask, hide=lambda s, mask: np.where(mask, s, 1e-9)
    ),
    lambda Q, K, V, mask: attend(Q, K, V, mask, hide=lambda s, mask: s * mask - 1e-9),
)  # fmt: skip
for low in (-1.0, -10.0, -1e-9, np.inf):
    MASKED.mistake(
        "low", "exp of that is not 0: a masked score must be -inf",
        lambda Q, K, V, mask, low=low: attend(
            Q, K, V, mask, hide=lambda s, mask: np.where(mask, s, low)
        ),
        lambda Q, K, V, mask, low=low: attend(
            Q, K, V, mask, hide=lambda s, mask: s + low * ~mask
        ),
        lambda Q, K, V, mask, low=low: attend(
            Q, K, V, mask, 1.0, hide=lambda s, mask:
            np.where(mask, s, low) / np.sqrt(Q.shape[1])
        ),
    )  # fmt: skip
MASKED.mistake(
    "M103", "True = may look: the mask is read the wrong way round",
    lambda Q, K, V, mask: attend(Q, K, V, ~mask),
    lambda Q, K, V, mask: attend(
        Q, K, V, mask, hide=lambda s, mask: np.where(~mask, s, -1e9)
    ),
    lambda Q, K, V, mask: attend(Q, K, V, mask, hide=lambda s, mask: s - 1e9 * mask),
)  # fmt: skip
MASKED.mistake(
    "no mask", "the mask is not used",
    lambda Q, K, V, mask: attend(Q, K, V, mask, hide=lambda s, mask: s),
)  # fmt: skip
MASKED.mistake(
    "late", "mask before the softmax: after it the rest of a row doesn't sum to 1",
    lambda Q, K, V, mask: attend(
        Q, K, V, mask, hide=lambda s, mask: s, weigh=lambda w, mask: w * mask
    ),
    lambda Q, K, V, mask: attend(
        Q, K, V, mask, hide=lambda s, mask: s,
        weigh=lambda w, mask: np.where(mask, w, -1e9),
    ),
)  # fmt: skip
MASKED.mistake(
    "M39", "each query weighs the keys: the softmax goes over the keys, the last axis",
    lambda Q, K, V, mask: attend(Q, K, V, mask, axis=0),
    lambda Q, K, V, mask: attend(
        Q, K, V, mask, axis=0, hide=lambda s, mask: np.where(mask, s, -1e9)
    ),
    lambda Q, K, V, mask: attend(Q, K, V, mask, axis=None),
)  # fmt: skip
MASKED.mistake(
    "no softmax", "weights are a softmax of the scores: above 0, and they sum to 1",
    lambda Q, K, V, mask: Q @ K.T / np.sqrt(Q.shape[1]) * mask @ V,
    lambda Q, K, V, mask: Q @ K.T / np.sqrt(Q.shape[1]) @ V,
    lambda Q, K, V, mask: np.exp(Q @ K.T / np.sqrt(Q.shape[1])) * mask @ V,
)  # fmt: skip


### END HIDDEN TESTS
# ---- 4.4 ------------------------------------------------------------------------
def split_heads(X, H):
    """Cut each token into H parts, one for each head; head h gets part h of all tokens.

    Part h of token t is X[t, h * d : (h + 1) * d], and it becomes row t of head h.

    X: (T, H * d), H: a whole number -> (H, T, d).
    """
    ### BEGIN SOLUTION
    T = len(X)
    return X.reshape(T, H, -1).transpose(1, 0, 2)
    ### END SOLUTION


### BEGIN TESTS
HEADS = task(
    "4.4", "split_heads", points=2,
    hint="reshape cuts each row, (T, H, d); only then may axes change places",
)  # fmt: skip


@HEADS.value
def _(rng, T=5, H=3, d=2):
    """equals cutting token by token"""
    return rng.normal(size=(T, H * d)), H


@HEADS.gradient(
    backward=lambda g, X, H: np.concatenate([g[h] for h in range(H)], axis=1),
)  # fmt: skip
def _(rng, T=5, H=3, d=2):
    """each number has the slope of the place it went to"""
    return rng.normal(size=(T, H * d)), H


@HEADS.invariant
def _(split_heads, rng):
    """the numbers of token 1 are in row 1 of every head"""
    X = np.zeros((5, 6))
    X[1] = 1
    parts = split_heads(X, 3)
    tokens = parts.sum(axis=(0, 2)) if np.ndim(parts) == 3 else "no three axes"
    right = np.array_equal(tokens, [0, 6, 0, 0, 0])
    assert right, f"token 1 has 6 numbers; by rows of the heads there are {tokens}"


### END TESTS
### BEGIN HIDDEN TESTS
@HEADS.value
def _(rng, T=2, H=7, d=3):
    """for other sizes"""
    return rng.normal(size=(T, H * d)), H


@HEADS.invariant
def _(split_heads, rng):
    """one head is the whole"""
    X = rng.normal(size=(5, 6))
    assert np.array_equal(split_heads(X, 1), X[None]), "with one head it is X[None]"


HEADS.mistake(
    "M107", "straight to (H, T, d) tokens get mixed: (T, H, d) first, then transpose",
    lambda X, H: X.reshape(H, len(X), -1),
    lambda X, H: X.T.reshape(H, len(X), -1),
    lambda X, H: X.T.reshape(H, -1, len(X)).reshape(H, len(X), -1),
)  # fmt: skip
HEADS.mistake(
    "parts", "head h gets d numbers that stand side by side, not every H-th",
    lambda X, H: X.reshape(len(X), -1, H).transpose(2, 0, 1),
)  # fmt: skip
HEADS.mistake(
    "axes", "the order of axes is head, token, number: transpose(1, 0, 2)",
    lambda X, H: X.reshape(len(X), H, -1),
    lambda X, H: X.reshape(len(X), H, -1).transpose(1, 2, 0),
    lambda X, H: X.reshape(len(X), H, -1).transpose(0, 2, 1),
    lambda X, H: X.reshape(len(X), H, -1).T,
    lambda X, H: X.reshape(len(X), -1, H).T,
    lambda X, H: np.array(np.split(X, H, axis=1)).transpose(1, 0, 2),
)  # fmt: skip
HEADS.mistake(
    "tokens", "cut each token, axis 1: every head sees all tokens",
    lambda X, H: np.array(np.split(X, H, axis=0)),
    lambda X, H: np.stack([X] * H),
)  # fmt: skip


### END HIDDEN TESTS
# ---- 4.5 ------------------------------------------------------------------------
def attention_rule(g, Q, K, V):
    """The rule of Y = A V, A = softmax(S), S = Q K^T / sqrt(d): return dQ, dK, dV.

    Walk back from Y: first dV and dA, then dS by the rule of a softmax over rows,
    dS = A * (dA - the row's sum of A * dA), then dQ and dK.

    g: (T, m), Q: (T, d), K: (S, d), V: (S, m) -> dQ: (T, d), dK: (S, d), dV: (S, m).
    """
    ### BEGIN SOLUTION
    c = 1 / np.sqrt(Q.shape[1])
    A = softmax(Q @ K.T * c)
    dA = g @ V.T
    dS = A * (dA - (A * dA).sum(axis=1, keepdims=True))
    return dS @ K * c, dS.T @ Q * c, A.T @ g
    ### END SOLUTION


### BEGIN TESTS
RULE = task(
    "4.5", "attention_rule", points=5, needs=["4.1"],
    hint="three matmuls and a softmax; the scale 1/sqrt(d) is in dQ and dK",
)  # fmt: skip


def attention(Q, K, V):
    """The forward: (T, d), (S, d), (S, m) -> (T, m)."""
    weights = np.exp(np.einsum("td, sd -> ts", Q, K) / Q.shape[1] ** 0.5)
    return np.einsum("ts, sm -> tm", weights, V) / weights.sum(axis=1)[:, None]


@RULE.gradient(forward=attention)
def _(rng, T=5, S=7, d=3, m=2):
    """the slopes of attention by queries, keys and values"""
    return tuple(rng.normal(size=s) for s in ((T, d), (S, d), (S, m)))


@RULE.value
def _(rng, T=5, S=7, d=3, m=2):
    """equals the slopes entry by entry"""
    shapes = (T, m), (T, d), (S, d), (S, m)
    return tuple(rng.normal(size=s) for s in shapes)


@RULE.invariant
def _(attention_rule, rng):
    """the sum over the keys of dK is 0"""
    shapes = (5, 2), (5, 3), (7, 3), (7, 2)
    g, Q, K, V = (rng.normal(size=s) for s in shapes)
    sums = np.abs(attention_rule(g, Q, K, V)[1].sum(axis=0)).max()
    assert sums < 1e-12, (
        f"dK sums to up to {sums:.2g} over the keys, for 0: what is added to all keys "
        "is added to all scores of a row, and a softmax does not feel that"
    )


### END TESTS
### BEGIN HIDDEN TESTS
@RULE.value
def _(rng, T=3, S=2, d=11, m=5):
    """for other sizes"""
    shapes = (T, m), (T, d), (S, d), (S, m)
    return tuple(rng.normal(size=s) for s in shapes)


@RULE.invariant
def _(attention_rule, rng):
    """the sum over the keys of dV is the sum over the queries of g"""
    shapes = (5, 2), (5, 3), (7, 3), (7, 2)
    g, Q, K, V = (rng.normal(size=s) for s in shapes)
    same = np.allclose(attention_rule(g, Q, K, V)[2].sum(0), g.sum(0))
    assert same, "dV must sum to what g sums to: the weights of a query sum to 1"


def backward(
    g, Q, K, V, jacobian=lambda A, dA: A * (dA - (A * dA).sum(1, keepdims=True)),
    scores=1.0, out=(1.0, 1.0), kept=lambda A, dS: (A, dS), axis=1,
):  # fmt: skip
    """attention_rule, with room for mistakes. scores, out: factors of 1 / sqrt(d)."""
    c = 1 / np.sqrt(Q.shape[1])
    S = Q @ K.T * c * scores
    A = over(S, axis, S.max(axis=axis, keepdims=True))
    A, dS = kept(A, jacobian(A, g @ V.T))
    return dS @ K * c * out[0], dS.T @ Q * c * out[1], A.T @ g


def root(Q):
    return np.sqrt(Q.shape[1])


LOST = "1/sqrt(d) is a part of the scores: it is in dQ and in dK"
RULE.mistake(
    "M109", "the softmax has a rule of its own: dS is not dA",
    lambda g, Q, K, V: backward(g, Q, K, V, lambda A, dA: dA),
    lambda g, Q, K, V: backward(g, Q, K, V, lambda A, dA: A * dA),
)  # fmt: skip
RULE.mistake(
    "M43", "every weight of a row depends on every score of it: less the row's sum",
    lambda g, Q, K, V: backward(g, Q, K, V, lambda A, dA: A * (1 - A) * dA),
)  # fmt: skip
RULE.mistake(
    "M45", "the sum of A * dA is over the keys of a row, axis 1, with keepdims",
    lambda g, Q, K, V: backward(g, Q, K, V, lambda A, dA: A * (dA - (A * dA).sum(0))),
    lambda g, Q, K, V: backward(g, Q, K, V, lambda A, dA: A * (dA - (A * dA).sum(1))),
    lambda g, Q, K, V: backward(g, Q, K, V, lambda A, dA: A * (dA - (A * dA).sum())),
    lambda g, Q, K, V: backward(
        g, Q, K, V, lambda A, dA: A * (dA - dA.sum(1, keepdims=True))
    ),
    lambda g, Q, K, V: backward(
        g, Q, K, V, lambda A, dA: A * dA - (A * dA).sum(1, keepdims=True)
    ),
)  # fmt: skip
RULE.mistake(
    "M111", LOST,
    lambda g, Q, K, V: backward(g, Q, K, V, out=(root(Q), root(Q))),
    lambda g, Q, K, V: backward(g, Q, K, V, out=(1 / root(Q), 1 / root(Q))),
)  # fmt: skip
RULE.mistake(
    "M95", "the weights of the forward: softmax(Q K^T / sqrt(d)), with the scale",
    lambda g, Q, K, V: backward(g, Q, K, V, scores=root(Q)),
    lambda g, Q, K, V: backward(g, Q, K, V, scores=root(Q), out=(root(Q), root(Q))),
    lambda g, Q, K, V: backward(
        g, Q, K, V, scores=1 / root(Q), out=(1 / root(Q), 1 / root(Q))
    ),
)  # fmt: skip
RULE.mistake(
    "M113", "dK = dS.T @ Q: a row for each key",
    lambda g, Q, K, V: (
        backward(g, Q, K, V)[0], scores_slope(g, Q, K, V) @ Q, backward(g, Q, K, V)[2]
    ),
    lambda g, Q, K, V: (
        backward(g, Q, K, V)[0], backward(g, Q, K, V)[1].T, backward(g, Q, K, V)[2]
    ),
    lambda g, Q, K, V: (
        backward(g, Q, K, V)[0], Q.T @ scores_slope(g, Q, K, V), backward(g, Q, K, V)[2]
    ),
)  # fmt: skip
RULE.mistake(
    "dV", "dV = A.T @ g: a row for each key",
    lambda g, Q, K, V: (*backward(g, Q, K, V)[:2], softmax(Q @ K.T) @ g),
    lambda g, Q, K, V: (*backward(g, Q, K, V)[:2], (g.T @ softmax(Q @ K.T / root(Q)))),
    lambda g, Q, K, V: (
        *backward(g, Q, K, V)[:2],
        (g.T @ softmax(Q @ K.T / root(Q))).reshape(V.shape),
    ),
)  # fmt: skip
RULE.mistake(
    "M39", "each query weighs the keys: softmax over the last axis",
    lambda g, Q, K, V: backward(g, Q, K, V, axis=0),
)  # fmt: skip
RULE.mistake(
    "roles", "dQ meets K, and dK meets Q",
    lambda g, Q, K, V: (
        scores_slope(g, Q, K, V).T @ Q * 1.0, scores_slope(g, Q, K, V) @ K,
        backward(g, Q, K, V)[2],
    ),
    lambda g, Q, K, V: (
        scores_slope(g, Q, K, V) @ Q, scores_slope(g, Q, K, V).T @ K,
        backward(g, Q, K, V)[2],
    ),
    lambda g, Q, K, V: tuple(backward(g, Q, K, V)[k] for k in (1, 0, 2)),
    lambda g, Q, K, V: tuple(backward(g, Q, K, V)[k] for k in (2, 0, 1)),
    lambda g, Q, K, V: tuple(backward(g, Q, K, V)[k] for k in (2, 1, 0)),
)  # fmt: skip
RULE.mistake(
    "M17", "chain rule: multiply by what arrives, g",
    lambda g, Q, K, V: backward(np.ones_like(g), Q, K, V),
)  # fmt: skip
RULE.mistake(
    "sign", "the sign of dS: dA less the row's sum, not the other way round",
    lambda g, Q, K, V: backward(
        g, Q, K, V, lambda A, dA: A * ((A * dA).sum(1, keepdims=True) - dA)
    ),
    lambda g, Q, K, V: backward(
        g, Q, K, V, lambda A, dA: A * (dA + (A * dA).sum(1, keepdims=True))
    ),
)  # fmt: skip
RULE.mistake(
    "zero", "keys and queries both have slopes, by way of the scores",
    lambda g, Q, K, V: (0 * Q, 0 * K, backward(g, Q, K, V)[2]),
)  # fmt: skip


def scores_slope(g, Q, K, V):
    """dS, times 1 / sqrt(d)."""
    A = softmax(Q @ K.T / root(Q))
    dA = g @ V.T
    return A * (dA - (A * dA).sum(1, keepdims=True)) / root(Q)


### END HIDDEN TESTS
# ---- 4.6 ------------------------------------------------------------------------
def causal_attention(Q, K, V):
    """Attention in which token t sees tokens 0 to t. It has a bug: find it.

    The mask is right, but what is hidden still gets a weight: later tokens shine
    through. One line must change.

    Q, K: (T, d), V: (T, m) -> (T, m).
    """
    T, d = Q.shape
    may_look = np.tril(np.ones((T, T), dtype=bool))
    scores = np.einsum("td,sd->ts", Q, K) / d**0.5
    """ # BEGIN PROMPT
    scores = scores * may_look
    """  # END PROMPT
    # BEGIN SOLUTION NO PROMPT
    scores[~may_look] = -np.inf
    # END SOLUTION
    return np.einsum("ts,sm->tm", softmax(scores), V)


### BEGIN TESTS
CAUSAL = task(
    "4.6", "causal_attention", points=3, needs=["4.1"],
    hint="print softmax(scores) for three tokens: which weights should be 0?",
)  # fmt: skip


@CAUSAL.value
def _(rng, T=5, d=3, m=2):
    """equals a loop in which token t meets tokens 0 to t"""
    return tuple(rng.normal(size=s) for s in ((T, d), (T, d), (T, m)))


@CAUSAL.gradient(
    backward=lambda g, V: (np.triu(np.ones((3, 3))) / [1.0, 2.0, 3.0]) @ g,
    call=lambda attention, V: attention(np.ones((3, 5)), np.ones((3, 5)), V),
)
def _(rng, m=2):
    """equal keys: the slopes by V are those of running means"""
    return rng.normal(size=(3, m))


@CAUSAL.invariant
def _(causal_attention, rng):
    """what comes later does not matter, what came before does"""
    Q, K, V = (rng.normal(size=s) for s in ((5, 3), (5, 3), (5, 2)))
    before = causal_attention(Q, K, V)
    K[3], V[3] = 9 * rng.normal(size=3), 9 * rng.normal(size=2)
    moved = np.abs(causal_attention(Q, K, V) - before).max(axis=1) > 1e-9
    early = np.flatnonzero(moved[:3])
    assert not early.size, f"token 3 changes, and answer {early[-1]} feels it"
    assert moved[3:].all(), "token 3 changes, and answers 3 and 4 must feel it"


### END TESTS
### BEGIN HIDDEN TESTS
@CAUSAL.value
def _(rng, T=7, d=2, m=5):
    """for other sizes, large scores"""
    return tuple(5 * rng.normal(size=s) for s in ((T, d), (T, d), (T, m)))


def lower(Q, k=0):
    return np.tril(np.ones((len(Q), len(Q)), dtype=bool), k)


CAUSAL.mistake(
    "M101", "exp(0) is 1, not 0: a hidden score must be -inf",
    lambda Q, K, V: attend(Q, K, V, lower(Q), hide=lambda s, mask: s * mask),
    lambda Q, K, V: attend(
        Q, K, V, lower(Q), hide=lambda s, mask: np.where(mask, s, 1e-9)
    ),
)  # fmt: skip
for low in (-1.0, -10.0, -1e-9, np.inf):
    CAUSAL.mistake(
        "low", "exp of that is not 0: a hidden score must be -inf",
        lambda Q, K, V, low=low: attend(
            Q, K, V, lower(Q), hide=lambda s, mask: np.where(mask, s, low)
        ),
        lambda Q, K, V, low=low: attend(
            Q, K, V, lower(Q), hide=lambda s, mask: s + low * ~mask
        ),
    )  # fmt: skip
CAUSAL.mistake(
    "M103", "True = may look: now each token sees only what comes later",
    lambda Q, K, V: attend(Q, K, V, ~lower(Q)),
    lambda Q, K, V: attend(Q, K, V, lower(Q).T),
    lambda Q, K, V: attend(
        Q, K, V, lower(Q), hide=lambda s, mask: np.where(mask, -1e9, s)
    ),
)  # fmt: skip
CAUSAL.mistake(
    "M105", "the diagonal is the last one allowed: the mask was right",
    lambda Q, K, V: attend(Q, K, V, lower(Q, 1)),
    lambda Q, K, V: attend(Q, K, V, lower(Q, -1)),
    lambda Q, K, V: attend(
        Q, K, V, lower(Q, -1), hide=lambda s, mask: np.where(mask, s, -1e9)
    ),
)  # fmt: skip
CAUSAL.mistake(
    "no mask", "without the mask every token sees all others",
    lambda Q, K, V: attend(Q, K, V, lower(Q), hide=lambda s, mask: s),
)  # fmt: skip
CAUSAL.mistake(
    "late", "mask before the softmax: after it the rest of a row doesn't sum to 1",
    lambda Q, K, V: attend(
        Q, K, V, lower(Q), hide=lambda s, mask: s, weigh=lambda w, mask: w * mask
    ),
)  # fmt: skip
CAUSAL.mistake("M95", UNSCALED, lambda Q, K, V: attend(Q, K, V, lower(Q), 1.0))


### END HIDDEN TESTS
