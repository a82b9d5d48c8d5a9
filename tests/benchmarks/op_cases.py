"""Ops alone, at a small and a large shape: OPS[name] = (function, small, large).

A function takes a library (ours or torch), its `nn.functional` and the inputs: names
are the same in both, but for two. Of the inputs a plain shape is a float array to be
learned; `Index` and `Picture` are data and get no gradient.
"""

from typing import NamedTuple

import numpy as np


class Index(NamedTuple):
    """Whole numbers below `high`."""

    high: int
    shape: tuple

    def draw(self, rng):
        return rng.integers(0, self.high, self.shape)


class Picture(NamedTuple):
    """Numbers from 0 to 1."""

    shape: tuple

    def draw(self, rng):
        return rng.random(self.shape, np.float32)


def attention(L, F, q, k, v):
    if hasattr(L, "attention"):
        return L.attention(q, k, v, causal=True)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def segment_sum(L, F, x, segments):
    n = len(x) // 8
    if hasattr(L, "segment_sum"):
        return L.segment_sum(x, segments, n)
    return L.zeros(n, x.shape[1]).index_add(0, segments, x)


OPS = {
    "add": (lambda L, F, a, b: a + b, [(64, 64)] * 2, [(1024, 1024)] * 2),
    "exp": (lambda L, F, x: L.exp(x), [(64, 64)], [(1024, 1024)]),
    "tanh": (lambda L, F, x: L.tanh(x), [(64, 64)], [(1024, 1024)]),
    "relu": (lambda L, F, x: F.relu(x), [(64, 64)], [(64, 32, 28, 28)]),
    "gelu": (
        lambda L, F, x: F.gelu(x, approximate="tanh"),
        [(32, 128)],
        [(768, 512)],
    ),
    "silu": (lambda L, F, x: F.silu(x), [(4, 8, 8, 8)], [(64, 32, 16, 16)]),
    "dropout": (lambda L, F, x: F.dropout(x, 0.5), [(64, 64)], [(2708, 1433)]),
    "sum of rows": (lambda L, F, x: x.sum(1), [(64, 64)], [(1024, 1024)]),
    "softmax": (lambda L, F, x: F.softmax(x, -1), [(32, 65)], [(2048, 512)]),
    "layer norm": (
        lambda L, F, x, w, b: F.layer_norm(x, w.shape, w, b),
        [(32, 128), (128,), (128,)],
        [(1536, 128), (128,), (128,)],
    ),
    "group norm": (
        lambda L, F, x, w, b: F.group_norm(x, 4, w, b),
        [(4, 8, 8, 8), (8,), (8,)],
        [(64, 32, 16, 16), (32,), (32,)],
    ),
    "batch norm": (
        lambda L, F, x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        [(8, 4, 7, 7), (4,), (4,)],
        [(64, 32, 14, 14), (32,), (32,)],
    ),
    "matmul": (lambda L, F, a, b: a @ b, [(64, 64)] * 2, [(512, 512)] * 2),
    "linear": (
        lambda L, F, x, w, b: F.linear(x, w, b),
        [(16, 64), (64, 64), (64,)],
        [(768, 128), (512, 128), (512,)],
    ),
    "conv 3x3": (
        lambda L, F, x, w, b: F.conv2d(x, w, b, padding=1),
        [(4, 4, 8, 8), (8, 4, 3, 3), (8,)],
        [(64, 32, 16, 16), (32, 32, 3, 3), (32,)],
    ),
    "conv 4x4, stride 2": (
        lambda L, F, x, w, b: F.conv2d(x, w, b, 2, 1),
        [(4, 4, 8, 8), (8, 4, 4, 4), (8,)],
        [(64, 32, 14, 14), (64, 32, 4, 4), (64,)],
    ),
    "transposed conv 4x4, stride 2": (
        lambda L, F, x, w, b: F.conv_transpose2d(x, w, b, 2, 1),
        [(4, 8, 4, 4), (8, 4, 4, 4), (4,)],
        [(64, 64, 7, 7), (64, 32, 4, 4), (32,)],
    ),
    "max pool 2x2": (
        lambda L, F, x: F.max_pool2d(x, 2),
        [(4, 4, 8, 8)],
        [(64, 32, 28, 28)],
    ),
    "causal attention": (attention, [(2, 2, 16, 16)] * 3, [(12, 4, 64, 32)] * 3),
    "cross-entropy": (
        lambda L, F, x, target: F.cross_entropy(x, target),
        [(16, 10), Index(10, (16,))],
        [(768, 65), Index(65, (768,))],
    ),
    "binary cross-entropy": (
        lambda L, F, x, target: F.binary_cross_entropy_with_logits(x, target),
        [(16, 32), Picture((16, 32))],
        [(128, 784), Picture((128, 784))],
    ),
    "embedding": (
        lambda L, F, indices, weight: F.embedding(indices, weight),
        [Index(65, (32,)), (65, 16)],
        [Index(10_000, (4096,)), (10_000, 128)],
    ),
    "segment sum": (
        segment_sum,
        [(64, 8), Index(8, (64,))],
        [(100_000, 64), Index(12_500, (100_000,))],
    ),
}
SIZES = ("small", "large")


def learned(spec):
    """Whether gradients reach this input."""
    return type(spec) is tuple


def text_of(specs):
    """The shapes of a case's inputs, as the table shows them."""
    shapes = [spec if learned(spec) else spec.shape for spec in specs]
    texts = ["x".join(map(str, shape)) for shape in shapes]
    alike = len(texts) > 1 and len(set(texts)) == 1
    return f"{len(texts)} of {texts[0]}" if alike else ", ".join(texts)


def build(library, make, name, size, gradients):
    """A function to time: the op, or the op and the gradients of what is learned.

    library: scratchnn or torch; make(array, learn) is its Tensor. Returns y, or the
    gradients, as the library holds them.
    """
    f, *specs = OPS[name]
    specs, rng = specs[SIZES.index(size)], np.random.default_rng(0)
    inputs = []
    for spec in specs:
        a = rng.standard_normal(spec, np.float32) if learned(spec) else spec.draw(rng)
        inputs.append(make(a, gradients and learned(spec)))
    F = library.nn.functional

    def forward():
        return f(library, F, *inputs)

    y = forward()
    g = make(rng.standard_normal(y.shape, np.float32), False)
    leaves = [x for spec, x in zip(specs, inputs) if learned(spec)]

    def with_gradients():
        forward().backward(g)
        gradients = [x.grad for x in leaves]
        for x in leaves:
            x.grad = None
        return gradients

    return with_gradients if gradients else forward
