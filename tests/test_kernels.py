"""Kernels equal the bodies they stand before, decline what they can't do, and go."""

import logging
import pathlib
import shutil

import numpy as np
import pytest
from helpers import both, normal, python, watching

import scratchnn as snn
from scratchnn import TABLE, Tensor, grad, kernels

pytest.importorskip("numba", reason="kernels need numba")
RNG = np.random.default_rng(0)
float32 = normal(RNG)


# One float32 rounding of a sum of d terms of size 1 is about sqrt(d) half-units in
# the last place; y and g are of order 1.
def tolerance(d):
    return 4 * np.sqrt(d) * np.finfo(np.float32).eps


@pytest.mark.parametrize(
    "shape, axis",
    [((257, 131), -1), ((131, 2, 128), (1, 2)), ((4, 8192), (-1,)), ((16384, 1), 1)],
)
def test_standardize_and_its_rule_equal_the_reference(shape, axis):
    x, g = 3 * float32(*shape) + 2, float32(*shape)
    d = np.prod(shape) // shape[0]

    def run():
        t = Tensor(x, requires_grad=True)
        y = TABLE["standardize"].call(t, axis=axis, eps=1e-3)
        y.backward(g)
        return y.data, t.grad

    (y, gx), (y_, gx_) = both(run)
    np.testing.assert_allclose(y, y_, atol=tolerance(d))
    np.testing.assert_allclose(gx, gx_, atol=tolerance(d))
    assert y.dtype == gx.dtype == np.float32


@pytest.mark.parametrize("index_shape", [(512,), (32, 16)])
def test_scatter_of_rows_equals_the_reference(index_shape):
    index = RNG.integers(-7, 7, index_shape)
    x = float32(*index_shape, 33)
    fast, slow = both(lambda: snn.scatter(x, index, shape=(7, 33)))
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-4)
    assert fast.dtype == np.float32


def test_scatter_checks_shapes_as_the_body_does():
    x, index = float32(256, 64), np.arange(128)
    with pytest.raises(snn.ShapeError):
        snn.scatter(x, index, shape=(128, 128))  # as many elements, other rows
    rows, spread = float32(128, 128), RNG.integers(0, 1000, (4, 128))
    fast, slow = both(lambda: snn.scatter(rows, spread, shape=(1000, 128)))
    np.testing.assert_allclose(fast, slow, rtol=1e-5, atol=1e-5)


def test_scatter_out_of_range_is_still_an_error():
    with pytest.raises(IndexError, match="scatter: index .* out of bounds"):
        snn.scatter(float32(512, 64), np.full(512, 9), shape=(7, 64))


def test_second_derivatives_pass_by_the_kernel():
    x, w = float32(130, 130), float32(130, 130)
    t = Tensor(x, requires_grad=True)

    def curvature():
        y = TABLE["standardize"].call(t, axis=-1)
        (g,) = grad((y * w).sum(), [t])
        return grad((g * w).sum(), t).data

    fast, slow = both(curvature)
    np.testing.assert_allclose(fast, slow, atol=1e-3 * abs(slow).max())


@pytest.mark.parametrize(
    "x",
    [
        float32(128, 128).astype(np.float64),
        float32(128, 256)[:, ::2],
        float32(16, 16),
    ],
    ids=["float64", "strided", "small"],
)
def test_kernels_decline_what_does_not_suit_them(x):
    assert not kernels.suits(x)
    fast, slow = both(lambda: TABLE["standardize"].call(x, axis=-1))
    np.testing.assert_array_equal(fast, slow)


def test_standardize_over_other_axes_is_declined():
    assert TABLE["standardize"].fast(float32(128, 128), axis=0, eps=1e-5) is (
        NotImplemented
    )


def test_nan_and_infinity_pass_through():
    x = float32(128, 128)
    x[3, 4], x[5, 6] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        fast, slow = both(lambda: TABLE["standardize"].call(x, axis=-1))
    np.testing.assert_array_equal(np.isnan(fast), np.isnan(slow))
    assert np.isnan(fast[3]).all() and not np.isnan(fast[4]).any()


SHOW = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
{before}
import numpy as np, scratchnn as snn
x = np.ones((128, 256), np.float32)
print(snn.TABLE["standardize"].call(x, axis=-1).sum(), "numba" in sys.modules)
"""


def test_scratchnn_jit_0_runs_numpy_and_says_so_once():
    done = python(SHOW.format(before=""), SCRATCHNN_JIT="0")
    assert done.stdout.split() == ["0.0", "False"]
    assert done.stderr == (
        "INFO kernels are off: SCRATCHNN_JIT=0; NumPy runs instead\n"
    )


def test_a_missing_numba_runs_numpy_and_says_so_once():
    done = python(SHOW.format(before="sys.modules['numba'] = None"), SCRATCHNN_JIT="1")
    assert done.stdout.split()[0] == "0.0"
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("INFO kernels are off: numba can't be used")


def test_numba_is_imported_with_the_first_kernel_only():
    code = (
        "import sys, numpy as np, scratchnn as snn\n"
        "f = snn.TABLE['standardize'].call\n"
        "f(np.ones((2, 3), np.float32), axis=-1)\n"
        "small = 'numba' in sys.modules\n"
        "f(np.ones((128, 256), np.float32), axis=-1)\n"
        "print(small, 'numba' in sys.modules)"
    )
    assert python(code, SCRATCHNN_JIT="1").stdout.split() == ["False", "True"]


@pytest.mark.parametrize("rows, declines", [(32, True), (64, False)])
def test_a_softmax_pays_from_2048_numbers_on(rows, declines):
    with watching(TABLE["softmax"]) as declined:
        snn.softmax(float32(rows, 32), axis=-1)
    assert declined == [declines]


def test_compiled_kernels_are_kept_among_the_readers_caches(tmp_path):
    package, caches = tmp_path / "scratchnn", tmp_path / "caches"
    compiled = shutil.ignore_patterns("*.nb[ci]")  # by tests that run beside this one
    shutil.copytree(pathlib.Path(snn.__file__).parent, package, ignore=compiled)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from scratchnn import kernels; list(kernels.warmup())"
    )
    env = dict(NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(caches), SCRATCHNN_JIT="1")
    assert python(code, **env).stderr == ""
    assert any((caches / "scratchnn" / "numba").rglob("*.nbc"))
    assert not any(package.rglob("*.nb[ci]"))


def test_an_edit_of_any_kernel_file_leaves_the_compiled_code_behind(tmp_path):
    package = tmp_path / "scratchnn"
    shutil.copytree(pathlib.Path(snn.__file__).parent, package)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import numpy as np, scratchnn as snn\n"
        "print(*snn.sigmoid(np.zeros((128, 256), np.float32))[0, :2])"
    )
    env = dict(NUMBA_CACHE_DIR=str(tmp_path / "cache"), SCRATCHNN_JIT="1")
    assert python(code, **env).stdout.split() == ["0.5", "0.5"]
    exp = package / "kernels" / "exp.py"  # sigmoid's loop stands in elementwise.py
    right = "return ONE / (ONE + exp(-x))"
    assert right in exp.read_text()
    exp.write_text(exp.read_text().replace(right, "return TWO / (ONE + exp(-x))"))
    assert python(code, **env).stdout.split() == ["1.0", "1.0"]


def test_a_rule_is_looked_for_where_there_is_one():
    rules = {n: kernels._part(n, f, "rule") for n, f in kernels.KERNELS.items()}
    assert kernels.NO_RULE == {name for name, rule in rules.items() if rule is None}


def test_warmup_names_every_kernel():
    named = ", ".join(names for names, _ in kernels.warmup()).split(", ")
    everything = [*kernels.KERNELS, *kernels.STEPS]
    assert sorted(named) == sorted(name.strip("_") for name in everything)


WARM = (  # two small files; prints how many loops this process compiled, and loaded
    "import logging, sys\n"
    "from scratchnn import kernels\n"
    "logging.basicConfig(level='INFO', format='%(message)s')\n"
    "kernels.KERNELS = {{'_dropout': 'dropout', 'max_windows': 'pool'}}\n"
    "kernels.STEPS, kernels.get_num_threads = {{}}, lambda: 2\n"
    "{before}\n"
    "names = sorted(names for names, _ in kernels.warmup())\n"
    "pool = kernels.load('pool')._max_rule\n"
    "print(*names, len(pool.stats.cache_misses), len(pool.stats.cache_hits))"
)


def warm(folder, before="", **env):
    code = WARM.format(before=before)
    return python(code, NUMBA_CACHE_DIR=str(folder), SCRATCHNN_JIT="1", **env)


def test_warmup_compiles_in_other_processes_and_loads_here(tmp_path):
    assert warm(tmp_path).stdout.split() == ["dropout", "max_windows", "0", "1"]
    # and starts none where there is nothing to do
    before = "import subprocess; subprocess.Popen = None"
    again = warm(tmp_path, before)
    assert again.stdout.split() == ["dropout", "max_windows", "0", "1"], again.stderr


def test_warmup_compiles_here_what_another_process_could_not(tmp_path):
    done = warm(tmp_path, f"sys.executable = {shutil.which('false')!r}")
    assert done.stdout.split() == ["dropout", "max_windows", "1", "0"]
    assert done.stderr.count("could not compile") == 2


def test_attach_is_quiet_when_kernels_are_on(caplog):
    caplog.set_level(logging.INFO, "scratchnn")
    assert kernels.attach()
    assert caplog.text == ""


# ---- that it compiles -----------------------------------------------------------
COMPILING = (
    "scratchnn: compiling kernels, once (about 20 s); `scratchnn warmup` does it "
    "beforehand\n"
)


def test_a_first_step_says_that_it_compiles_and_the_next_process_does_not(tmp_path):
    code = (
        "import numpy as np, scratchnn as snn\n"
        "x = np.ones((128, 256), np.float32)\n"
        "snn.softmax(x), snn.sigmoid(x), snn.tanh(x)\n"
        "snn.attention(x, x, x)"
    )
    for said in (COMPILING, ""):
        done = python(code, NUMBA_CACHE_DIR=str(tmp_path), SCRATCHNN_JIT="1")
        assert (done.returncode, done.stderr) == (0, said)


def compiles(announcer, seconds, module="scratchnn.kernels.conv"):
    """Tell it of a kernel that is compiled for so long, with another inside."""
    import time
    import types

    from numba.core.event import Event, EventStatus

    function = types.SimpleNamespace(__module__=module)
    data = {"dispatcher": types.SimpleNamespace(py_func=function)}
    start, end = EventStatus.START, EventStatus.END
    for status in (start, start, end):
        announcer.notify(Event("numba:compile", status, data))
    time.sleep(seconds)
    announcer.notify(Event("numba:compile", end, data))


def test_compiling_is_said_once_and_only_if_it_takes_long(monkeypatch, caplog):
    compiling = kernels.load("compiling")
    monkeypatch.setattr(compiling, "SLOW", 0.2)
    announcer = compiling._Announcer()
    compiles(announcer, 1, module="readers_own")
    compiles(announcer, 0)
    assert not caplog.records
    for _ in range(3):
        compiles(announcer, 0.15)  # 0.2 s are over in the second
    (record,) = caplog.records
    assert record.getMessage() + "\n" == COMPILING
    assert (record.name, record.levelname) == ("scratchnn", "WARNING")
