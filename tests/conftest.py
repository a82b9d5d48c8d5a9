"""Fixtures of the whole suite."""

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
