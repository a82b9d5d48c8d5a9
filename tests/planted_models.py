"""More planted mistakes: in losses, layers and models. See planted.py."""

import numpy as np
from planted import plant, softmax, softmax_rule

import scratchnn as snn


def one_hot(k, c):
    return (k[:, None] == np.arange(c)).astype(float)


def log_loss(x, k):
    """Mean cross-entropy of logits x (n, C), labels k (n,)."""
    return -np.log(softmax(x)[np.arange(len(k)), k]).mean()


# ---- softmax, cross-entropy, losses ----------------------------------------------
@plant("M41", "N")
def exp_without_shift(rng, n, d, m):
    def forward(x):
        e = snn.exp(x)
        return e / snn.sum(e, axis=-1, keepdims=True)

    return forward, None, [rng.normal(size=(n, d)) + 750.0]


@plant("M43", "I")
def elementwise_softmax(rng, n, d, m):
    return (
        softmax,
        lambda g, x: g * softmax(x) * (1 - softmax(x)),
        [rng.normal(size=(n, d))],
    )


@plant("M45", "I")
def softmax_sum_over_batch(rng, n, d, m):
    return (
        softmax,
        lambda g, x: softmax(x) * (g - (g * softmax(x)).sum(0)),
        [rng.normal(size=(n, d))],
    )


@plant("M47", "R")
def mean_loss_without_n(rng, n, d, m):
    k = rng.integers(0, d, n)
    return (
        log_loss,
        lambda g, x, k: g * (softmax(x) - one_hot(k, x.shape[1])),
        [rng.normal(size=(n, d)), k],
    )


@plant("M49", "I")
def label_columns(rng, n, d, m):
    def backward(g, x, k):
        p = softmax(x)
        p[:, k] -= 1
        return g * p / len(x)

    k = np.array([1, 0, 1, 1, 0, 2, 1, 0, 0, 1, 2])[:n]
    return log_loss, backward, [rng.normal(size=(n, d)), k]


@plant("M53", "G")
def eps_in_backward_only(rng, n, d, m):
    p = rng.uniform(size=(n, d)) ** 6
    t = rng.uniform(size=(n, d))
    return (
        lambda p, t: -(t * np.log(p)).mean(),
        lambda g, p, t: (-g * t / (p + 1e-7) / p.size, -g * np.log(p) / p.size),
        [p, t],
    )


@plant("M57", "N")
def log_of_sigmoid(rng, n, d, m):
    return lambda z: snn.log(snn.sigmoid(z)), None, [rng.normal(size=(n, d)) - 900.0]


@plant("M59", "X")
def penalty_without_its_2(rng, n, d, m):
    lam = 0.1
    return (
        lambda x, W: ((x @ W) ** 2).mean() + lam * (W**2).sum(),
        lambda g, x, W: (
            g * 2 * (x @ W) @ W.T / (n * m),
            g * (2 * x.T @ (x @ W) / (n * m) + lam * W),
        ),
        [rng.normal(size=(n, d)), rng.normal(size=(d, m))],
    )


@plant("M65", "N")
def empty_cluster(rng, n, d, m):
    z = np.zeros(n, dtype=int)

    def forward(x, z):
        onto = one_hot(z, 2)
        return (onto.T @ x) / onto.sum(0)[:, None]

    return forward, lambda g, x, z: g[z] / n, [rng.normal(size=(n, d)), z]


# ---- normalisation, dropout ------------------------------------------------------
def batch_norm(x, eps=1e-5):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)


@plant("M69", "I")
def statistics_constant(rng, n, d, m):
    return (
        batch_norm,
        lambda g, x: g / np.sqrt(x.var(0) + 1e-5),
        [2 * rng.normal(size=(n, d)) + 1],
    )


@plant("M71", "I")
def mean_constant(rng, n, d, m):
    def backward(g, x):
        s, y = np.sqrt(x.var(0) + 1e-5), batch_norm(x)
        return (g - y * (g * y).mean(0)) / s

    return batch_norm, backward, [2 * rng.normal(size=(n, d)) + 1]


@plant("M73", "X")
def eps_in_forward_only(rng, n, d, m):
    def backward(g, x):
        y = batch_norm(x, 0.0)
        return (g - g.mean(0) - y * (g * y).mean(0)) / np.sqrt(x.var(0))

    return batch_norm, backward, [rng.normal(size=(n, d))]


@plant("M81", "G")
def mask_forgotten(rng, n, d, m):
    keep = rng.random((n, d)) < 0.6
    return lambda x: x * keep / 0.6, lambda g, x: g / 0.6, [rng.normal(size=(n, d))]


# ---- convolution and recurrence --------------------------------------------------
def conv(x, k, stride=1):
    """y_i = sum_j k_j x_{i stride + j}: x (N, L), k (K,)."""
    places = range(0, x.shape[1] - len(k) + 1, stride)
    return np.stack([x[:, i : i + len(k)] @ k for i in places], 1)


def conv_rule(g, x, k, stride=1):
    dx, dk = np.zeros_like(x), np.zeros_like(k)
    for i in range(g.shape[1]):
        s = i * stride
        dx[:, s : s + len(k)] += g[:, i, None] * k
        dk += g[:, i] @ x[:, s : s + len(k)]
    return dx, dk


@plant("M89", "G")
def stride_ignored(rng, n, d, m):
    def backward(g, x, k):
        dx = np.zeros_like(x)
        for i in range(g.shape[1]):
            dx[:, i : i + len(k)] += g[:, i, None] * k
        return dx, conv_rule(g, x, k, 2)[1]

    return (
        lambda x, k: conv(x, k, 2),
        backward,
        [rng.normal(size=(n, 11)), rng.normal(size=3)],
    )


@plant("M91", "R")
def kernel_gradient_averaged(rng, n, d, m):
    def backward(g, x, k):
        dx, dk = conv_rule(g, x, k)
        return dx, dk / g.size

    return conv, backward, [rng.normal(size=(n, 11)), rng.normal(size=3)]


def rnn(x, W):
    """h_t = tanh(x_t + h_{t-1} W), h_0 = 0: x (T, d)."""
    h = [np.zeros(x.shape[1])]
    for x_t in x:
        h.append(np.tanh(x_t + h[-1] @ W))
    return np.stack(h)


@plant("M93", "Z")
def last_assignment_wins(rng, n, d, m):
    def backward(g, x, W):
        h = rnn(x, W)
        dx, dh = np.zeros_like(x), np.zeros(x.shape[1])
        for t in reversed(range(len(x))):
            dz = (g[t] + dh) * (1 - h[t + 1] ** 2)
            dx[t], dW, dh = dz, np.outer(h[t], dz), dz @ W.T
        return dx, dW

    return (
        lambda x, W: rnn(x, W)[1:],
        backward,
        [rng.normal(size=(n, d)), 0.5 * rng.normal(size=(d, d))],
    )


# ---- attention -------------------------------------------------------------------
def attention(Q, K, V):
    return softmax(Q @ K.T / np.sqrt(Q.shape[1])) @ V


def attention_rule(g, Q, K, V, jacobian=True, scale=True):
    c = 1 / np.sqrt(Q.shape[1])
    A = softmax(Q @ K.T * c)
    dS = softmax_rule(g @ V.T, A) if jacobian else g @ V.T
    c = c if scale else 1.0
    return dS @ K * c, dS.T @ Q * c, A.T @ g


def qkv(rng, n, d, m):
    return [rng.normal(size=s) for s in ((n, d), (n + 2, d), (n + 2, m))]


@plant("M109", "I")
def scores_as_weights(rng, n, d, m):
    return (
        attention,
        lambda g, *x: attention_rule(g, *x, jacobian=False),
        qkv(rng, n, d, m),
    )


@plant("M111", "R")
def scale_lost(rng, n, d, m):
    return (
        attention,
        lambda g, *x: attention_rule(g, *x, scale=False),
        qkv(rng, n, d, m),
    )


@plant("M113", "H")
def scores_not_transposed(rng, n, d, m):
    def backward(g, Q, K, V):
        c = 1 / np.sqrt(Q.shape[1])
        A = softmax(Q @ K.T * c)
        dS = softmax_rule(g @ V.T, A)
        return dS @ K * c, dS @ Q * c, A.T @ g

    return attention, backward, qkv(rng, n, d, m)


# ---- generators, graphs ----------------------------------------------------------
@plant("M129", "S")
def divergence_subtracted(rng, n, d, m):
    def forward(mu, s):
        return 0.5 * (mu**2 + np.exp(s) - 1 - s).sum()

    return (
        forward,
        lambda g, mu, s: (-g * mu, -0.5 * g * (np.exp(s) - 1)),
        [rng.normal(size=(n, d)), rng.normal(size=(n, d))],
    )


@plant("M139", "Z")
def noise_has_no_path(rng, n, d, m):
    eps = rng.normal(size=(n, d))
    return (
        lambda mu, s: mu + np.exp(s / 2) * eps,
        lambda g, mu, s: (g, None),
        [rng.normal(size=(n, d)), rng.normal(size=(n, d))],
    )


@plant("M147", "Z")
def detached(rng, n, d, m):
    return (
        lambda x, W: snn.tanh(x.detach() @ W),
        None,
        [rng.normal(size=(n, d)), rng.normal(size=(d, m))],
    )


@plant("M177", "T")
def adjacency_transposed(rng, n, d, m):
    X = rng.normal(size=(n, d))
    return lambda A: A @ X, lambda g, A: X @ g.T, [rng.normal(size=(n, n))]


@plant("M179", "X")
def backward_without_transpose(rng, n, d, m):
    A = rng.random((n, n)) * (rng.random((n, n)) < 0.7) + np.eye(n)
    A /= A.sum(1, keepdims=True)
    return (
        lambda X, W: A @ X @ W,
        lambda g, X, W: (A @ g @ W.T, (A @ X).T @ g),
        [rng.normal(size=(n, d)), rng.normal(size=(d, m))],
    )


# ---- further ones, by the same classes -------------------------------------------
@plant("E08", "I")
def variance_constant(rng, n, d, m):
    return (
        batch_norm,
        lambda g, x: (g - g.mean(0)) / np.sqrt(x.var(0) + 1e-5),
        [2 * rng.normal(size=(n, d)) + 1],
    )


@plant("E09", "R")
def gamma_forgotten(rng, n, d, m):
    def backward(g, x, gamma):
        y, s = batch_norm(x), np.sqrt(x.var(0) + 1e-5)
        return (g - g.mean(0) - y * (g * y).mean(0)) / s, (g * y).sum(0)

    return (
        lambda x, gamma: gamma * batch_norm(x),
        backward,
        [2 * rng.normal(size=(n, d)), rng.uniform(0.5, 2, d)],
    )


@plant("E16", "G")
def last_overlap_wins(rng, n, d, m):
    def backward(g, x, k):
        dx = np.zeros_like(x)
        for i in range(g.shape[1]):
            dx[:, 2 * i : 2 * i + 3] = g[:, i, None] * k
        return dx, conv_rule(g, x, k, 2)[1]

    return (
        lambda x, k: conv(x, k, 2),
        backward,
        [rng.normal(size=(n, 11)), rng.normal(size=3)],
    )


@plant("E19", "I")
def onehot_forgotten(rng, n, d, m):
    k = rng.integers(0, d, n)
    return (
        log_loss,
        lambda g, x, k: g * softmax(x) / len(x),
        [rng.normal(size=(n, d)), k],
    )


@plant("E20", "Z")
def none_for_the_keys(rng, n, d, m):
    def backward(g, Q, K, V):
        dQ, dK, dV = attention_rule(g, Q, K, V)
        return dQ, np.zeros_like(dK), dV

    return attention, backward, qkv(rng, n, d, m)


@plant("E21", "I")
def layer_norm_elementwise(rng, n, d, m):
    def norm(x):
        return batch_norm(x.T).T

    return (
        norm,
        lambda g, x: g / np.sqrt(x.var(1, keepdims=True) + 1e-5),
        [2 * rng.normal(size=(n, d))],
    )


@plant("E24", "T")
def kernel_not_flipped(rng, n, d, m):
    def backward(g, x, k):
        dx, dk = conv_rule(g, x, k)
        return dx, dk[::-1]

    return conv, backward, [rng.normal(size=(n, 11)), rng.normal(size=3)]


@plant("E30", "G")
def no_carry_through_time(rng, n, d, m):
    def backward(g, x, W):
        h = rnn(x, W)
        dz = g * (1 - h[1:] ** 2)
        return dz, h[:-1].T @ dz

    return (
        lambda x, W: rnn(x, W)[1:],
        backward,
        [rng.normal(size=(n, d)), 0.5 * rng.normal(size=(d, d))],
    )
