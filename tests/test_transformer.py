"""The Transformers: whole models held against the paper's lines, masks, losses."""

import math

import numpy as np
import pytest

from scratchnn import Tensor, grad, gradcheck, no_grad, optim
from scratchnn.models import attention as alg
from scratchnn.models import transformer as tf
from scratchnn.models import transformer_training as training

RNG = np.random.default_rng
N_V, D_E, H, L_MAX, B, T, S = 7, 8, 2, 9, 3, 5, 4
SMALL = {"d_e": D_E, "H": H, "l_max": L_MAX}


def exact(model, seed=0):
    """Weights of order 1, all of them, in float64; norms without epsilon, as there."""
    rng = RNG(seed)
    for p in model.parameters():
        values = rng.standard_normal(p.shape) / math.sqrt(p.shape[-1])
        p.data = values + (p.ndim == 1)
    for m in model.modules():
        if type(m).__name__ == "LayerNorm":
            m.eps = 0.0
    return model


def decoder(positions="learned", **settings):
    return exact(tf.DTransformer(N_V, L=2, positions=positions, **SMALL, **settings))


def encoder(**settings):
    return exact(tf.ETransformer(N_V, L=2, d_f=6, **SMALL, **settings))


def both(**settings):
    settings = {"N_V_source": 6, **SMALL, **settings}
    return exact(tf.EDTransformer(N_V, L_enc=2, L_dec=2, **settings))


def tokens(length=T, n=B, N_V=N_V, seed=0):
    return RNG(seed).integers(0, N_V, (n, length))


# ---- the paper's lines ----------------------------------------------------------
def mh(X, Z, part, Mask=None):
    """Algorithm 5 with the weights of a MHAttention."""
    W, b = part.W_qkv.weight.data, part.W_qkv.bias.data
    d_e = len(X)
    width = d_e // H
    heads = []
    for h in range(H):
        rows = [slice(i * d_e + h * width, i * d_e + (h + 1) * width) for i in range(3)]
        heads.append(alg.QKV(*(p[r] for r in rows for p in (W, b))))
    out = part.W_o
    return alg.mh_attention(X, Z, heads, out.weight.data, out.bias.data, Mask)


def norm(X, part):
    return alg.layer_norm(X, part.weight.data, part.bias.data)


def mlp(X, layer, f):
    W_1, b_1, W_2, b_2 = (
        p.data[:, None] if p.ndim == 1 else p.data
        for part in (layer.W_mlp1, layer.W_mlp2)
        for p in (part.weight, part.bias)
    )
    return W_2 @ f(W_1 @ X + b_1) + b_2


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def relu(x):
    return np.maximum(x, 0)


def columns(x, embed):
    """Lines 2 and 3: e_t = W_e[:, x[t]] + W_p[:, t], a token in each column."""
    W_e, W_p = embed.W_e.weight.data.T, np.asarray(embed.places().data).T
    if embed.scaled:
        W_e = W_e * math.sqrt(len(W_e))
    e = [
        alg.token_embedding(v, W_e) + alg.positional_embedding(t, W_p)
        for t, v in enumerate(x)
    ]
    return np.stack(e, axis=1)


def algorithm_8(model, z, x):
    Z = columns(z, model.embed_z)  # 1 to 3
    for layer in model.encoder:  # 4
        Z = norm(Z + mh(Z, Z, layer.attention), layer.norm1)  # 5, 6
        Z = norm(Z + mlp(Z, layer, relu), layer.norm2)  # 7, 8
    X = columns(x, model.embed)  # 10 to 12
    mask = alg.unidirectional_mask(len(x), len(x))
    for layer in model.decoder:  # 13
        X = norm(X + mh(X, X, layer.attention, mask), layer.norm1)  # 14, 15
        X = norm(X + mh(X, Z, layer.cross), layer.norm_cross)  # 16, 17
        X = norm(X + mlp(X, layer, relu), layer.norm2)  # 18, 19
    return alg.unembedding(X, model.W_u.weight.data)  # 21


def algorithm_9(model, x):
    X = columns(x, model.embed)  # 1 to 3
    for layer in model.layers:  # 4
        X = norm(X + mh(X, X, layer.attention), layer.norm1)  # 5, 6
        X = norm(X + mlp(X, layer, gelu), layer.norm2)  # 7, 8
    X = gelu(model.W_f.weight.data @ X + model.W_f.bias.data[:, None])  # 10
    return alg.unembedding(norm(X, model.norm), model.W_u.weight.data)  # 11, 12


def algorithm_10(model, x):
    X = columns(x, model.embed)  # 1 to 3
    mask = alg.unidirectional_mask(len(x), len(x))
    for layer in model.layers:  # 4
        X_tilde = norm(X, layer.norm1)  # 5
        X = X + mh(X_tilde, X_tilde, layer.attention, mask)  # 6
        X = X + mlp(norm(X, layer.norm2), layer, gelu)  # 7, 8
    return alg.unembedding(norm(X, model.norm), model.W_u.weight.data)  # 10, 11


def probabilities(logits):
    p = np.exp(logits.data - logits.data.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


# float64, three layers of sums of at most 32 terms, in two orders.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def test_the_encoder_decoder_is_algorithm_8():
    model, z, x = both(), tokens(S, N_V=6), tokens(seed=1)
    P = probabilities(model(z, x))
    for i in range(B):
        np.testing.assert_allclose(P[i].T, algorithm_8(model, z[i], x[i]), **CLOSE)


def test_the_encoder_is_algorithm_9():
    model, x = encoder(), tokens()
    P = probabilities(model(x))
    for i in range(B):
        np.testing.assert_allclose(P[i].T, algorithm_9(model, x[i]), **CLOSE)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_the_decoder_is_algorithm_10(positions):
    model, x = decoder(positions), tokens()
    P = probabilities(model(x))
    for i in range(B):
        np.testing.assert_allclose(P[i].T, algorithm_10(model, x[i]), **CLOSE)


def test_a_norm_before_puts_nothing_on_the_way_of_x():
    model, z, x = both(norm="pre"), tokens(S, N_V=6), tokens(seed=1)
    Z = columns(z[0], model.embed_z)
    for layer in model.encoder:
        X_tilde = norm(Z, layer.norm1)
        Z = Z + mh(X_tilde, X_tilde, layer.attention)
        Z = Z + mlp(norm(Z, layer.norm2), layer, relu)
    found = model.encode(z).data[0].T
    np.testing.assert_allclose(found, norm(Z, model.norm_enc), **CLOSE)
    assert model(z, x).shape == (B, T, N_V)
    post = decoder(norm="post")
    X = columns(x[0], post.embed)
    mask = alg.unidirectional_mask(T, T)
    for layer in post.layers:
        X = norm(X + mh(X, X, layer.attention, mask), layer.norm1)
        X = norm(X + mlp(X, layer, gelu), layer.norm2)
    found = probabilities(post(x))[0].T
    np.testing.assert_allclose(
        found, alg.unembedding(X, post.W_u.weight.data), **CLOSE
    )


# ---- who sees whom --------------------------------------------------------------
def slopes(model, x, i, seed=2):
    """The derivative of a mix of output i by the embeddings: |.| summed, (T,)."""
    X = Tensor(model.embed(x).data, requires_grad=True)
    embed, model.embed = model.embed, lambda x, n=0: X
    mix = RNG(seed).standard_normal(N_V)
    slope = grad((model(x)[0, i] * mix).sum(), X).data
    model.embed = embed
    return abs(slope[0]).sum(-1)


@pytest.mark.parametrize("positions", tf.POSITIONS)
def test_the_derivative_by_a_later_token_is_exactly_0(positions):
    model, x = decoder(positions), tokens()
    for i in range(T):
        slope = slopes(model, x, i)
        assert (slope[i + 1 :] == 0).all() and (slope[: i + 1] > 1e-6).all()


def test_the_encoder_sees_both_ways():
    assert (slopes(encoder(), tokens(), 2) > 1e-6).all()


@pytest.mark.parametrize("positions", tf.POSITIONS)
def test_order_matters(positions):
    model, x = decoder(positions), np.array([[1, 2, 3, 4], [2, 1, 3, 4]])
    last = model(x).data[:, -1]
    assert abs(last[0] - last[1]).max() > 1e-3


@pytest.mark.parametrize("positions", ["rotary", "alibi"])
def test_relative_places_do_not_count_from_the_start(positions):
    model = decoder(positions)  # one layer: more of them see how far 0 is
    model.layers = tf.nn.ModuleList(list(model.layers)[:1])
    x = tokens(6, 1)
    for layer in model.layers:  # each token sees itself and the one before
        attend = layer.attention

        def windowed(X, Z=None, mask=None, causal=False, **how):
            n = X.shape[1]
            near = np.tri(n, dtype=bool) & ~np.tri(n, k=-2, dtype=bool)
            if mask is not None:  # the penalties of ALiBi
                return attend(X, Z, np.where(near, mask, -np.inf), **how)
            return attend(X, Z, near, **how)

        layer.attention = windowed
    whole = model(x).data[:, 2:]
    later = model(x[:, 1:]).data[:, 1:]
    np.testing.assert_allclose(later, whole, atol=1e-6)  # sines are float32


def test_padding_changes_nothing():
    model, x = encoder(), tokens(4)
    padded = np.concatenate([x, tokens(2, seed=5)], axis=1)
    seen = np.arange(6) < np.full((B, 1), 4)
    np.testing.assert_allclose(model(padded, seen).data[:, :4], model(x).data, **CLOSE)
    assert abs(model(padded).data[:, :4] - model(x).data).max() > 1e-3
    model, z = both(), tokens(4, N_V=6)
    padded = np.concatenate([z, tokens(2, N_V=6, seed=5)], axis=1)
    one, two = model(padded, x, seen), model(z, x)
    np.testing.assert_allclose(one.data, two.data, **CLOSE)
    assert abs(model(padded, x).data - two.data).max() > 1e-3


def test_the_decoder_reads_the_source_and_keys_come_from_it():
    model, z, x = both(), tokens(S, N_V=6), tokens(seed=1)
    Z = Tensor(model.encode(z).data, requires_grad=True)
    slope = grad((model.decode(x, Z) * RNG(0).standard_normal(N_V)).sum(), Z).data
    assert (abs(slope).sum(-1) > 1e-6).all()  # M125: it would be 0
    other = model.decode(x, Tensor(Z.data[:, ::-1].copy())).data
    np.testing.assert_allclose(other, model.decode(x, Z).data, **CLOSE)  # a set


@pytest.mark.parametrize("positions", tf.POSITIONS)
@pytest.mark.parametrize("cuts", [(1, 2, 3, 4), (3,), (2, 4)])
def test_a_cache_gives_the_same_scores(positions, cuts):
    model, x = decoder(positions), tokens()
    cache, parts = model.cache(B), []
    for part in np.split(x, cuts, axis=1):
        parts.append(model(part, cache=cache).data)
    assert cache.length == T
    found = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(found, model(x).data, **CLOSE)


def test_a_cache_of_the_encoder_decoder_gives_the_same_scores():
    model, z, x = both(), tokens(S, N_V=6), tokens(seed=1)
    seen = np.arange(S) < np.array([[4], [2], [3]])
    Z, cache = model.encode(z, seen), model.cache(B)
    parts = [model.decode(x[:, :2], Z, seen, cache).data]
    cache.select(np.array([2, 0]))
    Z, seen = Z[np.array([2, 0])], seen[[2, 0]]
    parts.append(model.decode(x[[2, 0], 2:], Z, seen, cache).data)
    expected = model(z, x, np.arange(S) < np.array([[4], [2], [3]])).data
    np.testing.assert_allclose(parts[0], expected[:, :2], **CLOSE)
    np.testing.assert_allclose(parts[1], expected[[2, 0], 2:], **CLOSE)
    with pytest.raises(ValueError, match="the cache is for 2 sequences, got 3"):
        model.decode(x[:, :1], model.encode(z), cache=cache)


def test_maps_say_what_was_taken():
    z, x = tokens(S, N_V=6), tokens(seed=1)
    for positions in tf.POSITIONS:
        maps = decoder(positions).attention_maps(x)
        assert [m.shape for m in maps] == [(B, H, T, T)] * 2
        for m in maps:
            np.testing.assert_allclose(m.sum(-1), 1)
            assert (np.triu(m, 1) == 0).all() and (m[..., np.tri(T) > 0] > 0).all()
    seen = np.arange(T) < np.array([[5], [2], [3]])
    for m in encoder().attention_maps(x, seen):
        assert (m[1, :, :, 2:] == 0).all() and (m[1, :, :, :2] > 0).all()
    maps = both().attention_maps(z, x, seen[:, :S])
    assert [m.shape for part in maps for m in part] == (
        [(B, H, S, S)] * 2 + [(B, H, T, T)] * 2 + [(B, H, T, S)] * 2
    )
    assert (maps.cross[0][1, :, :, 2:] == 0).all()
    np.testing.assert_allclose(maps.cross[0].sum(-1), 1)


# ---- planted mistakes -----------------------------------------------------------
def test_a_mask_with_one_token_too_many_is_seen(monkeypatch):  # M105
    one_more = {"mask": np.tri(T, k=1, dtype=bool)}
    monkeypatch.setattr(tf, "past", lambda n, l_x, X: one_more)
    slope = slopes(decoder(), tokens(), 2)
    assert slope[3] > 1e-3


def test_keys_and_values_from_the_decoder_are_seen():  # M125
    model, z, x = both(), tokens(S, N_V=6), tokens(seed=1)
    for layer in model.decoder:
        layer.cross.forward = lambda X, Z, mask, f=layer.cross.forward, **how: f(X)
    Z = Tensor(model.encode(z).data, requires_grad=True)
    slope = grad((model.decode(x, Z) + 0 * Z.sum()).sum(), Z).data
    assert (slope == 0).all()


def test_a_cache_that_counts_places_from_0_again_is_seen():
    model, x = decoder(), tokens()
    embed, cache = model.embed.forward, model.cache(B)
    model.embed.forward = lambda x, n=0: embed(x, 0)
    model(x[:, :3], cache=cache)
    found = model(x[:, 3:], cache=cache).data
    assert abs(found - model(x).data[:, 3:]).max() > 0.05


def test_heads_cut_without_turning_are_seen(monkeypatch):  # M107
    model, x = decoder(), tokens()
    expected = probabilities(model(x))[0].T

    def cut(X, heads):
        return X.reshape(*X.shape[:-2], heads, X.shape[-2], X.shape[-1] // heads)

    attention = tf.ops.attention
    monkeypatch.setattr(
        tf.ops,
        "multihead_attention",
        lambda Q, KV, H, mask, causal: attention(
            *(cut(M, H) for M in tf.ops.split(Q, 3, axis=-1)), mask, causal
        ).reshape(*Q.shape[:-1], -1),
    )
    assert abs(probabilities(model(x))[0].T - expected).max() > 0.05


# ---- losses ---------------------------------------------------------------------
def log_P(logits):
    return np.log(probabilities(logits))


def test_the_decoders_loss_is_line_5_of_algorithm_13():
    model, x = decoder(), tokens()
    loss = training.d_loss(model, x)
    expected = 0.0
    for n in range(B):
        P = algorithm_10(model, x[n])
        expected -= sum(math.log(P[x[n, t + 1], t]) for t in range(T - 1)) / (T - 1)
    assert float(loss.loss) == pytest.approx(expected / B, rel=1e-10)
    assert loss.tokens == B * (T - 1)
    twice = -log_P(model(x[:, :-2]))  # M121: shifted twice
    wrong = np.take_along_axis(twice, x[:, 2:, None], -1).mean()
    assert abs(wrong - expected / B) > 0.01


def test_padding_is_not_predicted_nor_counted():
    model, x, pad = decoder(), tokens(N_V=N_V - 1), N_V - 1
    x[0, 3:] = x[2, 2:] = pad
    loss = training.d_loss(model, x, pad)
    each = [
        -log_P(model(x))[n, t, x[n, t + 1]]
        for n in range(B)
        for t in range(T - 1)
        if x[n, t + 1] != pad
    ]
    assert loss.tokens == len(each) == 2 + 4 + 1
    assert float(loss.loss) == pytest.approx(np.mean(each), rel=1e-10)
    # M123, the mean over all tokens times the mask, is the loss that counts padding.
    assert abs(float(training.d_loss(model, x).loss) - np.mean(each)) > 0.01


@pytest.mark.parametrize("e", [0.0, 0.1])
def test_the_encoder_decoders_loss_with_label_smoothing(e):
    model, z, x, pad = both(), tokens(S, N_V=6), tokens(seed=1, N_V=N_V - 1), N_V - 1
    x[1, 3:] = pad
    seen = np.arange(S) < np.array([[4], [2], [3]])
    loss = training.ed_loss(model, z, x, seen, label_smoothing=e, pad=pad)
    log_p, each = log_P(model(z, x[:, :-1], seen)), []
    for n in range(B):
        for t in range(T - 1):
            q = np.full(N_V, e / N_V)
            q[x[n, t + 1]] += 1 - e
            if x[n, t + 1] != pad:
                each.append(-(q * log_p[n, t]).sum())
    assert float(loss.loss) == pytest.approx(np.mean(each), rel=1e-10)
    assert loss.tokens == len(each)


def test_the_encoders_loss_is_that_of_masked_places():
    model, x, mask_token = encoder(), tokens(N_V=N_V - 1), N_V - 1
    seen = np.arange(T) < np.array([[5], [2], [3]])
    loss = training.e_loss(model, x, mask_token, 0.4, RNG(3), seen)
    x_masked, hidden = training.masked(x, mask_token, 0.4, RNG(3), seen)
    assert not hidden[~seen].any() and loss.tokens == hidden.sum() > 1
    log_p = log_P(model(x_masked, seen))
    each = [-log_p[n, t, x[n, t]] for n, t in np.argwhere(hidden)]
    assert float(loss.loss) == pytest.approx(np.mean(each), rel=1e-10)


def test_places_are_masked_with_the_given_probability():
    x = tokens(50, 400)
    x_masked, hidden = training.masked(x, 99, 0.15, RNG(0))
    np.testing.assert_array_equal(x_masked, np.where(hidden, 99, x))
    n = hidden.size
    assert abs(hidden.mean() - 0.15) < 5 * math.sqrt(0.15 * 0.85 / n)
    _, hidden = training.masked(x[:1, :3], 99, 0.0, RNG(0))
    assert hidden.sum() == 1  # so that there is a loss


def test_berts_gradient_is_0_where_nothing_is_masked():
    model, x = encoder(), tokens(N_V=N_V - 1)
    x_masked, hidden = training.masked(x, N_V - 1, 0.4, RNG(3))
    logits = Tensor(model(x_masked).data, requires_grad=True)
    loss = training.e_loss(lambda *_: logits, x, N_V - 1, 0.4, RNG(3)).loss
    slope = abs(grad(loss, logits).data).sum(-1)
    assert (slope[~hidden] == 0).all() and (slope[hidden] > 0).all()


def test_warm_up_is_vaswanis_equation_3():
    lr = training.warm_up(512, 4000)
    for step in (1, 100, 4000, 4001, 100_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert lr(step - 1) == pytest.approx(expected)
    assert max(range(0, 10_000, 7), key=lr) in range(3992, 4006)
    assert training.warm_up(512, 4000, 2.0)(3) == pytest.approx(2 * lr(3))


def test_a_loss_has_second_derivatives():
    model = exact(tf.DTransformer(5, 4, 1, 2, 6, l_max=4))
    layer, x = model.layers[0], tokens(4, 2, 5)

    def f(W, W_u, W_e):
        layer.attention.W_qkv.weight, model.W_u.weight = W, W_u
        model.embed.W_e.weight = W_e
        return training.d_loss(model, x).loss

    leaves = layer.attention.W_qkv.weight, model.W_u.weight, model.embed.W_e.weight
    gradcheck(f, *(p.data for p in leaves), order=2, mode="directional")


# ---- training -------------------------------------------------------------------
def repeated(n=32, seed=0):
    """Sequences whose second half repeats the first: there is something to learn."""
    half = RNG(seed).integers(0, N_V, (n, 4))
    return np.concatenate([half, half], axis=1)


def test_a_decoder_learns_to_repeat_and_cannot_guess_what_is_random():
    model = tf.DTransformer(N_V, 32, 2, 2, l_max=8, rng=RNG(0))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    batches = (repeated(seed=i) for i in range(100))
    steps = list(training.d_training(model, optimizer, batches, clip=1.0))
    assert len(steps) == 100 and steps[0].tokens == 32 * 7
    test = repeated(500, seed=999)
    with no_grad():
        each = -np.take_along_axis(log_P(model(test[:, :-1])), test[:, 1:, None], -1)
    first, second = each[:, :3].mean(), each[:, 3:].mean()
    # Three random tokens cost log 7 each: less would mean that the answer is seen.
    assert first > math.log(N_V) - 0.02 and second < 0.2


def test_an_encoder_learns_to_fill_blanks():
    rng = RNG(0)
    model = tf.ETransformer(N_V + 1, 32, 2, 2, l_max=8, rng=rng)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    batches = (repeated(seed=i) for i in range(150))
    steps = list(training.e_training(model, optimizer, batches, N_V, rng=rng))
    last = np.mean([s.loss for s in steps[-20:]])
    assert steps[0].loss > 1.8 and last < 0.8


def test_an_encoder_decoder_learns_to_reverse():
    rng, bos, eos = RNG(0), N_V, N_V + 1
    model = tf.EDTransformer(N_V + 2, 32, 1, 1, 2, l_max=8, rng=rng)
    optimizer = optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    schedule = optim.LambdaLR(optimizer, training.warm_up(32, 60, 0.5))

    def batch(n=32):
        z = rng.integers(0, N_V, (n, 4))
        ends = np.full((n, 1), bos), np.full((n, 1), eos)
        return z, np.concatenate([ends[0], z[:, ::-1], ends[1]], axis=1)

    batches = (batch() for _ in range(150))
    steps = list(training.ed_training(model, optimizer, batches, schedule=schedule))
    assert np.mean([s.loss for s in steps[-10:]]) < 0.2 < 2 < steps[0].loss
    assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]


# ---- making one -----------------------------------------------------------------
def test_nanogpts_model_has_its_number_of_parameters():
    model = tf.DTransformer(65, 128, 4, 4, l_max=64, tied=True)
    layer = 3 * 128 * 128 + 3 * 128 + 128 * 128 + 128  # attention
    layer += 2 * 128 * 512 + 512 + 128 + 4 * 128  # MLP, two norms
    total = 65 * 128 + 64 * 128 + 4 * layer + 2 * 128
    assert model.num_parameters() == total
    assert model.W_u.weight is model.embed.W_e.weight
    assert tf.DTransformer(65).num_parameters() == total + 65 * 128


def test_first_values_have_the_papers_deviations():
    model = tf.DTransformer(200, 64, 8, 4, rng=RNG(0))
    layer, std = model.layers[0], 0.02 * math.sqrt(768 / 64)
    for p, expected in (
        (model.embed.W_e.weight, std),
        (layer.W_mlp1.weight, std),
        (layer.W_mlp2.weight, std / 4),  # 2 L = 16 terms
        (layer.attention.W_o.weight, std / 4),
    ):
        assert abs(p.data.std() / expected - 1) < 5 / math.sqrt(2 * p.size)
    assert (layer.attention.W_qkv.bias.data == 0).all()
    assert (layer.norm1.weight.data == 1).all()
    first = float(training.d_loss(model, tokens(20, 50, 200)).loss)
    # It knows nothing yet: scores have the variance 64 std^2, and half of it is added.
    assert first == pytest.approx(math.log(200) + 32 * std**2, abs=0.05)
    model = tf.EDTransformer(200, 64, rng=RNG(0))
    x = model.embed(tokens(50, 20, 200)).data - model.embed._W_p[:50]
    assert x.std() == pytest.approx(1, abs=0.05)  # M119: W_e scaled by sqrt(d_e)


def test_the_same_seed_makes_the_same_model():
    for make in (tf.DTransformer, tf.ETransformer, tf.EDTransformer):
        a, b = (make(9, dropout=0.1, rng=RNG(5)).state_dict() for _ in range(2))
        assert all(np.array_equal(a[k], b[k]) for k in a)


def test_dropout_is_only_in_training():
    model, x = tf.DTransformer(N_V, dropout=0.5, **SMALL, rng=RNG(0)), tokens()
    assert not np.array_equal(model(x).data, model(x).data)
    model.eval()
    assert np.array_equal(model(x).data, model(x).data)


def test_wrong_settings_and_tokens_are_refused():
    with pytest.raises(ValueError, match="positions is 'none', expected one of"):
        tf.DTransformer(N_V, positions="none")
    with pytest.raises(ValueError, match="positions is 'rotary', expected 'learned'"):
        tf.ETransformer(N_V, positions="rotary")
    with pytest.raises(ValueError, match="H=3 heads must divide the width d_e=128"):
        tf.ETransformer(N_V, H=3)
    with pytest.raises(ValueError, match="norm is 'both', expected 'pre' or 'post'"):
        tf.DTransformer(N_V, norm="both")
    model = tf.DTransformer(N_V, **SMALL)
    with pytest.raises(ValueError, match=r"float64 of shape \(1, 2\), expected int"):
        model(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"of shape \(2,\), expected integers \(B, T"):
        model(np.zeros(2, int))
    with pytest.raises(ValueError, match="tokens are from 0 to 7, expected 0 to 6"):
        model(np.array([[0, 7]]))
    with pytest.raises(ValueError, match="10 tokens are more than the model's l_max=9"):
        model(np.zeros((1, 10), int))


def move(model, put):
    for p in model.parameters():
        p.data = put(p.data)
    for m in model.modules():
        if "_W_p" in vars(m):
            m._W_p = put(m._W_p)


@pytest.mark.parametrize("positions", tf.POSITIONS)
def test_a_decoders_step_on_another_device_is_the_step_on_the_cpu(device, positions):
    def run(put):
        model = tf.DTransformer(N_V, L=1, positions=positions, rng=RNG(0), **SMALL)
        move(model, put)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        steps = training.d_training(model, optimizer, [put(tokens())] * 2, clip=1.0)
        return [s.loss for s in steps]

    np.testing.assert_allclose(run(device.put), run(np.asarray), rtol=1e-5)


def test_other_steps_on_another_device_are_those_on_the_cpu(device):
    def run(put):
        E = tf.ETransformer(N_V, L=1, rng=RNG(0), **SMALL)
        ED = tf.EDTransformer(N_V, L_enc=1, L_dec=1, rng=RNG(0), **SMALL)
        for model in (E, ED):
            move(model, put)
        x, seen = tokens(), np.arange(T) < np.array([[5], [2], [3]])
        x, seen = put(x), put(seen)
        losses = []
        for _ in range(2):
            optimizer = optim.SGD(E.parameters(), lr=0.1)
            steps = training.e_training(E, optimizer, [(x, seen)], N_V - 1, rng=RNG(1))
            losses += [s.loss for s in steps]
            optimizer = optim.SGD(ED.parameters(), lr=0.1)
            steps = training.ed_training(ED, optimizer, [(x, x, seen)], 0.1, pad=0)
            losses += [s.loss for s in steps]
        return losses

    np.testing.assert_allclose(run(device.put), run(np.asarray), rtol=1e-5)
