"""SpectralNorm: sigma is NumPy's largest singular value, slopes are torch's."""

import numpy as np
import pytest

from scratchnn import Tensor, nn

RNG = np.random.default_rng
LAYERS = {
    "Linear": (lambda: nn.Linear(7, 5, rng=RNG(0)), (3, 7)),
    "Conv2d": (lambda: nn.Conv2d(2, 4, 3, rng=RNG(0)), (2, 2, 6, 6)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 4, 3, rng=RNG(0)), (2, 2, 4, 4)),
}


def matrix(layer, kind):
    w = layer.weight.data
    w = w.swapaxes(0, 1) if kind == "ConvTranspose2d" else w
    return w.reshape(len(w), -1)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_weight_is_divided_by_numpys_largest_singular_value(kind):
    make, shape = LAYERS[kind]
    plain, layer = make(), nn.SpectralNorm(make(), warm_up=200, rng=RNG(1))
    x = RNG(2).normal(size=shape).astype(np.float32)
    sigma = np.linalg.svd(matrix(plain, kind), compute_uv=False)[0]
    plain.weight.data = plain.weight.data / sigma
    np.testing.assert_allclose(layer(x).data, plain(x).data, rtol=1e-5, atol=1e-6)


def test_each_pass_of_training_is_a_step_of_the_power_iteration():
    layer = nn.SpectralNorm(nn.Linear(7, 5, rng=RNG(0)), warm_up=1, rng=RNG(1))
    W, x = layer.layer.weight.data, np.zeros((1, 7), np.float32)
    for _ in range(4):
        v = W.T @ layer.u
        v /= np.linalg.norm(v)
        u = W @ v
        layer(x)
        np.testing.assert_allclose(layer.u, u / np.linalg.norm(u), rtol=1e-5)
    kept = layer.eval().u.copy()
    layer(x)
    np.testing.assert_array_equal(layer.u, kept)


def test_no_vector_is_stretched():
    layer = nn.SpectralNorm(nn.Linear(20, 30, bias=False, rng=RNG(0)), warm_up=200)
    x = RNG(1).normal(size=(500, 20)).astype(np.float32)
    grown = np.linalg.norm(layer(x).data, axis=1) / np.linalg.norm(x, axis=1)
    assert grown.max() <= 1 + 1e-4


@pytest.mark.parametrize("kind", LAYERS)
def test_slopes_are_those_of_torchs_spectral_norm(kind):
    torch = pytest.importorskip("torch", reason="the other computation is PyTorch's")
    make, shape = LAYERS[kind]
    ours = nn.SpectralNorm(make(), warm_up=5, rng=RNG(1))
    size = (7, 5) if kind == "Linear" else (2, 4, 3)
    theirs = getattr(torch.nn, kind)(*size)
    theirs.load_state_dict(
        {k: torch.tensor(v) for k, v in ours.layer.state_dict().items()}
    )
    dim = 1 if kind == "ConvTranspose2d" else 0
    theirs = torch.nn.utils.spectral_norm(theirs, dim=dim)
    theirs.weight_u.data = torch.tensor(ours.u)
    x, g = RNG(2).normal(size=shape), None
    y = ours(x.astype(np.float32))
    g = RNG(3).normal(size=y.shape).astype(np.float32)
    y.backward(g)
    other = theirs(torch.tensor(x, dtype=torch.float32))
    other.backward(torch.tensor(g))
    np.testing.assert_allclose(y.data, other.detach(), rtol=1e-4, atol=1e-5)
    found = ours.layer.weight.grad
    np.testing.assert_allclose(found, theirs.weight_orig.grad, rtol=1e-3, atol=1e-5)
    found = ours.layer.bias.grad
    np.testing.assert_allclose(found, theirs.bias.grad, rtol=1e-4, atol=1e-5)


def test_the_layer_keeps_its_own_weight_and_u_is_saved():
    layer = nn.SpectralNorm(nn.Linear(7, 5, rng=RNG(0)))
    weight = layer.layer.weight
    layer(Tensor(np.zeros((1, 7), np.float32)))
    assert layer.layer.weight is weight and weight.is_leaf
    assert set(layer.state_dict()) == {"layer.weight", "layer.bias", "u"}
    with pytest.raises(ValueError):
        layer(np.zeros((1, 3), np.float32))
    assert layer.layer.weight is weight


def test_a_layer_without_weight_is_refused():
    with pytest.raises(ValueError, match="ReLU has no weight; give it a Linear"):
        nn.SpectralNorm(nn.ReLU())
