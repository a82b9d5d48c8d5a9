"""The convolutional VAE: shapes, mirrored sizes, labels, and that it learns."""

import numpy as np
import pytest

from scratchnn import ops, optim
from scratchnn.data import digits
from scratchnn.models import conv_vae, vae

RNG = np.random.default_rng
SHAPE, CHANNELS, HIDDEN, Z = (8, 12), (3, 5), (17, 11), 4


def small(shape=SHAPE, channels=CHANNELS, classes=0, seed=0):
    networks = conv_vae.networks(shape, channels)
    x_dim = shape[0] * shape[1]
    options = dict(classes=classes, networks=networks)
    return vae.VAE(x_dim, HIDDEN, Z, rng=RNG(seed), **options)


@pytest.mark.parametrize(
    "shape, channels",
    [((28, 28), (4, 6)), ((8, 8), (4, 6)), ((8, 8), (4,)), ((8, 12), (3, 5))],
)
def test_pictures_go_through_the_code_and_come_back_in_their_size(shape, channels):
    model = small(shape, channels)
    x = RNG(1).random((2, shape[0] * shape[1]), dtype=np.float32)
    mu, logvar = model.encode(x)
    assert mu.shape == logvar.shape == (2, Z)
    x_hat = model.decode(mu)
    assert x_hat.shape == x.shape and 0 < x_hat.data.min() < x_hat.data.max() < 1
    assert model.surprise(x, mu).shape == (2,)


def test_the_networks_have_the_layers_that_are_named():
    model = small()
    sizes = [p.shape for _, p in model.named_parameters()]
    # encoder: 8x12 to 4x6 to 2x3; decoder back
    assert sizes == [
        (3, 1, 4, 4), (3,), (3,), (3,), (5, 3, 4, 4), (5,), (5,), (5,),
        (17, 30), (17,), (17,), (17,), (11, 17), (11,), (11,), (11,),
        (Z, 11), (Z,), (Z, 11), (Z,),
        (11, Z), (11,), (11,), (11,), (17, 11), (17,), (17,), (17,),
        (30, 17), (30,), (30,), (30,),
        (5, 3, 4, 4), (3,), (3,), (3,), (3, 1, 4, 4), (1,),
    ]  # fmt: skip


def normalised(h, norm):
    """What BatchNorm does in use, with statistics of our own: h (N, C, ...)."""
    norm.running_mean[:] = RNG(2).standard_normal(len(norm.running_mean)) / 10
    norm.running_var[:] = RNG(3).uniform(0.5, 2, len(norm.running_var))
    shape = (-1,) + (1,) * (h.ndim - 2)
    mean, var = (a.reshape(shape) for a in (norm.running_mean, norm.running_var))
    return (h - mean) / np.sqrt(var + 1e-5)


def test_the_encoder_is_normalised_convolutions_then_linear_layers():
    model, x = small().eval(), RNG(1).random((2, 96), dtype=np.float32)
    e = model.encoder
    h = x.reshape(2, 1, *SHAPE)
    for layer, norm in (e.convolutions[:2], e.convolutions[3:5]):
        h = ops.conv2d(h, layer.weight, layer.bias, stride=2, padding=1)
        h = ops.relu(normalised(h, norm))
    h = h.reshape(2, -1)
    for layer, norm in (e.linear[:2], e.linear[3:5]):
        h = ops.relu(normalised(ops.linear(h, layer.weight, layer.bias), norm))
    np.testing.assert_allclose(model.mu(h).data, model.encode(x)[0].data, rtol=1e-5)


def test_a_pixel_reaches_only_its_neighbourhood_in_the_first_layer():
    model = small()
    x = np.zeros((2, 1, *SHAPE), np.float32)
    x[1, 0, 0, 0] = 1
    a, b = model.encoder.convolutions[0](x).data
    changed = np.any(a != b, axis=0)
    assert changed[0, 0] and not changed[2:].any() and not changed[:, 2:].any()


def test_in_use_a_code_depends_on_its_picture_alone_in_training_on_the_batch():
    model, x = small(), RNG(1).random((5, 96), dtype=np.float32)
    model.eval()
    alone, among = model.encode(x[:1])[0].data, model.encode(x)[0].data[:1]
    np.testing.assert_allclose(alone, among, rtol=1e-5, atol=1e-6)
    model.train()
    two, among = model.encode(x[:2])[0].data, model.encode(x)[0].data[:2]
    assert np.all(abs(two - among) > 1e-5)


def test_labels_change_codes_and_pictures():
    model = small(classes=3).eval()
    x = RNG(1).random((2, 96), dtype=np.float32)
    mu = [model.encode(x, y)[0].data for y in (0, 2)]
    drawn = [model.decode(mu[0], y).data for y in (0, 2)]
    assert np.all(mu[0] != mu[1]) and np.all(drawn[0] != drawn[1])


def test_a_picture_that_cannot_be_halved_so_often_is_refused():
    text = "3 layers halve a picture 3 times: .* divisible by 8, the picture is 28x28"
    with pytest.raises(ValueError, match=text):
        conv_vae.networks((28, 28), (4, 4, 4))


def test_training_learns_20_digits_better_than_any_model_without_a_code():
    x, rng = digits("train").x[:20].reshape(-1, 64), RNG(0)
    networks = conv_vae.networks((8, 8), (8, 16))
    model = vae.VAE(64, (64,), 4, rng=rng, networks=networks)
    adam = optim.Adam(model.parameters(), 5e-3)
    losses = [step.loss for step in vae.train(model, [x] * 400, adam, rng=rng)]
    p = np.clip(x.mean(axis=0), 1e-3, 1 - 1e-3)  # the best that ignores z
    no_code = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean()
    assert np.mean(losses[-20:]) < no_code - 1.5


def test_a_step_on_another_device_is_the_step_on_the_cpu(device):
    def steps(put):
        model = small(classes=3)
        for p in model.parameters():
            p.data = put(p.data)
        for m in model.modules():
            for name, a in vars(m).items():
                if isinstance(a, np.ndarray):
                    setattr(m, name, put(a))
        x = put(RNG(1).random((4, 96), dtype=np.float32))
        batches = [(x, put(np.array([0, 1, 2, 1])))] * 2
        adam = optim.Adam(model.parameters(), lr=0.01)
        return list(vae.train(model, batches, adam, rng=RNG(1)))

    np.testing.assert_allclose(steps(device.put), steps(np.asarray), rtol=1e-4)
