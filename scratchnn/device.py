"""Where arrays live: in the CPU's memory (NumPy) or on an NVIDIA GPU (CuPy).

Op bodies are written in NumPy. NumPy's protocols hand the work to CuPy when the array
is CuPy's, so moving the data is all there is to do:

    x = to_device(x, "gpu")      # or Tensor.to("gpu"), Module.to("gpu")

Only what starts from nothing needs care: new arrays are made `like` an array that is
there already, and random numbers are drawn by NumPy and moved beside it.
"""

import ctypes
import functools
import sys
from typing import NamedTuple

import numpy as np

from .errors import GraphError
from .tensor import Tensor

NAMES = {"cpu": "cpu", "gpu": "gpu", "cuda": "gpu"}


# ---- moving ---------------------------------------------------------------------
def to_device(x, device):
    """The array or Tensor x on a device: "cpu" or "gpu" ("cuda" means the same).

    x itself if it is there already. A trainable Tensor gives a new trainable Tensor.
    Raises ValueError for an unknown device, RuntimeError if there is no usable GPU,
    GraphError for the output of an op: move the op's inputs instead.
    """
    if device not in NAMES:
        raise ValueError(f"unknown device {device!r}; expected 'cpu' or 'gpu'")
    device = NAMES[device]
    if device_of(x) == device:
        return x
    if isinstance(x, Tensor):
        if not x.is_leaf:
            raise GraphError(
                f"can't move the output of {x.node.op.name} out of its graph: move "
                "the inputs before computing it, or move t.detach()"
            )
        return Tensor(to_device(x.data, device), requires_grad=x.requires_grad)
    if device == "cpu":
        return x.get()
    probe = gpu_probe()
    if not probe.available:
        raise RuntimeError(f"device 'gpu' can't be used: {probe.text}")
    return sys.modules["cupy"].asarray(x)


def device_of(x):
    """Where an array or Tensor is: "cpu" or "gpu"."""
    x = x.data if isinstance(x, Tensor) else x
    return "cpu" if isinstance(x, (np.ndarray, np.generic)) else "gpu"


def beside(host, x):
    """A NumPy array moved to where the array or Tensor x is."""
    x = x.data if isinstance(x, Tensor) else x
    return np.asarray(host) if isinstance(x, np.generic) else np.asarray(host, like=x)


def standard_normal(rng, shape, like):
    """Standard normal numbers, with the device and dtype of the array `like`.

    Drawn by NumPy, so that a seed gives the same numbers on every device.
    """
    return beside(rng.standard_normal(shape).astype(like.dtype), like)


# ---- is there a GPU? ------------------------------------------------------------
class Probe(NamedTuple):
    """What `gpu_probe` found: the GPU's name, or why there is none and the fix."""

    available: bool
    text: str


@functools.cache
def gpu_probe():
    """Whether a GPU can be used, found out by running a one-element kernel on it."""
    driver = driver_version()
    if driver is None:
        return Probe(
            False, "no NVIDIA driver found; the CPU does everything, only slower"
        )
    speaks = f"the driver speaks CUDA {driver[0]}.{driver[1]}"
    install = f"pip install {_package(driver[0])}"
    try:
        import cupy
    except ModuleNotFoundError as e:
        if e.name == "cupy":
            return Probe(False, f"CuPy is not installed and {speaks}: {install}")
        return Probe(False, f"CuPy lacks the module {e.name}: {install}")
    except Exception as e:  # a broken installation raises whatever it likes
        return Probe(
            False, f"CuPy can't be imported ({_one_line(e)}); {speaks}: {install}"
        )
    try:
        one = cupy.zeros(1) + 1  # compiled and run: drivers fail here, not earlier
        if float(one[0]) != 1:
            return Probe(False, f"the GPU computes 0 + 1 = {float(one[0])}")
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as e:
        return Probe(
            False, f"CuPy can't run a kernel ({_one_line(e)}); {_fix(cupy, driver)}"
        )
    return Probe(True, f"{name}, CuPy {cupy.__version__}, {speaks}")


def driver_version():
    """The newest CUDA that the NVIDIA driver speaks, as (12, 4), or None."""
    version = ctypes.c_int()
    try:
        library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        if ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(version)):
            return None
    except OSError:
        return None
    return version.value // 1000, version.value % 1000 // 10


def _package(major):
    return f"cupy-cuda{13 if major > 13 else major}x"


def _fix(cupy, driver):
    """What to install when CuPy is there but its kernels don't run."""
    try:
        built = cupy.cuda.runtime.runtimeGetVersion() // 1000
    except Exception:
        return f"reinstall it: pip install {_package(driver[0])}"
    if built > driver[0]:
        return (
            f"it is built for CUDA {built}, the driver speaks {driver[0]}.{driver[1]}: "
            f"pip uninstall {_package(built)}, then pip install {_package(driver[0])}"
        )
    return (
        "if CUDA's compiler is missing: pip install "
        f"nvidia-cuda-nvrtc-cu{built} nvidia-cuda-runtime-cu{built}"
    )


def _one_line(e):
    return f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"
