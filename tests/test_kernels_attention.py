"""The attention kernels equal the NumPy bodies, at every size, mask and layout."""

import tracemalloc

import numpy as np
import pytest
from helpers import reference, watching
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnn as snn
from scratchnn import Tensor, kernels

pytest.importorskip("numba", reason="kernels need numba")
kernel = kernels.load("attention")
if kernel is None:
    pytest.skip("no attention kernels here", allow_module_level=True)
EPS = np.finfo(np.float32).eps
LANES, QUERIES, KEYS = kernel.LANES, kernel.QUERIES, kernel.KEYS
ATTENTION, PACKED = snn.TABLE["attention"], snn.TABLE["multihead_attention"]
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape, np.float32)


def assert_close(fast, exact, terms):
    """Equal but for the float32 rounding of sums of so many terms.

    A score is a sum of d products, of order 1 in all; its error, about sqrt(d) eps, is
    the relative error of a weight, and the weighted sum adds its own. Gradients go
    through three such sums. The largest result is 8 times the usual one at most.
    """
    assert fast.dtype == np.float32 and fast.shape == exact.shape
    size = max(1, abs(exact).max())
    atol = 3 * 8 * terms**0.5 * EPS * size
    np.testing.assert_allclose(fast, exact, rtol=0, atol=atol)


def exact(entry, inputs, mask, causal, g, **params):
    """y and the gradients by the body and the rules, in float64."""

    def run():
        xs = [Tensor(x.astype(np.float64), requires_grad=True) for x in inputs]
        y = entry.call(*xs, mask=mask, causal=causal, **params)
        y.backward(g.astype(np.float64))
        return y.data, [x.grad for x in xs]

    return reference(run)


SIZES = st.one_of(
    st.integers(1, 300),
    st.sampled_from([QUERIES - 1, QUERIES, QUERIES + 1, KEYS - 1, KEYS, KEYS + 1]),
)


@st.composite
def cases(draw):
    """Shape (B, h, T, S, d), mask, causal: sizes that no block divides."""
    B, h = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    T, S, d = draw(SIZES), draw(SIZES), draw(st.integers(LANES, 4 * LANES + 3))
    mask = None
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        axes = [n if draw(st.booleans()) else 1 for n in (B, h, T, S)]
        mask = rng.random(axes[draw(st.integers(0, 3)) :]) < draw(st.floats(0.1, 1))
        mask[rng.random(mask.shape[:-1]) < draw(st.sampled_from([0, 0.3]))] = False
    return (B, h, T, S, d), mask, draw(st.booleans())


def beside(x):
    """The same numbers, heads side by side in memory: rows are not contiguous."""
    return x.swapaxes(-2, -3).copy().swapaxes(-2, -3)


@settings(deadline=None, max_examples=60)
@given(cases(), st.tuples(*[st.booleans()] * 5))
def test_attention_and_its_joint_rule_equal_the_reference(case, strided):
    (B, h, T, S, d), mask, causal = case
    shapes = [(B, h, n, d) for n in (T, S, S, T)]
    *inputs, g = (
        beside(normal(*s)) if at else normal(*s) for s, at in zip(shapes, strided)
    )
    y, gradients = exact(ATTENTION, inputs, mask, causal, g)
    fast = kernel.attention_forward(*inputs, mask, causal)
    assert_close(fast, y, d + S)
    fast = beside(fast) if strided[4] else fast
    found = kernel.attention_rule(g, fast, (True,) * 3, *inputs, mask, causal)
    for a, b in zip(found, gradients):
        assert_close(a, b, d + max(T, S))


@settings(deadline=None, max_examples=40)
@given(cases(), st.booleans())
def test_packed_attention_and_its_joint_rule_equal_the_reference(case, own):
    (B, h, T, S, d), mask, causal = case
    inputs = [normal(B, T, h * d), normal(B, S, 2 * h * d)]
    if own:
        if mask is not None and mask.shape[-1] > 1:
            mask = np.resize(mask, (*mask.shape[:-1], T))
        inputs = [normal(B, T, 3 * h * d)]
    g = normal(B, T, h * d)
    y, gradients = exact(PACKED, inputs, mask, causal, g, heads=h)
    q, kv = [*inputs, None][:2]
    fast = kernel.multihead_attention_forward(q, kv, h, mask, causal)
    assert_close(fast, y, d + S)
    need = (True, kv is not None)
    found = kernel.multihead_attention_rule(g, fast, need, q, kv, h, mask, causal)
    assert len(found) == 2
    for a, b in zip(found, gradients):
        assert_close(a, b, d + max(T, S))


@pytest.mark.parametrize("i", range(3))
def test_only_the_gradients_needed_are_given(i):
    q, g = normal(2, 1, 70, LANES), normal(2, 1, 70, LANES)
    y = kernel.attention_forward(q, q, q, None, True)
    every = kernel.attention_rule(g, y, (True,) * 3, q, q, q, None, True)
    need = tuple(j == i for j in range(3))
    found = kernel.attention_rule(g, y, need, q, q, q, None, True)
    assert [x is not None for x in found] == list(need)
    np.testing.assert_array_equal(found[i], every[i])
    q, kv = normal(2, 70, 2 * LANES), normal(2, 50, 4 * LANES)
    y = kernel.multihead_attention_forward(q, kv, 2, None, False)
    need = (i == 0, i == 1)
    found = kernel.multihead_attention_rule(y, y, need, q, kv, 2, None, False)
    assert tuple(x is not None for x in found) == need


def run(call, *arrays):
    """y and gradients of a call with kernels and without, and what the kernels did."""

    def results():
        xs = [Tensor(x, requires_grad=True) for x in arrays]
        y = call(*xs)
        y.backward(np.sin(y.data))
        return [y.data, *(x.grad for x in xs)]

    with watching(ATTENTION, PACKED) as declined:
        fast = results()
    return fast, reference(results), declined


SHAPES = {
    "matrices": ((300, 64), (260, 64)),
    "batch": ((3, 130, 64), (3, 90, 64)),
    "heads": ((2, 3, 70, 64), (2, 3, 130, 64)),
}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_ops_and_their_gradients_are_the_same_with_and_without_kernels(shape, masked):
    q, k = SHAPES[shape]
    mask = RNG.random((*q[:-1], k[-2])) < 0.7 if masked else None
    fast, slow, declined = run(
        lambda q, k, v: snn.attention(q, k, v, mask, True),
        *(normal(*s) for s in (q, k, k)),
    )
    assert declined == [False, False]
    for a, b in zip(fast, slow):
        assert_close(a, b, 64 + 300)


@pytest.mark.parametrize("shape", [(200, 192), (2, 130, 192), (2, 2, 65, 192)])
def test_packed_ops_are_the_same_with_and_without_kernels(shape):
    call = lambda x: snn.multihead_attention(x, heads=4, causal=True)  # noqa: E731
    fast, slow, declined = run(call, normal(*shape))
    assert declined == [False, False]
    for a, b in zip(fast, slow):
        assert_close(a, b, 64 + 300)


# ---- what is not a number --------------------------------------------------------
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", range(3), ids=["q", "k", "v"])
def test_nan_and_infinity_end_where_the_reference_has_them(where, value, causal):
    T = QUERIES + KEYS + 5
    inputs = [normal(1, 1, T, LANES + 3) for _ in range(3)]
    inputs[where][0, 0, QUERIES + 2, 5] = value
    fast = kernel.attention_forward(*inputs, None, causal)
    with np.errstate(invalid="ignore"):
        slow = reference(lambda: snn.attention(*inputs, causal=causal))
    unseen = np.zeros(T, bool)
    if where == 2 and causal:  # 0 times nan: the kernel reads not all that is hidden
        unseen[: QUERIES + 2] = True
    fast, slow = fast[0, 0, ~unseen], slow[0, 0, ~unseen]
    np.testing.assert_array_equal(np.isnan(fast), np.isnan(slow))
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)
    assert not np.isfinite(fast).all()


@pytest.mark.parametrize("size", [1e5, 1e18, 1e38])
def test_scores_of_any_size_make_weights(size):
    q, k, v = (np.zeros((1, 1, n, LANES), np.float32) for n in (70, 150, 150))
    q[..., 0], v[..., 1] = 1.3, np.arange(150)
    k[..., 0] = (v[..., 1] - 140) * (0.01 * size)  # gaps so large that one key wins
    y = kernel.attention_forward(q, k, v, None, False)
    np.testing.assert_array_equal(y[..., 1], 149)
    g = normal(*y.shape)
    _, _, gv = kernel.attention_rule(g, y, (True,) * 3, q, k, v, None, False)
    np.testing.assert_allclose(gv[0, 0, 149], g[0, 0].sum(axis=0), atol=1e-4)


def test_a_query_that_sees_no_key_gets_0_and_gives_no_gradient():
    q, k, v = normal(2, 1, 70, 32), normal(2, 1, 150, 32), normal(2, 1, 150, 32)
    mask = np.ones((2, 1, 70, 1), bool)
    mask[0, 0, 66] = mask[1] = False
    y = kernel.attention_forward(q, k, v, mask, False)
    assert (y[0, 0, 66] == 0).all() and (y[1] == 0).all() and y[0, 0, 65].all()
    found = kernel.attention_rule(y + 1, y, (True,) * 3, q, k, v, mask, False)
    assert (found[0][0, 0, 66] == 0).all()
    for x in found:
        assert (x[1] == 0).all() and np.isfinite(x).all()


# ---- threads, memory, declining --------------------------------------------------
def test_results_do_not_change_from_run_to_run_or_with_the_threads():
    x, g = normal(3, 200, 4 * 96), normal(3, 200, 128)
    how = None, 4, None, True

    def results():
        y = kernel.multihead_attention_forward(x, *how)
        found = kernel.multihead_attention_rule(g, y, (True, False), x, *how)
        return y, found[0]

    first, before = results(), snn.get_num_threads()
    try:
        for n in (before, before, 1, 2):
            snn.set_num_threads(n)
            for a, b in zip(first, results()):
                np.testing.assert_array_equal(a, b)
    finally:
        snn.set_num_threads(before)


def peak(T):
    """Bytes that attention and its rule have at most, for T queries and keys."""
    q = normal(1, 1, T, LANES)
    tracemalloc.start()
    y = kernel.attention_forward(q, q, q, None, True)
    kernel.attention_rule(y, y, (True,) * 3, q, q, q, None, True)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_grows_with_the_length_not_with_its_square():
    peak(64)  # what is compiled and cached with the first call
    short, long = peak(1024), peak(4096)
    assert short > 1024 * LANES * 4  # it does see the arrays
    # A row of keys adds to each thread k, v, their transposes, gradients, QUERIES
    # scores: 4 times as long is 4 times as much, less what doesn't grow.
    assert long <= 4.1 * short
    assert long < 4096 * 4096 * 4 / 2


def test_second_derivatives_pass_by_the_kernel():
    q = normal(300, 64)

    def penalty():
        x = Tensor(q, requires_grad=True)
        g = snn.grad((snn.attention(x, x, x, None, True) * q).sum(), x)
        return snn.grad((g * g).sum(), x).data

    fast, slow = penalty(), reference(penalty)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-4 * abs(slow).max())


X = np.ones((2, 1, 70, LANES), np.float32)
DECLINED = {
    "float64": (X.astype(np.float64), X, X),
    "float64 keys": (X, X.astype(np.float64), X.astype(np.float64)),
    "narrow": (X[..., :7].copy(),) * 3,
    "values of another width": (X, X, np.ones((2, 1, 70, 2 * LANES), np.float32)),
    "keys to broadcast": (X, X[:1], X[:1]),
    "axes to add": (X[0, 0], X[:1], X[:1]),
    "one query": (X[0, 0, 0], X[0, 0], X[0, 0]),
    "five axes": (X[None],) * 3,
    "every second number": (X, *[np.ones((2, 1, 70, 2 * LANES), "f4")[..., ::2]] * 2),
    "no keys": (X, X[:, :, :0], X[:, :, :0]),
    "unaligned rows": (X, *[np.ones((2, 1, 70), f"({LANES},)f4,i1")["f0"]] * 2),
    "added mask": (X, X, X, np.zeros((70, 70), np.float32)),
    "mask of more axes": (X[0, 0], X[0, 0], X[0, 0], np.ones((3, 70, 70), bool)),
    "mask of another length": (X, X, X, np.ones((50, 70), bool)),
    "mask of a larger batch": (X[:1], X[:1], X[:1], np.ones((2, 1, 70, 70), bool)),
}


@pytest.mark.parametrize("name", DECLINED)
def test_what_the_kernel_can_not_do_is_left_to_numpy(name):
    q, k, v, mask = [*DECLINED[name], None][:4]
    assert kernel.attention_forward(q, k, v, mask, False) is NotImplemented
    if q.ndim > 1:
        need = (True,) * 3
        found = kernel.attention_rule(q, q, need, q, k, v, mask, False)
        assert found is NotImplemented


Q = np.ones((2, 70, 6 * LANES), np.float32)
PACKED_DECLINED = {
    "not three parts": (Q[..., :-1].copy(), None, 1, None),
    "heads that don't divide": (Q, None, 3, None),
    "no heads": (Q, None, 0, None),
    "fewer than none": (Q, None, -1, None),
    "heads of a float": (Q, None, 2.0, None),
    "narrow heads": (Q, None, 4, None),
    "kv too narrow": (Q, Q, 1, None),
    "kv of another batch": (Q, np.ones((1, 70, 12 * LANES), np.float32), 1, None),
    "strided": (Q[..., ::2], None, 1, None),
    "one row": (Q[0, 0], None, 1, None),
    "mask of another length": (Q, None, 2, np.ones((70, 69), bool)),
    "mask of another batch": (Q, None, 2, np.ones((5, 1, 70, 70), bool)),
    "mask, four axes of q": (Q[None], None, 2, np.ones((70, 70), bool)),
    "float64": (Q.astype(np.float64), None, 1, None),
}


@pytest.mark.parametrize("name", PACKED_DECLINED)
def test_what_the_packed_kernel_can_not_do_is_left_to_numpy(name):
    q, kv, heads, mask = PACKED_DECLINED[name]
    found = kernel.multihead_attention_forward(q, kv, heads, mask, False)
    assert found is NotImplemented
    need = (True, kv is not None)
    found = kernel.multihead_attention_rule(q, q, need, q, kv, heads, mask, False)
    assert found is NotImplemented
