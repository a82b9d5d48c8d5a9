"""The U-Net: against PyTorch's layers, and what shifts, orders and labels do to it."""

import math
import os
import pathlib

import numpy as np
import pytest

from scratchnn import gradcheck, metrics, no_grad, ops, optim
from scratchnn.data import DataLoader, digits
from scratchnn.models import diffusion, noise
from scratchnn.models.unet import Attention, Residual, UNet

RNG = np.random.default_rng


def small(seed=0, **options):
    """A U-Net whose last layer isn't 0, and whose other numbers aren't 1 and 0."""
    options = {"width": 8, "multipliers": (1, 3)} | options
    rng = RNG(seed)
    model = UNet(**options, rng=rng)
    for p in model.parameters():
        p.data = p.data + np.float32(0.1) * rng.standard_normal(p.shape, np.float32)
    return model


def pictures(n=3, side=8, channels=1, seed=1):
    return RNG(seed).standard_normal((n, channels, side, side), np.float32)


def output(model, *args):
    with no_grad():
        return model(*args).numpy()


T = np.array([1, 40, 1000])


# ---- shapes and the beginning ---------------------------------------------------
@pytest.mark.parametrize("side", [8, 28, 7, 5])
def test_what_comes_out_has_the_shape_of_what_goes_in(side):
    x = pictures(3, side, channels=2)
    model = small(channels=2, multipliers=(1, 2, 3), blocks=2, attention=True)
    assert output(model, x, T).shape == x.shape
    assert output(model, x[:1], T[:1]).shape == (1, 2, side, side)
    oblong = x[:, :, :, : side - 2]
    assert output(model, oblong, T).shape == oblong.shape


def test_all_stays_float32():
    y = small(classes=10, attention=True)(pictures(), T, np.array([0, 9, 10]))
    (y * y).sum().backward()
    assert y.dtype == np.float32


def test_an_untrained_network_predicts_no_noise_at_all():
    y = output(UNet(width=8, rng=RNG(0)), pictures(), T)
    assert np.array_equal(y, np.zeros_like(y))


def test_the_last_layer_learns_from_there():
    model = UNet(width=8, rng=RNG(0))
    ops.square(model(pictures(), T) - 1).mean().backward()
    assert abs(model.last.weight.grad).max() > 1e-3


# ---- the whole, and its parts, held against other computations ------------------
def torch_unet(state, x, t, y, levels, blocks, width):
    """The U-Net in PyTorch's functions, from nothing but the weights' names."""
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    F = torch.nn.functional
    w = {k: torch.tensor(v) for k, v in state.items()}

    def conv(name, x, **how):
        how = {"padding": w[f"{name}.weight"].shape[2] // 2} | how
        return F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **how)

    def linear(name, x):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(name, x):
        groups = math.gcd(8, x.shape[1])
        return F.group_norm(x, groups, w[f"{name}.weight"], w[f"{name}.bias"])

    def residual(name, x, e):
        h = conv(f"{name}.conv1", F.silu(norm(f"{name}.norm1", x)))
        s, b = (linear(f"{name}.{k}", e)[..., None, None] for k in ("scale", "shift"))
        h = F.silu(norm(f"{name}.norm2", h) * (1 + s) + b)
        h = conv(f"{name}.conv2", h)
        return h + (conv(f"{name}.skip", x) if f"{name}.skip.weight" in w else x)

    angles = torch.tensor(sinusoid(t, width))
    e = linear("time.2", F.silu(linear("time.0", angles)))
    e = F.silu(e + w["label.weight"][torch.tensor(y)])
    h, skips = conv("first", torch.tensor(x)), []
    for i in range(levels - 1):
        for j in range(blocks):
            h = residual(f"down.{i}.{j}", h, e)
        skips.append(h)
        h = conv(f"halve.{i}", h, stride=2)
    for j in range(2):
        h = residual(f"bottom.{j}", h, e)
    for i in reversed(range(levels - 1)):
        name = f"double.{i}"
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        h = F.conv_transpose2d(h, weight, bias, stride=2, padding=1)
        skip = skips.pop()
        h = torch.cat([h[:, :, : skip.shape[2], : skip.shape[3]], skip], 1)
        for j in range(blocks):
            h = residual(f"up.{i}.{j}", h, e)
    return conv("last", F.silu(norm("norm", h))).numpy()


def sinusoid(t, width):
    """sin and cos of t at frequencies from 1 down to 1/10,000, one number at a time."""
    half = width // 2
    rows = np.zeros((len(t), width), np.float32)
    for n, time in enumerate(t):
        for k in range(half):
            angle = time * 10_000 ** (-k / half)
            rows[n, k], rows[n, half + k] = math.sin(angle), math.cos(angle)
    return rows


@pytest.mark.parametrize("side, levels, blocks", [(28, 3, 1), (7, 2, 2)])
def test_it_is_what_pytorchs_layers_make_of_the_same_weights(side, levels, blocks):
    multipliers = (1, 2, 5)[:levels]
    model = small(width=8, multipliers=multipliers, blocks=blocks, classes=10)
    x, y = pictures(3, side), np.array([0, 9, 10])
    theirs = torch_unet(model.state_dict(), x, T, y, levels, blocks, 8)
    # float32, sums of up to 720 products, about 20 layers deep
    np.testing.assert_allclose(output(model, x, T, y), theirs, rtol=1e-3, atol=1e-4)


def test_attention_is_softmax_of_scaled_products_in_a_slow_loop():
    c, h, w, heads = 6, 2, 3, 2
    model = Attention(c, heads, rng=RNG(0))
    x = RNG(1).standard_normal((1, c, h, w), np.float32)
    found = output(model, x)[0] - x[0]
    tokens = model.norm(x).data.reshape(c, h * w).T
    W, b = model.qkv.weight.data, model.qkv.bias.data
    q, k, v = np.split(tokens @ W.T + b, 3, axis=1)
    d, seen = c // heads, np.zeros((h * w, c))
    for head in range(heads):
        own = slice(head * d, head * d + d)
        for i in range(h * w):
            score = [math.exp(q[i, own] @ k[j, own] / math.sqrt(d)) for j in range(6)]
            for j in range(h * w):
                seen[i, own] += score[j] / sum(score) * v[j, own]
    expected = seen @ model.out.weight.data.T + model.out.bias.data
    np.testing.assert_allclose(found.reshape(c, h * w), expected.T, atol=1e-5)


def test_gradients_of_a_tiny_unet_are_those_of_differences():
    model = small(width=2, multipliers=(1, 3), attention=True, classes=3)
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    x, y = pictures(2, 4).astype(np.float64), np.array([0, 3])
    gradcheck(lambda x: model(x, T[:2], y), x, mode="directional")
    names = ["time.0.weight", "label.weight", "double.0.weight"]
    names += ["down.0.0.scale.weight", "bottom.1.qkv.weight"]
    parameters = dict(model.named_parameters())
    for name in names:
        before = parameters[name].data

        def moved(w):
            put_back = replaced(model, name, w)
            try:
                return model(x, T[:2], y)
            finally:
                put_back()

        gradcheck(moved, before, mode="directional")


def replaced(model, name, value):
    """Put a Tensor in the place of a parameter; returns what undoes it."""
    *path, last = name.split(".")
    at = model
    for part in path:
        inside = isinstance(at, list)
        at = at[int(part)] if inside else getattr(at, part)
    before = getattr(at, last)
    setattr(at, last, value)
    return lambda: setattr(at, last, before)


# ---- what must not matter, and what must ----------------------------------------
def test_each_picture_is_treated_alone():
    model, x = small(classes=10, attention=True), pictures(3)
    y, order = np.array([4, 10, 7]), np.array([2, 0, 1])
    together = output(model, x, T, y)
    np.testing.assert_allclose(
        output(model, x[order], T[order], y[order]), together[order], atol=1e-5
    )
    alone = output(model, x[1:2], T[1:2], y[1:2])
    np.testing.assert_allclose(alone, together[1:2], atol=1e-5)


def test_time_and_label_matter_to_their_own_picture_only():
    model, x = small(classes=10), pictures(3)
    y = np.array([4, 10, 7])
    before = output(model, x, T, y)
    later, other = T + np.array([0, 1, 0]), np.array([4, 3, 7])
    for after in (output(model, x, later, y), output(model, x, T, other)):
        change = abs(after - before).max(axis=(1, 2, 3))
        assert change[1] > 1e-4 and max(change[[0, 2]]) < 1e-5


def test_no_label_is_the_label_after_the_last():
    model, x = small(classes=10), pictures(3)
    none = output(model, x, T)
    assert np.array_equal(none, output(model, x, T, np.full(3, 10)))
    assert not np.array_equal(none, output(model, x, T, np.full(3, 9)))


def test_what_moves_by_the_coarsest_pixel_moves_as_it_is_away_from_borders():
    model, side, step = small(), 64, 2  # two levels: the coarsest pixel is 2 wide
    for p in model.parameters():  # where a sum begins depends on the place: rounding
        p.data = p.data.astype(np.float64)
    x = np.zeros((2, 1, side, side))
    x[0, 0, 30:32, 30:33] = 3
    x[1, 0, 30 + step : 32 + step, 30 + step : 33 + step] = 3
    # Borders are felt: first 1, block 2, halve 1, the bottom's four 2 each, double 2,
    # block 2, last 1: 17 pixels inwards, and a spot's own reach is as large.
    y, moved = output(model, x, np.array([5, 5]))[:, 0]
    inside, there = slice(20, 42), slice(20 + step, 42 + step)
    np.testing.assert_allclose(moved[there, there], y[inside, inside], atol=1e-9)
    assert np.ptp(y[inside, inside]) > 0.1
    assert abs(moved[inside, inside] - y[inside, inside]).max() > 0.1


def test_the_way_across_carries_what_the_bottom_can_not_hold():
    """Fine lines pass through the skip: without it a checkerboard can't come back."""
    model = small()
    skipped = [block[0].conv1.weight for block in model.up]
    board = np.indices((8, 8)).sum(axis=0) % 2 * 2.0 - 1
    x = np.float32(board)[None, None]
    with_skip = output(model, x, T[:1])
    for w in skipped:
        w.data[:, 8:] = 0  # what comes across is in the last 8 channels
    model.up[0][0].skip.weight.data[:, 8:] = 0
    assert abs(output(model, x, T[:1]) - with_skip).max() > 0.1


@pytest.mark.parametrize("name", ["scale", "shift"])
def test_what_a_block_is_told_outlives_the_norm(name):
    """A shift before a norm with one channel in each group would be taken away."""
    block = Residual(8, 8, 5, rng=RNG(0))
    x, e = RNG(1).standard_normal((2, 8, 4, 4)), np.zeros((2, 5))
    x, e = x.astype(np.float32), e.astype(np.float32)
    before = output(block, x, e)
    getattr(block, name).bias.data[:] += 1
    assert abs(output(block, x, e) - before).max() > 0.1


def test_residual_blocks_begin_at_their_input():
    block = Residual(8, 8, 5, rng=RNG(0))
    block.conv2.weight.data[:], block.conv2.bias.data[:] = 0, 0
    x, e = RNG(1).standard_normal((2, 8, 4, 4)), RNG(2).standard_normal((2, 5))
    x, e = x.astype(np.float32), e.astype(np.float32)
    assert np.array_equal(output(block, x, e), x)


# ---- learning -------------------------------------------------------------------
def rows(x):
    return x.reshape(len(x), -1)


def test_a_short_training_on_digits_is_far_better_than_no_idea():
    train, test = (digits(s).x[:, None] * 2 - 1 for s in ("train", "test"))
    rng = RNG(0)
    model = UNet(width=8, T=200, rng=rng)
    process = diffusion.Diffusion(model, noise.linear(200), (1, 8, 8))
    loader = DataLoader(train, 32, shuffle=True, rng=rng)
    batches = (x for _ in range(6) for x in loader)  # 270 steps
    adam, ema = optim.Adam(model.parameters(), lr=4e-3), optim.EMA(model, 0.97)
    steps = diffusion.train(process, batches, adam, ema, rng=rng)
    losses = [step.loss for step in steps]
    assert losses[0] == pytest.approx(1, abs=5 * np.sqrt(2 / (32 * 64)))  # guessing 0
    assert np.mean(losses[-50:]) < 0.25
    with ema.averaged():
        x = diffusion.sample(process, 200, 20, rng=rng, clip=1)
    nothing = np.clip(rng.standard_normal(x.shape), -1, 1)
    far = [metrics.frechet_distance(rows(a), rows(test)) for a in (x, nothing)]
    assert far[0] < 0.75 * far[1]


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get("SCRATCHNN_DATA"), reason="needs MNIST in SCRATCHNN_DATA"
)
def test_a_minute_of_mnist_draws_what_is_more_than_noise(monkeypatch, tmp_path):
    """The functions of the quality script, at a thirtieth of its length."""
    folder = pathlib.Path(__file__).parent / "benchmarks" / "quality"
    monkeypatch.syspath_prepend(str(folder))
    import image_diffusion as quality

    short = dict(folder=tmp_path / "run", steps=200, ema=0.97)
    model, _, _ = quality.trained("diffusion", "mnist", 0, **short)
    x, _ = quality.drawn(model, 200, 0, steps=20)
    found = quality.report(x, "mnist")
    untrained = quality.report(RNG(0).random(x.shape), "mnist")
    assert found["frechet"] < untrained["frechet"] / 3


def test_a_training_step_on_another_device_is_the_step_on_the_cpu(device):
    def step(put):
        model = UNet(width=4, classes=3, attention=True, rng=RNG(0))
        for p in model.parameters():
            p.data = put(p.data)
        model._times = put(model._times)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        x, eps = put(pictures(2)), put(pictures(2, seed=2))
        losses = []
        for y in (put(np.array([0, 3])), None):
            loss = ops.mse_loss(model(x, T[:2], y), eps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        return losses, [p.data for p in model.parameters()]

    here, there = step(np.asarray), step(device.put)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-4)
    assert all(isinstance(p, device.array) for p in there[1])
