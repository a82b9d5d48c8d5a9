"""Modules and layers: what they find, save, say, and compute, as PyTorch does."""

import copy
import gc

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import Tensor, checkpoint, manual_seed, nn, optim
from scratchnn.errors import ShapeError
from scratchnn.nn import functional as F
from scratchnn.tensor import Node


def torch():
    module = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    module.set_num_threads(2)
    return module


def param(*shape):
    return Tensor(np.zeros(shape, np.float32), requires_grad=True)


class Net(nn.Module):
    """Parts of every kind, in every kind of container."""

    def __init__(self):
        self.scale = param(1)
        self.layers = [nn.Linear(3, 2), (nn.Linear(2, 2, bias=False),)]
        self.heads = {"mean": nn.Linear(2, 1), "raw": param(4)}
        self.steps = np.zeros(2, np.int64)
        self._cache = np.zeros(5)
        self.frozen = Tensor([1.0])
        self.note, self.n, self.f, self.none = "text", 3, np.tanh, None


NAMES = [
    "scale",
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.0.weight",
    "heads.mean.weight",
    "heads.mean.bias",
    "heads.raw",
]


# ---- parts ----------------------------------------------------------------------
def test_parameters_are_the_trainable_tensors_reachable():
    net = Net()
    assert [k for k, _ in net.named_parameters()] == NAMES
    assert [t for _, t in net.named_parameters()] == net.parameters()
    assert net.num_parameters() == 1 + 6 + 2 + 4 + 2 + 1 + 4
    assert nn.parameters([net, {"a": net.scale}]) == net.parameters()


def test_state_has_frozen_tensors_and_public_arrays_too():
    assert list(Net().state_dict()) == [*NAMES, "steps", "frozen"]


def test_named_modules_gives_each_module_once_with_its_path():
    net = Net()
    net.again = net.layers[0]
    paths = dict(net.named_modules())
    assert list(paths) == ["", "layers.0", "layers.1.0", "heads.mean"]
    assert paths[""] is net and paths["heads.mean"] is net.heads["mean"]
    assert net.modules() == list(paths.values())


def test_a_shared_parameter_is_counted_once_and_saved_under_both_names():
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    b.weight = a.weight
    net = nn.Sequential(a, b)
    assert net.num_parameters() == 6 + 2 + 2
    assert [k for k, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    net.load_state_dict({k: x + 1 for k, x in net.state_dict().items()})
    assert net[0].weight is net[1].weight


def test_a_module_that_knows_its_parent_is_walked_once():
    parent = nn.Sequential(nn.Linear(2, 2))
    parent[0].parent = parent
    assert list(parent.state_dict()) == ["0.weight", "0.bias"]
    assert len(parent.modules()) == 2


def test_no_init_has_to_be_called():
    class Bare(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x)

    class Calls(Bare):
        def __init__(self):
            super().__init__()

    for net in (Bare(), Calls()):
        assert net.training and net.eval() is net and not net.layer.training
        assert net(np.ones((3, 2), np.float32)).shape == (3, 2)
    assert nn.Module().parameters() == []


def test_train_and_eval_reach_every_module():
    net = Net()
    net.eval()
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_freezing_leaves_nothing_to_train_and_melting_restores_it():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = net.parameters()
    assert net.requires_grad_(False).parameters() == []
    assert len(net.state_dict()) == 7
    net.table = Tensor([1, 2])  # integers can't be trained
    assert net.requires_grad_().parameters() == before


def test_zero_grad_forgets_and_apply_visits_innermost_first():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    net(Tensor(np.ones((1, 2), np.float32))).sum().backward()
    assert net[0].weight.grad is not None
    assert net.zero_grad()[0].weight.grad is None
    seen = []
    assert net.apply(seen.append) is net
    assert seen == [net[1], net[0], net]


def test_a_deep_copy_shares_nothing():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    twin = copy.deepcopy(net)
    for p in twin.parameters():
        p.data += 1
    twin[1].running_mean += 1
    for k, x in net.state_dict().items():
        assert k.endswith("var") or k.endswith("tracked") or not np.array_equal(
            x, twin.state_dict()[k]
        )


# ---- typos and the tree ---------------------------------------------------------
def test_a_typo_suggests_the_nearest_name():
    with pytest.raises(AttributeError) as e:
        nn.Linear(2, 3).wieght
    assert str(e.value) == "'Linear' has no attribute 'wieght'; did you mean 'weight'?"
    with pytest.raises(AttributeError) as e:
        nn.Linear(2, 3).paramters()
    assert str(e.value) == (
        "'Linear' has no attribute 'paramters'; did you mean 'parameters'?"
    )
    with pytest.raises(AttributeError) as e:
        nn.Linear(2, 3).qqq
    assert str(e.value) == "'Linear' has no attribute 'qqq'"
    assert not hasattr(nn.ReLU(), "weight") and getattr(nn.ReLU(), "bias", 5) == 5


def test_a_missing_forward_is_named():
    class Typo(nn.Module):
        def foward(self, x):
            return x

    with pytest.raises(AttributeError) as e:
        Typo()(1)
    assert str(e.value) == "'Typo' has no attribute 'forward'; did you mean 'foward'?"


def test_an_error_inside_a_property_is_its_own():
    class Broken(nn.Module):
        @property
        def size(self):
            return [].length

    with pytest.raises(AttributeError, match="'list' object has no attribute 'length'"):
        Broken().size


def test_the_tree_shows_shapes_and_counts():
    body = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Dropout(0.1))
    assert repr(Pair(body, nn.Conv2d(1, 8, 3, stride=2, padding=(1, 0)))) == PAIR


PAIR = """\
Pair(d_attn=64)
  first: Sequential
    0: Linear                               weight (64, 784), bias (64,)    50,240
    1: ReLU
    2: Dropout(p=0.1)
  second: Conv2d(stride=2, padding=(1, 0))  weight (8, 1, 3, 3), bias (8,)      80
total                                                                       50,320"""


class Pair(nn.Module):
    def __init__(self, first, second):
        self.first, self.second, self.d_attn = first, second, 64

    def forward(self, x):
        return self.second(self.first(x))


def test_the_tree_marks_shared_and_frozen_tensors():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    net[0].bias.requires_grad = False
    assert repr(net).splitlines() == [
        "Sequential",
        "  0: Linear     weight (3, 3), bias (3,)  12",
        "  1: Linear     weight (3, 3) shared",
        "total                                     12",
        "of them frozen                             3",
    ]


def test_a_function_in_a_sequential_is_shown_and_called():
    net = nn.Sequential(nn.Linear(2, 2), snn.relu)
    assert "Sequential(1=relu)" in repr(net)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(net(x).data, F.relu(net[0](x)).data)


# ---- the layer's path in errors -------------------------------------------------
def test_a_shape_error_names_the_layer_by_its_path():
    class VAE(nn.Module):
        def __init__(self):
            self.encoder = nn.Linear(784, 100)
            self.decoder = nn.Sequential(nn.ReLU(), nn.Linear(784, 400))

        def forward(self, x):
            return self.decoder(self.encoder(x))

    vae = VAE()
    x = Tensor(np.zeros((32, 784), np.float32))
    text = "input (32, 100) needs last axis 784 to match weight (400, 784)"
    with pytest.raises(ShapeError) as e:
        vae(x)
    assert str(e.value) == f"Linear 'decoder.1': {text}"
    with pytest.raises(ShapeError) as e:
        vae.decoder(vae.encoder(x))
    assert str(e.value) == f"Linear '1': {text}"
    with pytest.raises(ShapeError) as e:
        vae.decoder[1](vae.encoder(x))
    assert str(e.value) == f"Linear: {text}"


def test_a_layer_of_several_ops_names_the_op_as_well():
    class Scores(nn.Module):
        def forward(self, x):
            return x @ x

    with pytest.raises(ShapeError) as e:
        nn.Sequential(nn.Identity(), Scores())(Tensor(np.zeros((3, 5))))
    assert str(e.value).startswith("Scores '1', matmul: (3, 5) @ (3, 5) sums axis -1")


@pytest.mark.parametrize(
    "layer, shape, text",
    [
        (
            nn.BatchNorm2d(3),
            (2, 3),
            "BatchNorm2d '0': input (2, 3) needs 4 axes (N, C, ...)",
        ),
        (
            nn.BatchNorm1d(3),
            (2, 3, 4, 4),
            "BatchNorm1d '0': input (2, 3, 4, 4) needs 2 or 3 axes (N, C, ...)",
        ),
        (
            nn.LayerNorm(4),
            (2, 3),
            "LayerNorm '0': input (2, 3) needs last axes ",
        ),
        (
            nn.Conv2d(1, 2, 3),
            (2, 5, 8, 8),
            "Conv2d '0': input (2, 5, 8, 8) needs 1 channels (axis -3) to match weight "
            "(2, 1, 3, 3)",
        ),
        (
            nn.ConvTranspose2d(1, 2, 3),
            (2, 5, 8, 8),
            "ConvTranspose2d '0': input (2, 5, 8, 8) needs 1 channels (axis -3) to "
            "match weight (1, 2, 3, 3)",
        ),
        (
            nn.MaxPool2d(3),
            (8,),
            "MaxPool2d '0': input (8,) needs 4 axes (N, C, H, W), or 3 (C, H, W)",
        ),
    ],
)
def test_each_layer_says_what_it_needs(layer, shape, text):
    with pytest.raises(ShapeError) as e:
        nn.Sequential(layer)(np.zeros(shape, np.float32))
    assert str(e.value).startswith(text)


# ---- saving ---------------------------------------------------------------------
def test_a_state_that_does_not_fit_is_listed_whole_and_changes_nothing():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = net.state_dict()
    state = {**before, "1.weight": np.zeros((3, 1)), "2.bias": np.zeros(1)}
    del state["0.bias"]
    with pytest.raises(ValueError) as e:
        net.load_state_dict(state)
    assert str(e.value) == (
        "the state does not fit Sequential\n"
        "  missing: 0.bias\n"
        "  unexpected: 2.bias\n"
        "  wrong shape: 1.weight is (1, 3) in the model, (3, 1) in the state"
    )
    with pytest.raises(ValueError) as e:
        net.load_state_dict(state, strict=False)
    assert str(e.value) == (
        "the state does not fit Sequential\n"
        "  wrong shape: 1.weight is (1, 3) in the model, (3, 1) in the state"
    )
    del state["1.weight"]
    with pytest.raises(ValueError) as e:
        net.load_state_dict(state)
    assert str(e.value) == (
        "the state does not fit Sequential\n"
        "  missing: 0.bias, 1.weight\n"
        "  unexpected: 2.bias\n"
        "  (strict=False loads what the two have in common)"
    )
    for k, x in net.state_dict().items():
        np.testing.assert_array_equal(x, before[k])
    found = net.load_state_dict({"0.bias": np.ones(3), "z": 0}, strict=False)
    assert found.missing_keys == ["0.weight", "1.weight", "1.bias"]
    assert found.unexpected_keys == ["z"]
    assert net[0].bias.data.tolist() == [1, 1, 1]


def test_loading_keeps_the_tensors_their_dtype_and_nothing_of_the_state():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tensors, mean = net.parameters(), net[1].running_mean
    state = {k: np.ones(x.shape) for k, x in net.state_dict().items()}
    net.load_state_dict(state)
    assert net.parameters() == tensors and net[1].running_mean is mean
    assert {x.dtype for x in net.state_dict().values()} == {
        np.dtype(np.float32),
        np.dtype(np.int64),
    }
    state["0.weight"][...] = 7
    assert net[0].weight.data.max() == 1 and mean.tolist() == [1, 1]


def test_the_state_is_a_copy():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    net.weight.data += 1
    assert not np.array_equal(state["weight"], net.weight.data)


def test_loading_between_forward_and_backward_is_refused():
    net = nn.Linear(2, 2)
    y = net(Tensor(np.ones((1, 2), np.float32))).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(snn.GraphError, match="changed after the forward"):
        y.backward()


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


# ---- memory and devices ---------------------------------------------------------
def small_network(rng):
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, rng=rng),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.MLP([32, 5, 3], dropout=0.1, rng=rng),
        nn.LayerNorm(3),
    )


def test_a_thousand_training_steps_leave_no_live_node():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.MLP([3, 4, 3], nn.Tanh, dropout=0.1))
    opt = optim.Adam(net.parameters())
    x = np.ones((4, 3), np.float32)

    def live():
        return sum(type(o) is Node for o in gc.get_objects())

    before = live()
    gc.disable()
    try:
        for _ in range(1000):
            loss = F.cross_entropy(net(x), np.array([0, 1, 2, 0]))
            opt.zero_grad()
            loss.backward()
            opt.step()
        del loss
        assert live() == before
    finally:
        gc.enable()


def test_modules_move_train_and_are_saved_on_a_device(device, monkeypatch, tmp_path):
    def to_device(x, name):
        return device.put(x) if name == "gpu" else x.get()

    monkeypatch.setattr("scratchnn.nn.module.to_device", to_device)
    net = small_network(np.random.default_rng(0))
    host = copy.deepcopy(net).state_dict()
    net._constant = np.ones(3)
    net[0].bias.grad = np.ones(2, np.float32)
    assert net.to("gpu") is net
    assert isinstance(net[0].bias.grad, device.array)
    x = Tensor(device.put(np.ones((4, 1, 4, 4), np.float32)))
    opt = optim.Adam(net.parameters())
    for _ in range(2):
        opt.zero_grad()
        (net(x) ** 2).sum().backward()
        opt.step()
    assert all(isinstance(v, device.array) for v in net.state_dict().values())
    assert isinstance(net._constant, device.array)
    checkpoint.save(tmp_path / "a", net.state_dict())
    net.load_state_dict(host)
    for k, v in net.state_dict().items():
        assert isinstance(v, device.array)
        np.testing.assert_array_equal(v.get(), host[k])
    net.to("cpu").load_state_dict(checkpoint.load(tmp_path / "a")[0])
    assert all(isinstance(v, np.ndarray) for v in net.state_dict().values())
    assert int(net[1].num_batches_tracked) == 2
