"""Held against PyTorch: values, gradients, and gradients of gradients."""

import numpy as np
import pytest

from scratchnn import Tensor, grad

# Both sides round in float64 (2e-16 a step, some hundred steps), in other orders.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def same_as_torch(ours, theirs, *arrays, second=True):
    """ours(*arrays) equals theirs(torch.nn.functional, *arrays), and so do derivatives.

    Float arrays become trainable, integer arrays and None do not. Cotangents are
    random. `second=False` where PyTorch has no second derivative.
    """
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)

    def draw(shape):
        return np.asarray(rng.standard_normal(shape))

    floats = [a is not None and a.dtype.kind == "f" for a in arrays]
    xs = [
        Tensor(a, requires_grad=f) if a is not None else None
        for a, f in zip(arrays, floats)
    ]
    ts = [
        torch.tensor(a, requires_grad=f) if a is not None else None
        for a, f in zip(arrays, floats)
    ]
    y, z = ours(*xs), theirs(torch.nn.functional, *ts)
    assert y.shape == tuple(z.shape) and y.dtype == np.float64
    np.testing.assert_allclose(y.data, z.detach().numpy(), **CLOSE)

    xs = [x for x, f in zip(xs, floats) if f]
    ts = [t for t, f in zip(ts, floats) if f]
    g = draw(y.shape)
    first = grad(y, xs, g=g)
    torch_first = torch.autograd.grad(z, ts, torch.tensor(g), create_graph=second)
    for a, b in zip(first, torch_first):
        np.testing.assert_allclose(a.data, b.detach().numpy(), **CLOSE)
    if second:
        us = [draw(a.shape) for a in first]
        total = sum((u * a).sum() for u, a in zip(us, first))
        torch_total = sum((torch.tensor(u) * b).sum() for u, b in zip(us, torch_first))
        zeros = [np.zeros(x.shape) for x in xs]
        mine, torchs = zeros, [None] * len(ts)
        if total.requires_grad:
            mine = [t.data for t in grad(total, xs, allow_unused=True)]
        if torch_total.requires_grad:
            torchs = torch.autograd.grad(torch_total, ts, allow_unused=True)
        for a, b, zero in zip(mine, torchs, zeros):
            b = zero if b is None else b.numpy(force=True)
            np.testing.assert_allclose(a, b, **CLOSE)

    y.backward(g)  # the same rules, on arrays
    for x, b in zip(xs, torch_first):
        np.testing.assert_allclose(x.grad, b.detach().numpy(), **CLOSE)
