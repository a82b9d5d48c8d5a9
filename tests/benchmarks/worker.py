"""One framework in a process of its own: reads a request per line, answers in JSON.

    python worker.py FRAMEWORK THREADS

Started by peers.py. Requests: {"build": case} makes what is to be timed and runs it
once; {"time": seconds} times it; {"memory": case} measures a peak, in a process that
has done nothing else; {"load": null} loads all code. A case is [kind, ...]:
see Framework.
"""

import gc
import importlib
import json
import os
import sys
import time

START = time.perf_counter()  # before NumPy or any framework is imported


class Framework:
    """What the four have in common. The methods named as kinds of cases return what
    is timed; `library` is the imported framework.
    """

    steps_file = None

    def build(self, case):
        kind, *what = case
        return getattr(self, kind)(*what)

    def steps(self, name):
        return importlib.import_module(self.steps_file).STEPS[name]()

    def ops(self, *case):
        import op_cases

        return op_cases.build(self.library, self.tensor, *case)

    def conv(self, *case):
        import bench_conv

        return bench_conv.build(self.library, self.tensor, *case)

    def scaling(self, curve, size):
        import scaling

        return getattr(scaling, self.library.__name__)()[curve](size)


class Scratchnn(Framework):
    steps_file = "scratchnn_steps"

    def __init__(self, threads):
        import scratchnn

        scratchnn.set_num_threads(threads)
        self.library = scratchnn

    def tensor(self, array, learn):
        floats = array.dtype.kind == "f"
        return self.library.Tensor(array, requires_grad=learn) if floats else array

    def load(self):
        """Have all code in memory: {kernels: seconds} it took."""
        return dict(self.library.kernels.warmup())


class Torch(Framework):
    steps_file = "torch_steps"

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.library = torch

    def tensor(self, array, learn):
        return self.library.from_numpy(array).requires_grad_(learn)

    def load(self):
        """Have the code of gradients and the optimizer in memory."""
        torch = self.library
        layer = torch.nn.Linear(2, 2)
        optimizer = torch.optim.Adam(layer.parameters(), fused=True)
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()


class Compiled(Torch):
    def steps(self, name):
        return self.library.compile(super().steps(name))


class Jax(Framework):
    steps_file = "jax_steps"

    def __init__(self, threads):
        """JAX uses all cores; it has no number of threads to set."""
        import jax

        self.library = jax

    def load(self):
        """Have the compiler in memory."""
        jax = self.library
        jax.jit(jax.grad(lambda x: x * x))(1.0).block_until_ready()


FRAMEWORKS = {
    "scratchnn": Scratchnn,
    "torch": Torch,
    "compile": Compiled,
    "jax": Jax,
}


def percentile(run, seconds):
    """The 10th percentile in ms of one call, over about so many seconds."""
    start = time.perf_counter()
    run()
    calls = max(1, int(2e-4 / (time.perf_counter() - start)))  # of 0.2 ms together
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        times.append((time.perf_counter() - start) / calls)
    return 1e3 * sorted(times)[len(times) // 10]


def status(key):
    """A number of bytes from the system's account of this process."""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(key + ":"):
                return 1024 * int(line.split()[1])


def peak(framework, case):
    """Bytes at the highest point of three calls: in all, and above the loaded code."""
    framework.load()
    gc.collect()
    with open("/proc/self/clear_refs", "w", encoding="ascii") as f:
        f.write("5")  # forget the high-water mark of the imports
    before = status("VmRSS")
    run = framework.build(case)
    for _ in range(3):
        run()
    highest = status("VmHWM")
    return {"process": highest, "own": highest - before}


def first(framework, case):
    """What is timed, and the seconds that building it and its first call took."""
    start = time.perf_counter()
    run = framework.build(case)
    run()
    now = time.perf_counter()
    return run, {"first": now - start, "since_start": now - START}


def main(name, threads):
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    framework, run = FRAMEWORKS[name](threads), None
    for line in sys.stdin:
        (what, argument), = json.loads(line).items()
        try:
            if what == "build":
                run = None  # its memory is free before the next is built
                run, answer = first(framework, argument)
            elif what == "time":
                answer = {"ms": percentile(run, argument)}
            elif what == "memory":
                answer = peak(framework, argument)
            else:
                answer = {"loaded": framework.load()}
        except Exception as e:  # any framework, any way to fail: told in the table
            answer = {"error": f"{type(e).__name__}: {e}"[:200]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
