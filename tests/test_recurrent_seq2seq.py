"""The recurrent translator: Bahdanau's equations in a loop, padding, learning."""

import numpy as np
import pytest

from scratchnn import Tensor, data, grad, no_grad, optim
from scratchnn.models.generation import beam_search, translate
from scratchnn.models.recurrent import RecurrentSeq2Seq
from scratchnn.models.transformer_training import ed_loss, ed_training

RNG = np.random.default_rng
N_V, D, H, B, S, T = 9, 4, 6, 3, 5, 4
CELLS = ["rnn", "gru", "lstm"]


def small(attention=True, cell="gru", L=1, **options):
    model = RecurrentSeq2Seq(N_V, D, H, L, attention, cell=cell, rng=RNG(0), **options)
    for p in model.parameters():
        p.data = 2 * p.data.astype(np.float64)
    return model


def tokens(*shape, seed=1):
    return RNG(seed).integers(0, N_V, shape)


SEEN = np.arange(S) < np.array([5, 3, 1])[:, None]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(model, x, h, end):
    W, U, b_i, b_h = (
        getattr(model, f"{name}_l0{end}").data
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    u, v = (a.reshape(3, H) for a in (W @ x + b_i, U @ h + b_h))
    r, z = sigmoid(u[0] + v[0]), sigmoid(u[1] + v[1])
    return (1 - z) * np.tanh(u[2] + r * v[2]) + z * h


def bahdanau(model, z, x):
    """arXiv:1409.0473, equations (4) to (6), for one pair without padding."""
    w = {name: p.data for name, p in model.named_parameters()}
    there, back = np.zeros(H), np.zeros(H)
    ahead, behind = [], []
    for token in z:
        there = gru(model.encoder, w["embed.weight"][token], there, "")
        ahead.append(there)
    for token in z[::-1]:
        back = gru(model.encoder, w["embed.weight"][token], back, "_reverse")
        behind.insert(0, back)
    h = [np.concatenate(both) for both in zip(ahead, behind)]
    s = np.tanh(w["W_s.weight"] @ behind[0])
    logits, alphas = [], []
    for token in x:
        e = []
        for h_j in h:
            y = w["attention.W_a.weight"] @ s + w["attention.U_a.weight"] @ h_j
            e.append(w["attention.v_a.weight"][0] @ np.tanh(y))
        alpha = np.exp(e) / np.exp(e).sum()
        c = sum(a * h_j for a, h_j in zip(alpha, h))
        Ey = w["embed.weight"][token]
        s = gru(model.decoder, np.concatenate([Ey, c]), s, "")
        t = w["U_o.weight"] @ np.concatenate([s, Ey, c]) + w["U_o.bias"]
        t = np.array([max(t[2 * k], t[2 * k + 1]) for k in range(len(t) // 2)])
        logits.append(w["W_o.weight"] @ t + w["W_o.bias"])
        alphas.append(alpha)
    return np.array(logits), np.array(alphas)


def test_the_model_is_bahdanaus_equations_in_a_slow_loop():
    model, z, x = small(), tokens(B, S), tokens(B, T, seed=2)
    logits, (alpha,) = model(z, x, SEEN).data, model.attention_maps(z, x, SEEN).cross
    for b, n in enumerate(SEEN.sum(axis=1)):
        expected, weights = bahdanau(model, z[b, :n], x[b])
        np.testing.assert_allclose(logits[b], expected, rtol=1e-10)
        np.testing.assert_allclose(alpha[b, 0, :, :n], weights, rtol=1e-10)


def test_without_attention_the_last_state_is_all_that_is_known():
    model, z, x = small(attention=False), tokens(B, S), tokens(B, T, seed=2)
    memory = model.encode(z, SEEN)
    for b, n in enumerate(SEEN.sum(axis=1)):
        h = np.zeros(H)
        for token in z[b, :n]:
            h = gru(model.encoder, model.embed.weight.data[token], h, "")
        np.testing.assert_allclose(memory.s_0[0][0].data[b], h, rtol=1e-10)
    other = memory._replace(h=None)
    assert np.array_equal(model.decode(x, memory).data, model.decode(x, other).data)


EVERY = [(cell, attention) for cell in CELLS for attention in (False, True)]


@pytest.mark.parametrize("cell, attention", EVERY)
def test_what_stands_at_padding_changes_nothing(cell, attention):
    model, z, x = small(attention, cell, L=2), tokens(B, S), tokens(B, T, seed=2)
    other = np.where(SEEN, z, (z + 1) % N_V)
    assert np.array_equal(model(z, x, SEEN).data, model(other, x, SEEN).data)
    assert not np.allclose(model(z, x, SEEN).data, model(other, x).data)


@pytest.mark.parametrize("cell, attention", EVERY)
def test_no_score_depends_on_later_tokens_and_all_on_the_source(cell, attention):
    model, z, x = small(attention, cell), tokens(1, S), tokens(1, T, seed=2)
    logits = model(z, x).data
    for t in range(T):
        later = x.copy()
        later[:, t] = (x[:, t] + 1) % N_V
        changed = (model(z, later).data != logits).any(axis=(0, 2))
        assert not changed[:t].any() and changed[t:].all()
    for j in range(S):
        other = z.copy()
        other[:, j] = (z[:, j] + 1) % N_V
        assert (model(other, x).data != logits).any(axis=(0, 2)).all()


@pytest.mark.parametrize("cell, attention", EVERY)
@pytest.mark.parametrize("L", [1, 2])
def test_token_by_token_with_a_cache_gives_what_all_at_once_gives(cell, attention, L):
    model, z, x = small(attention, cell, L), tokens(B, S), tokens(B, T, seed=2)
    whole = model(z, x, SEEN).data
    memory, cache = model.encode(z, SEEN), model.cache(B)
    one = [model.decode(x[:, :1], memory, SEEN, cache=cache).data]
    one += [model.decode(x[:, 1:3], memory, SEEN, cache=cache).data]
    cache.select([2, 0])
    rest = model.encode(z[[2, 0]], SEEN[[2, 0]])
    last = model.decode(x[[2, 0], 3:], rest, SEEN[[2, 0]], cache=cache).data
    np.testing.assert_allclose(np.concatenate(one, axis=1), whole[:, :3], rtol=1e-10)
    np.testing.assert_allclose(last, whole[[2, 0], 3:], rtol=1e-10)


def test_attention_is_spread_over_the_source_and_never_on_padding():
    model, z, x = small(cell="lstm", L=2), tokens(B, S), tokens(B, T, seed=2)
    maps = model.attention_maps(z, x, SEEN)
    assert maps.encoder == maps.decoder == [] and len(maps.cross) == 1
    alpha = maps.cross[0]
    assert alpha.shape == (B, 1, T, S)
    np.testing.assert_allclose(alpha.sum(axis=-1), 1)
    assert not alpha[:, 0][~np.broadcast_to(SEEN[:, None], (B, T, S))].any()
    assert (alpha[:, 0][np.broadcast_to(SEEN[:, None], (B, T, S))] > 0).all()


@pytest.mark.parametrize("attention", [False, True])
def test_every_parameter_learns(attention):
    model = small(attention, N_V_source=N_V)
    ed_loss(model, tokens(B, S), tokens(B, T, seed=2), SEEN).loss.backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.any(), name


def test_gradients_are_those_of_differences():
    model, z, x = small(), tokens(B, S), tokens(B, T, seed=2)
    ed_loss(model, z, x, SEEN).loss.backward()
    rng = RNG(3)
    steps = [rng.standard_normal(p.shape) for p in model.parameters()]
    slope = sum((p.grad * v).sum() for p, v in zip(model.parameters(), steps))

    def moved(e):
        for p, v in zip(model.parameters(), steps):
            p.data = p.data + e * v
        with no_grad():
            return float(ed_loss(model, z, x, SEEN).loss)

    e = 1e-6
    ahead = moved(e)
    behind = moved(-2 * e)
    assert slope == pytest.approx((ahead - behind) / (2 * e), rel=1e-6)


def test_the_context_hands_gradients_to_each_state_of_the_source():
    model, z, x = small(), tokens(1, S), tokens(1, 1, seed=2)
    h = Tensor(model.encode(z).h.data, requires_grad=True)
    memory = model.encode(z)._replace(h=h)
    assert grad(model.decode(x, memory).sum(), h).data.any(axis=2).all()


# Learning

TOK = data.CharTokenizer.train("abcdefghij")


def batch(pairs):
    z, seen = data.pad([TOK.encode(source) for source, _ in pairs], TOK.pad)
    x, _ = data.pad([TOK.encode(t, bos=True, eos=True) for _, t in pairs], TOK.pad)
    return z, x, seen


def test_with_attention_it_learns_to_turn_words_of_several_lengths_round():
    rng = RNG(0)
    train = data.reversing(5000, length=5, least=3, rng=rng)
    test = data.reversing(100, "test", length=5, least=3, rng=rng)
    model = RecurrentSeq2Seq(len(TOK), 24, 48, attention=True, rng=rng)
    batches = (batch(train[i : i + 50]) for i in range(0, 5000, 50))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in ed_training(model, optimizer, batches, pad=TOK.pad, clip=1.0):
        pass
    z, x, seen = batch(test)
    asked = model, z, seen, TOK.bos, TOK.eos, 12
    greedy = translate(*asked)
    assert np.array_equal(greedy, translate(*asked, cached=False))
    right = [TOK.decode(y) == target for y, (_, target) in zip(greedy, test)]
    assert np.mean(right) > 0.8  # 0.97 here; chance is 1 in 100,000
    beams = beam_search(*asked)
    assert np.mean([TOK.decode(b.tokens) == t for b, (_, t) in zip(beams, test)]) > 0.8
    last = model.attention_maps(z, x, seen).cross[0]
    for b, (source, _) in enumerate(test[:20]):  # the first letter looks at the last
        assert last[b, 0, 0].argmax() >= len(source) - 2


def test_another_cell_is_refused_and_maps_without_attention():
    with pytest.raises(ValueError, match="cell is 'qrnn', expected one of 'rnn'"):
        RecurrentSeq2Seq(9, cell="qrnn")
    with pytest.raises(ValueError, match="this model has no attention: attention=True"):
        small(attention=False).attention_maps(tokens(1, 2), tokens(1, 2))


@pytest.mark.parametrize("cell, attention", [("gru", True), ("lstm", False)])
def test_a_training_step_on_another_device_is_the_step_on_the_cpu(
    cell, attention, device
):
    def steps(put):
        model = RecurrentSeq2Seq(N_V, D, H, 2, attention, cell=cell, rng=RNG(0))
        for p in model.parameters():
            p.data = put(p.data)
        z, x = put(tokens(B, S)), put(tokens(B, T, seed=2))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        losses = list(ed_training(model, optimizer, [(z, x, put(SEEN))] * 2))
        return losses, [p.data for p in model.parameters()]

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-5)
    assert all(isinstance(p, device.array) for p in there[1])
