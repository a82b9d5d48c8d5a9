"""Text to image: what a caption can change, who learns in each stage, and the words."""

import numpy as np
import pytest

from scratchnn import Tensor, grad, no_grad, ops, optim
from scratchnn.models import diffusion, noise, unet
from scratchnn.models import text_to_image as t2i
from scratchnn.models.transformer import ETransformer

RNG = np.random.default_rng
N_V, D_TEXT, PAD, MASK = 7, 8, 0, 1
CAPTIONS = np.array([[2, 3, 4, PAD], [5, 6, PAD, PAD], [2, 5, 3, 6]])


def small(seed=0, asks=True, T=20):
    """A model of pictures (2, 4, 4); if `asks`, one whose W_o is 0 no more."""
    rng = RNG(seed)
    encoder = ETransformer(N_V, D_TEXT, 1, 2, l_max=4, rng=rng)
    network = t2i.TextUNet(encoder, D_TEXT, PAD, 2, 8, (1, 2), T=T, rng=rng)
    for p in network.parameters():
        if not p.data.any():  # what begins at 0 would hide mistakes
            p.data = (0.3 * rng.normal(size=p.shape)).astype(np.float32)
    if not asks:
        for m in questions(network):
            m.W_o.weight.data[:] = 0
        network.pool.weight.data[:] = 0
    return diffusion.Diffusion(network, noise.linear(T), (2, 4, 4))


def questions(network):
    return [m for m in network.modules() if isinstance(m, t2i.CrossAttention)]


def pictures(n=3, seed=1):
    return RNG(seed).normal(size=(n, 2, 4, 4)).astype(np.float32)


def answer(model, y, x=None, t=7):
    x = pictures() if x is None else x
    with no_grad():
        return model.network(x, np.full(len(x), t), y).data


# ---- attention between picture and words --------------------------------------------
def cross(seed=0):
    ask = t2i.CrossAttention(8, 5, heads=2, rng=RNG(seed))
    for p in ask.parameters():
        p.data = RNG(seed + 1).normal(size=p.shape)  # float64
    return ask


def test_every_place_asks_the_words_as_a_slow_loop_does():
    ask, rng = cross(), RNG(2)
    x, text = rng.normal(size=(2, 8, 2, 3)), rng.normal(size=(2, 4, 5))
    seen = np.array([[True, True, True, True], [True, True, False, False]])
    maps = []
    found = ask(x, text, seen, maps).data
    W_q, (W_k, W_v) = ask.W_q.weight.data, np.split(ask.W_kv.weight.data, 2)
    h = ask.norm(x).data
    for n, i, j in np.ndindex(2, 2, 3):
        q, heard = W_q @ h[n, :, i, j], np.zeros(8)
        words = np.flatnonzero(seen[n])
        for head in (slice(0, 4), slice(4, 8)):
            k = [(W_k @ text[n, w])[head] for w in words]
            alpha = np.exp([q[head] @ k_w / 2 for k_w in k])  # sqrt(d) = 2
            alpha /= alpha.sum()
            for a, w in zip(alpha, words):
                heard[head] += a * (W_v @ text[n, w])[head]
            share = maps[0].data[n, head.start // 4, i, j]
            np.testing.assert_allclose(share[words], alpha)
        expected = x[n, :, i, j] + ask.W_o.weight.data @ heard
        np.testing.assert_allclose(found[n, :, i, j], expected, rtol=1e-10)


def test_padding_is_not_heard_and_a_picture_without_words_stays_as_it_is():
    ask, rng = cross(), RNG(3)
    x, text = rng.normal(size=(2, 8, 2, 3)), rng.normal(size=(2, 4, 5))
    seen = np.array([[True, True, False, False], [False] * 4])
    other = np.where(seen[..., None], text, 99.0)
    a, b = (ask(x, words, seen).data for words in (text, other))
    np.testing.assert_allclose(a, b, rtol=1e-12)
    assert np.array_equal(a[1], x[1]) and not np.allclose(a[0], x[0])


def test_a_word_changes_each_picture_that_hears_it_and_no_other():
    """The derivative of a picture by another picture's caption is exactly 0."""
    ask, rng = cross(), RNG(4)
    text = Tensor(rng.normal(size=(2, 4, 5)), requires_grad=True)
    x, seen = rng.normal(size=(2, 8, 2, 3)), np.ones((2, 4), bool)
    (g,) = grad(ops.square(ask(x, text, seen)[0]).sum(), [text])
    assert not g.data[1].any() and (abs(g.data[0]).max(axis=1) > 1e-3).all()


# ---- the network --------------------------------------------------------------------
def test_at_first_a_caption_changes_nothing():
    rng = RNG(0)
    encoder = ETransformer(N_V, D_TEXT, 1, 2, l_max=4, rng=rng)
    network = t2i.TextUNet(encoder, D_TEXT, PAD, 2, 8, T=20, rng=rng)
    network.last.weight.data[:] = 1  # which is 0 at first, too
    x, t = pictures(), np.array([1, 7, 20])
    told, silent = network(x, t, CAPTIONS).data, network(x, t).data
    np.testing.assert_allclose(told, silent, atol=1e-6 * abs(silent).max())


def test_without_captions_it_is_a_plain_u_net():
    network = small().network
    plain = unet.UNet(2, 8, (1, 2), T=20, rng=RNG(0))
    own = network.state_dict()
    names = {k: k.replace("block.", "") for k in own}
    taken = {names[k]: v for k, v in own.items() if names[k] in plain.state_dict()}
    plain.load_state_dict(taken)
    x, t = pictures(), np.array([1, 7, 20])
    np.testing.assert_allclose(network(x, t).data, plain(x, t).data, rtol=1e-5)


def test_captions_of_nothing_but_padding_say_anything():
    model = small()
    silent = answer(model, None)
    for nothing in (np.zeros((3, 4), int), np.zeros((3, 1), int), np.zeros(3, int)):
        assert np.array_equal(answer(model, nothing), silent)
    mixed = CAPTIONS.copy()
    mixed[1] = PAD
    found = answer(model, mixed)
    np.testing.assert_allclose(found[1], silent[1], rtol=1e-5, atol=1e-6)
    assert abs(found[[0, 2]] - silent[[0, 2]]).max() > 0.01


def test_words_and_their_order_are_heard_and_longer_padding_is_not():
    model = small()
    found = answer(model, CAPTIONS)
    assert abs(found - answer(model, CAPTIONS[:, ::-1].copy())).max() > 0.01
    changed = CAPTIONS.copy()
    changed[1, 1] = 2
    apart = abs(answer(model, changed) - found).max(axis=(1, 2, 3))
    assert apart[1] > 0.01 and apart[[0, 2]].max() < 1e-5
    short = answer(model, CAPTIONS[:2, :3], pictures()[:2])
    np.testing.assert_allclose(short, found[:2], rtol=1e-4, atol=1e-5)


def test_guidance_takes_the_difference_that_the_caption_makes():
    model, x, w = small(), pictures(), 1.5
    given, any_ = answer(model, CAPTIONS), answer(model, None)
    eps, _ = model.predict(x, 7, CAPTIONS, guidance=w)
    np.testing.assert_allclose(eps, (1 + w) * given - w * any_, rtol=1e-3, atol=1e-4)
    y = np.array([[2, 3], [4, 5], [6, 2]] * 500)
    dropped = diffusion.drop_labels(y, PAD, 0.3, RNG(0))
    whole = (dropped == PAD).all(axis=1)
    assert abs(whole.mean() - 0.3) < 5 * np.sqrt(0.21 / len(y))
    assert np.array_equal(dropped[~whole], y[~whole])  # all of a caption, or nothing


# ---- stages -------------------------------------------------------------------------
def moved(model, walk):
    """The names of the weights that a training changes."""
    before = {k: v.copy() for k, v in model.state_dict().items()}
    losses = [loss.loss for loss in walk]
    assert len(losses) == 3 and np.isfinite(losses).all()
    after = model.state_dict()
    return {k for k, v in before.items() if not np.array_equal(v, after[k])}


def test_each_stage_trains_its_half():
    model = small()
    adam = optim.Adam(model.parameters(), lr=1e-2)
    text = moved(model, t2i.train_text(model, [CAPTIONS] * 3, adam, MASK, 0.5, RNG(0)))
    assert text and all(k.startswith("network.encoder.") for k in text)
    alone = moved(model, t2i.train_pictures(model, [pictures()] * 3, adam, rng=RNG(0)))
    hears = {k for k in model.state_dict() if ".ask." in k or ".pool." in k}
    assert alone and not alone & hears
    assert not any(k.startswith("network.encoder.") for k in alone)
    both = moved(model, t2i.fine_tune(model, [(pictures(), CAPTIONS)] * 3, adam))
    head = {k for k in text if any(s in k for s in ("W_f", "W_u", "encoder.norm."))}
    assert both == (text | alone | hears) - head  # what guessed words is not needed


def test_a_frozen_encoder_stays_as_it_is():
    model = small()
    model.network.encoder.requires_grad_(False)
    adam = optim.Adam(model.parameters(), lr=1e-2)
    both = moved(model, t2i.fine_tune(model, [(pictures(), CAPTIONS)] * 3, adam))
    assert both and not any(k.startswith("network.encoder.") for k in both)


@pytest.mark.slow
def test_it_learns_to_draw_what_the_words_say():
    y, value = np.array([[4, 2], [4, 3]]), np.array([-0.8, 0.8], np.float32)
    x = np.tile(value[:, None, None, None], (1, 2, 4, 4))
    model = small(T=30, asks=False)
    model.target = "v"  # which, where there is most noise, is what the words say
    adam = optim.Adam(model.parameters(), lr=4e-3)
    rng = RNG(0)
    rows = (rng.integers(2, size=16) for _ in range(150))
    for _ in t2i.fine_tune(model, ((x[i], y[i]) for i in rows), adam, rng=rng):
        pass
    drawn = t2i.draw(model, np.repeat(y, 10, axis=0), 10, 1.0, RNG(1))
    means = drawn.mean(axis=(1, 2, 3)).reshape(2, 10)
    assert (means[0] < -0.4).all() and (means[1] > 0.4).all(), means.round(2)


def test_each_place_shares_its_attention_among_the_words():
    model = small()
    found = t2i.looks(model, pictures(), CAPTIONS, rng=RNG(0))
    assert found.shape == (3, 4, 4, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert not found[CAPTIONS == PAD].any() and found[CAPTIONS != PAD].min() > 0


# ---- elsewhere ----------------------------------------------------------------------
def test_steps_on_another_device_are_the_steps_on_the_cpu(device):
    def steps(put):
        model = small()
        for p in model.parameters():
            p.data = put(p.data)
        model.network._times = put(model.network._times)
        x, y = put(pictures()), put(CAPTIONS)
        adam = optim.Adam(model.parameters(), lr=1e-3)
        found = [
            *t2i.train_text(model, [y], adam, MASK, 0.5, RNG(0)),
            *t2i.train_pictures(model, [x], adam, rng=RNG(1)),
            *t2i.fine_tune(model, [(x, y)] * 2, adam, rng=RNG(2)),
        ]
        drawn = t2i.draw(model, y, 2, 1.0, RNG(3))
        shares = t2i.looks(model, x, y, rng=RNG(4))
        return [step.loss for step in found], drawn, shares

    here, there = steps(np.asarray), steps(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-4)
    for a, b in zip(here[1:], there[1:]):
        assert isinstance(b, device.array)
        np.testing.assert_allclose(b.get(), a, rtol=1e-2, atol=1e-3)
