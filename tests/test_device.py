"""Moving arrays, probing for a GPU (with planted CuPys), and the stand-in device."""

import sys
import types

import numpy as np
import pytest
import strict

import scratchnn
from scratchnn import GraphError, Tensor
from scratchnn import device as on
from scratchnn.device import beside, gpu_probe, standard_normal, to_device


# ---- CuPys of every kind --------------------------------------------------------
def a_cupy(runtime=12_060, zeros=np.zeros):
    """A module that looks like CuPy. Its arrays are those of the stand-in device."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "13.4.0"
    cupy.zeros = lambda n: strict.put(zeros(n))
    cupy.asarray = strict.put
    runtime_module = types.SimpleNamespace(
        getDeviceProperties=lambda i: {"name": b"NVIDIA T4"},
        runtimeGetVersion=lambda: runtime,
    )
    cupy.cuda = types.SimpleNamespace(runtime=runtime_module)
    return cupy


@pytest.fixture
def machine(monkeypatch):
    """A machine with this driver and this CuPy: a module, an exception, or None."""

    def build(driver, cupy):
        monkeypatch.setattr(on, "driver_version", lambda: driver)
        gpu_probe.cache_clear()
        if isinstance(cupy, Exception):
            monkeypatch.delitem(sys.modules, "cupy", raising=False)
            monkeypatch.setattr(sys, "meta_path", [Finder(cupy), *sys.meta_path])
        else:
            monkeypatch.setitem(sys.modules, "cupy", cupy)

    yield build
    gpu_probe.cache_clear()


class Finder:
    """Makes `import cupy` raise."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name == "cupy":
            raise self.error


def broken(n):
    raise RuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image\nmore")


MISSING = ModuleNotFoundError("No module named 'cupy'", name="cupy")
BROKEN = ImportError("libcublas.so.12: cannot open shared object file")
MACHINES = {
    "no driver": (
        None,
        a_cupy(),
        "no NVIDIA driver found; the CPU does everything, only slower",
    ),
    "no CuPy, CUDA 12": (
        (12, 4),
        MISSING,
        "CuPy is not installed and the driver speaks CUDA 12.4: pip install "
        "cupy-cuda12x",
    ),
    "no CuPy, CUDA 13": (
        (13, 0),
        MISSING,
        "CuPy is not installed and the driver speaks CUDA 13.0: pip install "
        "cupy-cuda13x",
    ),
    "half a CuPy": (
        (12, 4),
        ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"),
        "CuPy lacks the module fastrlock: pip install cupy-cuda12x",
    ),
    "CuPy can't be imported": (
        (12, 4),
        BROKEN,
        "CuPy can't be imported (ImportError: libcublas.so.12: cannot open shared "
        "object file); the driver speaks CUDA 12.4: pip install cupy-cuda12x",
    ),
    "kernel fails, CuPy too new for the driver": (
        (12, 4),
        a_cupy(13_000, broken),
        "CuPy can't run a kernel (RuntimeError: CUDA_ERROR_NO_BINARY_FOR_GPU: no "
        "kernel image); it is built for CUDA 13, the driver speaks 12.4: pip uninstall "
        "cupy-cuda13x, then pip install cupy-cuda12x",
    ),
    "kernel fails otherwise": (
        (12, 4),
        a_cupy(12_060, broken),
        "CuPy can't run a kernel (RuntimeError: CUDA_ERROR_NO_BINARY_FOR_GPU: no "
        "kernel image); if CUDA's compiler is missing: pip install "
        "nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12",
    ),
    "kernel is wrong": ((12, 4), a_cupy(zeros=np.ones), "the GPU computes 0 + 1 = 2.0"),
}


@pytest.mark.parametrize("case", MACHINES)
def test_probe_says_why_there_is_no_gpu_and_what_to_install(machine, case):
    driver, cupy, text = MACHINES[case]
    machine(driver, cupy)
    assert gpu_probe() == (False, text)
    with pytest.raises(RuntimeError) as e:
        to_device(np.zeros(3), "gpu")
    assert str(e.value) == f"device 'gpu' can't be used: {text}"


def test_probe_names_a_gpu_that_ran_a_kernel(machine):
    machine((12, 4), a_cupy())
    assert gpu_probe() == (True, "NVIDIA T4, CuPy 13.4.0, the driver speaks CUDA 12.4")


def test_driver_version_is_read_from_the_driver(monkeypatch):
    class Driver:
        def __init__(self, name):
            pass

        def cuDriverGetVersion(self, version):
            version._obj.value = 12_060
            return 0

    monkeypatch.setattr(on.ctypes, "CDLL", Driver)
    assert on.driver_version() == (12, 6)
    Driver.cuDriverGetVersion = lambda self, version: 999
    assert on.driver_version() is None

    def missing(name):
        raise OSError

    monkeypatch.setattr(on.ctypes, "CDLL", missing)
    assert on.driver_version() is None


# ---- moving ---------------------------------------------------------------------
@pytest.mark.parametrize("gpu", ["gpu", "cuda"])
def test_there_and_back_again(machine, gpu):
    machine((12, 4), a_cupy())
    x = np.arange(6.0).reshape(2, 3)
    moved = to_device(x, gpu)
    assert isinstance(moved, strict.StrictArray)
    np.testing.assert_array_equal(to_device(moved, "cpu"), x)


def test_nothing_moves_if_it_is_there(machine):
    machine((12, 4), a_cupy())
    x = Tensor([1.0])
    assert x.to("cpu") is x
    y = x.to("gpu")
    assert y.to("gpu") is y and y.device == "gpu" and x.device == "cpu"


def test_a_moved_trainable_tensor_is_trainable(machine):
    machine((12, 4), a_cupy())
    w = Tensor([1.0, 2.0], requires_grad=True).to("gpu")
    (w * w).sum().backward()
    assert isinstance(w.grad, strict.StrictArray)
    np.testing.assert_array_equal(w.grad.get(), [2, 4])
    np.testing.assert_array_equal(w.detach().numpy(), [1, 2])
    assert repr(w) == repr(w.to("cpu"))


def test_the_output_of_an_op_does_not_leave_its_graph(machine):
    machine((12, 4), a_cupy())
    y = Tensor([1.0], requires_grad=True) * 2
    with pytest.raises(GraphError, match="output of multiply .* t.detach()"):
        y.to("gpu")


def test_an_unknown_device_is_named():
    with pytest.raises(ValueError) as e:
        Tensor([1.0]).to("tpu")
    assert str(e.value) == "unknown device 'tpu'; expected 'cpu' or 'gpu'"


def test_random_numbers_are_the_same_on_every_device(device):
    draw = lambda like: standard_normal(np.random.default_rng(0), (3, 5), like)
    here, there = draw(np.zeros(2, np.float32)), draw(device.put(np.zeros(2, "f4")))
    assert here.dtype == there.dtype == np.float32
    assert isinstance(there, device.array)
    np.testing.assert_array_equal(here, there.get())


def test_beside_a_numpy_scalar_is_numpy():
    assert type(beside([1.0], np.float32(1))) is np.ndarray


def test_network_trains_on_the_device_as_on_the_cpu(device):
    def losses(put):
        rng = np.random.default_rng(0)
        draw = lambda *shape: put(rng.standard_normal(shape).astype(np.float32))
        x, t = draw(8, 3), draw(8, 2)
        w, v = (Tensor(draw(*s), requires_grad=True) for s in ((3, 5), (5, 2)))
        for _ in range(5):
            loss = ((scratchnn.tanh(x @ w) @ v - t) ** 2).mean()
            loss.backward()
            for p in (w, v):
                p.data -= 0.1 * p.grad
                p.grad = None
            yield loss.item()

    cpu = list(losses(lambda x: x))
    np.testing.assert_allclose(cpu, list(losses(device.put)), rtol=1e-4)
    assert cpu[-1] < cpu[0]


# ---- the stand-in device is as strict as CuPy -----------------------------------
@pytest.mark.parametrize(
    "refused",
    [
        lambda x, h: np.asarray(x),
        lambda x, h: np.array([x, x]),
        lambda x, h: x + h,
        lambda x, h: h + x,
        lambda x, h: h @ x,
        lambda x, h: np.where(x > 0, h, 0),
        lambda x, h: np.concatenate([x, h]),
        lambda x, h: np.add(x, 1, out=h),
        lambda x, h: np.add.at(x, [0], 1),
        lambda x, h: np.add.reduce(x),
        lambda x, h: x.sum(initial=0),
        lambda x, h: np.sum(x, where=x > 0),
        lambda x, h: np.trapezoid(x),
        lambda x, h: np.eye(3, like=x),
        lambda x, h: x[h.astype(int)],
        lambda x, h: x.__setitem__(slice(None), h),
        lambda x, h: x.__iadd__(h),
        lambda x, h: np.add(x, [1, 2, 3]),
    ],
)
def test_device_refuses_to_meet_numpy(device, refused):
    host = np.ones((3, 3))
    if device.array is not strict.StrictArray:
        pytest.skip("CuPy is laxer in places: an index may be a NumPy array")
    with pytest.raises(TypeError):
        refused(device.put(host), host)


@pytest.mark.parametrize(
    "result",
    [
        lambda x: x.sum(),
        lambda x: np.max(x),
        lambda x: x[0, 0],
        lambda x: 2.0 * x,
        lambda x: np.float64(2) * x,
        lambda x: np.sqrt(x, out=x),
        lambda x: np.zeros_like(x, shape=(2, 5)),
        lambda x: np.ones_like(x),
        lambda x: np.arange(5, like=x),
        lambda x: np.diag(np.ones_like(x, shape=3)),
        lambda x: np.asarray([1.0, 2.0], like=x),
        lambda x: np.linalg.slogdet(x + np.diag(x[0]))[1],
        lambda x: np.einsum("ij,kj->ik", x, x),
        lambda x: x @ x.T,
        lambda x: x > 0,
    ],
)
def test_results_stay_on_the_device(device, result):
    assert isinstance(result(device.put(np.ones((3, 3)))), device.array)


def test_in_place_changes_are_seen_by_views(device):
    x = device.put(np.zeros(3))
    view, same = x[1:], x
    x += 1
    assert same is x and view.base is not None and x.base is None
    np.testing.assert_array_equal(view.get(), [1, 1])
