"""Normalisation: standardize over some axes, then scale and shift.

`standardize` is the only formula with a rule of its own. The three normalisations
differ in the axes they take statistics over: layer_norm the last ones, group_norm a
group of channels and all positions of one sample, batch_norm a channel over the whole
batch.
"""

import math

import numpy as np

from ..errors import ShapeError
from ..tensor import composite, op
from .elementwise import sqrt
from .examples import normal, positive
from .reduce import mean, var
from .shape import reshape


@op
def standardize(x, axis, eps=1e-5):
    """(x - mean) / sqrt(var + eps) over axes, var the mean squared deviation."""
    return _standardized(x, axis, eps)


def _standardized(x, axis, eps):  # small inputs would feel a second op's call
    y = x - np.mean(x, axis=axis, keepdims=True)
    y /= np.sqrt(np.mean(y * y, axis=axis, keepdims=True) + eps)
    return y


def _standardize_rule(g, y, x, axis, eps):
    """(g - mean(g) - y mean(g y)) / std: what moves mean or variance is taken out."""
    std = sqrt(var(x, axis=axis, keepdims=True) + eps)
    along_y = mean(g * y, axis=axis, keepdims=True)
    return (g - mean(g, axis=axis, keepdims=True) - y * along_y) / std


standardize.rules(x=_standardize_rule)
standardize.example(normal(3, 5), axis=1)
standardize.example(normal(3, 2, 5), axis=(0, 2), eps=0.1)


@op
def _normalize(x, weight, bias, axis, eps):
    """weight standardize(x) + bias; both broadcast, or are None for 1 and 0."""
    return _affine(_standardized(x, axis, eps), weight, bias)


def _normalize_rule(g, _y, x, weight, _bias, axis, eps):
    g = g if weight is None else g * weight
    return _standardize_rule(g, standardize(x, axis, eps), x, axis, eps)


_normalize.rules(
    x=_normalize_rule,
    weight=lambda g, _y, x, _weight, _bias, axis, eps: g * standardize(x, axis, eps),
    bias=lambda g, _y, _x, _weight, _bias, axis, eps: g,
)
_normalize.example(normal(3, 5), normal(5), normal(5), axis=1, eps=0.1)
_normalize.example(
    normal(3, 2, 3, 5), normal(2, 3, 1), normal(2, 3, 1), axis=(2, 3), eps=0.1
)
_normalize.example(normal(3, 2, 5), normal(2, 1), normal(2, 1), axis=(0, 2), eps=0.1)
_normalize.example(normal(3, 2, 5), None, normal(2, 1), axis=(0, 2), eps=0.1)


@composite
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """weight (x - mean) / sqrt(var + eps) + bias, over the last axes of each sample.

    x (..., *normalized_shape), weight and bias (*normalized_shape), or None for 1 and
    0; an int stands for one axis. Ba, Kiros and Hinton (2016).
    """
    shape = normalized_shape
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(
            "layer_norm", f"input {x.shape} needs last axes normalized_shape={shape}"
        )
    for name, w in (("weight", weight), ("bias", bias)):
        if w is not None and w.shape != shape:
            raise ShapeError("layer_norm", f"{name} {w.shape} needs shape {shape}")
    return _normalize(x, weight, bias, tuple(range(-len(shape), 0)), eps)


layer_norm.example(normal(3, 5), 5, normal(5), normal(5))
layer_norm.example(normal(2, 3, 5), (3, 5), eps=0.1)


@composite
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    """layer_norm of each group of channels and all positions; scaled by channel.

    x (N, C, ...), C divisible by num_groups; weight and bias (C), or None for 1 and 0.
    Wu and He (2018).
    """
    _check_channels("group_norm", x, weight=weight, bias=bias)
    n, c = x.shape[:2]
    if num_groups < 1 or c % num_groups:
        raise ShapeError(
            "group_norm",
            f"the {c} channels (axis 1) of input {x.shape} do not divide into "
            f"num_groups={num_groups} equal groups",
        )
    each = num_groups, c // num_groups  # channels of a group
    weight, bias = (v if v is None else reshape(v, (*each, 1)) for v in (weight, bias))
    groups = reshape(x, (n, *each, math.prod(x.shape[2:])))
    return reshape(_normalize(groups, weight, bias, axis=(2, 3), eps=eps), x.shape)


group_norm.example(normal(2, 6, 5), 3, normal(6), normal(6))
group_norm.example(normal(2, 4, 3, 1), 2, eps=0.1)


@composite
def batch_norm(
    x,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    eps=1e-5,
):
    """weight (x - mean) / sqrt(var + eps) + bias for each channel.

    x (N, C), (N, C, L) or (N, C, H, W); all else (C), or None. In training mean and
    var are those of the batch and its positions (var divides by their number), else
    the running ones. The op updates nothing: see `channel_statistics`.
    Ioffe and Szegedy (2015).
    """
    _check_channels(
        "batch_norm",
        x,
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    scale, shift = _by_channel(weight, x), _by_channel(bias, x)
    if training:
        _check_batch(x)
        return _normalize(x, scale, shift, axis=_but_channels(x), eps=eps)
    if running_mean is None or running_var is None:
        raise ValueError(
            "batch_norm: needs running_mean and running_var, or training=True to use "
            "the batch's own"
        )
    std = sqrt(_by_channel(running_var, x) + eps)
    return _affine((x - _by_channel(running_mean, x)) / std, scale, shift)


batch_norm.example(normal(3, 5), None, None, normal(5), normal(5), training=True)
batch_norm.example(normal(3, 2, 4, 1), training=True, eps=0.1)
batch_norm.example(normal(3, 2, 5), normal(2), positive(2), normal(2), normal(2))


def channel_statistics(x):
    """Mean and unbiased variance of each channel, arrays (C): x (N, C, ...).

    For running statistics: new = (1 - momentum) old + momentum batch, with momentum
    0.1 in PyTorch, which also takes the unbiased variance here. Not differentiable.
    """
    _check_batch(x)
    mean, var = _channel_moments(getattr(x, "_data", x))
    return mean, var


@op
def _channel_moments(x):
    """Mean and unbiased variance of each channel, (2, C)."""
    axes = _but_channels(x)
    return np.stack([np.mean(x, axis=axes), np.var(x, axis=axes, ddof=1)])


def _channel_moments_rule(g, _y, x):
    """g_mean / n + g_var 2 (x - mean) / (n - 1)"""
    n = x.size // x.shape[1]
    by_mean, by_var = _by_channel(g[0], x), _by_channel(g[1], x)
    off = x - mean(x, axis=_but_channels(x), keepdims=True)
    return by_mean / n + 2 * by_var * off / (n - 1)


_channel_moments.rules(x=_channel_moments_rule)
_channel_moments.example(normal(3, 2, 5))


def _affine(y, weight, bias):
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _but_channels(x):
    return (0, *range(2, x.ndim))


def _by_channel(v, x):
    """(C,) -> (C, 1, ..., 1), which meets axis 1 of x."""
    return v if v is None else reshape(v, (-1,) + (1,) * (x.ndim - 2))


def _check_channels(name, x, **vectors):
    if x.ndim < 2:
        raise ShapeError(name, f"input {x.shape} needs axes (N, C, ...), at least two")
    for key, v in vectors.items():
        if v is not None and v.shape != x.shape[1:2]:
            raise ShapeError(
                name,
                f"{key} {v.shape} needs shape {x.shape[1:2]} to match the channels "
                f"(axis 1) of input {x.shape}",
            )


def _check_batch(x):
    if x.shape[0] * math.prod(x.shape[2:]) == 1:
        raise ValueError(
            f"batch_norm: input {x.shape} has one value per channel, so no variance; "
            "train on larger batches, or call with training=False"
        )
