"""Initial values: mean, variance and bounds are those of the stated distributions."""

import math

import numpy as np
import pytest

from scratchnn import Tensor, manual_seed, nn
from scratchnn.nn import init

SHAPE = (40, 30, 3, 5)  # fan_in 450, fan_out 600, 18,000 entries
RELU = math.sqrt(2)
LEAKY = math.sqrt(2 / (1 + 0.2**2))
CASES = {  # function: (settings, standard deviation)
    "xavier_uniform": (init.xavier_uniform_, {}, math.sqrt(2 / 1050)),
    "xavier_uniform, gain": (
        init.xavier_uniform_,
        {"gain": 3},
        3 * math.sqrt(2 / 1050),
    ),
    "xavier_normal": (init.xavier_normal_, {"gain": 2}, 2 * math.sqrt(2 / 1050)),
    "kaiming_uniform": (init.kaiming_uniform_, {}, RELU / math.sqrt(450)),
    "kaiming_uniform, a": (init.kaiming_uniform_, {"a": 0.2}, LEAKY / math.sqrt(450)),
    "kaiming_normal, fan_out": (
        init.kaiming_normal_,
        {"mode": "fan_out", "nonlinearity": "relu"},
        RELU / math.sqrt(600),
    ),
    "kaiming_normal, tanh": (
        init.kaiming_normal_,
        {"nonlinearity": "tanh"},
        5 / 3 / math.sqrt(450),
    ),
    "normal": (init.normal_, {"std": 0.3}, 0.3),
    "uniform": (init.uniform_, {"a": -0.6, "b": 0.6}, 0.6 / math.sqrt(3)),
}


def weight(shape=SHAPE):
    return Tensor(np.full(shape, np.nan, np.float32), requires_grad=True)


@pytest.mark.parametrize("name", CASES)
def test_mean_and_variance_are_within_five_standard_errors(name):
    fill, settings, std = CASES[name]
    t = weight()
    assert fill(t, **settings, rng=np.random.default_rng(0)) is t
    assert t.dtype == np.float32 and t.requires_grad
    n = t.size
    # var of a sample variance: (kurtosis - 1) s^4 / n; kurtosis 3 normal, 1.8 uniform
    uniform = "uniform" in name
    kurtosis = 1.8 if uniform else 3
    w = t.data.astype(np.float64)
    assert abs(w.mean()) < 5 * std / math.sqrt(n)
    assert abs(w.var() / std**2 - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    bound = math.sqrt(3) * std
    inside = np.abs(w).max() <= bound * (1 + 1e-6)  # float32 rounds the bound
    assert inside == uniform


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_gives_the_same_values(name):
    fill, settings, _ = CASES[name]
    a = fill(weight((4, 3)), **settings, rng=np.random.default_rng(7))
    b = fill(weight((4, 3)), **settings, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(a.data, b.data)
    manual_seed(3)
    c = fill(weight((4, 3)), **settings)
    manual_seed(3)
    np.testing.assert_array_equal(fill(weight((4, 3)), **settings).data, c.data)


def test_uniform_and_normal_have_the_mean_asked_for():
    n, rng = 10_000, np.random.default_rng(0)
    u = init.uniform_(weight((n,)), 2, 5, rng=rng).data
    assert abs(u.mean() - 3.5) < 5 * 3 / math.sqrt(12 * n)
    assert u.min() >= 2 and u.max() <= 5
    v = init.normal_(weight((n,)), 2, 5, rng=rng).data
    assert abs(v.mean() - 2) < 5 * 5 / math.sqrt(n)


def test_constants():
    for fill, value in ((init.zeros_, 0), (init.ones_, 1)):
        np.testing.assert_array_equal(fill(weight((2, 3))).data, np.full((2, 3), value))
    assert init.constant_(weight(()), 0.25).item() == 0.25


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (3, 2, 2, 3), (20, 2, 3, 1)])
def test_rows_or_columns_of_an_orthogonal_weight_are_orthonormal(shape):
    t = Tensor(np.zeros(shape), requires_grad=True)
    q = init.orthogonal_(t, gain=2.0, rng=np.random.default_rng(0)).data / 2
    q = q.reshape(shape[0], -1)
    q = q if q.shape[0] <= q.shape[1] else q.T
    np.testing.assert_allclose(q @ q.T, np.eye(len(q)), atol=1e-6)


def test_orthogonal_matrices_are_uniform():
    rng = np.random.default_rng(0)
    n, d = 2000, 3
    q = np.stack([init.orthogonal_(weight((d, d)), rng=rng).data for _ in range(n)])
    # of a uniform one, each entry has mean 0 and variance 1 / d, so |q| <= 1 gives
    # standard errors of at most 1 / sqrt(d n) and 1 / (2 sqrt(n))
    assert np.abs(q.mean(axis=0)).max() < 5 / math.sqrt(d * n)
    assert np.abs((q * q).mean(axis=0) - 1 / d).max() < 5 / (2 * math.sqrt(n))


LAYERS = [
    (lambda library: library.Linear(7, 5), 7),
    (lambda library: library.Conv2d(6, 8, (3, 2), groups=2), 3 * 6),
    (lambda library: library.ConvTranspose2d(6, 8, (3, 2), groups=2), 4 * 6),
]


@pytest.mark.parametrize("make, fan_in", LAYERS)
def test_layers_start_as_in_pytorch_within_one_over_root_fan_in(make, fan_in):
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    ours, theirs = make(nn), make(torch.nn)
    bound = 1 / math.sqrt(fan_in)
    assert torch.nn.init._calculate_fan_in_and_fan_out(theirs.weight) == init.fans(
        ours.weight
    )
    for layer in (ours, theirs):
        for p in layer.parameters():
            w = p.detach().numpy()
            # the largest of n uniform draws falls below bound / 2 once in 2^n
            assert np.abs(w).max() <= bound * (1 + 1e-6)
    assert np.abs(ours.weight.data).max() > bound / 2


def test_the_default_is_kaiming_uniform_with_a_of_root_five():
    a, b = weight((6, 4, 3, 3)), weight((6, 4, 3, 3))
    init.default_(a, rng=np.random.default_rng(0))
    init.kaiming_uniform_(b, a=math.sqrt(5), rng=np.random.default_rng(0))
    np.testing.assert_allclose(a.data, b.data, rtol=1e-6)


def test_gains_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    for name in init.GAINS:
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    ours = init.calculate_gain("leaky_relu", 0.3)
    assert ours == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError) as e:
        init.xavier_normal_(weight((5,)))
    assert str(e.value) == (
        "fan_in and fan_out need a weight (out, in, ...); got shape (5,). For a bias "
        "use zeros_, normal_ or uniform_"
    )
    with pytest.raises(ValueError, match="'fan_inn'; expected 'fan_in' or 'fan_out'"):
        init.kaiming_normal_(weight(), mode="fan_inn")
    with pytest.raises(ValueError, match="no gain is known for 'rellu'; did you mean"):
        init.kaiming_normal_(weight(), nonlinearity="rellu")
