"""Convolutions beside PyTorch's (oneDNN), one thread, shape by shape in turn.

    python tests/benchmarks/bench_conv.py [ROUNDS]

Each library in a process of its own, float32. Of each round the 10th percentile in ms,
of all rounds the median: ours / PyTorch's, and how many times ours PyTorch takes; for
the result, the gradient by x, and those by weight and bias. GFLOP/s are those of our
result; in the last row, where little is copied, they come nearest to the tile's own.
"""

import contextlib
import math
import statistics
import sys

import numpy as np
import peers

THREADS, SECONDS = 1, 0.1
SHAPES = [  # x, channels of the result, size of the kernel, stride
    ((8, 32, 16, 16), 32, 3, 1),
    ((4, 64, 14, 14), 64, 3, 1),
    ((8, 32, 14, 14), 64, 4, 2),
    ((16, 1, 28, 28), 32, 4, 2),
    ((16, 1, 16, 16), 32, 3, 1),
    ((16, 32, 16, 16), 1, 3, 1),
    ((4, 64, 24, 24), 64, 5, 1),
]
PRODUCTS = {  # which of the gradients by x, weight and bias are wanted
    "forward": None,
    "by x": (True, False, False),
    "by weight": (False, True, True),
}


def build(library, tensor, number, product):
    """A function that computes a product of a shape with a library, to be timed."""
    (N, C, *image), O, k, stride = SHAPES[number]
    rng, need = np.random.default_rng(0), PRODUCTS[product]
    shapes = (N, C, *image), (O, C, k, k), (O,), (N, O, *places(number))
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    if library.__name__ == "torch":
        x, w, b, g = (tensor(a, False) for a in arrays)
        how = [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1
        rule = library.ops.aten.convolution_backward
        gradients = lambda: rule(g, x, w, [O], *how, need)
        return gradients if need else lambda: library.conv2d(x, w, b, stride, 1)
    x, w, b, g = arrays
    how = {"stride": stride, "padding": 1, "dilation": 1, "groups": 1}
    rule = library.TABLE["conv2d"].fast_rule
    gradients = lambda: rule(g, None, need, x, w, b, **how)
    return gradients if need else lambda: library.conv2d(x, w, b, **how)


def places(number):
    """Rows and columns of the result of a shape; the padding is 1."""
    (_, _, *image), _, k, stride = SHAPES[number]
    return [(n + 2 - k) // stride + 1 for n in image]


def medians(found):
    """ms by framework; nan, and a line that tells why, for one that failed."""
    for name, result in found.items():
        if "error" in result:
            print(f"{name}: {result['error']}", file=sys.stderr)
        yield statistics.median(result.get("ms", [math.nan]))


def main(rounds):
    names = [name for name in ("scratchnn", "torch") if name in peers.installed()]
    if "torch" not in names:
        print("torch is not installed: only ours are timed")
    print(f"{'':38}", *(f"{product:20}" for product in PRODUCTS), "GFLOP/s")
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(peers.Peer(name, THREADS)) for name in names]
        for number, ((N, C, *image), O, k, stride) in enumerate(SHAPES):
            cells = []
            for product in PRODUCTS:
                case = ["conv", number, product]
                ms = list(medians(peers.race(running, case, rounds, SECONDS)))
                ratio = f"{ms[1] / ms[0]:.2f}" if ms[1:] else ""
                cells.append([*ms, f"{' / '.join(f'{t:.2f}' for t in ms):14}{ratio:6}"])
            operations = 2 * N * C * O * k * k * math.prod(places(number))
            print(
                f"{str((N, C, *image)):16} to {O:3}, {k}x{k}, stride {stride}",
                *(text for *_, text in cells),
                f"{operations / cells[0][0] / 1e6:7.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
