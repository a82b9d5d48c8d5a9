"""PyTorch's names for the ops: `from scratchnn.nn import functional as F`.

Most are the ops themselves. The few functions here take their arguments as PyTorch's do
(`dim` for `axis`), or keep running statistics, which an op may not.
"""

from .. import ops
from ..errors import missing_name
from ..ops.attention import attention_weights
from ..ops.norm import channel_statistics

linear = ops.linear
embedding = ops.embedding
one_hot = ops.one_hot
conv2d = ops.conv2d
conv_transpose2d = ops.conv_transpose2d
max_pool2d = ops.max_pool2d
avg_pool2d = ops.avg_pool2d

relu = ops.relu
leaky_relu = ops.leaky_relu
elu = ops.elu
gelu = ops.gelu
silu = ops.silu
sigmoid = ops.sigmoid
tanh = ops.tanh
dropout = ops.dropout

layer_norm = ops.layer_norm
group_norm = ops.group_norm

mse_loss = ops.mse_loss
l1_loss = ops.l1_loss
huber_loss = ops.huber_loss
cross_entropy = ops.cross_entropy
nll_loss = ops.nll_loss
binary_cross_entropy_with_logits = ops.bce_with_logits


def interpolate(x, size=None, scale_factor=None, mode="nearest"):
    """Each output pixel is the nearest input pixel; no other mode is here."""
    if mode != "nearest":
        raise ValueError(f"interpolate: mode is {mode!r}; only 'nearest' is here")
    return ops.interpolate(x, size, scale_factor)


def softmax(x, dim=-1):
    """exp(x_i) / sum_j exp(x_j) along an axis."""
    return ops.softmax(x, dim)


def log_softmax(x, dim=-1):
    """x_i - log sum_j exp(x_j) along an axis."""
    return ops.log_softmax(x, dim)


def softplus(x, beta=1.0):
    """log(1 + exp(beta x)) / beta: relu with a round corner."""
    return ops.softplus(x) if beta == 1 else ops.softplus(x * beta) / beta


def logsigmoid(x):
    """log(1 / (1 + exp(-x)))"""
    return -ops.softplus(-x)


def pad(x, pad, *, value=0.0):
    """A border of a value: pad = (left, right, top, bottom, ...), last axis first."""
    pairs = list(zip(pad[::2], pad[1::2]))[::-1]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    return ops.pad(x, widths, constant_values=value)


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False
):
    """softmax(query key^T / sqrt(d)) value; see ops.attention.

    dropout_p: each weight is 0 with that probability, always: give 0 when you evaluate.
    """
    if dropout_p == 0 or getattr(attn_mask, "requires_grad", False):  # an error
        return ops.attention(query, key, value, attn_mask, is_causal)
    weights = attention_weights(query, key, attn_mask, is_causal)
    return ops.dropout(weights, dropout_p) @ value


def batch_norm(
    x,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
):
    """weight (x - mean) / sqrt(var + eps) + bias, by channel; see ops.batch_norm.

    In training running_mean and running_var, arrays (C) or None, move in place:
    r <- (1 - momentum) r + momentum r_batch, where r_batch is the batch's mean, or its
    unbiased variance.
    """
    y = ops.batch_norm(x, running_mean, running_var, weight, bias, training, eps)
    if training and running_mean is not None:
        for running, batch in zip((running_mean, running_var), channel_statistics(x)):
            running *= 1 - momentum
            running += momentum * batch
    return y


__getattr__ = missing_name(__name__)
