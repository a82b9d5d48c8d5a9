"""Each kernel beside the NumPy body it stands before, interleaved: one table.

    python tests/benchmarks/bench_kernels.py

Medians of 30 rounds in ms, float32. A kernel that isn't 1.3 times faster somewhere
that matters is not worth its lines.
"""

import functools
import itertools
import time

import numpy as np

import scratchnn as snn
from scratchnn import TABLE, Tensor, backward, kernels
from scratchnn.optim import optimizers

RNG = np.random.default_rng(0)


def float32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


ROWS = [  # op, shape, parameters
    ("exp", (128, 784), {}),
    ("tanh", (64, 784), {}),
    ("sigmoid", (128, 784), {}),
    ("softplus", (128, 784), {}),
    ("relu", (128, 400), {}),
    ("relu", (64, 32, 14, 14), {}),
    ("leaky_relu", (64, 32, 14, 14), {"negative_slope": 0.2}),
    ("silu", (64, 32, 16, 16), {}),
    ("_gelu_tanh", (768, 512), {}),
    ("softmax", (512, 512), {}),
    ("softmax", (64, 4, 24, 24), {}),
    ("log_softmax", (768, 65), {}),
    ("standardize", (768, 128), {"axis": -1}),
    ("standardize", (64, 32, 14, 14), {"axis": (0, 2, 3)}),
    ("_channel_moments", (64, 32, 14, 14), {}),
    ("_dropout", (2708, 1433), {"p": 0.5, "seed": 0}),
    ("_dropout", (2708, 16), {"p": 0.5, "seed": 0}),
    ("max_windows", (64, 32, 28, 28), {"size": 2, "stride": 2}),
    ("max_windows", (64, 32, 28, 28), {"size": 3, "stride": 2}),
    ("sum_windows", (64, 32, 28, 28), {"size": 2, "stride": 2}),
]
NORMS = [  # as layer_norm, group_norm and batch_norm call _normalize: x, weight, axis
    ((768, 128), (128,), -1),
    ((1536, 128), (128,), -1),
    ((64, 8, 4, 256), (8, 4, 1), (2, 3)),
    ((64, 64, 7, 7), (64, 1, 1), (0, 2, 3)),
    ((64, 32, 14, 14), (32, 1, 1), (0, 2, 3)),
]
STEPS = [  # name, arrays, numbers
    ("momentum_step", 3, (1e-3, 0.9, 0, False)),
    ("ema_step", 2, (0.999,)),
]


def cases():
    """(label, what to time) for each kernel at the shapes of real models."""
    for name, shape, params in ROWS:
        f = functools.partial(TABLE[name].call, **params)
        x = float32(*shape)
        op, y = TABLE[name], f(x)
        g = float32(*y.shape)
        params = f(Tensor(x, requires_grad=True)).node.params  # with the defaults
        label = f"{name.strip('_')} {shape}"
        yield label, functools.partial(f, x)
        fast = op.fast_rule
        if fast and fast(g, y, [True], x, **params) is not NotImplemented:
            yield f"{label}, rule", functools.partial(rule, op, g, y, (x,), params)
    op = TABLE["_normalize"]
    for shape, inner, axis in NORMS:
        x, g, w, b = float32(*shape), float32(*shape), float32(*inner), float32(*inner)
        params = {"axis": axis, "eps": 1e-5}
        yield f"normalize {shape}", functools.partial(op.call, x, w, b, **params)
        joint = functools.partial(rule, op, g, None, (x, w, b), params)
        yield f"normalize {shape}, rule", joint
    a, b = float32(2, 64, 32, 16, 16)
    yield "add (64, 32, 16, 16)", lambda: TABLE["add"].call(a, b)
    c, x = RNG.random((400, 1000)) > 0.5, float32(400, 1000)
    yield "where (400, 1000)", lambda: TABLE["where"].call(c, x, 0)
    sizes = 16384, 313600, 800000
    for size in sizes:
        arrays = RNG.random((4, size), np.float32)
        numbers = [(*arrays, 3)], 1e-3, 0.9, 0.999, 1e-8, 0.99
        yield f"adam_steps {size}", functools.partial(step, "adam_steps", numbers, ())
    for (name, n, numbers), size in itertools.product(STEPS, sizes):
        arrays = RNG.random((n, size), np.float32)
        yield f"{name} {size}", functools.partial(step, name, arrays, numbers)
    index, x = RNG.integers(0, 65, 768), float32(768, 128)
    f = TABLE["scatter"].call
    yield "scatter (768, 128) into (65, 128)", lambda: f(x, index, (65, 128))
    image, logits = RNG.random((128, 784), np.float32), float32(128, 784)
    yield "bce_with_logits (128, 784) and gradient", lambda: loss(
        snn.bce_with_logits, logits, image
    )
    target, scores = RNG.integers(0, 65, 768), float32(768, 65)
    yield "cross_entropy (768, 65) and gradient", lambda: loss(
        snn.cross_entropy, scores, target
    )


def rule(op, g, y, xs, params):
    """All gradients, summed to the inputs' shapes, by the kernel if it is on."""
    if op.fast_rule:
        return op.fast_rule(g, y, [True] * len(xs), *xs, **params)
    return [backward._fit(r(g, y, *xs, **params), x) for r, x in zip(op.rules, xs)]


def step(name, arrays, numbers):
    getattr(optimizers, name)(*arrays, *numbers)


def loss(f, x, target):
    f(Tensor(x, requires_grad=True), target).backward()


def median(f, rounds=30):
    times = {True: [], False: []}
    for _ in range(rounds):
        for on in (True, False):
            kernels.attach() if on else kernels.detach()
            start = time.perf_counter()
            f()
            times[on].append(time.perf_counter() - start)
    kernels.attach()
    return [1e3 * float(np.median(times[on][3:])) for on in (False, True)]


def main():
    print(f"{'kernel':44} {'NumPy ms':>9} {'numba ms':>9} {'ratio':>6}")
    for label, run in cases():
        slow, fast = median(run)
        print(f"{label:44} {slow:9.3f} {fast:9.3f} {slow / fast:6.1f}", flush=True)


if __name__ == "__main__":
    main()
