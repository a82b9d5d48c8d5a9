"""Wrong answers to lessons/exercises/attention.py; see engine.py beside it."""

import numpy as np


def _weights(s):
    return np.exp(s - np.logaddexp.reduce(s, axis=-1)[..., None])


# ---- softmax --------------------------------------------------------------------
def softmax__M39(scores):
    e = np.exp(scores - np.max(scores))
    return e / np.add.reduce(e, axis=0)


def softmax__M41(scores):
    e = np.exp(scores)
    return e / np.add.reduce(e, axis=-1)[..., None]


def softmax__M11(scores):
    e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return e / np.add.reduce(e, axis=-1)


# ---- single_query_attention -----------------------------------------------------
def _kv(e_t, W_k, b_k, W_v, b_v):
    k = [W_k @ t + b_k for t in e_t]
    return np.array(k), np.array([W_v @ t + b_v for t in e_t])


def single_query_attention__M95(e, e_t, W_q, b_q, W_k, b_k, W_v, b_v):
    k, v = _kv(e_t, W_k, b_k, W_v, b_v)
    return _weights(k.dot(W_q.dot(e) + b_q)).dot(v)


def single_query_attention__M97(e, e_t, W_q, b_q, W_k, b_k, W_v, b_v):
    k, v = _kv(e_t, W_k, b_k, W_v, b_v)
    alpha = _weights(k.dot(W_q.dot(e) + b_q))
    return (alpha / len(b_q) ** 0.5).dot(v)


# ---- masked_attention -----------------------------------------------------------
def masked_attention__M39(Q, K, V, mask):
    s = np.where(mask, Q.dot(K.T) / len(Q[0]) ** 0.5, -1e30)
    return _weights(s.T).T.dot(V)


def masked_attention__M95(Q, K, V, mask):
    return _weights(np.where(mask, Q.dot(K.T), -1e30)).dot(V)


def masked_attention__M97(Q, K, V, mask):
    return _weights(np.where(mask, Q.dot(K.T), -1e30)).dot(V) * len(Q[0]) ** -0.5


def masked_attention__M99(Q, K, V, mask):
    s = K.dot(Q.T) / len(Q[0]) ** 0.5
    return _weights(np.where(mask.T, s, -1e30)).dot(V)


def masked_attention__M99__as_it_comes(Q, K, V, mask):
    s = K.dot(Q.T) / len(Q[0]) ** 0.5
    return _weights(np.where(mask, s, -1e30)).dot(V)


def masked_attention__M101(Q, K, V, mask):
    s = Q.dot(K.T) / len(Q[0]) ** 0.5
    s[~mask] = 0
    return _weights(s).dot(V)


def masked_attention__M103(Q, K, V, mask):
    s = Q.dot(K.T) / len(Q[0]) ** 0.5
    s[mask] = -np.inf
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).dot(V)


def masked_attention__M103__large(Q, K, V, mask):
    s = Q.dot(K.T) / len(Q[0]) ** 0.5 - 1e9 * mask
    return _weights(s).dot(V)


# ---- split_heads ----------------------------------------------------------------
def split_heads__M107(X, H):
    T, width = X.shape
    return np.reshape(X.ravel(), (H, T, width // H))


# ---- attention_rule -------------------------------------------------------------
def _back(g, Q, K, V, d_scores, c):
    A = _weights(Q.dot(K.T) / len(Q[0]) ** 0.5)
    dS = d_scores(A, g.dot(V.T))
    return c * dS.dot(K), c * dS.T.dot(Q), A.T.dot(g)


def _right(A, dA):
    return A * dA - A * np.einsum("ts,ts->t", A, dA)[:, None]


def attention_rule__M109(g, Q, K, V):
    return _back(g, Q, K, V, lambda A, dA: dA, len(Q[0]) ** -0.5)


def attention_rule__M43(g, Q, K, V):
    return _back(g, Q, K, V, lambda A, dA: dA * (A - A * A), len(Q[0]) ** -0.5)


def attention_rule__M45(g, Q, K, V):
    wrong = lambda A, dA: A * (dA - np.einsum("ts,ts->s", A, dA))
    return _back(g, Q, K, V, wrong, len(Q[0]) ** -0.5)


def attention_rule__M111(g, Q, K, V):
    return _back(g, Q, K, V, _right, 1.0)


def attention_rule__M113(g, Q, K, V):
    A = _weights(Q.dot(K.T) / len(Q[0]) ** 0.5)
    dS = _right(A, g.dot(V.T)) / len(Q[0]) ** 0.5
    return dS.dot(K), dS.dot(Q), A.T.dot(g)


def attention_rule__M95(g, Q, K, V):
    A = _weights(Q.dot(K.T))
    dS = _right(A, g.dot(V.T))
    return dS.dot(K), dS.T.dot(Q), A.T.dot(g)


def attention_rule__M17(g, Q, K, V):
    return _back(0 * g + 1, Q, K, V, _right, len(Q[0]) ** -0.5)


# ---- causal_attention -----------------------------------------------------------
def causal_attention__M105(Q, K, V):
    n = np.arange(len(Q))
    s = np.where(n <= n[:, None] + 1, Q.dot(K.T) / len(Q[0]) ** 0.5, -1e30)
    return _weights(s).dot(V)


def causal_attention__M101(Q, K, V):
    n = np.arange(len(Q))
    s = np.where(n <= n[:, None], Q.dot(K.T) / len(Q[0]) ** 0.5, 0)
    return _weights(s).dot(V)


def causal_attention__M103(Q, K, V):
    n = np.arange(len(Q))
    s = np.where(n >= n[:, None], Q.dot(K.T) / len(Q[0]) ** 0.5, -1e30)
    return _weights(s).dot(V)
