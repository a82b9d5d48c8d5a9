"""Convolution, pooling and resizing: the formulas as loops, and parity with PyTorch."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import scratchnn as snn
from scratchnn import ShapeError, Tensor, grad

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="parity with PyTorch needs torch")
    torch.set_num_threads(2)
    return torch


def close(a, b):
    """Equal up to the rounding of sums of at most a few hundred float64 terms."""
    a, b = (np.asarray(t.detach() if hasattr(t, "detach") else t) for t in (a, b))
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def distinct(*shape):
    n = int(np.prod(shape))
    return np.random.default_rng(n).permutation(n).reshape(shape).astype(float)


def agree_to_second_order(torch, ours, theirs, *arrays):
    """f, its gradients along a random g, and the gradients of those, are PyTorch's."""
    xs = [Tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = ours(*xs), theirs(*ts)
    close(y, t)
    g = normal(*y.shape, seed=1)
    g_s, g_t = Tensor(g, requires_grad=True), torch.tensor(g, requires_grad=True)
    first = grad(y, xs, g_s)
    first_t = torch.autograd.grad(t, ts, g_t, create_graph=True)
    for a, b in zip(first, first_t):
        close(a, b)
    us = [normal(*a.shape, seed=2 + i) for i, a in enumerate(arrays)]
    total = sum((a * u).sum() for a, u in zip(first, us))
    total_t = sum((a * torch.tensor(u)).sum() for a, u in zip(first_t, us))
    second = grad(total, [*xs, g_s], allow_unused=True)
    second_t = torch.autograd.grad(total_t, [*ts, g_t], allow_unused=True)
    for a, b, x in zip(second, second_t, [*ts, g_t]):
        close(a, torch.zeros_like(x) if b is None else b)


# ---- the formulas as loops ------------------------------------------------------
def loop_conv2d(x, w, b, stride, padding, dilation, groups):
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    (N, _, H, W), (n_out, n_in, kh, kw) = x.shape, w.shape
    oh = (H + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (W + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((N, n_out, oh, ow))
    for n, o, i, j in np.ndindex(y.shape):
        y[n, o, i, j] = b[o]
        first = o // (n_out // groups) * n_in  # the group's first input channel
        for c, u, v in np.ndindex(n_in, kh, kw):
            row, column = i * sh + u * dh - ph, j * sw + v * dw - pw
            if 0 <= row < H and 0 <= column < W:
                y[n, o, i, j] += w[o, c, u, v] * x[n, first + c, row, column]
    return y


def loop_conv_transpose2d(x, w, b, stride, padding, extra, dilation, groups):
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    (N, n_in, h, wide), (_, n_out, kh, kw) = x.shape, w.shape
    H = (h - 1) * sh - 2 * ph + dh * (kh - 1) + 1 + extra[0]
    W = (wide - 1) * sw - 2 * pw + dw * (kw - 1) + 1 + extra[1]
    y = np.zeros((N, n_out * groups, H, W)) + b[:, None, None]
    for n, c, i, j in np.ndindex(x.shape):
        first = c // (n_in // groups) * n_out  # the group's first output channel
        for o, u, v in np.ndindex(n_out, kh, kw):
            row, column = i * sh + u * dh - ph, j * sw + v * dw - pw
            if 0 <= row < H and 0 <= column < W:
                y[n, first + o, row, column] += w[c, o, u, v] * x[n, c, i, j]
    return y


LAYOUTS = [  # stride, padding, dilation, groups
    ((1, 1), (0, 0), (1, 1), 1),
    ((2, 1), (1, 0), (1, 1), 1),
    ((1, 3), (2, 1), (2, 1), 2),
    ((2, 2), (1, 2), (1, 2), 2),
]


@pytest.mark.parametrize("stride, padding, dilation, groups", LAYOUTS)
def test_conv2d_is_its_formula(stride, padding, dilation, groups):
    x, w, b = normal(2, 4, 5, 7), normal(6, 4 // groups, 3, 2), normal(6)
    how = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    y = loop_conv2d(x, w, b, **how)
    close(snn.conv2d(x, w, b, **how), y)
    close(snn.conv2d(x[0], w, b, **how), y[0])
    close(snn.conv2d(x, w, **how), y - b[:, None, None])


@pytest.mark.parametrize("stride, padding, dilation, groups", LAYOUTS)
def test_conv_transpose2d_is_its_formula(stride, padding, dilation, groups):
    x, w, b = normal(2, 4, 3, 5), normal(4, 3, 3, 2), normal(3 * groups)
    how = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    for extra in itertools.product(*(range(max(p)) for p in zip(stride, dilation))):
        y = loop_conv_transpose2d(x, w, b, extra=extra, **how)
        close(snn.conv_transpose2d(x, w, b, output_padding=extra, **how), y)
        close(snn.conv_transpose2d(x[0], w, b, output_padding=extra, **how), y[0])


def test_conv2d_does_not_flip_the_kernel():
    x, w = np.arange(3.0).reshape(1, 1, 3), np.array([[[[10.0, 1.0]]]])
    assert snn.conv2d(x, w).ravel().tolist() == [1.0, 12.0]


def loop_pool(x, size, stride, padding, count_include_pad):
    """Maxima and means of the windows; without ceil_mode and dilation."""
    n, m = (
        (side + 2 * p - k) // s + 1
        for side, k, s, p in zip(x.shape[-2:], size, stride, padding)
    )
    largest, means = np.zeros((2, *x.shape[:-2], n, m))
    for i, j in np.ndindex(n, m):
        top, left = i * stride[0] - padding[0], j * stride[1] - padding[1]
        seen = x[..., max(top, 0) : top + size[0], max(left, 0) : left + size[1]]
        largest[..., i, j] = seen.max(axis=(-2, -1))
        count = size[0] * size[1] if count_include_pad else seen[0, 0].size
        means[..., i, j] = seen.sum(axis=(-2, -1)) / count
    return largest, means


@pytest.mark.parametrize(
    "size, stride, padding",
    [((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 0)), ((2, 3), (3, 1), (1, 1))],
)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_pools_are_the_maximum_and_mean_of_windows(
    size, stride, padding, count_include_pad
):
    x = normal(2, 3, 5, 7) - 3  # below 0: the zeros of the padding would win
    largest, means = loop_pool(x, size, stride, padding, count_include_pad)
    close(snn.max_pool2d(x, size, stride, padding), largest)
    how = dict(count_include_pad=count_include_pad)
    close(snn.avg_pool2d(x, size, stride, padding, **how), means)
    close(snn.avg_pool2d(x[0], size, stride, padding, **how), means[0])


def test_windows_and_overlap_add_are_transposes():
    x, how = normal(3, 7, 8), dict(stride=(2, 3), dilation=(1, 2))
    windows = snn.windows(x, size=(3, 2), **how)
    assert windows.shape == (3, 3, 2, 3, 2)
    assert windows[1, 2, 1, 0, 1] == x[1, 2 * 2 + 0, 1 * 3 + 1 * 2]
    g = normal(*windows.shape, seed=1)
    close(np.sum(windows * g), np.sum(x * snn.overlap_add(g, (7, 8), **how)))


def test_overlap_add_into_a_larger_image_leaves_the_rest_zero():
    g = Tensor(normal(3, 2, 2, 3, 2), requires_grad=True)
    y = snn.overlap_add(g, (9, 8), stride=2)
    close(y.data[:, :5, :4], snn.overlap_add(g.data, (5, 4), stride=2))
    assert not y.data[:, 5:].any() and not y.data[..., 4:].any()
    u = normal(3, 9, 8, seed=1)
    close(grad(y, g, Tensor(u)), snn.windows(u, (3, 2), stride=2)[:, :2, :2])


# ---- parity with PyTorch --------------------------------------------------------
@st.composite
def layouts(draw):
    """How a convolution is laid out, its kernel, and an image that the kernel fits."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    stride, dilation, kernel = (draw(pair) for _ in range(3))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    least = (d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, padding))
    return dict(
        how=dict(
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=draw(st.sampled_from([1, 2, 3])),
        ),
        kernel=kernel,
        image=tuple(max(n, 1) + draw(st.integers(0, 4)) for n in least),
        channels=draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        batch=draw(st.sampled_from([(), (1,), (2,)])),
        bias=draw(st.booleans()),
    )


@SETTINGS
@given(case=layouts())
def test_conv2d_is_pytorchs_to_second_order(torch, case):
    how, kernel, image = case["how"], case["kernel"], case["image"]
    n_in, n_out = (c * how["groups"] for c in case["channels"])
    arrays = [
        normal(*case["batch"], n_in, *image),
        normal(n_out, case["channels"][0], *kernel),
        normal(n_out),
    ]
    agree_to_second_order(
        torch,
        lambda *a: snn.conv2d(*a, **how),
        lambda *a: torch.nn.functional.conv2d(*a, **how),
        *arrays[: 2 + case["bias"]],
    )


@SETTINGS
@given(case=layouts(), data=st.data())
def test_conv_transpose2d_is_pytorchs_to_second_order(torch, case, data):
    how, kernel, image = case["how"], case["kernel"], case["image"]
    s, p, d = how["stride"], how["padding"], how["dilation"]
    extra = tuple(data.draw(st.integers(0, max(s[i], d[i]) - 1)) for i in range(2))
    for i in range(2):
        assume((image[i] - 1) * s[i] + d[i] * (kernel[i] - 1) + extra[i] >= 2 * p[i])
    n_in, n_out = (c * how["groups"] for c in case["channels"])
    arrays = [
        normal(*case["batch"], n_in, *image),
        normal(n_in, case["channels"][1], *kernel),
        normal(n_out),
    ]
    agree_to_second_order(
        torch,
        lambda *a: snn.conv_transpose2d(*a, output_padding=extra, **how),
        lambda *a: torch.nn.functional.conv_transpose2d(
            *a, output_padding=extra, **how
        ),
        *arrays[: 2 + case["bias"]],
    )


@SETTINGS
@given(data=st.data())
def test_pools_are_pytorchs_to_second_order(torch, data):
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    size, stride, dilation = (data.draw(pair) for _ in range(3))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in size)
    ceil_mode = data.draw(st.booleans())
    include = data.draw(st.booleans())
    image = data.draw(st.tuples(st.integers(7, 9), st.integers(7, 9)))
    x = distinct(*data.draw(st.sampled_from([(), (2,)])), 3, *image)
    F = torch.nn.functional
    how = (size, stride, padding, dilation, ceil_mode)
    agree_to_second_order(
        torch, lambda x: snn.max_pool2d(x, *how), lambda x: F.max_pool2d(x, *how), x
    )
    how = (size, stride, padding, ceil_mode, include)
    agree_to_second_order(
        torch, lambda x: snn.avg_pool2d(x, *how), lambda x: F.avg_pool2d(x, *how), x
    )


def test_pool_windows_are_pytorchs_at_every_small_size(torch):
    """Which windows exist, which entries they hold, and what they are divided by."""
    F, accepted, refused = torch.nn.functional, 0, 0
    for n, k, s in itertools.product(range(1, 9), range(1, 5), range(1, 4)):
        x = distinct(1, n, 1) - n  # below 0
        for p, ceil_mode in itertools.product(range(k // 2 + 1), (False, True)):
            args = ((k, 1), (s, 1), (p, 0))
            try:
                y = F.max_pool2d(torch.tensor(x), *args, ceil_mode=ceil_mode)
            except RuntimeError:
                with pytest.raises(ShapeError, match="the kernel spans"):
                    snn.max_pool2d(x, *args, ceil_mode=ceil_mode)
                with pytest.raises(ShapeError, match="the kernel spans"):
                    snn.avg_pool2d(x, *args, ceil_mode=ceil_mode)
                refused += 1
                continue
            close(snn.max_pool2d(x, *args, ceil_mode=ceil_mode), y)
            for include in (False, True):
                how = dict(ceil_mode=ceil_mode, count_include_pad=include)
                y = F.avg_pool2d(torch.tensor(x), *args, **how)
                close(snn.avg_pool2d(x, *args, **how), y)
            accepted += 1
    assert accepted > 300 and refused > 20


def test_interpolate_reads_the_entries_pytorch_reads_at_every_small_size(torch):
    F = torch.nn.functional
    for n in range(1, 31):
        x = np.arange(float(n)).reshape(1, 1, n, 1)
        for out in range(1, 77):
            y = F.interpolate(torch.tensor(x), size=(out, 1))
            close(snn.interpolate(x, size=(out, 1)), y)
        for scale in (0.3, 0.5, 2 / 3, 1, 1.1, 1.5, 1.7, 2, 2.05, 2.5, 3, 3.3):
            if n * scale >= 1:
                y = F.interpolate(torch.tensor(x), scale_factor=(scale, 1))
                close(snn.interpolate(x, scale_factor=(scale, 1)), y)


@pytest.mark.parametrize("size, scale", [((4, 9), None), (None, 2), (None, (0.7, 3))])
def test_interpolate_is_pytorchs_to_second_order(torch, size, scale):
    agree_to_second_order(
        torch,
        lambda x: snn.interpolate(x, size, scale),
        lambda x: torch.nn.functional.interpolate(x, size, scale),
        normal(2, 3, 5, 7),
    )
    x = normal(2, 5, 7)
    close(snn.interpolate(x, size, scale), snn.interpolate(x[None], size, scale)[0])


# ---- properties -----------------------------------------------------------------
@SETTINGS
@given(case=layouts())
def test_conv_transpose2d_is_the_transpose_of_conv2d(case):
    how, kernel, image = case["how"], case["kernel"], case["image"]
    n_in, n_out = (c * how["groups"] for c in case["channels"])
    x = normal(*case["batch"], n_in, *image)
    w = normal(n_out, case["channels"][0], *kernel, seed=1)
    y = snn.conv2d(x, w, **how)
    g = normal(*y.shape, seed=2)
    smallest = snn.conv_transpose2d(g, w, **how)
    extra = tuple(a - b for a, b in zip(image, smallest.shape[-2:]))
    back = snn.conv_transpose2d(g, w, output_padding=extra, **how)
    dw = snn.conv2d_weight(x, g, kernel, **how)
    close(np.sum(y * g), np.sum(x * back))
    close(np.sum(y * g), np.sum(w * dw))


def test_the_first_of_equal_maxima_takes_the_gradient(torch):
    x = np.array([[[1.0, 5.0, 5.0], [5.0, 0.0, 5.0]]])
    t = Tensor(x, requires_grad=True)
    snn.max_pool2d(t, 2, 1).sum().backward()
    assert t.grad.tolist() == [[[0, 2, 0], [0, 0, 0]]]
    agree_to_second_order(
        torch,
        lambda x: snn.max_pool2d(x, 2, 1),
        lambda x: torch.nn.functional.max_pool2d(x, 2, 1),
        np.round(normal(2, 6, 7)),
    )


CALLS = {
    "conv2d": lambda x: snn.conv2d(x, W, B, 2, 1),
    "conv2d_groups": lambda x: snn.conv2d(x, W[:, :2], None, 1, 0, 2, groups=2),
    "conv_transpose2d": lambda x: snn.conv_transpose2d(x, W_T, B, 2, 1, 1),
    "conv2d_weight": lambda x: snn.conv2d_weight(x, x[..., :3, :3, :4], (3, 4)),
    "max_pool2d": lambda x: snn.max_pool2d(x, 2, padding=1),
    "avg_pool2d": lambda x: snn.avg_pool2d(x, 3, 2, 1, True, False),
    "interpolate": lambda x: snn.interpolate(x, scale_factor=1.5),
    "windows": lambda x: snn.windows(x, 2),
}
W, B = normal(6, 4, 3, 2, seed=5), normal(6, seed=6)
W_T = normal(4, 6, 3, 2, seed=7)
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@calls
def test_float32_stays_float32(call, monkeypatch):
    for name in ("W", "B", "W_T"):
        monkeypatch.setitem(globals(), name, globals()[name].astype(np.float32))
    x = Tensor(normal(2, 4, 5, 7).astype(np.float32), requires_grad=True)
    y = call(x)
    assert y.dtype == np.float32
    first = grad((y * y).sum(), x)
    assert first.dtype == np.float32
    assert grad((first * first).sum(), x).dtype == np.float32


@calls
def test_layout_of_memory_does_not_matter(call):
    x = normal(2, 4, 5, 7)
    for a in (np.asfortranarray(x), x[::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1]):
        leaf, same = Tensor(a, requires_grad=True), Tensor(x, requires_grad=True)
        y, z = call(leaf), call(same)
        close(y, z)
        (y * y).sum().backward()
        (z * z).sum().backward()
        close(leaf.grad, same.grad)


@calls
def test_inputs_are_not_modified(call):
    x = normal(2, 4, 5, 7)
    x.flags.writeable = False
    t = Tensor(x, requires_grad=True)
    y = call(t)
    g = np.ones(y.shape)
    g.flags.writeable = False
    grad(grad(y, t, Tensor(g, requires_grad=True)).sum(), t, allow_unused=True)
    assert np.array_equal(x, normal(2, 4, 5, 7))


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"conv2d_weight"}))
def test_an_empty_batch_has_an_empty_gradient(name):
    x = Tensor(np.zeros((0, 4, 5, 7)), requires_grad=True)
    y = CALLS[name](x)
    assert y.shape == (0, *CALLS[name](normal(1, 4, 5, 7)).shape[1:])
    y.sum().backward()
    assert x.grad.shape == x.shape


def test_an_empty_batch_leaves_weights_a_zero_gradient():
    w, b = (Tensor(a, requires_grad=True) for a in (W, B))
    snn.conv2d(np.zeros((0, 4, 5, 7)), w, b).sum().backward()
    assert not w.grad.any() and w.grad.shape == W.shape
    assert not b.grad.any() and b.grad.shape == B.shape


# ---- errors ---------------------------------------------------------------------
def zeros(*shape):
    return np.zeros(shape)


ERRORS = [
    (
        lambda: snn.conv2d(zeros(2, 3, 5, 7), zeros(6, 4, 3, 3)),
        "conv2d: input (2, 3, 5, 7) needs 4 channels (axis -3) to match weight "
        "(6, 4, 3, 3)",
    ),
    (
        lambda: snn.conv2d(zeros(2, 3, 5, 7), zeros(6, 2, 3, 3), groups=2),
        "conv2d: input (2, 3, 5, 7) needs 4 channels (axis -3) to match weight "
        "(6, 2, 3, 3) with groups=2",
    ),
    (
        lambda: snn.conv2d(zeros(2, 4, 5, 7), zeros(5, 2, 3, 3), groups=2),
        "conv2d: axis 0 of weight (5, 2, 3, 3), the out channels, must be a multiple "
        "of groups=2",
    ),
    (
        lambda: snn.conv2d(zeros(5, 7), zeros(6, 1, 3, 3)),
        "conv2d: input (5, 7) needs 4 axes (N, C, H, W), or 3 (C, H, W) without a "
        "batch",
    ),
    (
        lambda: snn.conv2d(zeros(4, 5, 7), zeros(6, 4, 3)),
        "conv2d: weight (6, 4, 3) needs 4 axes (out channels, in channels / groups, "
        "kh, kw)",
    ),
    (
        lambda: snn.conv2d(zeros(4, 5, 7), zeros(6, 4, 3, 3), zeros(5)),
        "conv2d: bias (5,) needs shape (6,) to match weight (6, 4, 3, 3)",
    ),
    (
        lambda: snn.conv2d(zeros(4, 5, 7), zeros(6, 4, 3, 3), zeros(1)),
        "conv2d: bias (1,) needs shape (6,) to match weight (6, 4, 3, 3)",
    ),
    (
        lambda: snn.conv2d(zeros(1, 4, 7), zeros(1, 1, 4, 4), dilation=2, padding=1),
        "conv2d: the kernel of weight (1, 1, 4, 4) spans 7 along axis -2, but input "
        "(1, 4, 7) has only 6 there, padding included; use a smaller kernel, or "
        "padding of at least 2",
    ),
    (
        lambda: snn.conv_transpose2d(zeros(2, 3, 5, 7), zeros(4, 3, 3, 3)),
        "conv_transpose2d: input (2, 3, 5, 7) needs 4 channels (axis -3) to match "
        "weight (4, 3, 3, 3), which is (in channels, out channels / groups, kh, kw) "
        "here",
    ),
    (
        lambda: snn.conv_transpose2d(zeros(3, 5, 7), zeros(3, 2, 3, 3), groups=2),
        "conv_transpose2d: axis 0 of weight (3, 2, 3, 3), the in channels, must be a "
        "multiple of groups=2",
    ),
    (
        lambda: snn.conv_transpose2d(zeros(5, 7), zeros(3, 2, 3, 3)),
        "conv_transpose2d: input (5, 7) needs 4 axes (N, C, H, W), or 3 (C, H, W) "
        "without a batch",
    ),
    (
        lambda: snn.conv_transpose2d(zeros(3, 5, 7), zeros(3, 2, 3, 3), zeros(3)),
        "conv_transpose2d: bias (3,) needs shape (2,) to match weight (3, 2, 3, 3)",
    ),
    (
        lambda: snn.conv_transpose2d(
            zeros(3, 5, 7), zeros(3, 2, 3, 3), stride=2, output_padding=(1, 2)
        ),
        "conv_transpose2d: output_padding 2 at axis -1 must be less than stride 2 or "
        "dilation 1: it tells apart the sizes that conv2d takes to one. Use 1 or less",
    ),
    (
        lambda: snn.conv2d_weight(zeros(2, 3, 5, 7), zeros(1, 4, 3, 5), size=(3, 3)),
        "conv2d_weight: dy (1, 4, 3, 5) does not fit: it needs the batch and the rows "
        "and columns that conv2d makes of x (2, 3, 5, 7) with a kernel (3, 3), and "
        "channels that groups divide",
    ),
    (
        lambda: snn.max_pool2d(zeros(5, 7), 2),
        "max_pool2d: input (5, 7) needs 4 axes (N, C, H, W), or 3 (C, H, W) without a "
        "batch",
    ),
    (
        lambda: snn.max_pool2d(zeros(3, 5, 7), (2, 3), padding=(0, 2)),
        "max_pool2d: padding 2 is more than half of the kernel, which spans 3: windows "
        "of padding alone would arise. Pad 1 at most",
    ),
    (
        lambda: snn.avg_pool2d(zeros(3, 5, 7), 8, padding=1),
        "avg_pool2d: the kernel spans 8 but input (3, 5, 7) with padding 1 has only 7 "
        "there; use a smaller kernel or more padding",
    ),
]


@pytest.mark.parametrize("call, text", ERRORS)
def test_errors_say_what_was_given_what_is_expected_and_the_fix(call, text):
    with pytest.raises(ShapeError) as e:
        call()
    assert str(e.value) == text


def test_the_padding_an_error_asks_for_is_enough():
    y = snn.conv2d(zeros(1, 4, 7), zeros(1, 1, 4, 4), dilation=2, padding=2)
    assert y.shape == (1, 2, 5)


def test_interpolate_wants_a_size_or_a_factor():
    for how in ({}, dict(size=3, scale_factor=2)):
        with pytest.raises(ValueError, match="give one of size and scale_factor"):
            snn.interpolate(zeros(2, 5, 7), **how)
