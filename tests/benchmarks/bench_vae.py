"""The VAE recipe on MNIST beside PyTorch's, epoch by epoch in turn.

    SCRATCHNN_DATA=... python tests/benchmarks/bench_vae.py [EPOCHS]

784-400-20-400-784, Adam 1e-3, batch 128, float32, grey levels as targets, the recipe of
pytorch/examples. Each library in a process of its own, both with two threads; prints
seconds per epoch and the test loss (negative ELBO, nats per image) after the last.
"""

import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

BATCH, HIDDEN, Z, LR, THREADS = 128, 400, 20, 1e-3, 2


def ours(x, test):
    """(run one epoch, test loss), with scratchnn."""
    from scratchnn import no_grad, optim
    from scratchnn.data import DataLoader
    from scratchnn.models import vae

    rng = np.random.default_rng(1)
    model = vae.VAE(784, (HIDDEN,), Z, rng=rng)
    optimizer = optim.Adam(model.parameters(), lr=LR)

    def epoch():
        batches = DataLoader(x, BATCH, shuffle=True, rng=rng)
        for _ in vae.train(model, batches, optimizer, rng=rng):
            pass

    @no_grad()
    def evaluate():
        losses = [
            float(vae.negative_elbo(model, batch, rng=rng).loss) * len(batch)
            for batch in DataLoader(test, 1000)
        ]
        return sum(losses) / len(test)

    return epoch, evaluate


def theirs(x, test):
    """(run one epoch, test loss), with PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)
    torch.manual_seed(1)

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.e, self.mu = nn.Linear(784, HIDDEN), nn.Linear(HIDDEN, Z)
            self.lv = nn.Linear(HIDDEN, Z)
            self.d1, self.d2 = nn.Linear(Z, HIDDEN), nn.Linear(HIDDEN, 784)

        def forward(self, x):
            h = F.relu(self.e(x))
            mu, lv = self.mu(h), self.lv(h)
            z = mu + torch.exp(0.5 * lv) * torch.randn_like(mu)
            logits = self.d2(F.relu(self.d1(z)))
            bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            return bce - 0.5 * torch.sum(1 + lv - mu * mu - lv.exp())

    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    x, test = torch.from_numpy(x), torch.from_numpy(test)

    def epoch():
        for rows in torch.randperm(len(x)).split(BATCH):
            batch = x[rows]
            optimizer.zero_grad()
            loss = model(batch) / len(batch)
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def evaluate():
        return sum(float(model(batch)) for batch in test.split(1000)) / len(test)

    return epoch, evaluate


def worker(which):
    """Answer "epoch" with its seconds and "test" with the test loss, line by line."""
    from scratchnn import data

    x, test = (data.mnist(s).x.reshape(-1, 784) for s in ("train", "test"))
    epoch, evaluate = {"scratchnn": ours, "torch": theirs}[which](x, test)
    for line in sys.stdin:
        start = time.perf_counter()
        result = evaluate() if line == "test\n" else epoch()
        print(time.perf_counter() - start if result is None else result, flush=True)


class Result(NamedTuple):
    """Seconds per epoch, the median, and the test loss after the last, in nats."""

    seconds: float
    test: float


def main(epochs):
    """Both libraries in turn: {name: Result}."""
    names = ("scratchnn", "torch")
    workers = {
        name: subprocess.Popen(
            [sys.executable, __file__, "--worker", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in names
    }  # fmt: skip

    def ask(name, what):
        workers[name].stdin.write(what + "\n")
        workers[name].stdin.flush()
        return float(workers[name].stdout.readline())

    seconds = {name: [] for name in names}
    for i in range(epochs):
        for name in names:
            time.sleep(0.3)  # the other's threads stop spinning
            seconds[name].append(ask(name, "epoch"))
        done = (f"{name} {seconds[name][-1]:.2f} s" for name in names)
        print(i + 1, *done, flush=True)
    results = {}
    for name in names:
        found = Result(statistics.median(seconds[name]), ask(name, "test"))
        print(f"{name}: {found.seconds:.2f} s per epoch, test {found.test:.2f} nats")
        workers[name].stdin.close()
        workers[name].wait()
        results[name] = found
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
