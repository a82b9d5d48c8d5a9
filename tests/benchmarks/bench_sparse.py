"""Sparse products beside PyTorch's CSR, graph by graph in turn.

    python tests/benchmarks/bench_sparse.py [ROUNDS]

Random and power-law graphs with 10 edges per node, float32, two threads, each library
in a process of its own. Prints the least ms of all rounds: A @ x; A.T @ g, which is the
gradient by x; and the gradient by A's values. PyTorch gets the transpose as a CSR
matrix of its own: its backward, which converts it each time, takes 3 to 4 times as
long. It has no gradient by the values that leaves them sparse but sampled_addmm.
"""

import itertools
import json
import subprocess
import sys
import time
import warnings

import numpy as np

THREADS, REPEATS = 2, 3
GRAPHS = ("random", "power law")
EDGES, FEATURES = (10_000, 100_000, 1_000_000), (16, 64)
CASES = list(itertools.product(GRAPHS, EDGES, FEATURES))


def drawn(graph, edges, features):
    """rows, columns (sorted by row, as CSR is), values, x, g."""
    rng, nodes = np.random.default_rng(0), edges // 10
    if graph == "random":
        rows, columns = rng.integers(0, nodes, (2, edges))
    else:  # P(node) ~ 1 / rank^0.8
        weight = np.arange(1, nodes + 1) ** -0.8
        of_rank = rng.permutation(nodes)
        ranks = rng.choice(nodes, (2, edges), p=weight / weight.sum())
        rows, columns = of_rank[ranks]
    order = np.argsort(rows, kind="stable")
    dense = rng.standard_normal((2, nodes, features), np.float32)
    return rows[order], columns[order], rng.standard_normal(edges, np.float32), *dense


def ours(rows, columns, values, x, g):
    """The three products with scratchnn."""
    import scratchnn as snn

    snn.set_num_threads(THREADS)
    A = snn.SparseMatrix(rows, columns, values, (len(x), len(x)))
    return (
        lambda: A @ x,
        lambda: A.T @ g,
        lambda: snn.sampled_matmul(g, x, A.pattern),
    )


def theirs(rows, columns, values, x, g):
    """The three products with PyTorch."""
    import torch

    torch.set_num_threads(THREADS)
    warnings.simplefilter("ignore")  # CSR is in a beta state, it says
    shape = (len(x), len(x))

    def csr(rows, columns):
        at = torch.from_numpy(np.stack([rows, columns]))
        entries = torch.sparse_coo_tensor(at, torch.from_numpy(values), shape)
        return entries.coalesce().to_sparse_csr()

    A, A_T = csr(rows, columns), csr(columns, rows)
    x, g = torch.from_numpy(x), torch.from_numpy(g)
    x_T = x.T
    return (
        lambda: A @ x,
        lambda: A_T @ g,
        lambda: torch.sparse.sampled_addmm(A, g, x_T, beta=0.0),
    )


def worker(make):
    """Answer the number of a case with the three times, line by line."""
    kept = {}
    for line in sys.stdin:
        case = int(line)
        if case not in kept:
            kept = {case: make(*drawn(*CASES[case]))}
        print(json.dumps([least(f) for f in kept[case]]), flush=True)


def least(f):
    f()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        f()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def main(rounds):
    start = lambda name: subprocess.Popen(
        [sys.executable, __file__, "--worker", name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    workers = [start("ours"), start("theirs")]
    print(f"{'':26} {'A @ x':>20} {'A.T @ g':>20} {'by values':>20}")
    for number, (graph, edges, features) in enumerate(CASES):
        times = [[], []]
        for _ in range(rounds):
            for own, w in zip(times, workers):
                w.stdin.write(f"{number}\n")
                w.stdin.flush()
                own.append(json.loads(w.stdout.readline()))
                time.sleep(0.2)  # its threads stop spinning
        a, b = (np.min(own, axis=0) for own in times)
        cells = (f"{s:6.2f} {t:6.2f} {t / s:6.1f}" for s, t in zip(a, b))
        print(f"{graph:10}{edges:10,} {features:4} ", *cells, flush=True)
    for w in workers:
        w.stdin.close()
        w.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker({"ours": ours, "theirs": theirs}[sys.argv[2]])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
