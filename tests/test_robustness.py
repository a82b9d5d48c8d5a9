"""Kernels where the platform lacks something, in threads, and across fork and spawn."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import printed

import scratchnn as snn
from scratchnn import Tensor, kernels

pytest.importorskip("numba", reason="kernels need numba")


def run(code):
    """What a new process prints that runs `code`, as lines."""
    out, error = printed(code, timeout=300, SCRATCHNN_JIT="1")
    assert not error, error
    return out.splitlines()


# ---- a platform that lacks something ----------------------------------------------
WORK = """
import logging, os, sys
logging.basicConfig(
    level=logging.INFO, stream=sys.stdout, format="%(levelname)s:%(message)s"
)
import numpy as np
{hide}
import scratchnn as snn
from scratchnn import Tensor, kernels
rng = np.random.default_rng(0)
def leaf(*shape):
    return Tensor(rng.standard_normal(shape, np.float32), requires_grad=True)
image, weight = leaf(16, 3, 24, 24), leaf(8, 3, 3, 3)
wide, bias = leaf(96, 32), leaf(96)
def work():
    h = snn.relu(snn.conv2d(image, weight, padding=1))
    h = snn.standardize(h.reshape(16, 144, 32), axis=-1)
    y = snn.multihead_attention(snn.linear(h, wide, bias), heads=2, causal=True)
    y = snn.log_softmax(y)
    y.backward(np.sin(y.data))
    found = [y.data] + [x.grad for x in (image, weight, wide, bias)]
    image.grad = weight.grad = wide.grad = bias.grad = None
    return found
fast = work()
fast = work()
on = [name for name, file in kernels.KERNELS.items() if snn.TABLE[name].fast]
kernels.detach()
slow = work()
print(all(np.allclose(a, b, rtol=1e-3, atol=1e-4 * abs(b).max())
          for a, b in zip(fast, slow)))
print(*on)
"""
NO_GOMP = """
import ctypes
real = ctypes.CDLL
def CDLL(name, *args, **how):
    if name == "libgomp.so.1":
        raise OSError(name)
    return real(name, *args, **how)
ctypes.CDLL = CDLL
"""
ELSEWHERE = NO_GOMP + """
import numba, numba.np.ufunc.parallel, multiprocessing
sys.platform = {!r}
for name in ("sched_getaffinity", "register_at_fork"):
    delattr(os, name)
"""
BROKEN = """
class Broken:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "numba":
            raise {}("numba is broken")
sys.meta_path.insert(0, Broken())
"""
NO_FMA = """
import llvmlite.binding as llvm
features = llvm.get_host_cpu_features()
features["fma"] = False
llvm.get_host_cpu_features = lambda: features
"""
OTHER_BLAS = """
import scratchnn.threads
scratchnn.threads.OPENBLAS["sgemm"] = "no_such_symbol"
"""
LAYER = "import numba; numba.config.THREADING_LAYER = {!r}"
ALONE = "kernels run on one thread: "
SERIAL = {"softmax", "relu", "attention", "conv2d"}
TILES, ALL = {"conv2d", "attention", "multihead_attention"}, set(kernels.KERNELS)
OFF = "kernels are off: numba can't be used ("
HIDE = {  # what is hidden; kernels that are on, and off; what is said of it
    "nothing": ("", ALL, set(), None),
    "GNU's OpenMP": (NO_GOMP, SERIAL, set(), ALONE),
    "NumPy's OpenBLAS": (OTHER_BLAS, SERIAL, set(), ALONE),
    "all layers but workqueue": (LAYER.format("workqueue"), SERIAL, set(), ALONE),
    "the layer that is wanted": (LAYER.format("tbb"), SERIAL, set(), ALONE),
    "fused multiply-add": (NO_FMA, {"softmax", "relu"}, TILES, "no kernel for "),
    "Linux (macOS)": (ELSEWHERE.format("darwin"), SERIAL, set(), ALONE),
    "Linux (Windows)": (ELSEWHERE.format("win32"), SERIAL, set(), ALONE),
    "numba": ("sys.modules['numba'] = None", set(), ALL, OFF),
    "a numba that imports": (BROKEN.format("RuntimeError"), set(), ALL, OFF),
    "a numba with njit": (
        "import types; sys.modules['numba'] = types.ModuleType('numba')",
        set(), ALL, OFF,
    ),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="hides what Linux has")
@pytest.mark.parametrize("hidden", HIDE)
def test_without_it_results_are_the_same_and_a_line_says_what_is_missing(hidden):
    hide, on, off, reason = HIDE[hidden]
    *said, right, names = run(WORK.format(hide=hide))
    said = [line for line in said if "compiling kernels, once" not in line]
    assert right == "True"
    names = set(names.split())
    assert on <= names and not off & names
    assert len(set(said)) == len(said) and bool(said) == bool(reason)
    for line in said:
        assert line.startswith((f"INFO:{reason}", "INFO:no kernel for "))
    if reason in (ALONE, OFF):
        assert sum(line.startswith(f"INFO:{reason}") for line in said) == 1


# ---- two Python threads ------------------------------------------------------------
def train_images():
    """Weights after five steps of a small convolution net."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((32, 3, 16, 16), np.float32)
    target = rng.integers(0, 5, 32)
    shapes = (8, 3, 3, 3), (8,), (8, 8, 4, 4), (8,), (5, 512), (5,)
    ps = [Tensor(0.1 * rng.standard_normal(s, np.float32), True) for s in shapes]
    for _ in range(5):
        h = snn.relu(snn.conv2d(x, ps[0], ps[1], padding=1))
        h = snn.silu(snn.conv2d(h, ps[2], ps[3], stride=2, padding=1))
        loss = snn.cross_entropy(snn.linear(h.reshape(32, 512), ps[4], ps[5]), target)
        step(loss, ps)
    return [p.data for p in ps]


def train_text():
    """Weights after five steps of one block of a GPT."""
    rng = np.random.default_rng(2)
    text = rng.integers(0, 65, (8, 65))
    shapes = (65, 64), (192, 64), (64, 64), (256, 64), (64, 256)
    ps = [Tensor(0.1 * rng.standard_normal(s, np.float32), True) for s in shapes]
    embedding, w_in, w_out, up, down = ps
    for _ in range(5):
        x = snn.embedding(text[:, :-1], embedding)
        qkv = snn.linear(snn.layer_norm(x, 64), w_in)
        y = snn.multihead_attention(qkv, heads=4, causal=True)
        x = x + snn.linear(y, w_out)
        x = x + snn.linear(snn.gelu(snn.linear(snn.layer_norm(x, 64), up)), down)
        logits = snn.linear(x, embedding).reshape(8 * 64, 65)
        step(snn.cross_entropy(logits, text[:, 1:].reshape(-1)), ps)
    return [p.data for p in ps]


def step(loss, ps):
    loss.backward()
    for p in ps:
        p.data = p.data - np.float32(0.1) * p.grad
        p.grad = None


def test_two_python_threads_that_train_get_the_same_numbers_as_alone():
    jobs = train_images, train_text
    alone, found = [job() for job in jobs], {}
    for _ in range(3):
        pool = [
            threading.Thread(target=lambda job=job: found.update({job: job()}))
            for job in jobs
        ]
        for t in pool:
            t.start()
        for t in pool:
            t.join()
        for job, right in zip(jobs, alone):
            for a, b in zip(found[job], right):
                # What NumPy multiplies may meet one BLAS thread, not two: another
                # order of sums. Each step adds some eps of that.
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert any(abs(a).max() > 0.1 for a in alone[0])


# ---- fork and spawn ----------------------------------------------------------------
PROCESSES = """
import multiprocessing, sys
import numpy as np
import scratchnn as snn
def work(seed):
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((16, 3, 24, 24)), rng.standard_normal((8, 3, 3, 3))
    y = snn.conv2d(x.astype("f4"), w.astype("f4")).reshape(16, -1)[:, :3072]
    y = snn.softmax(y.reshape(16, 64, 48))
    y = snn.multihead_attention(1 + y, heads=2)
    return snn.linear(y.reshape(-1, 256), np.ones((256, 256), np.float32))
if __name__ == "__main__":
    start = sys.argv[1]
    right = [work(seed) for seed in range(4)]
    with multiprocessing.get_context(start).Pool(2) as pool:
        found = pool.map(work, range(4))
    after = work(3)
    print(all(np.allclose(a, b, rtol=1e-4) for a, b in zip(found, right)))
    print(np.array_equal(after, right[3]), snn.TABLE["conv2d"].fast is not None)
"""


@pytest.mark.parametrize("start", multiprocessing.get_all_start_methods())
def test_other_processes_compute_the_same_however_they_start(start, tmp_path):
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES)
    done = subprocess.run(
        [sys.executable, str(script), start],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "SCRATCHNN_JIT": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 3, done.stderr
