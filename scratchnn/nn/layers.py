"""Layers, with PyTorch's names, defaults, initial values and state names.

`rng` draws the initial values (the library's generator if None). Parameters are
float32. Activations and shapes first, then what has parameters, then containers.
"""

import numpy as np

from ..errors import ShapeError
from ..ops import reshape
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module


def _parameter(*shape):
    return Tensor(np.ones(shape, np.float32), requires_grad=True)


# ---- activations ----------------------------------------------------------------
class Identity(Module):
    """x"""

    def forward(self, x):
        return x


class ReLU(Module):
    """max(x, 0)"""

    def forward(self, x):
        return F.relu(x)


class LeakyReLU(Module):
    """x where x > 0, else negative_slope x."""

    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope

    def forward(self, x):
        return F.leaky_relu(x, self.negative_slope)


class ELU(Module):
    """x where x > 0, else alpha (exp(x) - 1)."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        return F.elu(x, self.alpha)


class GELU(Module):
    """x Phi(x), Phi the normal distribution function; approximate="tanh" is faster."""

    def __init__(self, approximate="none"):
        self.approximate = approximate

    def forward(self, x):
        return F.gelu(x, self.approximate)


class SiLU(Module):
    """x sigmoid(x)"""

    def forward(self, x):
        return F.silu(x)


class Tanh(Module):
    """tanh(x)"""

    def forward(self, x):
        return F.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))"""

    def forward(self, x):
        return F.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(beta x)) / beta"""

    def __init__(self, beta=1.0):
        self.beta = beta

    def forward(self, x):
        return F.softplus(x, self.beta)


class Softmax(Module):
    """exp(x_i) / sum_j exp(x_j) along an axis."""

    def __init__(self, dim=-1):
        self.dim = dim

    def forward(self, x):
        return F.softmax(x, self.dim)


class Dropout(Module):
    """In training x m / (1 - p), each m 0 with probability p, else 1; else x itself.

    rng draws m.
    """

    def __init__(self, p=0.5, rng=None):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is {p}; expected a probability from 0 to 1")
        self.p, self.rng = p, rng

    def forward(self, x):
        return F.dropout(x, self.p, self.training, self.rng)


# ---- shapes ---------------------------------------------------------------------
class Flatten(Module):
    """Axes start_dim to end_dim as one: (N, C, H, W) -> (N, C * H * W)."""

    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        start, end = self.start_dim % x.ndim, self.end_dim % x.ndim
        size = int(np.prod(x.shape[start : end + 1]))  # -1 fails on an empty batch
        return reshape(x, (*x.shape[:start], size, *x.shape[end + 1 :]))


class Unflatten(Module):
    """Axis dim in several: Unflatten(1, (C, H, W)): (N, C * H * W) -> (N, C, H, W)."""

    def __init__(self, dim, unflattened_size):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x):
        dim = self.dim % x.ndim
        return reshape(x, (*x.shape[:dim], *self.unflattened_size, *x.shape[dim + 1 :]))


class MaxPool2d(Module):
    """The largest value of each window: (N, C, H, W) -> (N, C, oh, ow)."""

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x):
        return F.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
        )


class AvgPool2d(Module):
    """The mean of each window: (N, C, H, W) -> (N, C, oh, ow)."""

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
    ):
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x):
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class Upsample(Module):
    """Each pixel repeated, to a size or by a factor: (N, C, H, W) -> (N, C, oh, ow)."""

    def __init__(self, size=None, scale_factor=None):
        self.size, self.scale_factor = size, scale_factor

    def forward(self, x):
        return F.interpolate(x, self.size, self.scale_factor)


# ---- products -------------------------------------------------------------------
class Linear(Module):
    """x @ weight.T + bias: (..., in_features) -> (..., out_features).

    weight (out, in), bias (out); both U(-b, b), b = 1 / sqrt(in).
    """

    def __init__(self, in_features, out_features, bias=True, rng=None):
        self.weight = _parameter(out_features, in_features)
        self.bias = _parameter(out_features) if bias else None
        init.default_(self.weight, self.bias, rng)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Embedding(Module):
    """weight[indices]: (...) -> (..., embedding_dim). weight is N(0, 1)."""

    def __init__(self, num_embeddings, embedding_dim, rng=None):
        self.weight = init.normal_(_parameter(num_embeddings, embedding_dim), rng=rng)

    def forward(self, indices):
        return F.embedding(indices, self.weight)


def _pair(n):
    return (n, n) if isinstance(n, int) else tuple(n)


class Conv2d(Module):
    """Cross-correlation with a kernel: (N, in, H, W) -> (N, out, oh, ow).

    oh = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1. weight (out,
    in / groups, kh, kw), bias (out); both U(-b, b), b = 1 / sqrt(in / groups kh kw).
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        rng=None,
    ):
        _check_groups("Conv2d", in_channels, out_channels, groups)
        self.stride, self.padding = stride, padding
        self.dilation, self.groups = dilation, groups
        size = _pair(kernel_size)
        self.weight = _parameter(out_channels, in_channels // groups, *size)
        self.bias = _parameter(out_channels) if bias else None
        init.default_(self.weight, self.bias, rng)

    def forward(self, x):
        return F.conv2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class ConvTranspose2d(Module):
    """The transpose of Conv2d, which enlarges: (N, in, h, w) -> (N, out, H, W).

    H = (h - 1) stride - 2 padding + dilation (kh - 1) + 1 + output_padding. weight (in,
    out / groups, kh, kw), bias (out); both U(-b, b), b = 1 / sqrt(out / groups kh kw).
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        rng=None,
    ):
        _check_groups("ConvTranspose2d", in_channels, out_channels, groups)
        self.stride, self.padding, self.output_padding = stride, padding, output_padding
        self.groups, self.dilation = groups, dilation
        size = _pair(kernel_size)
        self.weight = _parameter(in_channels, out_channels // groups, *size)
        self.bias = _parameter(out_channels) if bias else None
        init.default_(self.weight, self.bias, rng)

    def forward(self, x):
        return F.conv_transpose2d(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


def _check_groups(kind, in_channels, out_channels, groups):
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{kind}: groups={groups} must divide in_channels={in_channels} and "
            f"out_channels={out_channels}"
        )


# ---- normalisation --------------------------------------------------------------
class LayerNorm(Module):
    """weight (x - mean) / sqrt(var + eps) + bias over the last axes of each sample."""

    def __init__(
        self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True
    ):
        shape = normalized_shape
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.normalized_shape, self.eps = shape, eps
        self.weight = _parameter(*shape) if elementwise_affine else None
        self.bias = _zeros(*shape) if elementwise_affine and bias else None

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)


class GroupNorm(Module):
    """LayerNorm of each group of channels and all positions: x (N, C, ...)."""

    def __init__(self, num_groups, num_channels, eps=1e-5, affine=True):
        self.num_groups, self.eps = num_groups, eps
        self.weight = _parameter(num_channels) if affine else None
        self.bias = _zeros(num_channels) if affine else None

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class BatchNorm1d(Module):
    """weight (x - mean) / sqrt(var + eps) + bias for each channel of x (N, C, ...).

    In training mean and var are the batch's, and move the running ones by momentum
    (None: the mean over all batches); in use (`eval()`) they are the running ones.
    """

    axes = "2 or 3"  # (N, C) or (N, C, L)

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
    ):
        self.eps, self.momentum = eps, momentum
        self.weight = _parameter(num_features) if affine else None
        self.bias = _zeros(num_features) if affine else None
        self.running_mean = self.running_var = None
        if track_running_stats:
            self.running_mean = np.zeros(num_features, np.float32)
            self.running_var = np.ones(num_features, np.float32)
            self.num_batches_tracked = np.array(0)

    def forward(self, x):
        if str(x.ndim) not in self.axes.split(" or "):
            text = f"input {x.shape} needs {self.axes} axes (N, C, ...)"
            raise ShapeError("batch_norm", text)
        momentum = self.momentum
        tracks = self.running_mean is not None
        if self.training and tracks:
            self.num_batches_tracked += 1
            if momentum is None:
                momentum = 1 / int(self.num_batches_tracked)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not tracks,
            momentum,
            self.eps,
        )


class BatchNorm2d(BatchNorm1d):
    """BatchNorm1d for images: x (N, C, H, W)."""

    axes = "4"


def _zeros(*shape):
    return init.zeros_(_parameter(*shape))


# ---- containers -----------------------------------------------------------------
class ModuleList(Module):
    """A list of Modules, held under the names 0, 1, ... (A plain list does as well.)"""

    def __init__(self, modules=()):
        self.extend(modules)

    def append(self, module):
        """Add one at the end."""
        setattr(self, str(len(self)), module)
        return self

    def extend(self, modules):
        """Add several at the end."""
        for module in modules:
            self.append(module)
        return self

    def _list(self):
        return [m for name, m in vars(self).items() if name.isdigit()]

    def __len__(self):
        return len(self._list())

    def __iter__(self):
        return iter(self._list())

    def __getitem__(self, i):
        if isinstance(i, slice):
            return self._of(self._list()[i])
        return self._list()[i]

    def __setitem__(self, i, module):
        setattr(self, str(range(len(self))[i]), module)

    def _of(self, modules):
        return ModuleList(modules)


class Sequential(ModuleList):
    """Layers one after the other: Sequential(Linear(2, 8), ReLU(), Linear(8, 1))."""

    def __init__(self, *modules):
        super().__init__(modules)

    def forward(self, x):
        for layer in self:
            x = layer(x)
        return x

    def _of(self, modules):
        return Sequential(*modules)


class MLP(Sequential):
    """Linear layers with an activation after each but the last.

    MLP([784, 400, 10]) is Sequential(Linear(784, 400), ReLU(), Linear(400, 10)).
    activation: a class, or a function that makes a layer. dropout: its p, after each
    activation if above 0.
    """

    def __init__(self, sizes, activation=ReLU, dropout=0.0, rng=None):
        if len(sizes) < 2:
            raise ValueError(
                f"MLP: sizes is {list(sizes)}; expected at least the sizes of input "
                "and output, such as [784, 400, 10]"
            )
        layers = []
        for n, m in zip(sizes, sizes[1:]):
            layers += [Linear(n, m, rng=rng), activation()]
            if dropout:
                layers.append(Dropout(dropout, rng))
        super().__init__(*layers[: -2 if dropout else -1])
