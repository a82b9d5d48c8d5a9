"""Each kernel beside the NumPy body it stands before, interleaved: one table.

    python tests/benchmarks/bench_kernels.py

Medians of 30 rounds in ms, float32. A kernel that isn't 1.3 times faster somewhere
that matters is not worth its lines.
"""

import functools
import time

import numpy as np

import scratchnn as snn
from scratchnn import TABLE, Tensor, kernels

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
    ("standardize", (64, 24, 128), {"axis": -1}),
    ("standardize", (64, 32, 14, 14), {"axis": (0, 2, 3)}),
]


def cases():
    """(label, what to time) for each kernel at the shapes of real models."""
    for name, shape, params in ROWS:
        x, g = float32(*shape), float32(*shape)
        f = functools.partial(TABLE[name].call, **params)
        op, y = TABLE[name], f(x)
        params = f(Tensor(x, requires_grad=True)).node.params  # with the defaults
        label = f"{name.strip('_')} {shape}"
        yield label, functools.partial(f, x)
        if op.fast_rule(g, y, [True], x, **params) is not NotImplemented:
            yield f"{label}, rule", functools.partial(rule, op, g, y, x, params)
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


def rule(op, g, y, x, params):
    """The gradient by x, by the kernel if it is on."""
    if op.fast_rule:
        return op.fast_rule(g, y, [True], x, **params)
    return op.rules[0](g, y, x, **params)


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
