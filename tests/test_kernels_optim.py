"""The one-pass Adam equals the readable one, and declines what it can't do."""

import numpy as np
import pytest

from scratchnn import Tensor, kernels, optim
from scratchnn.optim import optimizers

pytest.importorskip("numba", reason="kernels need numba")


def weights(kind, settings, dtype=np.float32, shape=(131, 257)):
    """The parameter and Adam's memory after three steps."""
    rng = np.random.default_rng(0)
    p = Tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)
    optimizer = kind([p], **settings)
    for _ in range(3):
        p.grad = rng.standard_normal(shape).astype(dtype)
        optimizer.step()
    return p.data, optimizer.state[0]["m"], optimizer.state[0]["v"]


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("decay", [0, 0.1])
def test_adam_in_one_pass_equals_the_reference(kind, decay):
    settings = dict(lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=decay)
    fast = weights(kind, settings)
    kernels.detach()
    try:
        slow = weights(kind, settings)
    finally:
        kernels.attach()
    for a, b in zip(fast, slow):
        assert a.dtype == np.float32
        # 3 steps of 4 roundings each, of numbers up to 4
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=4 * 12 * 6e-8)
    assert not np.array_equal(fast[0], slow[0])  # the kernel ran: it rounds otherwise


def test_other_types_are_left_to_numpy():
    p = np.ones((200, 200))
    state = np.ones((3, 200, 200))
    kernel = pytest.importorskip("scratchnn.kernels.optim", reason="needs numba")
    assert kernel.adam_step(p, *state, 0.1, 0.9, 0.99, 1e-8, 1) is NotImplemented
    assert weights(optim.Adam, {}, np.float64)[0].dtype == np.float64


def test_detach_puts_the_reference_back():
    kernels.detach()
    try:
        assert not hasattr(optimizers.adam_step, "__wrapped__")
    finally:
        kernels.attach()
    assert hasattr(optimizers.adam_step, "__wrapped__")
