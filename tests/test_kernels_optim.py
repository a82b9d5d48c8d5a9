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


STEPS = {
    "momentum_step": (3, (0.1, 0.9, 0.2, False)),
    "nesterov": (3, (0.1, 0.9, 0, True)),
    "ema_step": (2, (0.99,)),
    "adam_step": (4, (0.1, 0.8, 0.95, 1e-6, 7, 0.999)),
}


@pytest.mark.parametrize("threads_from", [0, 10**9])
@pytest.mark.parametrize("case", STEPS)
def test_a_step_in_one_pass_equals_the_reference(case, threads_from, monkeypatch):
    kernel = pytest.importorskip("scratchnn.kernels.optim", reason="needs numba")
    monkeypatch.setattr(kernel, "PARALLEL", threads_from)
    monkeypatch.setattr(kernel, "FEW", 0)
    name = "momentum_step" if case == "nesterov" else case
    n, settings = STEPS[case]
    fast = np.random.default_rng(0).random((n, 131, 257), dtype=np.float32)
    slow = fast.copy()
    step = getattr(optimizers, name)
    assert getattr(kernel, name)(*fast, *settings) is not NotImplemented
    step.__wrapped__(*slow, *settings)
    # 5 roundings of numbers up to 2 (Adam's steps of 0.1: 8 of them)
    np.testing.assert_allclose(fast, slow, rtol=1e-6, atol=5 * 1.2e-7)
    assert not np.array_equal(fast[0], slow[0])


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_averages_are_the_same_with_kernels_and_without(decay):
    def averages():
        p = Tensor(np.ones((300, 300), np.float32), requires_grad=True)
        ema = optim.EMA([p], decay)
        p.data = np.full((300, 300), 3, np.float32)
        ema.update()
        return ema.averages[0]

    fast = averages()
    kernels.detach()
    try:
        np.testing.assert_allclose(fast, averages(), rtol=3e-7)
    finally:
        kernels.attach()
    np.testing.assert_allclose(fast, decay + (1 - decay) * 3, rtol=3e-7)


def test_a_read_only_parameter_is_left_to_numpy_which_refuses_it():
    p, g, v = np.ones((3, 200, 200), np.float32)
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optimizers.momentum_step(p, g, v, 0.1, 0.9, 0, False)


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
