"""Module: what it finds, saves, moves, and says when something is wrong."""

import copy
import gc

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import Tensor, checkpoint, nn, optim
from scratchnn.errors import ShapeError
from scratchnn.nn import functional as F
from scratchnn.tensor import Node


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
    with pytest.raises(snn.GraphError, match="after the forward"):
        y.backward()


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


def test_an_output_kept_on_a_module_is_no_parameter():
    class Scores(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 2)

        def forward(self, x):
            self.alpha = snn.softmax(self.layer(x))
            return self.alpha

    scores = Scores()
    before = set(scores.state_dict())
    scores(np.ones((4, 3), np.float32))
    assert set(scores.state_dict()) == before
    assert len(scores.zero_grad().parameters()) == 2


def test_a_state_may_hold_tensors():
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    b.load_state_dict({k: Tensor(x) for k, x in a.state_dict().items()})
    np.testing.assert_array_equal(a.weight.data, b.weight.data)
