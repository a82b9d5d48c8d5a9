"""Attention: algorithms 1 to 7 of the Formal Algorithms, line by line.

Phuong and Hutter, "Formal Algorithms for Transformers", arXiv:2207.09238. Names, shapes
and numbers of lines are the paper's: a matrix X (d, l) has a token in each column, and
W_q (d_attn, d_in) takes a token from the left. Only algorithm 3 has its context as rows
e_t (T, d_in), a list of T tokens. Here tokens and places count from 0, there from 1.

These functions are for one sequence and for reading. transformer.py does the same for
batches, with tokens in rows: X (B, l, d).
"""

from typing import NamedTuple

import numpy as np

from .. import ops


# ---- tokens to vectors ----------------------------------------------------------
def token_embedding(v, W_e):
    """e = W_e[:, v]: algorithm 1. Token v of 0..N_V - 1, W_e (d_e, N_V) -> (d_e,)."""
    return W_e[:, v]


def positional_embedding(t, W_p):
    """e_p = W_p[:, t]: algorithm 2. Place t, W_p (d_e, l_max) -> (d_e,)."""
    return W_p[:, t]


def sinusoidal_W_p(d_e, l_max):
    """W_p[2i - 1, t] = sin(t / l_max^(2i / d_e)), W_p[2i, t] = cos(the same).

    (d_e, l_max), for 0 < i <= d_e / 2 and places t = 1..l_max: the paper's section 5.1,
    after Vaswani et al., arXiv:1706.03762, whose i and t count from 0 and whose base is
    10,000 (nn.positions.sinusoidal). Rows 2i - 1 and 2i, here 2i - 2 and 2i - 1, share
    one frequency.
    """
    i, t = np.arange(1, d_e // 2 + 1), np.arange(1, l_max + 1)
    angles = t / l_max ** (2 * i / d_e)[:, None]  # (d_e / 2, l_max)
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=1)  # (d_e / 2, 2, l_max)
    return pairs.reshape(d_e, l_max).astype(np.float32)


# ---- attention ------------------------------------------------------------------
def single_query_attention(e, e_t, W_q, b_q, W_k, b_k, W_v, b_v, return_alpha=False):
    """v_tilde = sum_t alpha_t v_t,  alpha_t = softmax_t(q^T k_t / sqrt(d_attn)).

    Algorithm 3. e (d_in,) is the token that asks, e_t (T, d_in) are the tokens of the
    context, one in each row. W_q, W_k (d_attn, d_in), W_v (d_out, d_in); biases
    (d_attn,), (d_attn,), (d_out,). Returns v_tilde (d_out,), and with return_alpha
    alpha (T,) too.
    """
    q = W_q @ e + b_q  # 1: q <- W_q e + b_q
    k_t = e_t @ W_k.T + b_k  # 2: k_t <- W_k e_t + b_k for all t. (T, d_attn)
    v_t = e_t @ W_v.T + b_v  # 3: v_t <- W_v e_t + b_v for all t. (T, d_out)
    alpha_t = ops.softmax(k_t @ q / len(q) ** 0.5)  # 4: softmax(q^T k_t / sqrt(d_attn))
    v_tilde = alpha_t @ v_t  # 5: return v_tilde = sum_t alpha_t v_t
    return (v_tilde, alpha_t) if return_alpha else v_tilde


class QKV(NamedTuple):
    """W_qkv, the parameters of one head: W_q, W_k (d_attn, d), W_v (d_out, d), biases.

    W_q meets the tokens of X, (d_attn, d_x); W_k and W_v those of Z: (d_attn, d_z),
    (d_out, d_z).
    """

    W_q: object
    b_q: object
    W_k: object
    b_k: object
    W_v: object
    b_v: object


def attention(X, Z, W_qkv, Mask=None):
    """V softmax(S / sqrt(d_attn)),  S = K^T Q: algorithm 4.

    The tokens of X (d_x, l_x) ask those of Z (d_z, l_z), one in each column; Z = X is
    self-attention. Mask (l_z, l_x): True where token t_x of X may see t_z of Z, None
    for all. -> (d_out, l_x). Each column of the softmax sums to 1.
    """
    W_q, b_q, W_k, b_k, W_v, b_v = W_qkv
    Q = W_q @ X + b_q[:, None]  # 1: Q <- W_q X + b_q 1^T. (d_attn, l_x)
    K = W_k @ Z + b_k[:, None]  # 2: K <- W_k Z + b_k 1^T. (d_attn, l_z)
    V = W_v @ Z + b_v[:, None]  # 3: V <- W_v Z + b_v 1^T. (d_out, l_z)
    S = K.T @ Q  # 4: S <- K^T Q. (l_z, l_x)
    if Mask is not None:  # 5: if not Mask[t_z, t_x] then S[t_z, t_x] <- -infinity
        S = ops.where(Mask, S, -np.inf)
    return V @ ops.softmax(S / len(Q) ** 0.5, axis=0)  # 6: return V softmax(S / sqrt d)


def mh_attention(X, Z, W, W_o, b_o, Mask=None):
    """W_o [Y^1; ...; Y^H] + b_o 1^T, each Y^h an attention of its own: algorithm 5.

    X (d_x, l_x), Z (d_z, l_z), a token in each column. W: a QKV for each head, whose
    d_out is d_mid; W_o (d_out, H d_mid), b_o (d_out,). -> (d_out, l_x)
    """
    Y_h = [attention(X, Z, W_qkv, Mask) for W_qkv in W]  # 1, 2: for h = 1, ..., H do
    Y = ops.concatenate(Y_h, axis=0)  # 3: Y <- [Y^1; Y^2; ...; Y^H]. (H d_mid, l_x)
    return W_o @ Y + b_o[:, None]  # 4: return W_o Y + b_o 1^T


def unidirectional_mask(l_z, l_x):
    """Mask[t_z, t_x] = [[t_z <= t_x]]: each token sees itself and those before it."""
    return np.arange(l_z)[:, None] <= np.arange(l_x)


# ---- vectors to vectors, and to tokens ------------------------------------------
def layer_norm(e, gamma, beta):
    """gamma (e - m) / sqrt(v) + beta: algorithm 6. e (d_e,), or (d_e, l) by columns.

    v is the mean square, without Bessel's correction, and there is no epsilon: where
    all numbers of e are equal the result is nan. nn.LayerNorm adds 1e-5 to v.
    """
    m = e.mean(axis=0)  # 1: m <- sum_i e[i] / d_e
    v = ops.square(e - m).mean(axis=0)  # 2: v <- sum_i (e[i] - m)^2 / d_e
    e_hat = (e - m) / ops.sqrt(v)  # 3: return (e - m) / sqrt(v) * gamma + beta
    return (e_hat.T * gamma + beta).T  # .T: gamma and beta meet the numbers of a token


def rms_norm(e, gamma):
    """gamma e / sqrt(mean(e^2)): algorithm 6 with m = beta = 0, e as there."""
    e_hat = e / ops.sqrt(ops.square(e).mean(axis=0))
    return (e_hat.T * gamma).T


def unembedding(e, W_u):
    """p = softmax(W_u e): algorithm 7. e (d_e,) or (d_e, l), W_u (N_V, d_e)."""
    return ops.softmax(W_u @ e, axis=0)
