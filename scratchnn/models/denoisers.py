"""Networks for diffusion models: one for points in the plane, and one that needs no
training because it knows the answer.

All are called network(x_t, t, y=None), see diffusion.Diffusion. The network for
pictures is in unet.py.
"""

import numpy as np

from .. import nn, ops
from ..device import beside


def time_embedding(t, dim, T=1000):
    """(sin w_i t, cos w_i t), w_i = 10000^(-2i / dim), i = 0..dim/2 - 1: (N, dim).

    t (N,) in 0..T, taken as part of 1,000 whatever T is, so that equal amounts of noise
    look equal. A NumPy array in float32. Vaswani et al., arXiv:1706.03762, section 3.5;
    DDPM, appendix B.
    """
    w = 10000.0 ** (-2 / dim * np.arange(dim // 2))  # (dim / 2,)
    angle = np.asarray(t)[:, None] * (1000 / T) * w  # (N, dim / 2)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


class MLPDenoiser(nn.Module):
    """A multi-layer perceptron that also sees t, and a label: (N, x_dim) of the same.

    h = W_x features(x_t) + W_t time_embedding(t) + E[y];  then depth times
    h <- h + silu(W h);  then W_out h. The features of x are x itself and sines and
    cosines of several pitches, since a plain network is too smooth for fine detail
    (Tancik et al., arXiv:2006.10739). classes: how many labels it takes; None, none.
    """

    def __init__(
        self, x_dim=2, width=128, depth=3, T=1000, classes=None, pitches=4, rng=None
    ):
        self.classes = classes
        self._times = time_embedding(np.arange(T + 1), 64, T)  # a row for each t
        self._pitches = np.float32(2) ** np.arange(pitches, dtype=np.float32)
        self.x = nn.Linear(x_dim * (1 + 2 * pitches), width, rng=rng)
        self.t = nn.Linear(64, width, rng=rng)
        self.y = nn.Embedding(classes + 1, width, rng=rng) if classes else None
        self.hidden = [nn.Linear(width, width, rng=rng) for _ in range(depth)]
        self.out = nn.Linear(width, x_dim, rng=rng)

    def features(self, x):
        """(x, sin(2^k x), cos(2^k x)), k = 0, 1, ...: (N, D) -> (N, D (1 + 2 K))."""
        angle = (x[:, None] * self._pitches[:, None]).reshape(len(x), -1)  # (N, K D)
        return ops.concatenate([x, ops.sin(angle), ops.cos(angle)], axis=1)

    def forward(self, x_t, t, y=None):
        """What the network says of x_t: (N, x_dim)."""
        h = self.x(self.features(x_t)) + self.t(self._times[beside(t, x_t)])
        if self.y is not None:
            h = h + self.y(y)
        for layer in self.hidden:
            h = h + ops.silu(layer(h))
        return self.out(h)


class ExactDenoiser:
    """The best eps that there is, for data sum_k w_k N(mu_k, s^2 I), in closed form.

    eps = -sqrt(1 - alpha_bar_t) grad log q(x_t), and q(x_t) is a mixture of
    N(sqrt(alpha_bar_t) mu_k, (alpha_bar_t s^2 + 1 - alpha_bar_t) I). A sampler with it
    has no error but its own. means mu (K, D); deviation s, 0 for data of K points (then
    sampling brings back the data, and nothing new); weights w (K,), equal if None. The
    label y is k, and K means any.
    """

    def __init__(self, schedule, means, deviation=0.0, weights=None):
        self.schedule, self.means = schedule, np.asarray(means, np.float64)
        self.deviation, self.classes = deviation, len(self.means)
        K = self.classes
        w = np.full(K, 1 / K) if weights is None else np.asarray(weights)
        self.log_weights = np.log(w / w.sum())

    def __call__(self, x_t, t, y=None):
        """E[eps | x_t]: x_t (N, D), t (N,), y (N,) or None -> (N, D)."""
        alpha_bar = self.schedule.alpha_bar[t][:, None]  # (N, 1)
        variance = alpha_bar * self.deviation**2 + 1 - alpha_bar
        away = x_t[:, None] - np.sqrt(alpha_bar)[..., None] * self.means  # (N, K, D)
        log_r = self.log_weights - (away**2).sum(axis=2) / (2 * variance)  # (N, K)
        if y is not None:
            k = np.arange(self.classes)
            wrong = (y[:, None] != k) & (y[:, None] != self.classes)
            log_r = np.where(wrong, -np.inf, log_r)
        r = ops.softmax(log_r, axis=1)[..., None]  # p(k | x_t)
        return np.sqrt(1 - alpha_bar) / variance * (r * away).sum(axis=1)
