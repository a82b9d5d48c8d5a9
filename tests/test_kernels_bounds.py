"""Kernels that work on addresses touch nothing outside of their arrays.

Every array, given or made by the kernel, lies at the very end of its memory, or at the
very start: behind, or before, is a page that may not be touched. A process that
touches it dies.
"""

import ctypes
import mmap
import subprocess
import sys

import numpy as np
import pytest

if __name__ != "__main__":
    pytest.importorskip("numba", reason="kernels need numba")
    if sys.platform != "linux":
        pytest.skip("mprotect by ctypes is tried on Linux", allow_module_level=True)
PAGE, CASES = mmap.PAGESIZE, 60


def guarded(shape, dtype, at_end):
    """An array of its own pages between two that may not be touched."""
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, room + 2 * PAGE)
    x = np.frombuffer(memory, np.uint8)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (x.ctypes.data, x.ctypes.data + PAGE + room):
        assert protect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) == 0
    start = PAGE + (room - size if at_end else 0)
    return x[start : start + size].view(dtype).reshape(shape)


class Guards:
    """Stands for NumPy in a kernel file, so that its own arrays are guarded, too."""

    def __init__(self, at_end):
        self.at_end = at_end

    def __getattr__(self, name):
        own = getattr(np, name)
        if name not in ("append", "arange", "array", "concatenate", "full", "pad"):
            return own
        return lambda *args, **how: self.put(own(*args, **how))

    def empty(self, shape, dtype=float):
        x = guarded(shape, dtype, self.at_end)
        if x.dtype == np.float32:
            x.fill(np.nan)  # what is in new memory must not matter
        return x

    def zeros(self, shape, dtype=float):
        return guarded(shape, dtype, self.at_end)

    def empty_like(self, x):
        return self.empty(x.shape, x.dtype)

    def put(self, x):
        y = guarded(x.shape, x.dtype, self.at_end)
        y[...] = x
        return y


def guarding(plan, guards):
    """A function that makes plans of conv's windows, with guarded tables."""

    def make(*shapes):
        made = plan(*shapes)
        tables = made._asdict().items() if made else ()
        own = {k: guards.put(x) for k, x in tables if type(x) is np.ndarray}
        return made._replace(**own) if made else None

    return make


# ---- the kernels, each at sizes that are drawn -----------------------------------
def convolution(rng, normal, conv):
    n, c, o = rng.integers(1, (6, 6, 6 if rng.integers(2) else 40))
    stride = int(rng.integers(1, 4))
    kh, kw = rng.integers(1, 6, 2)
    most = 3 * kh if rng.integers(5) else 200  # padding beyond any sense
    ph, pw = (int(n) for n in rng.integers(0, most, 2))
    h, w = (max(k - 2 * p, 1) + rng.integers(0, 30) for k, p in ((kh, ph), (kw, pw)))
    x, weight, bias = normal(n, c, h, w), normal(o, c, kh, kw), normal(o)
    how = (stride, (ph, pw), 1, 1)
    y = conv.conv2d_forward(x, weight, bias, *how)
    conv.conv2d_rule(normal(*y.shape), y, (True,) * 3, x, weight, bias, *how)
    yield y
    weight = normal(c, o, kh, kw)
    how = (stride, (ph, pw), 0, 1, 1)
    y = conv.conv_transpose2d_forward(x, weight, bias, *how)
    if y is not NotImplemented:
        g = normal(*y.shape)
        yield y
        yield from conv.conv_transpose2d_rule(g, y, (True,) * 3, x, weight, bias, *how)


def attention(rng, normal, kernel):
    B, h = rng.integers(1, 4, 2)
    T, S = rng.integers(1, 300, 2)
    d = int(rng.integers(16, 60))
    mask, causal = None, bool(rng.integers(2))
    if rng.integers(2):
        axes = [n if rng.integers(2) else 1 for n in (B, h, T, S)]
        mask = normal(*axes) > 0
    q, k, v = normal(B, h, T, d), normal(B, h, S, d), normal(B, h, S, d)
    y = kernel.attention_forward(q, k, v, mask, causal)
    g = normal(*y.shape)
    yield y
    yield from kernel.attention_rule(g, y, (True,) * 3, q, k, v, mask, causal)
    q, kv = normal(B, T, h * d), normal(B, S, 2 * h * d)
    packed = kv, int(h), mask, causal
    y = kernel.multihead_attention_forward(q, *packed)
    g = normal(*y.shape)
    yield y
    yield from kernel.multihead_attention_rule(g, y, (True,) * 2, q, *packed)


def sparse(rng, normal, kernel):
    from scratchnn.ops.sparse import Pattern

    n, m, entries, width = rng.integers(1, 90, 4)
    rows, columns = rng.integers(0, n, entries), rng.integers(0, m, entries)
    pattern = Pattern(rows, columns, (int(n), int(m)))
    values, x, g = normal(len(pattern)), normal(m, width), normal(n, width)
    y = kernel.sparse_matmul_forward(values, x, pattern)
    yield y
    yield from kernel.sparse_matmul_rule(g, y, (True, True), values, x, pattern)
    yield kernel.sampled_matmul_forward(g, x, pattern)


def product(rng, normal, kernel):
    m, k, n = rng.integers(1, 90 if rng.integers(3) else 600, 3)
    for turn_a in (False, True):
        for turn_b in (False, True):
            a = normal(k, m) if turn_a else normal(m, k)
            b = normal(n, k) if turn_b else normal(k, n)
            yield kernel.product(a, b, turn_a, turn_b)
            yield kernel.product(a, b, turn_a, turn_b, normal(n))


FILES = dict(conv=convolution, attention=attention, sparse=sparse, product=product)


@pytest.mark.parametrize("at_end", [True, False], ids=["behind", "before"])
@pytest.mark.parametrize("file", FILES)
def test_nothing_outside_of_the_arrays_is_touched(file, at_end):
    command = [sys.executable, __file__, file, str(int(at_end))]
    done = subprocess.run(command, capture_output=True, text=True)
    if "declined" in done.stdout:
        pytest.skip(done.stdout)
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr)
    assert done.stdout.endswith("done\n")


def test_a_touch_outside_of_an_array_ends_the_process():
    code = (
        "import ctypes, sys, numpy as np\n"
        f"sys.argv = [{__file__!r}]\n"
        "from test_kernels_bounds import guarded\n"
        "x = guarded(5, np.float32, sys.stdin.read() == 'behind')\n"
        "x[:] = 1\n"
        "print(*x, flush=True)\n"
        "ctypes.c_float.from_address(x.ctypes.data + int({}))"
    )
    for side, offset in (("behind", 20), ("before", -4)):
        read = code.format(offset) + ".value"
        done = subprocess.run(
            [sys.executable, "-c", read],
            input=side,
            capture_output=True,
            text=True,
            cwd=__file__.rpartition("/")[0],
        )
        assert done.returncode < 0 and done.stdout.split() == ["1.0"] * 5


def main(file, at_end):
    import scratchnn as snn
    from scratchnn import kernels

    snn.set_num_threads(2)
    kernel = kernels.load(file)
    if kernel is None:
        print("declined here")
        return
    for _ in kernels.warmup():  # which is to see NumPy itself
        pass
    rng, kernel.np = np.random.default_rng(0), Guards(at_end)
    for name in ("conv_plan", "transposed_plan") if file == "conv" else ():
        setattr(kernel, name, guarding(getattr(kernel, name), kernel.np))

    def normal(*shape):
        return kernel.np.put(rng.standard_normal(shape, np.float32))

    for i in range(CASES):
        print(i, flush=True)  # the last one, if the process dies
        for y in FILES[file](rng, normal, kernel):
            assert np.isfinite(y).all()
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1")
