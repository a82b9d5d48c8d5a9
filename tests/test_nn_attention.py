"""Attention layers held against PyTorch's with the same weights; places by formula."""

import math

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import Tensor, checkpoint, gradcheck, nn

RNG = np.random.default_rng(0)
B, T, S, D, H = 2, 4, 3, 8, 2  # width 4 a head; unequal lengths
# float32 on both sides, sums of at most 32 terms of order 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="parity with PyTorch needs torch")


def draw(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def twins(torch, name, *args, **settings):
    """Our layer and PyTorch's with its weights, all of them drawn, and in use."""
    theirs = getattr(torch.nn, name)(*args, **settings)
    rng = np.random.default_rng(3)
    with torch.no_grad():
        for p in theirs.parameters():  # biases begin as 0, norms as 1
            values = rng.standard_normal(p.shape) / math.sqrt(p.shape[-1])
            p.copy_(torch.tensor(values + (p.ndim == 1)))
    ours = getattr(nn, name)(*args, **settings)
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    assert set(ours.state_dict()) == set(state)
    ours.load_state_dict(state)
    return ours.eval(), theirs.eval()


def put(torch, x):
    return torch.tensor(x) if isinstance(x, np.ndarray) else x


def same(torch, ours, theirs, *inputs, weights=False, **masks):
    """Equal outputs, and equal gradients by inputs and parameters."""
    xs = [Tensor(x, requires_grad=True) for x in inputs]
    ts = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = ours(*xs, **masks)
    z = theirs(*ts, **{k: put(torch, m) for k, m in masks.items()})
    if isinstance(y, tuple):
        if y[1] is not None:
            np.testing.assert_allclose(y[1].data, z[1].detach(), **CLOSE)
        y, z = y[0], z[0]
    np.testing.assert_allclose(y.data, z.detach(), **CLOSE)
    g = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    (y * g).sum().backward()
    (z * torch.tensor(g)).sum().backward()
    for x, t in zip(xs, ts):
        np.testing.assert_allclose(x.grad, t.grad, rtol=1e-4, atol=1e-4)
    named = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad, named[name].grad, rtol=1e-4, atol=2e-4)


# True where a key is hidden; the first key of each is seen.
CAUSAL = np.triu(np.ones((T, S), bool), 1)
HIDE = {
    "none": {},
    "attn": {"attn_mask": CAUSAL},
    "padding": {"key_padding_mask": np.array([[False, False, True], [False] * 3])},
    "added": {"attn_mask": draw(T, S)},
    "each head": {"attn_mask": np.concatenate([CAUSAL[None]] * (B * H))},
}
HIDE["each head"]["attn_mask"][1, :, 1] ^= True
HIDE["both"] = {**HIDE["attn"], **HIDE["padding"]}
added = np.where(HIDE["padding"]["key_padding_mask"], np.float32(-np.inf), 0)
HIDE["both added"] = {**HIDE["added"], "key_padding_mask": added}


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("mask", HIDE)
def test_cross_attention_is_pytorchs(torch, mask, need_weights):
    pair = twins(torch, "MultiheadAttention", D, H, batch_first=True)
    z = draw(B, S, D)
    masks = {**HIDE[mask], "need_weights": need_weights}
    same(torch, *pair, draw(B, T, D), z, z.copy(), **masks)
    x, (ours, _) = draw(B, T, D), pair  # keys and values that are one array
    one, two = (ours(x, z, v, **masks)[0].data for v in (z, z.copy()))
    np.testing.assert_allclose(one, two, **CLOSE)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_weights_are_pytorchs(torch, batch_first, average):
    pair = twins(torch, "MultiheadAttention", D, H, batch_first=batch_first)
    x, z = draw(T, B, D), draw(S, B, D)
    if batch_first:
        x, z = x.swapaxes(0, 1), z.swapaxes(0, 1)
    same(torch, *pair, x, z, z.copy(), average_attn_weights=average)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("shape", [(5, 3, D), (5, D)])
def test_self_attention_is_pytorchs(torch, shape, batch_first):
    ours, theirs = twins(torch, "MultiheadAttention", D, H, batch_first=batch_first)
    x = draw(*shape)
    t = torch.tensor(x)
    for need_weights in (True, False):
        y, _ = ours(x, x, x, need_weights=need_weights)
        np.testing.assert_allclose(y.data, theirs(t, t, t)[0].detach(), **CLOSE)


def test_causal_attention_needs_no_mask(torch):
    ours, theirs = twins(torch, "MultiheadAttention", D, H, batch_first=True)
    x = draw(B, T, D)
    t, mask = torch.tensor(x), torch.ones(T, T, dtype=bool).triu(1)
    expected = theirs(t, t, t, attn_mask=mask)[0].detach()
    for need_weights in (True, False):
        y, _ = ours(x, x, x, is_causal=True, need_weights=need_weights)
        np.testing.assert_allclose(y.data, expected, **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
def test_keys_and_values_may_have_widths_of_their_own(torch, bias):
    settings = {"kdim": 5, "vdim": 6, "bias": bias, "batch_first": True}
    pair = twins(torch, "MultiheadAttention", D, H, **settings)
    same(torch, *pair, draw(B, T, D), draw(B, S, 5), draw(B, S, 6))


def test_a_query_that_may_see_no_key_gets_no_nan():
    layer = nn.MultiheadAttention(D, H, batch_first=True)
    x, all_hidden = draw(B, T, D), np.ones((B, T), bool)
    for need_weights in (True, False):
        masks = {"key_padding_mask": all_hidden, "need_weights": need_weights}
        y, _ = layer(x, x, x, **masks)
        np.testing.assert_array_equal(y.data, 0)


def test_dropout_of_weights_keeps_the_mean_and_stops_in_use():
    layer = nn.MultiheadAttention(D, H, 0.5, batch_first=True, rng=RNG)
    x = draw(1, T, D)
    expected = layer.eval()(x, x, x)[0].data
    layer.train()
    draws = np.stack([layer(x, x, x)[0].data for _ in range(1000)])
    assert len(np.unique(draws[:, 0, 0, 0])) > 10
    error = draws.std(0) / math.sqrt(len(draws))
    assert (abs(draws.mean(0) - expected) < 5 * error).all()


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads=3 must divide embed_dim=8"):
        nn.MultiheadAttention(8, 3)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_layers_are_pytorchs(torch, norm_first, activation):
    settings = {"activation": activation, "norm_first": norm_first, "dropout": 0.0}
    settings["batch_first"] = True
    later = np.triu(np.ones((T, T), bool), 1)
    padding = np.array([[False, False, False, True], [False] * 4])
    for masks in ({"src_key_padding_mask": padding}, {"src_mask": later}):
        encoder = twins(torch, "TransformerEncoderLayer", D, H, 16, **settings)
        same(torch, *encoder, draw(B, T, D), **masks)
    decoder = twins(torch, "TransformerDecoderLayer", D, H, 16, **settings)
    masks = {"tgt_mask": later, "memory_key_padding_mask": padding[:, 1:]}
    same(torch, *decoder, draw(B, T, D), draw(B, S, D), **masks)


def test_pytorchs_weights_come_through_a_safetensors_file(torch, tmp_path):
    _, theirs = twins(torch, "TransformerEncoderLayer", D, H, 16, batch_first=True)
    save = pytest.importorskip("safetensors.torch", reason="PyTorch's own writer")
    save.save_file(theirs.state_dict(), tmp_path / "layer.safetensors")
    ours = nn.TransformerEncoderLayer(D, H, 16, batch_first=True).eval()
    ours.load_state_dict(checkpoint.load(tmp_path / "layer.safetensors")[0])
    x = draw(B, T, D)
    expected = theirs(torch.tensor(x)).detach()
    np.testing.assert_allclose(ours(x).data, expected, atol=1e-5)


@pytest.mark.parametrize("eps", [None, 1e-3])
def test_rms_norm_is_pytorchs(torch, eps):
    ours, theirs = nn.RMSNorm((T, D), eps), torch.nn.RMSNorm((T, D), eps)
    weight = draw(T, D)
    ours.weight.data, theirs.weight.data = weight, torch.tensor(weight)
    same(torch, ours, theirs, draw(B, T, D))
    gradcheck(lambda x, w: _rms(x, w, eps), draw(3, D), draw(D), order=2)
    with pytest.raises(snn.errors.ShapeError, match=r"needs to end in \(4, 8\)"):
        ours(draw(D, T))


def _rms(x, w, eps):
    layer = nn.RMSNorm(D, eps)
    layer.weight = w
    return layer(x)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation is 'selu', expected 'relu'"):
        nn.TransformerEncoderLayer(D, H, activation="selu")


# ---- places ---------------------------------------------------------------------
def test_sinusoids_are_vaswanis_formula():
    d = 6
    P = nn.positions.sinusoidal(50, d)
    for t in (0, 1, 7, 49):
        for i in range(d // 2):
            angle = t / 10_000 ** (2 * i / d)
            assert P[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert P[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def spread(P):
    """How far P P^T is from depending on the distance only."""
    products = P @ P.T
    n = len(P)
    return max(np.ptp(np.diagonal(products, k)) for k in range(-n + 1, n))


def test_products_of_sinusoids_depend_on_the_distance_only():
    assert spread(nn.positions.sinusoidal(30, 8).astype(np.float64)) < 1e-5


def sinusoids(exponents):
    angles = np.arange(30)[:, None] * 10_000.0**-exponents
    columns = np.arange(len(exponents))
    return np.where(columns % 2, np.cos(angles), np.sin(angles))


def test_planted_sinusoids_are_seen():
    d, i = 8, np.arange(8)
    right = nn.positions.sinusoidal(30, d)
    np.testing.assert_allclose(sinusoids(2 * (i // 2) / d), right, atol=1e-5)
    m115 = sinusoids(i / d)  # sine and cosine of a pair have two frequencies
    assert spread(m115) > 0.1 and abs(m115 - right).max() > 0.1
    np.testing.assert_allclose(m115[:, ::2], right[:, ::2], atol=1e-5)
    m117 = np.exp(np.arange(0, d, 2) * (-math.log(1e4) / d // 2))
    assert abs(np.sin(np.arange(30)[:, None] * m117) - right[:, ::2]).max() > 0.1


def test_rotations_are_complex_factors_and_leave_lengths():
    d, n = 6, 9
    x = RNG.standard_normal((2, n, d))
    cos, sin = nn.positions.rotation(n, d)
    found = nn.positions.rotate(x, cos, sin)
    as_complex = x[..., ::2] + 1j * x[..., 1::2]
    t, i = np.arange(n)[:, None], np.arange(d // 2)
    turned = as_complex * np.exp(1j * t * 10_000.0 ** (-2 * i / d))
    np.testing.assert_allclose(found[..., ::2], turned.real, atol=1e-6)
    np.testing.assert_allclose(found[..., 1::2], turned.imag, atol=1e-6)
    gradcheck(lambda x: nn.positions.rotate(x, cos, sin), x[0])


def test_rotated_queries_and_keys_meet_by_distance_only():
    d, n = 8, 12
    q, k = RNG.standard_normal((2, d))
    cos, sin = nn.positions.rotation(n, d)
    Q = nn.positions.rotate(np.tile(q, (n, 1)), cos, sin)
    K = nn.positions.rotate(np.tile(k, (n, 1)), cos, sin)
    scores = Q @ K.T
    for distance in range(-n + 1, n):
        assert np.ptp(np.diagonal(scores, distance)) < 1e-5
    assert np.ptp(scores[0]) > 0.1


def test_alibi_subtracts_slope_times_distance():
    slopes = nn.positions.alibi_slopes(8)
    np.testing.assert_allclose(slopes, [2.0**-h for h in range(1, 9)])  # the paper's
    scores = nn.positions.alibi(8, 5)
    for h in range(8):
        for t in range(5):
            for s in range(5):
                expected = -slopes[h] * (t - s) if s <= t else -np.inf
                assert scores[h, t, s] == pytest.approx(expected)
    np.testing.assert_array_equal(nn.positions.alibi(8, 2, 5), scores[:, 3:])


def test_an_odd_width_has_no_pairs():
    for f in (nn.positions.sinusoidal, nn.positions.rotation):
        with pytest.raises(ValueError, match="the width is 5, expected an even one"):
            f(3, 5)
