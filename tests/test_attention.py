"""attention and multihead_attention: the formula, masks, heads, derivatives, errors."""

import re

import numpy as np
import pytest
from parity import same_as_torch

import scratchnn as snn
from scratchnn import Tensor, grad
from scratchnn.nn import functional as F
from scratchnn.ops.attention import attention_weights

RNG = np.random.default_rng(0)
# float64, sums of at most 20 terms of order 1: some 10 roundings of 1e-16.
CLOSE = {"rtol": 1e-13, "atol": 1e-14}


def draw(*shapes):
    return [RNG.standard_normal(shape) for shape in shapes]


def by_loops(q, k, v, mask=None, causal=False):
    """Algorithm 4 of the Formal Algorithms for Transformers, a number at a time.

    mask[t, s]: True where query t sees key s, or a number to add to the score.
    """
    y = np.zeros((len(q), v.shape[1]))
    for t in range(len(q)):
        share = {}
        for s in range(len(k)):
            score = sum(q[t, i] * k[s, i] for i in range(q.shape[1]))
            score /= np.sqrt(q.shape[1])
            seen = not causal or s <= t
            if mask is not None and mask.dtype == bool:
                seen = seen and mask[t, s]
            elif mask is not None:
                score += mask[t, s]
            if seen:
                share[s] = np.exp(score)
        for s in share:
            y[t] += share[s] / sum(share.values()) * v[s]
    return y


MASKS = {
    "none": None,
    "bool": RNG.random((7, 5)) < 0.6,
    "added": RNG.standard_normal((7, 5)),
    "a row": RNG.random((1, 5)) < 0.6,
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("T, S", [(7, 5), (1, 1)])
def test_attention_is_the_loop_of_algorithm_4(T, S, mask, causal):
    mask = MASKS[mask]
    if mask is not None:
        mask = np.broadcast_to(mask, (7, 5))[:T, :S]
    q, k, v = draw((T, 3), (S, 3), (S, 2))
    y = snn.attention(q, k, v, mask, causal)
    np.testing.assert_allclose(y, by_loops(q, k, v, mask, causal), **CLOSE)


@pytest.mark.parametrize("T, S", [(3, 7), (7, 3)])
def test_causal_query_t_sees_the_keys_up_to_t_for_any_numbers_of_both(T, S):
    q, k, v = draw((T, 4), (S, 4), (S, 4))
    y = snn.attention(q, k, v, causal=True)
    for t in range(T):
        one = snn.attention(q[t : t + 1], k[: t + 1], v[: t + 1])
        np.testing.assert_allclose(y[t : t + 1], one, **CLOSE)
    np.testing.assert_allclose(
        y, snn.attention(q, k, v, np.tri(T, S, dtype=bool)), **CLOSE
    )


def test_causal_and_a_mask_hide_together():
    q, k, v = draw((5, 4), (5, 4), (5, 4))
    mask = RNG.random((5, 5)) < 0.7
    both = mask & np.tri(5, dtype=bool)
    np.testing.assert_allclose(
        snn.attention(q, k, v, mask, causal=True), snn.attention(q, k, v, both), **CLOSE
    )


@pytest.mark.parametrize("mask", ["bool", "-inf"])
def test_a_query_that_sees_no_key_gets_0_and_gives_no_gradient(mask):
    q, k, v = (Tensor(x, requires_grad=True) for x in draw((3, 4), (5, 4), (5, 2)))
    seen = np.array([[1, 0, 1, 1, 0], [0] * 5, [1] * 5], bool)
    hide = seen if mask == "bool" else np.where(seen, 0, -np.inf)
    y = snn.attention(q, k, v, hide)
    assert (y.data[1] == 0).all() and (y.data[[0, 2]] != 0).all()
    g = np.zeros((3, 2))
    g[1] = 1
    for gx in grad(y, [q, k, v], g=g):
        assert (gx.data == 0).all()
    by_q = grad(y.sum(), q).data
    assert (by_q[1] == 0).all() and np.isfinite(by_q).all() and by_q[0].any()


def test_adding_minus_infinity_hides_as_False_does():
    q, k, v = draw((2, 3, 4), (2, 5, 4), (2, 5, 4))
    seen = RNG.random((2, 3, 5)) < 0.5
    hidden = snn.attention(q, k, v, np.where(seen, 0, -np.inf))
    np.testing.assert_allclose(hidden, snn.attention(q, k, v, seen), **CLOSE)


def test_what_a_query_may_not_see_changes_nothing():
    q, k, v = draw((4, 3), (4, 3), (4, 3))
    y = snn.attention(q, k, v, causal=True)
    k[3], v[3] = 100, -100
    np.testing.assert_array_equal(snn.attention(q, k, v, causal=True)[:3], y[:3])


def test_permuting_the_keys_with_their_values_changes_nothing():
    q, k, v = draw((3, 4), (5, 4), (5, 2))
    order = RNG.permutation(5)
    shuffled = snn.attention(q, k[order], v[order])
    np.testing.assert_allclose(snn.attention(q, k, v), shuffled, **CLOSE)


def test_scores_in_the_thousands_do_not_overflow():
    q = np.full((2, 3), 1e3, np.float32)
    y = snn.attention(q, q, np.float32([[1, 2], [3, 4]]))
    np.testing.assert_array_equal(y, [[2, 3], [2, 3]])


def test_weights_add_up_to_1_where_a_query_sees_a_key():
    q, k = draw((2, 3, 4), (2, 5, 4))
    mask = RNG.random((2, 3, 5)) < 0.5
    mask[0, 1] = False
    weights = attention_weights(q, k, mask)
    np.testing.assert_allclose(weights.sum(-1), mask.any(-1), **CLOSE)
    assert (weights[~mask] == 0).all()


@pytest.mark.parametrize("mask", [np.tri(3, 5), np.tri(3, 5).tolist()], ids=type)
def test_a_float64_mask_or_a_list_leaves_float32_alone(mask):
    q, k, v = (x.astype(np.float32) for x in draw((3, 4), (5, 4), (5, 2)))
    assert snn.attention(q, k, v, mask).dtype == np.float32
    exact = snn.attention(*(x.astype(np.float64) for x in (q, k, v)), np.tri(3, 5))
    np.testing.assert_allclose(snn.attention(q, k, v, mask), exact, rtol=1e-5)


# ---- packed ---------------------------------------------------------------------
def separate(q, k, v, heads, **how):
    """Heads cut out of the columns, one after the other."""
    parts = zip(*(np.split(x, heads, axis=-1) for x in (q, k, v)))
    return np.concatenate([snn.attention(*part, **how) for part in parts], axis=-1)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
@pytest.mark.parametrize("causal", [False, True])
def test_packed_heads_equal_separate_ones(heads, causal):
    q, k, v = draw((2, 5, 6), (2, 5, 6), (2, 5, 6))
    qkv = np.concatenate([q, k, v], -1)
    y = snn.multihead_attention(qkv, heads=heads, causal=causal)
    np.testing.assert_allclose(y, separate(q, k, v, heads, causal=causal), **CLOSE)


def test_packed_keys_and_values_may_come_from_another_sequence():
    q, k, v = draw((2, 3, 6), (2, 5, 6), (2, 5, 6))
    mask = RNG.random((3, 5)) < 0.7
    y = snn.multihead_attention(q, np.concatenate([k, v], -1), 3, mask)
    np.testing.assert_allclose(y, separate(q, k, v, 3, mask=mask), **CLOSE)


def test_a_mask_for_each_head_or_for_each_of_a_batch():
    qkv = RNG.standard_normal((3, 5, 12))
    by_head = RNG.random((1, 2, 5, 5)) < 0.6
    y = snn.multihead_attention(qkv, heads=2, mask=by_head)
    for h in range(2):
        columns = [qkv[..., 4 * i + 2 * h :][..., :2] for i in range(3)]
        one = snn.attention(*columns, by_head[0, h])
        np.testing.assert_allclose(y[..., 2 * h : 2 * h + 2], one, **CLOSE)
    by_batch = RNG.random((3, 5, 5)) < 0.6
    y = snn.multihead_attention(qkv, heads=2, mask=by_batch[:, None])
    for b in range(3):
        one = snn.multihead_attention(qkv[b], heads=2, mask=by_batch[b])
        np.testing.assert_allclose(y[b], one, **CLOSE)


def test_packed_gradients_equal_those_of_separate_heads():
    qkv = Tensor(RNG.standard_normal((2, 5, 12)), requires_grad=True)
    g = RNG.standard_normal((2, 5, 4))
    found = grad(snn.multihead_attention(qkv, heads=2, causal=True), qkv, g=g)
    q, k, v = (qkv[..., i : i + 4] for i in (0, 4, 8))
    parts = [
        snn.attention(*(x[..., h : h + 2] for x in (q, k, v)), causal=True)
        for h in (0, 2)
    ]
    slow = grad(snn.concatenate(parts, axis=-1), qkv, g=g)
    np.testing.assert_allclose(found.data, slow.data, **CLOSE)


# ---- PyTorch --------------------------------------------------------------------
BOOL = RNG.random((2, 1, 3, 5)) < 0.7
BOOL[1, 0, 2] = False  # a query that sees no key


@pytest.mark.parametrize(
    "how",
    [{}, {"is_causal": True}, {"attn_mask": BOOL}, {"attn_mask": MASKS["added"][:3]}],
    ids=["plain", "causal", "bool", "added"],
)
def test_same_as_torch_and_so_are_second_derivatives(how):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    theirs = {k: torch.tensor(v) if k == "attn_mask" else v for k, v in how.items()}
    same_as_torch(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **how),
        lambda f, q, k, v: f.scaled_dot_product_attention(q, k, v, **theirs),
        *draw((2, 4, 3, 6), (2, 4, 5, 6), (2, 4, 5, 2)),
    )


def test_same_as_torchs_multihead_attention_with_its_weights():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    torch.set_num_threads(2)
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    w_in, b_in, w_out, b_out = (p.detach().numpy() for p in theirs.parameters())
    x = RNG.standard_normal((2, 5, 6))
    hidden = ~np.tri(5, dtype=bool)  # their True hides
    with torch.no_grad():
        z = theirs(*[torch.tensor(x)] * 3, attn_mask=torch.tensor(hidden))[0]
    y = snn.multihead_attention(snn.linear(x, w_in, b_in), heads=3, causal=True)
    np.testing.assert_allclose(snn.linear(y, w_out, b_out), z.numpy(), rtol=1e-10)


def test_dropout_of_the_weights_keeps_their_mean():
    q, k, v = draw((40, 4), (3, 4), (3, 2))
    q[:] = q[0]  # 40 draws of one query
    snn.manual_seed(1)
    y = np.mean(
        [F.scaled_dot_product_attention(q, k, v, dropout_p=0.5) for _ in range(50)],
        axis=(0, 1),
    )
    # A draw is off by sqrt(sum (weight v)^2), at most 4 here; there are 2000.
    expected = snn.attention(q, k, v)[0]
    np.testing.assert_allclose(y, expected, atol=5 * 4 / 2000**0.5)
    assert (F.scaled_dot_product_attention(q, k, v, dropout_p=1.0) == 0).all()


def test_dropout_hands_on_gradients():
    q = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    F.scaled_dot_product_attention(q, q, q, None, 0.5, True).sum().backward()
    assert q.grad.shape == (3, 4) and q.grad.any()


# ---- errors ---------------------------------------------------------------------
def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


ERRORS = {
    "q and k differ": (
        lambda: snn.attention(ones(3, 4), ones(5, 6), ones(5, 2)),
        "attention: q (3, 4) and k (5, 6) need equal last axes, not 4 and 6: a score "
        "is the product of a query and a key",
    ),
    "k and v differ": (
        lambda: snn.attention(ones(3, 4), ones(5, 4), ones(6, 2)),
        "attention: k (5, 4) and v (6, 2) need equal axes -2, not 5 and 6: each key "
        "has its value",
    ),
    "no keys": (
        lambda: snn.attention(ones(3, 4), ones(0, 4), ones(0, 2)),
        "attention: k (0, 4) has no keys to choose from; give at least one",
    ),
    "batches differ": (
        lambda: snn.attention(ones(2, 3, 4), ones(3, 5, 4), ones(5, 2)),
        "attention: the axes before the last two of q (2, 3, 4), k (3, 5, 4), v (5, "
        "2): shapes (2,) and (3,) clash at axis -1: 2 against 3; make them equal, or "
        "one of them 1 to broadcast",
    ),
    "one query without an axis": (
        lambda: snn.attention(ones(4), ones(5, 4), ones(5, 4), causal=True),
        "attention: q (4,) needs 2 axes or more: (..., its rows, numbers)",
    ),
    "mask turned": (
        lambda: snn.attention(ones(3, 4), ones(5, 4), ones(5, 2), ones(5, 3) > 0),
        "attention: mask (5, 3) needs to be (3, 5), a row for each query, a column for "
        "each key, or to broadcast against the scores (3, 5). Its transpose would fit",
    ),
    "mask added of another shape": (
        lambda: snn.attention(ones(3, 4), ones(5, 4), ones(5, 2), ones(4, 5)),
        "attention: mask (4, 5) needs to be (3, 5), a row for each query, a column for "
        "each key, or to broadcast against the scores (3, 5)",
    ),
    "mask of a batch": (
        lambda: snn.multihead_attention(ones(5, 3, 12), None, 2, ones(5, 3, 3) > 0),
        "multihead_attention: mask (5, 3, 3) needs to be (3, 3), a row for each query, "
        "a column for each key, or to broadcast against the scores (5, 2, 3, 3). "
        "mask[:, None] would: one for all heads",
    ),
    "not three parts": (
        lambda: snn.multihead_attention(ones(3, 7)),
        "multihead_attention: the last axis of q (3, 7) needs to be 3 d: queries, keys "
        "and values side by side; or give kv, for keys and values of their own",
    ),
    "not twice as wide": (
        lambda: snn.multihead_attention(ones(3, 4), ones(5, 4)),
        "multihead_attention: the last axis of kv (5, 4) needs to be 8, twice that of "
        "q (3, 4): keys and values side by side",
    ),
    "other batches": (
        lambda: snn.multihead_attention(ones(2, 3, 4), ones(3, 5, 8)),
        "multihead_attention: the axes before the last two of q (2, 3, 4) and kv (3, "
        "5, 8): shapes (2,) and (3,) clash at axis -1: 2 against 3; make them equal, "
        "or one of them 1 to broadcast",
    ),
    "no sequence": (
        lambda: snn.multihead_attention(ones(12), heads=2),
        "multihead_attention: q (12,) needs 2 axes or more: (..., its rows, numbers)",
    ),
    **{
        f"{heads} heads": (
            lambda heads=heads: snn.multihead_attention(ones(3, 12), heads=heads),
            f"multihead_attention: d = 4 is not heads={heads} equal parts; heads must "
            "divide it",
        )
        for heads in (3, 0, -2, 2.0)
    },
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_given_expected_and_fix(name):
    call, text = ERRORS[name]
    with pytest.raises(snn.ShapeError) as caught:
        call()
    assert str(caught.value) == text


def test_a_mask_of_integers_could_mean_two_things():
    with pytest.raises(TypeError, match=re.escape("numbers of type int64; give bool")):
        snn.attention(ones(3, 4), ones(5, 4), ones(5, 4), np.tri(3, 5, dtype=int))


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_a_mask_can_not_be_trained(p):
    q, mask = ones(3, 4), Tensor(ones(3, 3), requires_grad=True)
    with pytest.raises(TypeError, match="mask has no rule.*give mask.detach"):
        F.scaled_dot_product_attention(q, q, q, mask, p)


def test_what_does_not_fit_is_refused_at_sizes_of_kernels_too():
    q, k = ones(3, 200, 32), ones(3, 300, 32)
    for shape in ((2, 200, 300), (7, 300), (200, 299), (3, 300, 200)):
        with pytest.raises(snn.ShapeError, match="broadcast against the scores"):
            snn.attention(q, k, k, ones(*shape) > 0)
    assert snn.attention(q, k, k, ones(2, 1, 200, 300) > 0).shape == (2, 3, 200, 32)
    for kv in (ones(3, 300, 32), ones(3, 300, 128)):
        with pytest.raises(snn.ShapeError, match="twice that of q"):
            snn.multihead_attention(q, kv)
    with pytest.raises(snn.ShapeError, match="heads=0"):
        snn.multihead_attention(ones(3, 200, 96), heads=0)
