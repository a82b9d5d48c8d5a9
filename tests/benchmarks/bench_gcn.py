"""A step of a graph convolution network: ours and PyTorch's in turn, and large graphs.

    python tests/benchmarks/bench_gcn.py [ROUNDS]

A step is forward, backward and Adam on all nodes, float32, two threads, each library in
a process of its own; printed is the median of all rounds, and the ratio. Graphs are
random, of Cora's sizes (2,708 nodes, 13,566 entries with loops, 1,433 features, 16
hidden, dropout 0.5), and larger with 64 features and 64 hidden. PyTorch has dense
features at Cora's sizes, and its CSR matrix of the graph with a transpose of its own,
since its backward would convert it each time. Then our memory by edges, each size in a
process of its own: the most that a step adds to what the graph takes.
"""

import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from graph import cora_like, normalised

THREADS, REPEATS = 2, 3
EDGES = (1_000_000, 300_000, 100_000)


def drawn(case):
    """matrix (rows, columns, values), x, y, train, hidden, dropout."""
    if case == "cora":
        matrix, x, y, train = cora_like()
        return matrix, x, y, train, 16, 0.5
    nodes, rng = case // 10, np.random.default_rng(0)
    matrix = normalised(nodes, case // 2, rng)  # each edge both ways
    x = rng.standard_normal((nodes, 64), np.float32)
    return matrix, x, rng.integers(0, 7, nodes), np.arange(nodes // 10), 64, 0.0


def ours(case, sparse=False):
    import scratchnn as snn
    from scratchnn.models import graph

    snn.set_num_threads(THREADS)
    matrix, x, y, train, hidden, dropout = drawn(case)
    A = snn.SparseMatrix(*matrix, (len(x), len(x)))
    if sparse:
        i, j = np.nonzero(x)
        x = snn.SparseMatrix(i, j, x[i, j], x.shape)
    rng = np.random.default_rng(0)
    model = graph.gcn(x.shape[1], 7, hidden, dropout=dropout, rng=rng)
    adam = snn.optim.Adam(model.parameters(), lr=0.01)
    steps = graph.train(model, x, A, y, itertools.repeat(train), adam)
    return lambda: next(steps)


def ours_sparse(case):
    return ours(case, sparse=True)


def theirs(case):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)
    warnings.simplefilter("ignore")  # CSR is in a beta state, it says
    (rows, columns, values), x, y, train, hidden, dropout = drawn(case)
    shape = (len(x), len(x))

    def csr(rows, columns):
        at = torch.from_numpy(np.stack([rows, columns]))
        entries = torch.sparse_coo_tensor(at, torch.from_numpy(values), shape)
        return entries.coalesce().to_sparse_csr()

    A, A_T = csr(rows, columns), csr(columns, rows)

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h):
            return A @ h

        @staticmethod
        def backward(ctx, g):
            return A_T @ g

    x, y, train = map(torch.from_numpy, (x, y, np.asarray(train)))
    first = torch.nn.Linear(x.shape[1], hidden)
    second = torch.nn.Linear(hidden, 7)
    adam = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.01)

    def step():
        h = F.relu(Product.apply(first(F.dropout(x, dropout))))
        scores = Product.apply(second(F.dropout(h, dropout)))
        adam.zero_grad()
        F.cross_entropy(scores[train], y[train]).backward()
        adam.step()

    return step


LIBRARIES = {"ours": ours, "ours, x sparse": ours_sparse, "torch": theirs}


def worker(make):
    """Answer a case, in JSON, with milliseconds of some steps, line by line."""
    kept = {}
    for line in sys.stdin:
        if line not in kept:
            kept = {line: make(json.loads(line))}
            kept[line]()
        times = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            kept[line]()
            times.append(1e3 * (time.perf_counter() - start))
        print(json.dumps(times), flush=True)


def megabytes(edges):
    """What three steps add to the peak memory of a process with the graph in it."""
    ours(20_000)()  # numba and the kernels, before we measure
    step = ours(edges)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def started(*args):
    return subprocess.Popen(
        [sys.executable, __file__, *args], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def main(rounds):
    for case in ("cora", *EDGES):
        names = [n for n in LIBRARIES if case == "cora" or n != "ours, x sparse"]
        workers = {name: started("--worker", name) for name in names}
        times = {name: [] for name in names}
        for _ in range(rounds):
            for name, w in workers.items():
                w.stdin.write(json.dumps(case) + "\n")
                w.stdin.flush()
                times[name] += json.loads(w.stdout.readline())
                time.sleep(0.2)  # its threads stop spinning
        for w in workers.values():
            w.stdin.close()
            w.wait()
        middle = {name: statistics.median(own) for name, own in times.items()}
        title = case if case == "cora" else f"{case:,} edges"
        cells = ", ".join(
            f"{name} {ms:.1f} ms ({middle['torch'] / ms:.1f})"
            for name, ms in middle.items()
        )
        print(f"{title}: {cells}", flush=True)
    for edges in EDGES:
        text, _ = started("--memory", str(edges)).communicate()
        print(f"{edges:,} edges: a step adds {float(text):.0f} MB", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(LIBRARIES[sys.argv[2]])
    elif sys.argv[1:2] == ["--memory"]:
        megabytes(int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
