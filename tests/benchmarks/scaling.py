"""How time and memory grow: CURVES[name] = the sizes, and builders in ours and torch's.

Each builder returns a function to time, as in the steps: ours(size), theirs(size).
"""

import numpy as np
from graph import normalised

SIZES = {
    "sequence": (256, 512, 1024, 2048, 4096, 8192),
    "causal": (256, 512, 1024, 2048, 4096, 8192),
    "edges": (1_000, 10_000, 100_000, 1_000_000),
    "batch": (1, 4, 16, 64, 256, 1024),
    "depth": (1, 2, 4, 8, 16, 32, 64),
}
WHAT = {
    "sequence": "attention, forward and backward: 4 heads of 64, one sequence",
    "causal": "the same, each query with the keys before it only",
    "edges": "sparse times dense, and the gradient by the dense: 64 features, "
    "10 edges per node. PyTorch converts its CSR matrix for each gradient",
    "batch": "a VAE's training step, 784-400-20",
    "depth": "an MLP's training step: layers of 256, batch 64",
}
UNITS = {
    "sequence": "sequence length",
    "causal": "sequence length, causal",
    "edges": "edges",
    "batch": "batch",
    "depth": "layers",
}
HEADS, WIDTH = 4, 256


def RNG():
    return np.random.default_rng(0)


def normal(*shape):
    return RNG().standard_normal(shape, np.float32)


def graph(edges):
    """A graph's matrix with about so many entries, 10 in a row, and its nodes."""
    nodes = edges // 10
    return normalised(nodes, (edges - nodes) // 2, RNG()), nodes


def scratchnn():
    """{curve: builder of what is timed}"""
    import scratchnn as snn
    from scratchnn import Tensor, nn, optim
    from scratchnn.models import vae

    def attention(T, causal=False):
        qkv, g = Tensor(normal(1, T, 3 * WIDTH), True), normal(1, T, WIDTH)

        def run():
            snn.multihead_attention(qkv, None, HEADS, None, causal).backward(g)
            qkv.grad = None

        return run

    def edges(n):
        (rows, columns, values), nodes = graph(n)
        A = snn.SparseMatrix(rows, columns, values, (nodes, nodes))
        x, g = Tensor(normal(nodes, 64), True), normal(nodes, 64)

        def run():
            (A @ x).backward(g)
            x.grad = None

        return run

    def trained(model, loss_of):
        optimizer = optim.Adam(model.parameters(), lr=1e-3)

        def run():
            optimizer.zero_grad()
            loss_of().backward()
            optimizer.step()

        return run

    def batch(n):
        model, x = vae.VAE(784, (400,), 20), RNG().random((n, 784), np.float32)
        return trained(model, lambda: vae.negative_elbo(model, x).loss)

    def depth(layers):
        model, x = nn.MLP([256] * (layers + 1)), normal(64, 256)
        return trained(model, lambda: snn.square(model(x)).mean())

    return {
        "sequence": attention,
        "causal": lambda T: attention(T, True),
        "edges": edges,
        "batch": batch,
        "depth": depth,
    }


def torch():
    """{curve: builder of what is timed}"""
    import torch
    import torch_steps
    from torch import nn

    def attention(T, causal=False):
        qkv = torch.from_numpy(normal(1, T, 3 * WIDTH)).requires_grad_()
        g = torch.from_numpy(normal(1, T, WIDTH))

        def run():
            q, k, v = qkv.chunk(3, -1)
            torch_steps.attend(q, k, v, HEADS, causal).backward(g)
            qkv.grad = None

        return run

    def edges(n):
        matrix, nodes = graph(n)
        A = torch_steps.csr(*matrix, nodes)
        x = torch.from_numpy(normal(nodes, 64)).requires_grad_()
        g = torch.from_numpy(normal(nodes, 64))

        def run():
            (A @ x).backward(g)
            x.grad = None

        return run

    def depth(layers):
        parts = [nn.Linear(256, 256)]
        for _ in range(layers - 1):
            parts += [nn.ReLU(), nn.Linear(256, 256)]
        model, x = nn.Sequential(*parts), torch.from_numpy(normal(64, 256))
        optimizer = torch_steps.adam(model.parameters(), 1e-3)
        return lambda: torch_steps.minimise(model(x).square().mean(), optimizer)

    return {
        "sequence": attention,
        "causal": lambda T: attention(T, True),
        "edges": edges,
        "batch": torch_steps.vae,
        "depth": depth,
    }
