"""Losses: each compares a prediction x with a target and reduces to one number.

reduction: "mean" over all entries (or samples), "sum", or "none" for each its own.
Shapes must agree: a silent broadcast of (N,) against (N, 1) compares every prediction
with every target, trains, and learns nothing.
"""

import numpy as np

from ..errors import ShapeError, nearest
from ..tensor import composite, op
from .elementwise import abs, exp, sigmoid, softplus, square, where
from .examples import away, normal, positive, probabilities
from .index import one_hot, take_along_axis
from .reduce import log_softmax, mean, softmax, sum
from .shape import expand_dims, reshape, squeeze


# ---- regression -----------------------------------------------------------------
@composite
def mse_loss(x, target, reduction="mean"):
    """(x - target)^2, its mean over all entries."""
    _check_same_shape("mse_loss", x, target)
    return _reduce(square(x - target), reduction)


@composite
def l1_loss(x, target, reduction="mean"):
    """|x - target|, its mean over all entries."""
    _check_same_shape("l1_loss", x, target)
    return _reduce(abs(x - target), reduction)


@composite
def huber_loss(x, target, reduction="mean", delta=1.0):
    """r^2 / 2 where |r| < delta, else delta (|r| - delta / 2), for r = x - target.

    Huber (1964). Unlike PyTorch's smooth_l1_loss it is not divided by delta.
    """
    _check_same_shape("huber_loss", x, target)
    r = x - target
    size = abs(r)
    losses = where(size < delta, 0.5 * square(r), delta * (size - 0.5 * delta))
    return _reduce(losses, reduction)


for _loss in (mse_loss, l1_loss, huber_loss):
    _loss.example(away(3, 5), np.zeros((3, 5)))
    _loss.example(away(3, 5), np.zeros((3, 5)), reduction="sum")
mse_loss.example(normal(3, 5), normal(3, 5), reduction="none")
huber_loss.example(away(3, 5), np.zeros((3, 5)), reduction="none", delta=0.3)


# ---- classification -------------------------------------------------------------
@op
def _bce(x, target):
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = max(x, 0) - x t + log1p(e^-|x|)

    The right-hand side can't overflow. x and target of one shape.
    """
    return np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))


_bce.rules(
    x=lambda g, _y, x, target: g * (sigmoid(x) - target),
    target=lambda g, _y, x, _target: -g * x,
)
_bce.example(normal(3, 5), positive(3, 5))


@composite
def bce_with_logits(x, target, weight=None, reduction="mean", pos_weight=None):
    """-w (p t log s + (1 - t) log(1 - s)), s = sigmoid(x): binary cross-entropy.

    x, target of one shape, target between 0 and 1 (soft labels, grey levels of pixels).
    weight w and pos_weight p broadcast against them, 1 if None; p above 1 counts
    positives more.
    """
    _check_same_shape("bce_with_logits", x, target)
    if pos_weight is None:
        losses = _bce(x, target)
    else:
        losses = (1 - target) * x + (1 + (pos_weight - 1) * target) * softplus(-x)
    return _reduce(losses if weight is None else losses * weight, reduction)


bce_with_logits.example(normal(3, 5), positive(3, 5))
bce_with_logits.example(
    normal(3, 5), positive(3, 5), positive(3, 1), "sum", pos_weight=np.array([[3.0]])
)


@op
def _surprisal(x, target, axis=-1):
    """-log softmax(x)_t: x (N, C), integers t (N) -> (N) for the axis of C."""
    log_p = log_softmax(x, axis=axis)
    at = np.expand_dims(target, axis)
    return -np.squeeze(take_along_axis(log_p, at, axis), axis)


def _surprisal_rule(g, _y, x, target, axis):
    """g (softmax(x) - one_hot(t))"""
    hot = np.moveaxis(one_hot(target, x.shape[axis]), -1, axis)
    return expand_dims(g, axis) * (softmax(x, axis=axis) - hot.astype(x.dtype))


_surprisal.rules(x=_surprisal_rule)
_surprisal.example(normal(3, 5), np.array([4, 0, 2]))
_surprisal.example(normal(2, 5, 3), np.array([[4, 0, 2], [1, 1, 3]]), axis=1)


@composite
def cross_entropy(
    x,
    target,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
):
    """-sum_c w_c q_c log softmax(x)_c for each sample, its mean over the samples.

    x: scores (N, C), (N, C, d1, ...) or (C). target: class indices, of x's shape
    without the class axis; q is then 1 at the index. Or probabilities q of x's shape.
    weight w (C), or None for 1. Label smoothing e replaces q by (1 - e) q + e / C.
    Indices equal to ignore_index count for nothing. With indices the mean divides by
    the sum of the targets' weights, as in PyTorch: nan if all are ignored.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is {label_smoothing}, expected 0 to 1"
        )
    target = np.asarray(target) if isinstance(target, list) else target
    if target.dtype.kind == "f":
        return _reduce(_soft_losses(x, target, weight, label_smoothing), reduction)
    target = getattr(target, "_data", target)
    _check_classes("cross_entropy", x, target, ignore_index)
    axis = _class_axis(x)
    losses = _surprisal(x, np.where(target == ignore_index, 0, target), axis)
    losses, w = _weighted("cross_entropy", losses, x, target, weight, ignore_index)
    if label_smoothing:
        log_p = log_softmax(x, axis=axis)
        even = log_p if weight is None else log_p * _by_class(weight, x)
        even = where(target == ignore_index, 0, -mean(even, axis=axis))
        losses = (1 - label_smoothing) * losses + label_smoothing * even
    return _reduce(losses, reduction, w)


def _soft_losses(x, target, weight, label_smoothing):
    """-sum_c w_c q_c log softmax(x)_c for each sample, q of x's shape."""
    axis = _class_axis(x)
    if target.shape != x.shape:
        raise ShapeError(
            "cross_entropy",
            f"target {target.shape} is {target.dtype}. Class probabilities need the "
            f"shape of x, {x.shape}; class indices must be integers: "
            "target.astype(int)",
        )
    q = target
    if label_smoothing:
        q = (1 - label_smoothing) * q + label_smoothing / x.shape[axis]
    if weight is not None:
        _check_weight("cross_entropy", x, weight)
        q = q * _by_class(weight, x)
    return -sum(q * log_softmax(x, axis=axis), axis=axis)


_classes = np.array([4, 0, 2])
cross_entropy.example(normal(3, 5), _classes)
cross_entropy.example(
    normal(3, 5), _classes, np.array([0.5, 2.0, 1.5, 1.0, 3.0]), 0, label_smoothing=0.2
)
cross_entropy.example(
    normal(3, 5), probabilities(3, 5), np.array([0.5, 2.0, 1.5, 1.0, 3.0])
)


@composite
def nll_loss(log_probs, target, weight=None, ignore_index=-100, reduction="mean"):
    """-w_t log_probs_t for each sample, its mean over the samples.

    log_probs (N, C), (N, C, d1, ...) or (C), such as log_softmax(x, axis=1); target,
    weight, ignore_index and the mean as in `cross_entropy`.
    """
    target = getattr(target, "_data", target)
    _check_classes("nll_loss", log_probs, target, ignore_index)
    axis = _class_axis(log_probs)
    t = np.expand_dims(np.where(target == ignore_index, 0, target), axis)
    losses = -squeeze(take_along_axis(log_probs, t, axis), axis)
    losses, w = _weighted("nll_loss", losses, log_probs, target, weight, ignore_index)
    return _reduce(losses, reduction, w)


nll_loss.example(normal(3, 5), _classes)
nll_loss.example(normal(3, 5), _classes, np.array([0.5, 2.0, 1.5, 1.0, 3.0]), 4, "sum")


# ---- distributions --------------------------------------------------------------
@composite
def gaussian_kl(mu, logvar):
    """KL(N(mu, e^logvar) || N(0, 1)) = -1/2 sum_i (1 + logvar_i - mu_i^2 - e^logvar_i)

    mu, logvar (N, d) -> (N): the sum runs over the last axis, in nats. logvar is the
    logarithm of the variance, so that a sample is mu + e^(logvar / 2) eps.
    Kingma and Welling (2014), appendix B.
    """
    return -0.5 * sum(1 + logvar - square(mu) - exp(logvar), axis=-1)


gaussian_kl.example(normal(3, 5), normal(3, 5))


# ---- shared ---------------------------------------------------------------------
def _reduce(losses, reduction, weights=None):
    """The mean (weighted, if `losses` contain weights), the sum, or all of them."""
    if reduction == "mean":
        return mean(losses) if weights is None else sum(losses) / sum(weights)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(
        f"reduction is {reduction!r}, expected 'none', 'mean' or 'sum'"
        + nearest(str(reduction), ("none", "mean", "sum"))
    )


def _class_axis(x):
    return 1 if x.ndim > 1 else 0


def _by_class(weight, x):
    """(C,) -> (C, 1, ..., 1), which meets the class axis of x."""
    return reshape(weight, (-1,) + (1,) * (x.ndim - _class_axis(x) - 1))


def _weighted(name, losses, x, target, weight, ignore_index):
    """The losses times w_t, and the w_t (None: all 1); 0 where ignored."""
    counts = target != ignore_index
    if weight is not None:
        _check_weight(name, x, weight)
        w = weight[np.where(counts, target, 0)]
        return where(counts, losses * w, 0), w * counts
    if counts.all():
        return losses, None
    return where(counts, losses, 0), counts.astype(x.dtype)


def _check_same_shape(name, x, target):
    if x.shape != target.shape:
        text = f"x {x.shape} and target {target.shape} must have the same shape"
        if x.size == target.size:
            text += ": write target.reshape(x.shape)"
        raise ShapeError(name, text)


def _check_weight(name, x, weight):
    n = x.shape[_class_axis(x)]
    if weight.shape != (n,):
        raise ShapeError(
            name, f"weight {weight.shape} needs shape ({n},), one for each class"
        )


def _check_classes(name, x, target, ignore_index):
    axis = _class_axis(x)
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: class indices must be integers, got {target.dtype}; convert with "
            "target.astype(int)"
        )
    if target.shape != expected:
        text = f"target {target.shape} needs shape {expected} for scores {x.shape}"
        if target.shape == x.shape:
            text += "; as class probabilities it must be floating point"
        raise ShapeError(name, text)
    n = x.shape[axis]
    bad = ((target < 0) | (target >= n)) & (target != ignore_index)
    if bad.any():
        place = tuple(int(i[0]) for i in np.nonzero(bad)) if target.ndim else ()
        where_ = "[" + ", ".join(map(str, place)) + "]" if place else ""
        raise IndexError(
            f"{name}: target{where_} is {int(target[place])}; the classes are 0 to "
            f"{n - 1}, or ignore_index={ignore_index}"
        )
