"""Layers and nn.functional: they start, compute, learn and are saved as PyTorch's."""

import numpy as np
import pytest

from scratchnn import Tensor, checkpoint, manual_seed, nn
from scratchnn.nn import functional as F


def torch():
    module = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    module.set_num_threads(2)
    return module


# ---- parity with PyTorch --------------------------------------------------------
LAYERS = [
    (lambda n: n.Linear(5, 3), (7, 5)),
    (lambda n: n.Linear(5, 3, bias=False), (2, 7, 5)),
    (lambda n: n.Conv2d(2, 3, 3), (2, 2, 5, 7)),
    (lambda n: n.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2), (2, 4, 7, 6)),
    (lambda n: n.Conv2d(2, 3, 3, padding=1, bias=False), (2, 5, 7)),
    (lambda n: n.ConvTranspose2d(2, 3, 3), (2, 2, 4, 5)),
    (lambda n: n.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 2), (2, 4, 3, 5)),
    (lambda n: n.BatchNorm1d(5), (7, 5)),
    (lambda n: n.BatchNorm1d(3, eps=0.1, momentum=None), (4, 3, 5)),
    (lambda n: n.BatchNorm1d(5, affine=False, momentum=0.3), (7, 5)),
    (lambda n: n.BatchNorm2d(3), (2, 3, 5, 4)),
    (lambda n: n.BatchNorm2d(3, track_running_stats=False), (2, 3, 5, 4)),
    (lambda n: n.LayerNorm(5), (2, 3, 5)),
    (lambda n: n.LayerNorm((3, 5), eps=0.1, bias=False), (2, 3, 5)),
    (lambda n: n.LayerNorm(5, elementwise_affine=False), (2, 5)),
    (lambda n: n.GroupNorm(2, 6), (2, 6, 5, 3)),
    (lambda n: n.GroupNorm(3, 6, affine=False), (2, 6, 5)),
    (lambda n: n.ReLU(), (3, 5)),
    (lambda n: n.LeakyReLU(0.2), (3, 5)),
    (lambda n: n.ELU(0.7), (3, 5)),
    (lambda n: n.GELU(), (3, 5)),
    (lambda n: n.GELU("tanh"), (3, 5)),
    (lambda n: n.SiLU(), (3, 5)),
    (lambda n: n.Tanh(), (3, 5)),
    (lambda n: n.Sigmoid(), (3, 5)),
    (lambda n: n.Softplus(), (3, 5)),
    (lambda n: n.Softplus(2.5), (3, 5)),
    (lambda n: n.Softmax(1), (3, 5, 2)),
    (lambda n: n.Identity(), (3, 5)),
    (lambda n: n.Dropout(0), (3, 5)),
    (lambda n: n.Flatten(), (2, 3, 5)),
    (lambda n: n.Flatten(0, 1), (2, 3, 5)),
    (lambda n: n.Unflatten(1, (2, 3)), (5, 6)),
    (lambda n: n.MaxPool2d(2), (2, 3, 5, 7)),
    (lambda n: n.MaxPool2d(3, 2, 1, 2, ceil_mode=True), (2, 3, 8, 7)),
    (lambda n: n.AvgPool2d(2), (2, 3, 5, 7)),
    (lambda n: n.AvgPool2d(3, 2, 1, True, False), (2, 3, 6, 7)),
    (lambda n: n.Upsample(scale_factor=2), (2, 3, 4, 5)),
    (lambda n: n.Upsample(size=(7, 3)), (2, 3, 4, 5)),
    (
        lambda n: n.Sequential(
            n.Conv2d(1, 4, 3, 2, 1),
            n.BatchNorm2d(4),
            n.LeakyReLU(),
            n.Flatten(),
            n.Linear(16, 3),
        ),
        (5, 1, 4, 4),
    ),
]


def twins(make):
    """The layer made by both libraries in float64, with PyTorch's values in both."""
    t = torch()
    t.manual_seed(0)
    ours, theirs = make(nn), make(t.nn).double()
    with t.no_grad():
        for p in theirs.parameters():  # a weight of ones would hide mistakes
            p.add_(0.3 * t.randn(p.shape))
    for x in ours.parameters():
        x.data = x.data.astype(np.float64)
    for m in ours.modules():
        for name in ("running_mean", "running_var"):
            if getattr(m, name, None) is not None:
                setattr(m, name, getattr(m, name).astype(np.float64))
    ours.load_state_dict({k: x.numpy() for k, x in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("make, shape", LAYERS)
def test_layers_compute_and_learn_as_those_of_pytorch(make, shape):
    t = torch()
    ours, theirs = twins(make)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(0)
    for mode in (True, True, False):  # the second training step has moved statistics
        ours.train(mode), theirs.train(mode)
        x = Tensor(rng.normal(size=shape), requires_grad=True)
        z = t.tensor(x.data, requires_grad=True)
        y, w = ours(x), theirs(z)
        np.testing.assert_allclose(y.data, w.detach().numpy(), rtol=1e-9, atol=1e-12)
        g = rng.normal(size=y.shape)
        ours.zero_grad(), theirs.zero_grad()
        y.backward(g), w.backward(t.tensor(g))
        np.testing.assert_allclose(x.grad, z.grad.numpy(), rtol=1e-8, atol=1e-11)
        grads = {k: p.grad.numpy() for k, p in theirs.named_parameters()}
        for k, p in ours.named_parameters():
            np.testing.assert_allclose(p.grad, grads.pop(k), rtol=1e-8, atol=1e-11)
        assert not grads
    for k, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[k], value.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: n.BatchNorm1d(5),
        lambda n: n.BatchNorm2d(5),
        lambda n: n.LayerNorm((3, 5)),
        lambda n: n.GroupNorm(2, 6),
    ],
)
def test_normalisations_start_as_those_of_pytorch(make):
    ours, theirs = make(nn).state_dict(), make(torch().nn).state_dict()
    assert list(ours) == list(theirs)
    for k, x in ours.items():
        assert x.dtype == theirs[k].numpy().dtype
        np.testing.assert_array_equal(x, theirs[k].numpy())


def test_embeddings_are_those_of_pytorch():
    t = torch()
    ours, theirs = twins(lambda n: n.Embedding(7, 3))
    i = np.array([[4, 0], [4, 6]])
    y, w = ours(i), theirs(t.tensor(i))
    np.testing.assert_array_equal(y.data, w.detach().numpy())
    (y * y).sum().backward(), (w * w).sum().backward()
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy())


@pytest.mark.parametrize("make, shape", [case for case in LAYERS if case[1]])
def test_float32_stays_float32(make, shape):
    layer = make(nn)
    x = Tensor(np.ones(shape, np.float32), requires_grad=True)
    y = layer(x)
    assert y.dtype == np.float32
    y.sum().backward()
    assert {p.grad.dtype for p in [x, *layer.parameters()]} == {np.dtype(np.float32)}


def test_weights_travel_both_ways_as_safetensors(tmp_path):
    t = torch()
    from safetensors.torch import load_file, load_model, save_file

    make, shape = LAYERS[-1]
    ours, theirs = make(nn), make(t.nn)
    for _ in range(3):  # running statistics that are not the initial ones
        theirs(t.randn(shape))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    save_file(theirs.state_dict(), tmp_path / "theirs")
    ours.load_state_dict(checkpoint.load(tmp_path / "theirs")[0])
    ours.eval(), theirs.eval()
    y = ours(x).data
    # float32: three layers, each adding up at most 16 terms of order 1
    np.testing.assert_allclose(y, theirs(t.tensor(x)).detach().numpy(), atol=1e-5)
    checkpoint.save(tmp_path / "ours", ours.state_dict())
    third = make(t.nn).eval()
    assert load_model(third, tmp_path / "ours") == (set(), [])
    x = t.tensor(x)
    np.testing.assert_array_equal(third(x).detach(), theirs(x).detach())
    again = make(t.nn)
    again.load_state_dict(load_file(tmp_path / "ours"))


# ---- layers of their own kind ---------------------------------------------------
def test_dropout_drops_a_share_p_in_training_and_nothing_in_use():
    n, p = 10_000, 0.3
    layer = nn.Dropout(p, rng=np.random.default_rng(0))
    x = np.ones(n, np.float32)
    y = layer(x)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / (1 - p))}
    assert abs((y == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_array_equal(layer.eval()(x), x)
    with pytest.raises(ValueError) as e:
        nn.Dropout(1.5)
    assert str(e.value) == "Dropout: p is 1.5; expected a probability from 0 to 1"


def test_dropout_draws_from_its_rng():
    x = np.ones(50, np.float32)
    draws = [nn.Dropout(0.5, np.random.default_rng(7))(x) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
    manual_seed(1)
    first = nn.Dropout()(x)
    assert not np.array_equal(nn.Dropout()(x), first)
    manual_seed(1)
    np.testing.assert_array_equal(nn.Dropout()(x), first)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: nn.Linear(3, 4, rng=rng),
        lambda rng: nn.Conv2d(1, 2, 3, rng=rng),
        lambda rng: nn.ConvTranspose2d(1, 2, 3, rng=rng),
        lambda rng: nn.Embedding(3, 4, rng=rng),
        lambda rng: nn.MLP([3, 4, 2], dropout=0.1, rng=rng),
    ],
)
def test_the_same_rng_gives_the_same_layer(make):
    a, b = (make(np.random.default_rng(5)).state_dict() for _ in range(2))
    for k in a:
        np.testing.assert_array_equal(a[k], b[k])


def test_an_embedding_is_standard_normal():
    w = nn.Embedding(100, 50, rng=np.random.default_rng(0)).weight.data
    assert abs(w.mean()) < 5 / np.sqrt(w.size)
    assert abs(w.var() - 1) < 5 * np.sqrt(2 / w.size)


def test_an_mlp_is_its_layers_in_a_row():
    net = nn.MLP([4, 5, 6, 2], activation=nn.Tanh, dropout=0.2)
    kinds = [type(layer).__name__ for layer in net]
    assert kinds == ["Linear", "Tanh", "Dropout"] * 2 + ["Linear"]
    assert [layer.weight.shape for layer in net[::3]] == [(5, 4), (6, 5), (2, 6)]
    x = np.ones((3, 4), np.float32)
    h = x
    for layer in net.eval():
        h = layer(h)
    np.testing.assert_array_equal(net(x).data, h.data)
    assert len(nn.MLP([4, 2])) == 1
    with pytest.raises(ValueError) as e:
        nn.MLP([4])
    assert str(e.value) == (
        "MLP: sizes is [4]; expected at least the sizes of input and output, such as "
        "[784, 400, 10]"
    )


@pytest.mark.parametrize("make", [nn.ModuleList, lambda layers: nn.Sequential(*layers)])
def test_lists_of_modules_index_slice_grow_and_count(make):
    layers = [nn.Linear(2, 2) for _ in range(12)]
    net = make(layers[:10])
    net.append(layers[10]).extend(layers[11:])
    assert len(net) == 12 and list(net) == layers
    assert net[-1] is layers[11] and list(net[2:4]) == layers[2:4]
    assert type(net[2:4]) is type(net)
    net[-1] = layers[0]
    assert net[11] is layers[0]
    assert list(net.state_dict())[:2] == ["0.weight", "0.bias"]
    with pytest.raises(IndexError):
        net[12]


def test_groups_must_divide_the_channels():
    for make in (nn.Conv2d, nn.ConvTranspose2d):
        with pytest.raises(ValueError) as e:
            make(4, 6, 3, groups=4)
        assert str(e.value) == (
            f"{make.__name__}: groups=4 must divide in_channels=4 and out_channels=6"
        )


# ---- nn.functional --------------------------------------------------------------
X, T = np.random.default_rng(0).normal(size=(2, 5, 3)), np.array([[4, 0, 1], [2, 2, 0]])
FUNCTIONS = {
    "softmax": lambda f, a: f.softmax(a(X), dim=1),
    "log_softmax": lambda f, a: f.log_softmax(a(X), dim=-1),
    "logsigmoid": lambda f, a: f.logsigmoid(a(X)),
    "softplus": lambda f, a: f.softplus(a(X), 3),
    "pad": lambda f, a: f.pad(a(X), (1, 2, 0, 3), value=0.5),
    "pad, negative order": lambda f, a: f.pad(a(X), (0, 1)),
    "one_hot": lambda f, a: f.one_hot(a(T), 7),
    "mse": lambda f, a: f.mse_loss(a(X), a(X[::-1].copy())),
    "l1": lambda f, a: f.l1_loss(a(X), a(X[::-1].copy()), reduction="sum"),
    "huber": lambda f, a: f.huber_loss(a(X), a(X[::-1].copy()), delta=0.7),
    "cross_entropy": lambda f, a: f.cross_entropy(a(X), a(T), label_smoothing=0.1),
    "nll": lambda f, a: f.nll_loss(a(X), a(T), ignore_index=2),
    "bce": lambda f, a: f.binary_cross_entropy_with_logits(a(X), a(np.abs(X) / 9)),
    "layer_norm": lambda f, a: f.layer_norm(a(X), (3,)),
    "group_norm": lambda f, a: f.group_norm(a(X), 5),
    "batch_norm": lambda f, a: f.batch_norm(a(X), None, None, training=True),
    "batch_norm, in use": lambda f, a: f.batch_norm(
        a(X), a(X[0, :, 0]), a(np.exp(X[0, :, 1])), eps=0.1
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_is_called_as_that_of_pytorch(name):
    t, f = torch(), FUNCTIONS[name]
    expected = f(t.nn.functional, t.tensor).numpy()
    np.testing.assert_allclose(f(F, np.asarray), expected, rtol=1e-12, atol=1e-14)


def test_batch_norm_moves_the_running_statistics_in_place():
    mean, var = np.zeros(5), np.ones(5)
    F.batch_norm(X, mean, var, training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * X.mean(axis=(0, 2)))
    np.testing.assert_allclose(var, 0.75 + 0.25 * X.var(axis=(0, 2), ddof=1))


def test_interpolate_takes_pytorchs_mode_and_refuses_others():
    x = np.arange(6.0, dtype=np.float32).reshape(1, 1, 2, 3)
    twice = F.interpolate(x, scale_factor=2, mode="nearest")
    np.testing.assert_array_equal(twice, x.repeat(2, 2).repeat(2, 3))
    with pytest.raises(ValueError, match="mode is 'bilinear'; only 'nearest' is here"):
        F.interpolate(x, scale_factor=2, mode="bilinear")
