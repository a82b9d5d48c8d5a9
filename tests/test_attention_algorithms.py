"""Algorithms 1 to 7: each held against loops over its lines, and against PyTorch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnn as snn
from scratchnn import Tensor, grad, gradcheck, nn, ops
from scratchnn.models import attention as alg
from scratchnn.nn import functional as F

D_IN, D_ATTN, D_OUT, T = 5, 3, 4, 6  # unequal, so that a wrong transpose is seen
# float64, sums of at most 20 terms of order 1: some 10 roundings of 1e-16.
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def single_query(seed=0, context=T):
    """e, e_t, W_q, b_q, W_k, b_k, W_v, b_v."""
    query = (D_ATTN, D_IN), D_ATTN
    shapes = (D_IN, (context, D_IN), *query, *query, (D_OUT, D_IN), D_OUT)
    return draw(*shapes, seed=seed)


def five_lines(e, e_t, W_q, b_q, W_k, b_k, W_v, b_v):
    """Algorithm 3 a number at a time: v_tilde and alpha as lists."""

    def affine(W, x, b):
        return [sum(w * a for w, a in zip(row, x)) + b_i for row, b_i in zip(W, b)]

    q = affine(W_q, e, b_q)
    k = [affine(W_k, token, b_k) for token in e_t]
    v = [affine(W_v, token, b_v) for token in e_t]
    scores = [sum(a * b for a, b in zip(q, k_t)) / math.sqrt(len(q)) for k_t in k]
    total = sum(math.exp(s) for s in scores)
    alpha = [math.exp(s) / total for s in scores]
    return [sum(a * v_t[i] for a, v_t in zip(alpha, v)) for i in range(len(b_v))], alpha


# ---- algorithm 3 ----------------------------------------------------------------
@pytest.mark.parametrize("context", [1, T])
def test_algorithm_3_is_a_loop_over_its_five_lines(context):
    given = single_query(context=context)
    v_tilde, alpha = alg.single_query_attention(*given, return_alpha=True)
    expected_v, expected_alpha = five_lines(*given)
    np.testing.assert_allclose(v_tilde, expected_v, **CLOSE)
    np.testing.assert_allclose(alpha, expected_alpha, **CLOSE)
    assert v_tilde.shape == (D_OUT,) and alpha.shape == (context,)


def test_algorithm_3_is_pytorchs_attention():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    given = single_query()
    e, e_t, W_q, b_q, W_k, b_k, W_v, b_v = map(torch.tensor, given)
    linear = torch.nn.functional.linear
    q, k, v = linear(e[None], W_q, b_q), linear(e_t, W_k, b_k), linear(e_t, W_v, b_v)
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v)[0]
    np.testing.assert_allclose(alg.single_query_attention(*given), theirs, **CLOSE)
    single = [x.astype(np.float32) for x in given]
    found = alg.single_query_attention(*single)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, theirs, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([1e-3, 1.0, 100.0]))
def test_weights_are_a_distribution_and_the_order_of_the_context_is_free(seed, scale):
    given = single_query(seed)
    given[1] *= scale
    v_tilde, alpha = alg.single_query_attention(*given, return_alpha=True)
    assert alpha.sum() == pytest.approx(1, abs=1e-12) and (alpha >= 0).all()
    order = np.random.default_rng(seed).permutation(T)
    given[1] = given[1][order]
    again, turned = alg.single_query_attention(*given, return_alpha=True)
    np.testing.assert_allclose(turned, alpha[order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(again, v_tilde, rtol=1e-9, atol=1e-9 * scale)


def test_scores_of_ten_thousand_do_not_overflow():
    e, e_t, W_q, _, W_k, _, W_v, b_v = single_query()
    W_q, W_k = W_q * 1e2, W_k * 1e2
    zero = np.zeros(D_ATTN)
    scores = (e_t @ W_k.T) @ (W_q @ e) / math.sqrt(D_ATTN)
    assert abs(scores).max() > 1e4
    v_tilde, alpha = alg.single_query_attention(
        e, e_t, W_q, zero, W_k, zero, W_v, b_v, return_alpha=True
    )
    best = scores.argmax()  # all the weight is the best key's
    assert alpha[best] == 1 and alpha.sum() == 1
    np.testing.assert_allclose(v_tilde, W_v @ e_t[best] + b_v, **CLOSE)


def by_hand(g, e, e_t, W_q, b_q, W_k, b_k, W_v, b_v):
    """The gradient of g . v_tilde by all eight, derived on paper.

    With s = 1 / sqrt(d_attn) and scores s q.k_t: d alpha_t = g.v_t, d score_t =
    alpha_t (g.v_t - g.v_tilde), dq = s sum_t d score_t k_t, dk_t = s d score_t q.
    """
    s = 1 / math.sqrt(len(b_q))
    q, k, v = W_q @ e + b_q, e_t @ W_k.T + b_k, e_t @ W_v.T + b_v
    alpha = np.exp(s * (k @ q) - (s * (k @ q)).max())
    alpha /= alpha.sum()
    dscore = alpha * (v @ g - g @ (alpha @ v))  # (T,)
    dq, dk, dv = s * dscore @ k, s * np.outer(dscore, q), np.outer(alpha, g)
    de_t = dk @ W_k + dv @ W_v
    of_q, of_k = (np.outer(dq, e), dq), (dk.T @ e_t, dk.sum(0))
    return (W_q.T @ dq, de_t, *of_q, *of_k, dv.T @ e_t, dv.sum(0))


def test_the_gradient_of_algorithm_3_is_the_one_derived_by_hand():
    given = single_query()
    (g,) = draw(D_OUT, seed=1)
    leaves = [Tensor(x, requires_grad=True) for x in given]
    (alg.single_query_attention(*leaves) * g).sum().backward()
    for leaf, expected in zip(leaves, by_hand(g, *given)):
        np.testing.assert_allclose(leaf.grad, expected, **CLOSE)
    # One bias for all keys adds one number to all scores: the softmax does not see it.
    np.testing.assert_allclose(leaves[5].grad, 0, atol=1e-14)


def test_the_derivation_itself_agrees_with_differences():
    gradcheck(alg.single_query_attention, *single_query(), backward=by_hand)


def test_algorithm_3_has_second_derivatives():
    gradcheck(alg.single_query_attention, *single_query(), order=2, mode="directional")


# ---- algorithms 4 and 5 ---------------------------------------------------------
L_X, L_Z, D_X, D_Z = 4, 6, 5, 7


def head(seed=0):
    shapes = (D_ATTN, D_X), D_ATTN, (D_ATTN, D_Z), D_ATTN, (D_OUT, D_Z), D_OUT
    return alg.QKV(*draw(*shapes, seed=seed))


def by_single_queries(X, Z, W, Mask):
    """Algorithm 4 for each token of X alone, on a list of the tokens it may see."""
    W_q, b_q, W_k, b_k, W_v, b_v = W
    columns = []
    for t_x in range(X.shape[1]):
        context = [Z[:, t] for t in range(Z.shape[1]) if Mask is None or Mask[t, t_x]]
        q = W_q @ X[:, t_x] + b_q
        k = [W_k @ z + b_k for z in context]
        v = [W_v @ z + b_v for z in context]
        scores = np.array([q @ k_t for k_t in k]) / math.sqrt(len(q))
        alpha = np.exp(scores) / np.exp(scores).sum()
        columns.append(sum(a * v_t for a, v_t in zip(alpha, v)))
    return np.stack(columns, axis=1)


MASKS = {
    "all": None,
    "unidirectional": alg.unidirectional_mask(L_Z, L_X),
    "random": np.random.default_rng(2).random((L_Z, L_X)) < 0.6,
}
MASKS["random"][0] = True


@pytest.mark.parametrize("mask", MASKS)
def test_algorithm_4_is_a_loop_over_queries(mask):
    X, Z = draw((D_X, L_X), (D_Z, L_Z))
    found = alg.attention(X, Z, head(), MASKS[mask])
    expected = by_single_queries(X, Z, head(), MASKS[mask])
    np.testing.assert_allclose(found, expected, **CLOSE)
    assert found.shape == (D_OUT, L_X)


def test_self_attention_is_algorithm_3_for_each_token():
    (X,) = draw((D_IN, T))
    W = single_query()[2:]
    found = alg.attention(X, X, alg.QKV(*W))
    for t in range(T):
        one = alg.single_query_attention(X[:, t], X.T, *W)
        np.testing.assert_allclose(found[:, t], one, **CLOSE)


def multi_head(H=3, seed=0):
    W = [head(seed + h) for h in range(H)]
    return W, *draw((6, H * D_OUT), 6, seed=seed + H)


@pytest.mark.parametrize("mask", MASKS)
def test_algorithm_5_stacks_heads_and_joins_them(mask):
    X, Z = draw((D_X, L_X), (D_Z, L_Z))
    W, W_o, b_o = multi_head()
    found = alg.mh_attention(X, Z, W, W_o, b_o, MASKS[mask])
    expected = np.tile(b_o[:, None], L_X)
    for h, W_qkv in enumerate(W):  # each head has its own columns of W_o
        Y = by_single_queries(X, Z, W_qkv, MASKS[mask])
        expected += W_o[:, h * D_OUT : (h + 1) * D_OUT] @ Y
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_batched_multihead_attention_is_a_loop_over_algorithm_3():
    B, S, d, H = 2, 5, 8, 2
    layer = nn.MultiheadAttention(d, H, batch_first=True, rng=np.random.default_rng(0))
    for p in layer.parameters():  # biases begin as 0: then a lost one is not seen
        p.data = np.random.default_rng(p.size).standard_normal(p.shape)
    x, z = draw((B, T, d), (B, S, d))
    found, weights = layer(x, z, z, average_attn_weights=False)
    W, b = layer.in_proj_weight.data, layer.in_proj_bias.data
    for i in range(B):
        for t in range(T):
            y = []
            for h in range(H):
                rows = [slice(j * d + h * d // H, j * d + (h + 1) * d // H)
                        for j in range(3)]  # fmt: skip
                qkv = [p[r] for r in rows for p in (W, b)]
                v_tilde, alpha = alg.single_query_attention(x[i, t], z[i], *qkv, True)
                y.extend(v_tilde)
                np.testing.assert_allclose(weights.data[i, h, t], alpha, **CLOSE)
            expected = layer.out_proj.weight.data @ y + layer.out_proj.bias.data
            np.testing.assert_allclose(found.data[i, t], expected, **CLOSE)


def test_scaled_dot_product_attention_is_a_loop_over_algorithm_3():
    B, S, d = 2, 5, 4
    q, k, v = draw((B, T, d), (B, S, d), (B, S, d))
    found = F.scaled_dot_product_attention(q, k, v)
    # Keys and values differ: W_k and W_v pick their half of a context [k; v].
    half, other = np.eye(d, 2 * d), np.eye(d, 2 * d, d)
    none = np.zeros(d)
    for i in range(B):
        context = np.concatenate([k[i], v[i]], axis=1)
        for t in range(T):
            e = np.concatenate([q[i, t], np.zeros(d)])
            W = half, none, half, none, other, none
            one = alg.single_query_attention(e, context, *W)
            np.testing.assert_allclose(found[i, t], one, **CLOSE)


def test_output_i_does_not_depend_on_a_later_input_at_all():
    (X,) = draw((D_IN, T))
    X, W = Tensor(X, requires_grad=True), alg.QKV(*single_query()[2:])
    found = alg.attention(X, X, W, alg.unidirectional_mask(T, T))
    for i in range(T):
        slope = grad(ops.square(found[:, i]).sum(), X).data
        assert (slope[:, i + 1 :] == 0).all()
        assert (slope[:, : i + 1] != 0).all()


def test_masked_attention_has_second_derivatives():
    X, Z = draw((D_X, L_X), (D_Z, L_Z))
    W, W_o, b_o = multi_head(2)
    mask = MASKS["unidirectional"]

    def f(X, Z, W_o, W_q, W_v):
        heads = [w._replace(W_q=W_q, W_v=W_v) for w in W]
        return alg.mh_attention(X, Z, heads, W_o, b_o, mask)

    gradcheck(f, X, Z, W_o, W[0].W_q, W[0].W_v, order=2, mode="directional")


# ---- algorithms 1, 2, 6, 7 ------------------------------------------------------
def test_embeddings_are_columns():
    W_e, W_p = draw((D_IN, 9), (D_IN, T))
    np.testing.assert_array_equal(alg.token_embedding(7, W_e), [row[7] for row in W_e])
    np.testing.assert_array_equal(alg.positional_embedding(2, W_p), W_p[:, 2])


def test_the_sinusoids_are_the_papers_formula():
    d_e, l_max = 6, 11
    W_p = alg.sinusoidal_W_p(d_e, l_max)
    for i in range(1, d_e // 2 + 1):
        for t in range(1, l_max + 1):  # the paper's rows and places count from 1
            angle = t / l_max ** (2 * i / d_e)
            assert W_p[2 * i - 2, t - 1] == pytest.approx(math.sin(angle), abs=1e-6)
            assert W_p[2 * i - 1, t - 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_layer_norm_is_the_loop_of_algorithm_6_and_pytorchs_without_epsilon():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    e, gamma, beta = draw(D_IN, D_IN, D_IN)
    m = sum(e) / D_IN
    v = sum((a - m) ** 2 for a in e) / D_IN
    expected = [(a - m) / math.sqrt(v) * c + b for a, c, b in zip(e, gamma, beta)]
    found = alg.layer_norm(e, gamma, beta)
    np.testing.assert_allclose(found, expected, **CLOSE)
    of = [torch.tensor(x) for x in (e, gamma, beta)]
    theirs = torch.nn.functional.layer_norm(of[0], (D_IN,), *of[1:], eps=0.0)
    np.testing.assert_allclose(found, theirs, **CLOSE)


def test_norms_treat_each_column_alone():
    X, gamma, beta = draw((D_IN, T), D_IN, D_IN)
    found, rms = alg.layer_norm(X, gamma, beta), alg.rms_norm(X, gamma)
    for t in range(T):
        one = alg.layer_norm(X[:, t], gamma, beta)
        np.testing.assert_allclose(found[:, t], one, **CLOSE)
        size = math.sqrt(sum(a * a for a in X[:, t]) / D_IN)
        np.testing.assert_allclose(rms[:, t], gamma * X[:, t] / size, **CLOSE)
    f = lambda *x: alg.layer_norm(*x) + alg.rms_norm(*x[:2])  # noqa: E731
    gradcheck(f, X, gamma, beta, order=2, mode="directional")


def test_unembedding_is_a_softmax_over_the_vocabulary():
    E, W_u = draw((D_IN, T), (9, D_IN))
    P = alg.unembedding(E, W_u)
    assert P.shape == (9, T)
    for t in range(T):
        p = np.exp(W_u @ E[:, t])
        np.testing.assert_allclose(P[:, t], p / p.sum(), **CLOSE)
        np.testing.assert_allclose(alg.unembedding(E[:, t], W_u), P[:, t], **CLOSE)


# ---- planted mistakes -----------------------------------------------------------
def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def right(q, k, v, mask):
    scores = np.where(mask, q @ k.T / math.sqrt(q.shape[1]), -np.inf)
    return softmax(scores) @ v


def no_scale(q, k, v, mask):  # M95
    return softmax(np.where(mask, q @ k.T, -np.inf)) @ v


def scaled_after(q, k, v, mask):  # M97
    return no_scale(q, k, v, mask) / math.sqrt(q.shape[1])


def over_queries(q, k, v, mask):  # M99, where T = S hides the shape
    scores = np.where(mask, q @ k.T / math.sqrt(q.shape[1]), -np.inf)
    return softmax(scores, axis=0) @ v


def multiplied_mask(q, k, v, mask):  # M101
    return softmax(q @ k.T / math.sqrt(q.shape[1]) * mask) @ v


def inverted(q, k, v, mask):  # M103
    return right(q, k, v, ~mask | np.eye(*mask.shape, dtype=bool))


def one_too_many(q, k, v, mask):  # M105
    return right(q, k, v, np.tri(*mask.shape, 1, dtype=bool))


def heads_by_reshape(q, k, v, mask, H=2):  # M107
    def split(x):
        return x.reshape(H, len(x), -1)

    parts = [right(*x, mask) for x in zip(split(q), split(k), split(v))]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize(
    "wrong",
    [no_scale, scaled_after, over_queries, multiplied_mask, inverted, one_too_many],
)
def test_a_planted_mistake_is_far_from_algorithm_4(wrong):
    q, k, v = draw((T, D_ATTN), (T, D_ATTN), (T, D_OUT))
    mask = np.tri(T, dtype=bool)
    one, none = np.eye(D_ATTN), np.zeros(D_ATTN)

    def of(z, side):  # columns [k; v] as the context
        return np.eye(side, D_ATTN + D_OUT, z)

    W = alg.QKV(one, none, of(0, D_ATTN), none, of(D_ATTN, D_OUT), np.zeros(D_OUT))
    Z = np.concatenate([k, v], axis=1).T
    expected = alg.attention(q.T, Z, W, mask.T).T
    np.testing.assert_allclose(right(q, k, v, mask), expected, **CLOSE)
    np.testing.assert_allclose(ops.attention(q, k, v, mask), expected, **CLOSE)
    assert abs(wrong(q, k, v, mask) - expected).max() > 0.05


def test_heads_split_by_reshape_alone_are_seen():
    d = 4
    q, k, v = draw((T, d), (T, d), (T, d))
    mask = np.tri(T, dtype=bool)
    kv = np.concatenate([k, v], axis=1)
    found = snn.multihead_attention(q, kv, 2, mask)
    for h in range(2):
        part = slice(h * d // 2, (h + 1) * d // 2)
        expected = right(q[:, part], k[:, part], v[:, part], mask)
        np.testing.assert_allclose(found[:, part], expected, **CLOSE)
    assert abs(heads_by_reshape(q, k, v, mask) - found).max() > 0.05


def test_unscaled_scores_put_most_of_the_weight_on_one_key():
    rng, n = np.random.default_rng(0), 10
    for d in (64, 256):
        q, k = rng.standard_normal((2000, 1, d)), rng.standard_normal((2000, n, d))
        scores = (q @ k.swapaxes(1, 2))[:, 0]
        scaled = ops.softmax(scores / math.sqrt(d)).max(-1).mean()
        assert ops.softmax(scores).max(-1).mean() > 0.7 > 0.45 > scaled
