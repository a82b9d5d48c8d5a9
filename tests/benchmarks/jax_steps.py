"""The eight steps of scratchnn_steps.py in JAX, each compiled as a whole.

Parameters are nested lists in the order in which the other two make them, so that
weights can be carried over; a linear weight is (in, out). Batch norm keeps no running
averages: nothing here would read them.
"""

import functools
import math

import jax
import jax.numpy as jnp
from graph import cora_like
from jax import lax
from jax.nn import leaky_relu, relu, silu, softplus

FRESH = iter(range(1_000_000))  # a seed for each array that is made before training


def uniform(key, *shape):
    return jax.random.uniform(key, shape)


def normal(key, *shape):
    return jax.random.normal(key, shape)


def integers(key, high, *shape):
    return jax.random.randint(key, shape, 0, high)


def fresh(draw, *shape):
    return draw(jax.random.PRNGKey(next(FRESH)), *shape)


# ---- training -------------------------------------------------------------------
def moments(parameters):
    """Adam's state: two moments like the parameters, and the number of updates."""
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    return zeros(parameters), zeros(parameters), jnp.zeros(())


def adam(parameters, gradients, state, lr, betas=(0.9, 0.999), weight_decay=0.0):
    """(new parameters, new state)"""
    (m, v, t), (one, two) = state, betas
    t = t + 1
    if weight_decay:
        decayed = lambda g, p: g + weight_decay * p
        gradients = jax.tree.map(decayed, gradients, parameters)
    m = jax.tree.map(lambda m, g: one * m + (1 - one) * g, m, gradients)
    v = jax.tree.map(lambda v, g: two * v + (1 - two) * g * g, v, gradients)

    def moved(p, m, v):
        return p - lr * (m / (1 - one**t)) / (jnp.sqrt(v / (1 - two**t)) + 1e-8)

    return jax.tree.map(moved, parameters, m, v), (m, v, t)


def compiled(update, *state):
    """step() of update(key, *state) -> (loss, *state); the state's memory is reused."""

    @functools.partial(jax.jit, donate_argnums=tuple(range(len(state) + 1)))
    def whole(key, *state):
        key, now = jax.random.split(key)
        loss, *state = update(now, *state)
        return loss, key, *state

    kept = [jax.random.PRNGKey(1), *state]

    def step():
        loss, *kept[:] = whole(*kept)
        return loss.block_until_ready()

    step.state = kept
    return step


def minimiser(loss_of, parameters, lr, **settings):
    """The step of one model with the loss loss_of(parameters, key)."""

    def update(key, parameters, state):
        loss, gradients = jax.value_and_grad(loss_of)(parameters, key)
        return loss, *adam(parameters, gradients, state, lr, **settings)

    return compiled(update, parameters, moments(parameters))


# ---- layers ---------------------------------------------------------------------
def weight(*shape, scale=0.05):
    return scale * jax.random.normal(jax.random.PRNGKey(next(FRESH)), shape)


def linear(n, m):
    return [weight(n, m, scale=n**-0.5), jnp.zeros(m)]


def kernel(*shape):
    """A convolution's weight and, for its outputs, the bias."""
    return [weight(*shape), jnp.zeros(shape[0])]


def scales(n):
    """Weight and bias of a norm."""
    return [jnp.ones(n), jnp.zeros(n)]


def affine(p, x):
    return x @ p[0] + p[1]


def scaled(p, x):
    return x * p[0][:, None, None] + p[1][:, None, None]


def conv(p, x, stride=1):
    layout = ("NCHW", "OIHW", "NCHW")
    y = lax.conv_general_dilated(
        x, p[0], (stride, stride), [(1, 1)] * 2, dimension_numbers=layout
    )
    return y + p[1][:, None, None]


def conv_transpose(p, x):
    """4x4, stride 2, padding 1: twice as high and wide. Weight (in, out, 4, 4)."""
    layout = ("NCHW", "OIHW", "NCHW")
    y = lax.conv_transpose(
        x, p[0], (2, 2), [(2, 2)] * 2, None, layout, transpose_kernel=True
    )
    return y + p[1][:, None, None]


def standardized(x, axes):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5)


def batch_norm(p, x):
    return scaled(p, standardized(x, (0, 2, 3)))


def group_norm(p, x):
    return scaled(p, standardized(x.reshape(len(x), 8, -1), -1).reshape(x.shape))


def layer_norm(p, x):
    return standardized(x, -1) * p[0] + p[1]


def cross_entropy(logits, target):
    log_p = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_p, target[..., None], -1).mean()


# ---- the steps ------------------------------------------------------------------
def vae(batch=128):
    sizes = [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    x = fresh(uniform, batch, 784)

    def loss(p, key):
        encode, to_mu, to_logvar, decode, out = p
        h = relu(affine(encode, x))
        mu, logvar = affine(to_mu, h), affine(to_logvar, h)
        z = mu + jnp.exp(0.5 * logvar) * normal(key, *mu.shape)
        logits = affine(out, relu(affine(decode, z)))
        bce = jnp.sum(softplus(logits) - logits * x)
        return bce - 0.5 * jnp.sum(1 + logvar - mu * mu - jnp.exp(logvar))

    return minimiser(loss, [linear(*size) for size in sizes], 1e-3)


def adversarial(G, D, of_G, of_D, x):
    """D once, then G once: functions G(parameters, z) and D(parameters, x)."""
    betas = (0.5, 0.999)

    def update(key, of_D, D_state, of_G, G_state):
        one, two = jax.random.split(key)
        fake, z = G(of_G, normal(one, 64, 64)), normal(two, 64, 64)

        def loss_of_D(p):
            return softplus(-D(p, x)).mean() + softplus(D(p, fake)).mean()

        def loss_of_G(p):
            return softplus(-D(of_D, G(p, z))).mean()

        of_D, D_state = adam(of_D, jax.grad(loss_of_D)(of_D), D_state, 2e-4, betas)
        loss, gradients = jax.value_and_grad(loss_of_G)(of_G)
        return loss, of_D, D_state, *adam(of_G, gradients, G_state, 2e-4, betas)

    return compiled(update, of_D, moments(of_D), of_G, moments(of_G))


def gan():
    def G(p, z):
        return jnp.tanh(affine(p[2], relu(affine(p[1], relu(affine(p[0], z))))))

    def D(p, x):
        for layer in p[:-1]:
            x = leaky_relu(affine(layer, x), 0.2)
        return affine(p[-1], x)

    x = fresh(uniform, 64, 784) * 2 - 1
    of_G = [linear(64, 256), linear(256, 256), linear(256, 784)]
    of_D = [linear(784, 256), linear(256, 256), linear(256, 1)]
    return adversarial(G, D, of_G, of_D, x)


def dcgan(ch=32):
    def G(p, z):
        first, norm1, up1, norm2, up2 = p
        h = affine(first, z).reshape(-1, 2 * ch, 7, 7)
        h = conv_transpose(up1, relu(batch_norm(norm1, h)))
        return jnp.tanh(conv_transpose(up2, relu(batch_norm(norm2, h))))

    def D(p, x):
        for layer in p[:-1]:
            x = leaky_relu(conv(layer, x, 2), 0.2)
        return affine(p[-1], x.reshape(len(x), -1))

    def up(n, m):
        return [weight(n, m, 4, 4), jnp.zeros(m)]

    x = fresh(uniform, 64, 1, 28, 28) * 2 - 1
    of_G = [
        linear(64, 2 * ch * 49), scales(2 * ch), up(2 * ch, ch), scales(ch), up(ch, 1)
    ]  # fmt: skip
    of_D = [kernel(ch, 1, 4, 4), kernel(2 * ch, ch, 4, 4), linear(2 * ch * 49, 1)]
    return adversarial(G, D, of_G, of_D, x)


def ddpm(ch=32, time=64):
    def residual(p, x, t):
        norm1, conv1, norm2, conv2, shift = p
        h = conv(conv1, silu(group_norm(norm1, x))) + affine(shift, t)[:, :, None, None]
        return x + conv(conv2, silu(group_norm(norm2, h)))

    def denoise(p, x, t):
        first, of_time, *blocks, last = p
        k = time // 2
        angles = t[:, None] * jnp.exp(-math.log(1e4) * jnp.arange(k) / k)
        both = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)
        e, h = silu(affine(of_time, both)), conv(first, x)
        for block in blocks:
            h = residual(block, h, e)
        return conv(last, silu(h))

    def block():
        square = (ch, ch, 3, 3)
        first, second = [scales(ch), kernel(*square)], [scales(ch), kernel(*square)]
        return [*first, *second, linear(time, ch)]

    x = fresh(normal, 64, 1, 16, 16)
    alpha_bar = jnp.cumprod(1 - jnp.linspace(1e-4, 0.02, 1000))

    def loss(p, key):
        one, two = jax.random.split(key)
        t, noise = integers(one, 1000, 64), normal(two, *x.shape)
        a = alpha_bar[t][:, None, None, None]
        noisy = jnp.sqrt(a) * x + jnp.sqrt(1 - a) * noise
        return jnp.square(denoise(p, noisy, t.astype(jnp.float32)) - noise).mean()

    blocks = [block() for _ in range(3)]
    ends = kernel(ch, 1, 3, 3), linear(time, time), kernel(1, ch, 3, 3)
    return minimiser(loss, [*ends[:2], *blocks, ends[2]], 1e-3)


def block(d, ff, cross=False):
    """A Transformer layer's parameters."""
    parts = [scales(d), linear(d, 3 * d), linear(d, d)]
    parts += [scales(d), linear(d, ff), linear(ff, d)]
    if cross:
        parts += [scales(d), linear(d, d), linear(d, 2 * d), linear(d, d)]
    return parts


def attend(q, k, v, heads, causal):
    """Attention of each head's columns: (N, T, d), (N, S, d) twice -> (N, T, d)."""
    q, k, v = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v))
    scores = jnp.einsum("nthd,nshd->nhts", q, k) / math.sqrt(q.shape[-1])
    if causal:
        scores = jnp.where(jnp.tri(scores.shape[-1], dtype=bool), scores, -1e9)
    y = jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(scores), v)
    return y.reshape(*y.shape[:2], -1)


def transform(p, x, heads, causal, memory=None):
    """What a Transformer layer makes of x, or of x and the encoder's output."""
    norm1, qkv, join, norm2, up, down, *cross = p
    q, k, v = jnp.split(affine(qkv, layer_norm(norm1, x)), 3, -1)
    x = x + affine(join, attend(q, k, v, heads, causal))
    if memory is not None:
        norm3, to_q, to_kv, join2 = cross
        k, v = jnp.split(affine(to_kv, memory), 2, -1)
        q = affine(to_q, layer_norm(norm3, x))
        x = x + affine(join2, attend(q, k, v, heads, False))
    return x + affine(down, jax.nn.gelu(affine(up, layer_norm(norm2, x))))


def gpt(vocabulary=65, d=128, heads=4, layers=4, length=64):
    text = fresh(integers, vocabulary, 12, length + 1)

    def loss(p, key):
        tokens, places, *blocks, norm, out = p
        h = tokens[text[:, :-1]] + places
        for layer in blocks:
            h = transform(layer, h, heads, True)
        return cross_entropy(layer_norm(norm, h) @ out, text[:, 1:])

    tables = [weight(n, d) for n in (vocabulary, length)]
    blocks = [block(d, 4 * d) for _ in range(layers)]
    return minimiser(
        loss, [*tables, *blocks, scales(d), linear(d, vocabulary)[0]], 1e-3
    )


def seq2seq(vocabulary=64, d=128, heads=4, layers=2, length=64):
    source = fresh(integers, vocabulary, 64, 24)
    text = fresh(integers, vocabulary, 64, 25)

    def loss(p, key):
        tokens, places, encoder, decoder, out = p
        h = tokens[source] + places[:24]
        for layer in encoder:
            h = transform(layer, h, heads, False)
        y = tokens[text[:, :-1]] + places[:24]
        for layer in decoder:
            y = transform(layer, y, heads, True, h)
        return cross_entropy(affine(out, y), text[:, 1:])

    tables = [weight(n, d) for n in (vocabulary, length)]
    encoder = [block(d, 512) for _ in range(layers)]
    decoder = [block(d, 512, cross=True) for _ in range(layers)]
    return minimiser(loss, [*tables, encoder, decoder, linear(d, vocabulary)], 1e-3)


def dropout(key, x):
    return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), 2 * x, 0)


def gcn():
    (rows, columns, values), x, labels, train = cora_like()
    x, target = jnp.asarray(x), jnp.asarray(labels[train])

    def spread(h):
        return jax.ops.segment_sum(values[:, None] * h[columns], rows, len(x))

    def loss(p, key):
        one, two = jax.random.split(key)
        h = dropout(two, relu(spread(affine(p[0], dropout(one, x)))))
        return cross_entropy(spread(affine(p[1], h))[train], target)

    return minimiser(
        loss, [linear(1433, 16), linear(16, 7)], 1e-2, weight_decay=5e-4
    )


def attn1():
    weights, biases = [fresh(normal, 64, 64) for _ in range(3)], [jnp.zeros(64)] * 3
    e, e_t = fresh(normal, 64), fresh(normal, 512, 64)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def loss(weights, biases):
        (W_q, W_k, W_v), (b_q, b_k, b_v) = weights, biases
        q = W_q @ e + b_q
        k, v = e_t @ W_k.T + b_k, e_t @ W_v.T + b_v
        alpha = jax.nn.softmax(k @ q / math.sqrt(64))
        return (alpha @ v).sum()

    def step():
        value, _ = jax.block_until_ready(loss(weights, biases))
        return value

    return step


STEPS = {
    f.__name__: f for f in (vae, gan, dcgan, ddpm, gpt, seq2seq, gcn, attn1)
}  # fmt: skip
STEPS["gan_needed"] = gan  # jax.grad computes nothing that is not asked for
