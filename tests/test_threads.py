"""One pool of threads, an allocator that keeps memory, and a process without either."""

import os
import sys

import pytest
from helpers import printed

import scratchnn as snn
from scratchnn import threads

needs_openblas = pytest.mark.skipif(
    threads.blas() is None, reason="the pool needs the OpenBLAS of NumPy's wheels"
)


def run(code, **env):
    """What a new process prints that runs `code`."""
    out, _ = printed(code, timeout=120, **env)
    return out.split()


# ---- the allocator --------------------------------------------------------------
FAULTS = """
import resource, numpy as np, scratchnn
def faults(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        np.ones(1 << 23)  # 64 MiB: at least 32 pages, of 2 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(2)
print(faults(10))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_used_again_without_page_faults():
    assert int(*run(FAULTS)) < 32


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_scratchnn_mallopt_0_leaves_the_allocator_alone(monkeypatch):
    monkeypatch.setenv("SCRATCHNN_MALLOPT", "0")
    assert not threads.keep_freed_memory()


def test_other_systems_have_no_mallopt(monkeypatch):
    monkeypatch.setattr(threads.sys, "platform", "darwin")
    assert not threads.keep_freed_memory()


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(threads.ctypes, "CDLL", lambda name: object())
    assert not threads.keep_freed_memory()


# ---- the number of threads ------------------------------------------------------
@needs_openblas
def test_set_num_threads_is_for_products_and_kernels():
    numba = pytest.importorskip("numba", reason="kernels need numba")
    pytest.importorskip("scratchnn.kernels.threads", reason="needs one pool")
    before = snn.get_num_threads()
    try:
        snn.set_num_threads(1)
        assert snn.get_num_threads() == numba.get_num_threads() == 1
    finally:
        snn.set_num_threads(before)
    assert snn.get_num_threads() == numba.get_num_threads() == before


def test_more_threads_than_cores_count_as_that_many():
    before = snn.get_num_threads()
    try:
        snn.set_num_threads(10_000)
        assert snn.get_num_threads() == threads.cores()
    finally:
        snn.set_num_threads(before)


@pytest.mark.parametrize("n", [0, -1])
def test_no_threads_are_refused(n):
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        snn.set_num_threads(n)


def test_threads_can_be_set_with_another_blas(monkeypatch):
    monkeypatch.setattr(threads, "blas", lambda: None)
    snn.set_num_threads(1)
    assert snn.get_num_threads() == threads.cores()


def test_the_pool_is_started_by_kernels_only():
    code = "import sys, scratchnn as s; s.set_num_threads(2); print(*sys.modules)"
    assert not {"numba", "llvmlite"} & set(run(code))


# ---- one pool -------------------------------------------------------------------
PRODUCTS = """
import glob, numpy as np, scratchnn, sys, threading, os, time
def busy(task):  # hundredths of a second on a core
    return sum(map(int, open(f"{task}/stat").read().rpartition(")")[2].split()[11:13]))
blas_threads = set(glob.glob("/proc/self/task/*"))
blas_threads -= {f"/proc/self/task/{os.getpid()}"}
a = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
before = a @ a
"""


@needs_openblas
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_with_one_pool_blas_leaves_its_own_threads_asleep():
    code = PRODUCTS + (
        "from scratchnn.kernels import threads\n"
        "time.sleep(0.3)\n"
        "start = sum(map(busy, blas_threads))\n"
        "for _ in range(50): after = a @ a\n"
        "print(len(blas_threads), sum(map(busy, blas_threads)) - start)\n"
        "print(np.array_equal(before, after))"
    )
    n, ticks, equal = run(code, OPENBLAS_NUM_THREADS="2", SCRATCHNN_JIT="1")
    assert (n, ticks, equal) == ("1", "0", "True")


@needs_openblas
def test_products_from_several_python_threads_are_right():
    code = PRODUCTS + (
        "from scratchnn.kernels import threads\n"
        "right = []\n"
        "def work():\n"
        "    for _ in range(20): right.append(np.array_equal(a @ a, before))\n"
        "pool = [threading.Thread(target=work) for _ in range(3)]\n"
        "[t.start() for t in pool]; [t.join() for t in pool]\n"
        "print(len(right), all(right))"
    )
    assert run(code, OPENBLAS_NUM_THREADS="2", SCRATCHNN_JIT="1") == ["60", "True"]


@needs_openblas
@pytest.mark.parametrize("n", [1, 3, 8])
def test_a_product_may_have_more_jobs_than_there_are_cores(n):
    code = PRODUCTS + (
        "from scratchnn.kernels import threads\n"
        f"threads._blas.set_threads({n})\n"
        "print(np.allclose(a @ a, before, atol=1e-3), threads._blas.get_threads())"
    )
    assert run(code, SCRATCHNN_JIT="1") == ["True", str(n)]


@needs_openblas
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_computes_without_kernels():
    code = PRODUCTS + (
        "from scratchnn import kernels\n"
        "from scratchnn.kernels import threads\n"
        "after = a @ a\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    off = scratchnn.TABLE['standardize'].fast is None\n"
        "    right = np.array_equal(a @ a, after)\n"
        "    os._exit(0 if off and right and not kernels.attach() else 1)\n"
        "print(os.waitpid(child, 0)[1], np.array_equal(a @ a, after), kernels.attach())"
    )
    assert run(code, SCRATCHNN_JIT="1") == ["0", "True", "True"]


HIDE = {
    "another BLAS": "threads.OPENBLAS['sgemm'] = 'no_such_symbol'",
    "no OpenMP": "numba.config.THREADING_LAYER = 'workqueue'",
    "limited OpenMP": "os.environ['OMP_THREAD_LIMIT'] = '1'",
}


@pytest.mark.parametrize("missing", HIDE)
def test_without_one_pool_numpy_runs_and_one_line_says_so(missing):
    code = (
        "import logging, os, sys, numba, numpy as np, scratchnn as snn\n"
        "logging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        "from scratchnn import kernels, threads\n"
        f"{HIDE[missing]}\n"
        "kernels.KERNELS['exp'] = 'threads'  # a file that needs the pool\n"
        "kernels.attach()\n"
        "x = np.ones((256, 256), np.float32)\n"
        "print(np.array_equal(snn.exp(x), np.exp(x)), snn.exp(x)[0, 0] > 2)"
    )
    said = run(code, SCRATCHNN_JIT="1")
    assert said[-2:] == ["True", "True"]
    assert " ".join(said[:-2]).startswith("INFO:scratchnn:no kernel for exp: ")
    assert said.count("INFO:scratchnn:no") == 1
