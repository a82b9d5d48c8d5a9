"""The linear kernel: as exact as NumPy, whatever the rows, layout and threads."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import scratchnn as snn
from scratchnn import TABLE, Tensor

pytest.importorskip("numba", reason="kernels need numba")
pytest.importorskip("scratchnn.kernels.threads", reason="linear needs one pool")
RNG = np.random.default_rng(0)
LINEAR = TABLE["linear"]


def float32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def close(found, exact, k):
    """Sums of k products of order 1 are off by at most k roundings of sqrt(k)."""
    np.testing.assert_allclose(found, exact, atol=k**1.5 * np.finfo(np.float32).eps)


# Odd sizes, one row, fewer rows than threads, and leading axes.
SHAPES = [((131, 67), 73), ((1, 1031), 1031), ((3, 5, 257), 301), ((2, 769), 769)]


@pytest.mark.parametrize("shape, out", SHAPES)
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_and_its_rule_equal_float64(shape, out, has_bias):
    x, w, g = float32(*shape), float32(out, shape[-1]), float32(*shape[:-1], out)
    b = float32(out) if has_bias else None
    tensors = [Tensor(v, requires_grad=True) for v in (x, w) + (b,) * has_bias]
    y = snn.linear(*tensors)
    y.backward(g)
    rows, g64 = x.reshape(-1, shape[-1]).astype(float), g.reshape(-1, out).astype(float)
    bias = b.astype(float) if has_bias else 0
    close(y.data, x.astype(float) @ w.T.astype(float) + bias, shape[-1])
    close(tensors[0].grad, g.astype(float) @ w.astype(float), out)
    close(tensors[1].grad, g64.T @ rows, len(rows) + 2)
    if has_bias:
        close(tensors[2].grad, g64.sum(axis=0), len(rows) + 2)
    assert LINEAR.fast(x, w, b) is not NotImplemented


def test_only_the_gradients_needed_are_computed():
    x, w, b, g = float32(128, 100), float32(200, 100), float32(200), float32(128, 200)
    for need in ([True, False, False], [False, True, False], [False, False, True]):
        joint = LINEAR.fast_rule(g, None, need, x, w, b)
        assert [gx is not None for gx in joint] == need


def test_g_may_have_any_layout():
    x, w = float32(128, 100), float32(200, 100)
    g = float32(200, 128).T
    found = LINEAR.fast_rule(g, None, [True, True, False], x, w, None)
    close(found[0], g.astype(float) @ w, 200)
    close(found[1], g.T.astype(float) @ x, 128)
    ones = np.broadcast_to(np.float32(1), (128, 200))
    found = LINEAR.fast_rule(ones, None, [True, False, False], x, w, None)
    close(found[0], ones @ w.astype(float), 200)


def test_arrays_may_be_read_only():
    x, w = float32(128, 100), float32(200, 100)
    x.flags.writeable = w.flags.writeable = False
    close(snn.linear(x, w), x.astype(float) @ w.T, 100)


@pytest.mark.parametrize(
    "x, w, b",
    [
        (float32(128, 100), float32(100, 200).T, None),
        (float32(128, 100), float32(200, 100).astype(float), None),
        (float32(128, 100), float32(200, 100), float32(200).astype(float)),
        (float32(128, 200)[:, ::2], float32(200, 100), None),
        (float32(10, 100), float32(20, 100), None),
        (float32(128, 100), float32(200, 100), float32(1)),
        (float32(1 << 20), float32(2, 1 << 20), None),
        (np.empty((128, 0), np.float32), np.empty((200, 0), np.float32), None),
    ],
    ids="turned float64 bias64 strided small one-bias vector empty".split(),
)
def test_what_the_kernel_cannot_do_is_numpys(x, w, b):
    assert LINEAR.fast(x, w, b) is NotImplemented
    np.testing.assert_array_equal(snn.linear(x, w, b), LINEAR.body(x, w, b))


def test_wrong_shapes_are_still_explained():
    with pytest.raises(ValueError, match="linear"):
        snn.linear(float32(128, 100), float32(200, 101))


def test_nan_stays_in_its_row():
    x, w = float32(128, 100), float32(200, 100)
    x[3, 4] = np.nan
    y = snn.linear(x, w, float32(200))
    assert np.isnan(y[3]).all() and not np.isnan(np.delete(y, 3, axis=0)).any()


def test_results_are_the_same_from_run_to_run_and_from_several_threads():
    x, w, b = float32(128, 300), float32(200, 300), float32(200)
    first, found = snn.linear(x, w, b), []

    def work():
        for _ in range(20):
            found.append(np.array_equal(snn.linear(x, w, b), first))
            found.append(bool((x @ w.T).any()))  # NumPy's product in between

    pool = [threading.Thread(target=work) for _ in range(3)]
    for t in pool:
        t.start()
    for t in pool:
        t.join()
    assert found == [True] * 120
    assert snn.get_num_threads() == snn.threads.blas().get_threads() >= 1


def test_the_number_of_blas_threads_is_put_back():
    before = snn.get_num_threads()
    snn.linear(float32(128, 100), float32(200, 100))
    assert snn.get_num_threads() == before


def test_without_openblas_linear_is_numpys():
    code = (
        "import numpy as np, scratchnn as snn\n"
        "snn.threads.OPENBLAS['sgemm'] = 'no_such_symbol'\n"
        "x, w = np.ones((128, 100), 'f4'), np.ones((200, 100), 'f4')\n"
        "print((snn.linear(x, w) == 100).all(), snn.TABLE['linear'].fast)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "None"], done.stderr
