"""Fixtures of the whole suite."""

import os

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before NumPy and numba are imported:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(2, share)))  # all want all cores

import pytest
import strict


class Strict:
    """The stand-in GPU of strict.py."""

    put = staticmethod(strict.put)
    array = strict.StrictArray


class CuPy:
    """A real GPU. Skipped, with the reason, where there is none."""

    def __init__(self):
        from scratchnn.device import gpu_probe

        probe = gpu_probe()
        if not probe.available:
            pytest.skip(f"no GPU here: {probe.text}")
        import cupy

        self.put, self.array = cupy.asarray, cupy.ndarray


@pytest.fixture(params=[Strict, CuPy], ids=["strict", "cupy"])
def device(request):
    """Where ops run besides the CPU: `put(host)` moves there, `array` is its type."""
    return request.param()
