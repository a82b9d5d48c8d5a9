"""Where a token stands: sinusoids, rotations, and a penalty for distance.

Attention sees a set of tokens: their order must be added. A sinusoid is added to the
token's embedding; a rotation turns queries and keys, so that their product depends on
the distance between them only; ALiBi subtracts the distance from the scores.
"""

import numpy as np

from .. import ops


def sinusoidal(length, d_e, base=10_000.0):
    """P[t, 2i] = sin(t base^(-2i / d_e)), P[t, 2i + 1] = cos(the same): (length, d_e).

    t and i count from 0. The sine and the cosine of a pair share one frequency, so
    P P^T depends on the distance of two places only. Vaswani et al., "Attention Is All
    You Need", arXiv:1706.03762, section 3.5. Raises ValueError for an odd d_e.
    """
    angles = _angles(np.arange(length), d_e, base)
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (length, d_e / 2, 2)
    return pairs.reshape(length, d_e).astype(np.float32)


def rotation(length, d, base=10_000.0):
    """cos and sin of the angles t base^(-2i / d), each (length, d / 2), for `rotate`.

    d: the width of one head. Raises ValueError if it is odd.
    """
    angles = _angles(np.arange(length), d, base)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotate(x, cos, sin):
    """Each pair (x_2i, x_2i+1) of place t turned by the angle t base^(-2i / d).

    x (..., T, d); cos, sin (T, d / 2), rows of `rotation` -> (..., T, d). A query of
    place t and a key of place s then have a product that depends on t - s only. Su et
    al., "RoFormer", arXiv:2104.09864, eq. (34).
    """
    pairs = ops.reshape(x, (*x.shape[:-1], x.shape[-1] // 2, 2))
    a, b = pairs[..., 0], pairs[..., 1]  # (..., T, d / 2) each
    turned = ops.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)
    return ops.reshape(turned, x.shape)


def alibi_slopes(H):
    """2^(-8 h / H) for the heads h = 1, ..., H: (H,). See `alibi`."""
    return (2.0 ** (-8 * np.arange(1, H + 1) / H)).astype(np.float32)


def alibi(H, T, S=None):
    """-slope_h (distance of key and query), -inf for later keys: (H, T, S) to add.

    The T queries are the last of the S keys' places (S = T if None). A head with a
    steep slope sees near tokens only, one with a flat slope all. Press, Smith and
    Lewis, "Train Short, Test Long", arXiv:2108.12409, section 3. Their slopes for a
    number of heads that is no power of 2 are others.
    """
    S = T if S is None else S
    distance = np.arange(S - T, S, dtype=np.float32)[:, None] - np.arange(S)  # (T, S)
    scores = -alibi_slopes(H)[:, None, None] * distance.astype(np.float32)
    return np.where(distance >= 0, scores, np.float32(-np.inf))


def _angles(t, d, base):
    """t base^(-2i / d) for i = 0, ..., d / 2 - 1: (T, d / 2)."""
    if d % 2:
        raise ValueError(f"the width is {d}, expected an even one: places need pairs")
    return t[:, None] * base ** (-np.arange(0, d, 2) / d)
