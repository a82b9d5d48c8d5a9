"""Each kernel beside the NumPy body it stands before, interleaved: one table.

    python tests/benchmarks/bench_kernels.py

Medians of 30 rounds in ms, float32. A kernel that isn't 1.3 times faster somewhere
that matters is not worth its lines.
"""

import time

import numpy as np

from scratchnn import TABLE, Tensor, kernels

RNG = np.random.default_rng(0)


def float32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def cases():
    """(name, op, forward, backward) for each kernel at the shapes of real models."""
    for shape in ((768, 128), (64, 24, 128)):
        x, g = float32(*shape), float32(*shape)
        f = TABLE["standardize"].call
        yield f"standardize {shape}", lambda x=x, f=f: f(x, axis=-1), (x, g, f)
    index, x = RNG.integers(0, 65, 768), float32(768, 128)
    f = TABLE["scatter"].call
    yield "scatter (768, 128) into (65, 128)", lambda: f(x, index, (65, 128)), None


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
    print(f"{'kernel':40} {'NumPy ms':>9} {'numba ms':>9} {'ratio':>6}")
    for name, forward, backward in cases():
        rows = [(name, forward)]
        if backward:
            x, g, f = backward
            t = Tensor(x, requires_grad=True)
            rows.append((name + " with rule", lambda: f(t, axis=-1).backward(g)))
        for label, run in rows:
            slow, fast = median(run)
            print(f"{label:40} {slow:9.3f} {fast:9.3f} {slow / fast:6.1f}")


if __name__ == "__main__":
    main()
