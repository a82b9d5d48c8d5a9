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
    # 5 roundings of numbers up to 2
    np.testing.assert_allclose(fast, slow, rtol=1e-6, atol=5 * 1.2e-7)
    assert not np.array_equal(fast[0], slow[0])


def parameters(shapes, dtype=np.float32):
    """Rows (p, g, m, v, t) of Adam for parameters of the shapes, t from 1 on."""
    rng = np.random.default_rng(0)
    return [
        (*(rng.random(shape).astype(dtype) for _ in range(4)), t)
        for t, shape in enumerate(shapes, 1)
    ]


@pytest.mark.parametrize("threads_from", [0, 10**9])
def test_all_parameters_in_one_call_equal_the_reference(threads_from, monkeypatch):
    kernel = pytest.importorskip("scratchnn.kernels.optim", reason="needs numba")
    monkeypatch.setattr(kernel, "PARALLEL", threads_from)
    shapes = [(131, 257), (), (0, 3), (1,), (5, 7, 3), (300, 100), (17,)]
    fast, slow = parameters(shapes), parameters(shapes)
    settings = 0.1, 0.8, 0.95, 1e-6, 0.999
    new = kernel.adam_steps(fast, *settings)
    optimizers.adam_steps.__wrapped__(slow, *settings)
    assert all(p is row[0] for p, row in zip(new, fast, strict=True))
    for a, b in zip(fast, slow, strict=True):
        for x, y in zip(a[:4], b[:4], strict=True):
            # 8 roundings of a step of up to 1
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=8 * 1.2e-7)
    assert not np.array_equal(fast[0][0], slow[0][0])


def test_one_parameter_of_another_type_leaves_all_as_they_are():
    kernel = pytest.importorskip("scratchnn.kernels.optim", reason="needs numba")
    rows = parameters([(200, 200)]) + parameters([(200, 200)], np.float64)
    before = [x.copy() for row in rows for x in row[:4]]
    assert kernel.adam_steps(rows, 0.1, 0.9, 0.99, 1e-8) is NotImplemented
    for x, old in zip((x for row in rows for x in row[:4]), before, strict=True):
        np.testing.assert_array_equal(x, old)


def test_many_small_parameters_are_one_call(monkeypatch):
    kernel = pytest.importorskip("scratchnn.kernels.optim", reason="needs numba")
    calls, share = [], kernel.share
    monkeypatch.setattr(kernel, "share", lambda *a: calls.append(a) or share(*a))
    params = [Tensor(np.ones((10, 10), np.float32), True) for _ in range(30)]
    optimizer = optim.Adam(params, lr=0.1)
    for p in params:
        p.grad = np.ones((10, 10), np.float32)
    optimizer.step()
    assert len(calls) == 1
    for p in params:
        np.testing.assert_allclose(p.data, 0.9, rtol=1e-6)


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
    rows = [(p, *state, 1)]
    assert kernel.adam_steps(rows, 0.1, 0.9, 0.99, 1e-8) is NotImplemented
    assert weights(optim.Adam, {}, np.float64)[0].dtype == np.float64


def test_detach_puts_the_reference_back():
    kernels.detach()
    try:
        assert not hasattr(optimizers.adam_steps, "__wrapped__")
    finally:
        kernels.attach()
    assert hasattr(optimizers.adam_steps, "__wrapped__")
