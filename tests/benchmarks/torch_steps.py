"""The eight steps of scratchnn_steps.py in PyTorch, as its users write them.

The same layers in the same order, the same batches and losses; Adam is the fused one,
attention `scaled_dot_product_attention`, the graph a CSR matrix. A test carries our
weights over and compares the losses of two steps.
"""

import math

import torch
from graph import cora_like
from torch import nn
from torch.nn import functional as F


def uniform(*shape):
    return torch.rand(shape)


def normal(*shape):
    return torch.randn(shape)


def integers(high, *shape):
    return torch.randint(high, shape)


def adam(parameters, lr, **settings):
    return torch.optim.Adam(parameters, lr=lr, fused=True, **settings)


def minimise(loss, optimizer):
    """One update from the gradients of a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def minimise_alone(loss, optimizer):
    """The same, from the gradients of the optimizer's parameters and no others."""
    (group,) = optimizer.param_groups
    for p, g in zip(group["params"], torch.autograd.grad(loss, group["params"])):
        p.grad = g
    optimizer.step()
    return loss


def vae(batch=128):
    encode = nn.Linear(784, 400)
    to_mu, to_logvar = nn.Linear(400, 20), nn.Linear(400, 20)
    decode = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
    model = nn.ModuleList([encode, to_mu, to_logvar, decode])
    optimizer, x = adam(model.parameters(), 1e-3), uniform(batch, 784)

    def step():
        h = F.relu(encode(x))
        mu, logvar = to_mu(h), to_logvar(h)
        z = mu + torch.exp(0.5 * logvar) * normal(*mu.shape)
        bce = F.binary_cross_entropy_with_logits(decode(z), x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mu * mu - logvar.exp())
        return minimise(bce + kl, optimizer)

    return step


def adversarial(G, D, x, update_G=minimise):
    """D once, then G once."""
    of_G = adam(G.parameters(), 2e-4, betas=(0.5, 0.999))
    of_D = adam(D.parameters(), 2e-4, betas=(0.5, 0.999))

    def step():
        with torch.no_grad():
            fake = G(normal(64, 64))
        minimise(F.softplus(-D(x)).mean() + F.softplus(D(fake)).mean(), of_D)
        return update_G(F.softplus(-D(G(normal(64, 64)))).mean(), of_G)

    return step


def gan(update_G=minimise):
    G = nn.Sequential(
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, 784),
        nn.Tanh(),
    )
    D = nn.Sequential(
        nn.Linear(784, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )
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
    def __init__(self, ch, time):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)
        self.time = nn.Linear(time, ch)

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(t)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(h)))


class Denoiser(nn.Module):
    def __init__(self, ch=32, time=64):
        super().__init__()
        self.first = nn.Conv2d(1, ch, 3, padding=1)
        self.time = nn.Linear(time, time)
        self.blocks = nn.ModuleList(Residual(ch, time) for _ in range(3))
        self.last = nn.Conv2d(ch, 1, 3, padding=1)
        k = time // 2
        self.frequencies = torch.exp(-math.log(1e4) * torch.arange(k) / k)

    def forward(self, x, t):
        angles = t[:, None] * self.frequencies
        e = F.silu(self.time(torch.cat([angles.sin(), angles.cos()], dim=1)))
        h = self.first(x)
        for block in self.blocks:
            h = block(h, e)
        return self.last(F.silu(h))


def ddpm():
    model, x = Denoiser(), normal(64, 1, 16, 16)
    optimizer = adam(model.parameters(), 1e-3)
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)

    def step():
        t, noise = integers(1000, 64), normal(*x.shape)
        a = alpha_bar[t][:, None, None, None]
        noisy = a.sqrt() * x + (1 - a).sqrt() * noise
        return minimise(F.mse_loss(model(noisy, t.float()), noise), optimizer)

    return step


def attend(q, k, v, heads, causal=False):
    """Attention of each head's columns: (N, T, d), (N, S, d) twice -> (N, T, d)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return y.transpose(1, 2).flatten(2)


class Block(nn.Module):
    def __init__(self, d, heads, ff, cross=False):
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv = nn.LayerNorm(d), nn.Linear(d, 3 * d)
        self.join = nn.Linear(d, d)
        self.norm2 = nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, ff), nn.Linear(ff, d)
        if cross:
            self.norm3, self.q = nn.LayerNorm(d), nn.Linear(d, d)
            self.kv, self.join2 = nn.Linear(d, 2 * d), nn.Linear(d, d)

    def forward(self, x, causal, memory=None):
        q, k, v = self.qkv(self.norm1(x)).chunk(3, -1)
        x = x + self.join(attend(q, k, v, self.heads, causal))
        if memory is not None:
            k, v = self.kv(memory).chunk(2, -1)
            x = x + self.join2(attend(self.q(self.norm3(x)), k, v, self.heads))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocabulary=65, d=128, heads=4, layers=4, length=64):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, d), nn.Embedding(length, d)
        self.blocks = nn.ModuleList(Block(d, heads, 4 * d) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(d), nn.Linear(d, vocabulary, bias=False)

    def forward(self, x):
        h = self.tokens(x) + self.places.weight
        for block in self.blocks:
            h = block(h, True)
        return self.out(self.norm(h))


def gpt():
    model, text = GPT(), integers(65, 12, 65)
    optimizer, target = adam(model.parameters(), 1e-3), text[:, 1:].flatten()

    def step():
        logits = model(text[:, :-1]).flatten(0, 1)
        return minimise(F.cross_entropy(logits, target), optimizer)

    return step


class Seq2Seq(nn.Module):
    def __init__(self, vocabulary=64, d=128, heads=4, layers=2, length=64):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, d), nn.Embedding(length, d)
        self.encoder = nn.ModuleList(Block(d, heads, 512) for _ in range(layers))
        self.decoder = nn.ModuleList(Block(d, heads, 512, True) for _ in range(layers))
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
    model, source, text = Seq2Seq(), integers(64, 64, 24), integers(64, 64, 25)
    optimizer, target = adam(model.parameters(), 1e-3), text[:, 1:].flatten()

    def step():
        logits = model(source, text[:, :-1]).flatten(0, 1)
        return minimise(F.cross_entropy(logits, target), optimizer)

    return step


def csr(rows, columns, values, nodes):
    """The sparse matrix (nodes, nodes) with these entries."""
    at = torch.stack([torch.as_tensor(rows), torch.as_tensor(columns)])
    entries = torch.sparse_coo_tensor(at, torch.as_tensor(values), (nodes, nodes))
    return entries.coalesce().to_sparse_csr()


def gcn():
    matrix, x, labels, train = cora_like()
    A, (x, labels, train) = csr(*matrix, len(x)), map(torch.tensor, (x, labels, train))
    first, second = nn.Linear(1433, 16), nn.Linear(16, 7)
    model = nn.ModuleList([first, second])
    optimizer = adam(model.parameters(), 1e-2, weight_decay=5e-4)

    def step():
        h = F.dropout(F.relu(A @ first(F.dropout(x, 0.5))), 0.5)
        y = (A @ second(h))[train]
        return minimise(F.cross_entropy(y, labels[train]), optimizer)

    return step


def attn1():
    W_q, W_k, W_v = leaves = [normal(64, 64).requires_grad_() for _ in range(3)]
    b_q, b_k, b_v = biases = [torch.zeros(64, requires_grad=True) for _ in range(3)]
    e, e_t = normal(64), normal(512, 64)

    def step():
        q = W_q @ e + b_q
        k, v = e_t @ W_k.T + b_k, e_t @ W_v.T + b_v
        alpha = torch.softmax(k @ q / math.sqrt(64), 0)
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
