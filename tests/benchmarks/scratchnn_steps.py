"""Eight training steps of the course, to be timed beside PyTorch's and JAX's.

A step is forward, backward and one Adam update on a fixed random batch, float32. Each
function of STEPS builds a model and returns `step()`, which returns the loss. gan is
there twice: JAX leaves gradients out that nothing uses, `backward` doesn't.
Architectures and batches are those of the PyTorch and JAX versions beside which
`run.py` runs them.
"""

import math

import numpy as np

import scratchnn as snn
from scratchnn import Tensor, nn, no_grad, optim
from scratchnn.nn import functional as F

RNG = np.random.default_rng(0)


def uniform(*shape):
    return RNG.random(shape, np.float32)


def normal(*shape):
    return RNG.standard_normal(shape, np.float32)


def minimise(loss, optimizer):
    """One update from the gradients of a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def minimise_alone(loss, optimizer):
    """The same, from the gradients of the optimizer's parameters and no others."""
    with no_grad():
        gradients = snn.grad(loss, optimizer.params)
    for p, g in zip(optimizer.params, gradients):
        p.grad = g.data
    optimizer.step()
    return loss


def vae():
    encode = nn.Linear(784, 400)
    to_mu, to_logvar = nn.Linear(400, 20), nn.Linear(400, 20)
    decode = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
    model = nn.ModuleList([encode, to_mu, to_logvar, decode])
    optimizer, x = optim.Adam(model.parameters(), lr=1e-3), uniform(128, 784)

    def step():
        h = F.relu(encode(x))
        mu, logvar = to_mu(h), to_logvar(h)
        z = mu + snn.exp(0.5 * logvar) * normal(*mu.shape)
        bce = F.binary_cross_entropy_with_logits(decode(z), x, reduction="sum")
        return minimise(bce + snn.gaussian_kl(mu, logvar).sum(), optimizer)

    return step


def adversarial(G, D, x, update_G=minimise):
    """D once, then G once, as in Algorithm 1 with the non-saturating loss."""
    settings = {"lr": 2e-4, "betas": (0.5, 0.999)}
    of_G = optim.Adam(G.parameters(), **settings)
    of_D = optim.Adam(D.parameters(), **settings)

    def step():
        with no_grad():
            fake = G(normal(64, 64))
        minimise(F.softplus(-D(x)).mean() + F.softplus(D(fake)).mean(), of_D)
        return update_G(F.softplus(-D(G(normal(64, 64)))).mean(), of_G)

    return step


def gan(update_G=minimise):
    G = nn.Sequential(nn.MLP([64, 256, 256, 784]), nn.Tanh())
    D = nn.MLP([784, 256, 256, 1], activation=lambda: nn.LeakyReLU(0.2))
    return adversarial(G, D, uniform(64, 784) * 2 - 1, update_G)


def gan_needed():
    """gan without the gradients by D's weights in G's update, which nothing uses."""
    return gan(minimise_alone)


def dcgan(ch=32):
    G = nn.Sequential(
        nn.Linear(64, 2 * ch * 49),
        nn.Unflatten(1, (2 * ch, 7, 7)),
        nn.BatchNorm2d(2 * ch),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * ch, ch, 4, 2, 1),
        nn.BatchNorm2d(ch),
        nn.ReLU(),
        nn.ConvTranspose2d(ch, 1, 4, 2, 1),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Conv2d(1, ch, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(ch, 2 * ch, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * ch * 49, 1),
    )
    return adversarial(G, D, uniform(64, 1, 28, 28) * 2 - 1)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + time)))"""

    def __init__(self, ch, time):
        self.norm1, self.conv1 = nn.GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)
        self.time = nn.Linear(time, ch)

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(t)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class Denoiser(nn.Module):
    """Three residual blocks on 16x16 images, told the time."""

    def __init__(self, ch=32, time=64):
        self.first = nn.Conv2d(1, ch, 3, padding=1)
        self.time = nn.Linear(time, time)
        self.blocks = [Residual(ch, time) for _ in range(3)]
        self.last = nn.Conv2d(ch, 1, 3, padding=1)
        k = time // 2
        self.frequencies = np.exp(-math.log(1e4) * np.arange(k, dtype=np.float32) / k)

    def forward(self, x, t):
        angles = t[:, None] * self.frequencies
        e = F.silu(self.time(np.concatenate([np.sin(angles), np.cos(angles)], axis=1)))
        h = self.first(x)
        for block in self.blocks:
            h = block(h, e)
        return self.last(F.silu(h))


def ddpm():
    model, x = Denoiser(), normal(64, 1, 16, 16)
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000, dtype=np.float32))

    def step():
        t, noise = RNG.integers(0, 1000, 64), normal(*x.shape)
        a = alpha_bar[t][:, None, None, None]
        noisy = np.sqrt(a) * x + np.sqrt(1 - a) * noise
        return minimise(F.mse_loss(model(noisy, np.float32(t)), noise), optimizer)

    return step


class Block(nn.Module):
    """A Transformer layer, with cross-attention if `cross`."""

    def __init__(self, d, heads, ff, cross=False):
        self.heads = heads
        self.norm1, self.qkv = nn.LayerNorm(d), nn.Linear(d, 3 * d)
        self.join = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, ff), nn.Linear(ff, d)
        if cross:
            self.norm3, self.q = nn.LayerNorm(d), nn.Linear(d, d)
            self.kv, self.join2 = nn.Linear(d, 2 * d), nn.Linear(d, d)

    def forward(self, x, causal, memory=None):
        qkv = self.qkv(self.norm1(x))
        x = x + self.join(snn.multihead_attention(qkv, None, self.heads, None, causal))
        if memory is not None:
            q, kv = self.q(self.norm3(x)), self.kv(memory)
            x = x + self.join2(snn.multihead_attention(q, kv, self.heads))
        h = F.gelu(self.up(self.norm2(x)), approximate="tanh")
        return x + self.down(h)


class GPT(nn.Module):
    """nanoGPT's recipe for a laptop."""

    def __init__(self, vocabulary=65, d=128, heads=4, layers=4, length=64):
        self.tokens, self.places = nn.Embedding(vocabulary, d), nn.Embedding(length, d)
        self.blocks = [Block(d, heads, 4 * d) for _ in range(layers)]
        self.norm, self.out = nn.LayerNorm(d), nn.Linear(d, vocabulary, bias=False)

    def forward(self, x):
        h = self.tokens(x) + self.places.weight
        for block in self.blocks:
            h = block(h, True)
        return self.out(self.norm(h))


def gpt():
    model, text = GPT(), RNG.integers(0, 65, (12, 65))
    optimizer, target = optim.Adam(model.parameters(), lr=1e-3), text[:, 1:].reshape(-1)

    def step():
        logits = model(text[:, :-1]).reshape(-1, 65)
        return minimise(F.cross_entropy(logits, target), optimizer)

    return step


class Seq2Seq(nn.Module):
    """Encoder and decoder of two layers each."""

    def __init__(self, vocabulary=64, d=128, heads=4, layers=2, length=64):
        self.tokens, self.places = nn.Embedding(vocabulary, d), nn.Embedding(length, d)
        self.encoder = [Block(d, heads, 512) for _ in range(layers)]
        self.decoder = [Block(d, heads, 512, cross=True) for _ in range(layers)]
        self.out = nn.Linear(d, vocabulary)

    def forward(self, source, target):
        h = self.tokens(source) + self.places.weight[: source.shape[1]]
        for block in self.encoder:
            h = block(h, False)
        y = self.tokens(target) + self.places.weight[: target.shape[1]]
        for block in self.decoder:
            y = block(y, True, h)
        return self.out(y)


def seq2seq():
    model = Seq2Seq()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    source, text = RNG.integers(0, 64, (64, 24)), RNG.integers(0, 64, (64, 25))
    target = text[:, 1:].reshape(-1)

    def step():
        logits = model(source, text[:, :-1]).reshape(-1, 64)
        return minimise(F.cross_entropy(logits, target), optimizer)

    return step


def cora_like(nodes=2708, edges=5429, features=1433, classes=7):
    """A random graph of Cora's sizes: (rows, columns, values), x, y, training nodes."""
    source, goal = RNG.integers(0, nodes, (2, edges))
    loops = np.arange(nodes)
    rows = np.concatenate([source, goal, loops])
    columns = np.concatenate([goal, source, loops])
    degree = np.bincount(rows)
    values = (1 / np.sqrt(degree[rows] * degree[columns])).astype(np.float32)
    x = np.zeros((nodes, features), np.float32)
    for row in x:
        row[RNG.choice(features, 18, replace=False)] = 1 / 18
    labels, train = RNG.integers(0, classes, nodes), RNG.choice(nodes, 140, False)
    return (rows, columns, values), x, labels, train


def gcn():
    matrix, x, labels, train = cora_like()
    A = snn.SparseMatrix(*matrix, (len(x), len(x)))
    first, second = nn.Linear(1433, 16), nn.Linear(16, 7)
    model = nn.ModuleList([first, second])
    optimizer = optim.Adam(model.parameters(), lr=1e-2, weight_decay=5e-4)

    def step():
        h = F.dropout(F.relu(A @ first(F.dropout(x, 0.5))), 0.5)
        y = (A @ second(h))[train]
        return minimise(F.cross_entropy(y, labels[train]), optimizer)

    return step


def attn1():
    """Algorithm 3 of the Formal Algorithms: one query on a context of 512."""
    W_q, W_k, W_v = leaves = [Tensor(normal(64, 64), True) for _ in range(3)]
    b_q, b_k, b_v = biases = [Tensor(np.zeros(64, np.float32), True) for _ in range(3)]
    e, e_t = normal(64), normal(512, 64)

    def step():
        q = F.linear(e, W_q, b_q)
        k, v = F.linear(e_t, W_k, b_k), F.linear(e_t, W_v, b_v)
        alpha = snn.softmax(k @ q / math.sqrt(64), 0)
        loss = (alpha @ v).sum()
        loss.backward()
        for p in leaves + biases:
            p.grad = None
        return loss

    return step


STEPS = {
    f.__name__: f
    for f in (vae, gan, gan_needed, dcgan, ddpm, gpt, seq2seq, gcn, attn1)
}
