"""Generative adversarial networks: G makes samples, D tells them from data.

G turns noise z into x; D says how likely x is to be data. D climbs the value of their
game and G descends it, until D can't tell: then G draws what the data was drawn from,
though nobody ever wrote its density down. The two losses do not fall when all is well:
D's rests at 2 log 2 = 1.386 and the non-saturating loss of G at log 2 = 0.693.

Goodfellow et al., "Generative Adversarial Nets", NIPS 2014, arXiv:1406.2661; numbers of
equations and lines are theirs where no other paper is named. Labels: Mirza and
Osindero, "Conditional Generative Adversarial Nets", 2014, arXiv:1411.1784.
"""

import contextlib
import math
from collections.abc import Callable
from typing import NamedTuple

from .. import nn, ops
from ..backward import grad
from ..device import beside, standard_normal
from ..random import default_rng
from ..recording import no_grad
from ..tensor import Tensor


class GAN(nn.Module):
    """x = G(z), z ~ N(0, I);  D(x) = sigmoid(a), a the logit that the network D gives.

    G: (N, z_dim + classes) -> (N, C, ...); D: (N, pack (C + classes), ...) -> (N, 1).
    C is the number of coordinates of a point, or of channels of a picture.

    classes: how many labels y there are; one-hot, they join z and x, so that G draws
    what is asked for (Mirza and Osindero, eq. 2). 0: no labels. pack: how many samples
    D judges at once, all real or all made, so that it sees when they are too alike
    (Lin et al., "PacGAN", NeurIPS 2018, arXiv:1712.04086). 1: each alone, as usual.
    """

    def __init__(self, G, D, z_dim, classes=0, pack=1):
        self.G, self.D = G, D
        self.z_dim, self.classes, self.pack = z_dim, classes, pack

    def noise(self, n, rng=None):
        """z ~ N(0, I): (n, z_dim)."""
        like = self.G.parameters()[0].data
        return standard_normal(default_rng(rng), (n, self.z_dim), like)

    def generate(self, z, y=None):
        """G(z|y): z (N, z_dim), y (N,) if there are classes -> (N, C, ...)."""
        return self.G(self._with_labels(z, y))

    def judge(self, x, y=None):
        """The logit of D(x|y), how real x looks: x (N, C, ...) -> (N / pack,)."""
        x, m = self._with_labels(x, y), self.pack
        if len(x) % m:
            raise ValueError(
                f"D judges {m} samples at once and got {len(x)}; give a multiple of {m}"
            )
        packs = ops.reshape(x, (len(x) // m, m * x.shape[1], *x.shape[2:]))
        return self.D(packs).reshape(-1)

    def _with_labels(self, x, y):
        """One-hot labels as further coordinates or channels: (N, C + classes, ...)."""
        if not self.classes:
            return x
        if y is None:
            raise ValueError(
                f"this GAN is conditional: give labels y ({len(x)},), whole numbers "
                f"from 0 to {self.classes - 1}"
            )
        hot = ops.one_hot(y, self.classes).astype(x.dtype)
        hot = hot.reshape(*hot.shape, *[1] * (x.ndim - 2))  # (N, classes, 1, 1)
        hot = ops.broadcast_to(hot, (*hot.shape[:2], *x.shape[2:]))
        return ops.concatenate(x, hot, axis=1)


# ---- the game, from logits ------------------------------------------------------
def value(real, fake):
    """V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))]   (1)

    real, fake: the logits of data and of samples, (N,) each. It is -log 4 = -1.386 if
    D answers 1/2 to everything.
    """
    return -ops.softplus(-real).mean() - ops.softplus(fake).mean()


def minimax(fake):
    """E[log(1 - D(G(z)))], what G descends in (1): flat where D is sure of a fake."""
    return -ops.softplus(fake).mean()


def non_saturating(fake):
    """-E[log D(G(z))]: the same rest point as minimax, steep where D is sure.

    Section 3 of the paper, below equation (1).
    """
    return ops.softplus(-fake).mean()


def least_squares_value(real, fake):
    """-1/2 E[(D(x) - 1)^2] - 1/2 E[D(G(z))^2], D being the network's bare output.

    Mao et al., "Least Squares GANs", ICCV 2017, arXiv:1611.04076, eq. (9).
    """
    return -0.5 * (ops.square(real - 1).mean() + ops.square(fake).mean())


def least_squares(fake):
    """1/2 E[(D(G(z)) - 1)^2]: Mao et al., eq. (9)."""
    return 0.5 * ops.square(fake - 1).mean()


def wasserstein_value(real, fake):
    """E[D(x)] - E[D(G(z))]: at best the distance by which G's mass must be moved.

    That holds if |D(a) - D(b)| <= |a - b|, for which `gradient_penalty` asks.
    Arjovsky et al., "Wasserstein GAN", ICML 2017, arXiv:1701.07875, eq. (2).
    """
    return real.mean() - fake.mean()


def wasserstein(fake):
    """-E[D(G(z))]: Arjovsky et al., algorithm 1, line 10."""
    return -fake.mean()


class Game(NamedTuple):
    """What D climbs and G descends, and the weight lambda of the gradient penalty."""

    value: Callable  # of the logits of data and of samples
    generator: Callable  # of the logits of samples
    penalty: float = 0.0


GAMES = {
    "minimax": Game(value, minimax),
    "non_saturating": Game(value, non_saturating),
    "least_squares": Game(least_squares_value, least_squares),
    "wgan_gp": Game(wasserstein_value, wasserstein, penalty=10.0),
}


# ---- penalties on D's slope -----------------------------------------------------
def gradient_penalty(model, x, x_fake, y=None, rng=None):
    """E[(||grad D(x_hat)|| - 1)^2], x_hat = e x + (1 - e) x_fake, e ~ U(0, 1).

    The slope is 1 along the way from a sample to data for the best critic. With packs,
    x_hat is a pack, with one e. The gradient of this is a gradient of a gradient.
    Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017,
    arXiv:1704.00028, eq. (3) and algorithm 1, which has no batch norm in D.
    """
    e = default_rng(rng).uniform(size=len(x) // model.pack).repeat(model.pack)
    e = beside(e.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype), x)  # (N, 1, ...)
    slope = _slopes(model, e * x + (1 - e) * x_fake, y)
    return ops.square(ops.norm(slope, axis=1) - 1).mean()


def zero_centred_penalty(model, x, y=None):
    """R_1 = 1/2 E[||grad D(x)||^2] on data: where G has won, D must go flat.

    Mescheder et al., "Which Training Methods for GANs do actually Converge?", ICML
    2018, arXiv:1801.04406, eq. (9), without its weight gamma.
    """
    return 0.5 * ops.square(_slopes(model, x, y)).sum(axis=1).mean()


def _slopes(model, x, y):
    """The gradient of each logit by its own pack of x: (N / pack, numbers in it)."""
    x = Tensor(x, requires_grad=True)
    logits = model.judge(x, y)
    slope = grad(logits.sum(), x)  # a Tensor that can be differentiated again
    return slope.reshape(len(logits), -1)


# ---- Algorithm 1 ----------------------------------------------------------------
class Step(NamedTuple):
    """What one iteration saw, D's part before it moved for the last time.

    loss: what D descends, -V and the penalties; generator: what G descends; value: V;
    on_real, on_fake: D's mean answer to data and to samples, a probability, or the bare
    output where D is no probability (least_squares, wgan_gp).
    """

    loss: float
    generator: float
    value: float
    on_real: float
    on_fake: float


@contextlib.contextmanager
def frozen(network):
    """In this context gradients pass through a network, and none stays in it."""
    parameters = network.parameters()
    for p in parameters:
        p.requires_grad = False
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad = True


def discriminator_step(
    model, x, optimizer, loss="non_saturating", r1=0.0, y=None, rng=None
):  # fmt: skip
    """Lines 3 to 5 of algorithm 1: D climbs V by one step, on data x (N, C, ...).

    r1: the weight gamma of `zero_centred_penalty`. Returns (loss, value, on_real,
    on_fake) as in Step. G does not move, and gets no gradient.
    """
    game = _game(loss)
    z = model.noise(len(x), rng)  # 3: minibatch of m noise samples; 4: x, of m examples
    with no_grad():
        x_fake = model.generate(z, y).data
    real, fake = model.judge(x, y), model.judge(x_fake, y)
    V = game.value(real, fake)
    cost = -V
    if game.penalty:
        cost = cost + game.penalty * gradient_penalty(model, x, x_fake, y, rng)
    if r1:
        cost = cost + r1 * zero_centred_penalty(model, x, y)
    answers = _answer(real, loss), _answer(fake, loss)
    _descend(cost, optimizer)  # 5: down -V is up V
    return float(cost), float(V), *answers


def generator_step(model, n, optimizer, loss="non_saturating", y=None, rng=None):
    """Lines 7 and 8 of algorithm 1: G descends its loss by one step, on n samples.

    Returns the loss. D passes gradients on; it does not move, and keeps none.
    """
    z = model.noise(n, rng)  # 7: minibatch of m noise samples
    with frozen(model.D):
        cost = _game(loss).generator(model.judge(model.generate(z, y), y))
        _descend(cost, optimizer)  # 8
    return float(cost)


def train(
    model, batches, optimizers, loss="non_saturating", k=1, r1=0.0, rng=None, ema=None
):
    """Algorithm 1 of the paper, as a generator: a Step for each iteration.

    batches: an iterable of arrays (N, C, ...), or of (x, y) if the model has classes; k
    for each iteration. optimizers: {"G": ..., "D": ...}. loss: a name in GAMES. k: the
    steps of D for one of G. r1: see `discriminator_step`. ema: an optim.EMA of G.
    """
    for group in zip(*[iter(batches)] * k):  # 1: for number of training iterations do
        for batch in group:  # 2: for k steps do
            x, y = batch if isinstance(batch, tuple) else (batch, None)
            y = y if model.classes else None
            seen = discriminator_step(model, x, optimizers["D"], loss, r1, y, rng)
        cost = generator_step(model, len(x), optimizers["G"], loss, y, rng)
        if ema:
            ema.update()
        yield Step(seen[0], cost, *seen[1:])


@no_grad()
def evaluate(model, x, loss="non_saturating", y=None, rng=None):
    """The same numbers for held-out data x, without a step and without penalties."""
    x_fake = model.generate(model.noise(len(x), rng), y)
    real, fake = model.judge(x, y), model.judge(x_fake, y)
    game = _game(loss)
    V, cost = float(game.value(real, fake)), float(game.generator(fake))
    return Step(-V, cost, V, _answer(real, loss), _answer(fake, loss))


def _descend(cost, optimizer):
    optimizer.zero_grad()
    cost.backward()
    optimizer.step()


def _game(loss):
    if loss not in GAMES:
        raise ValueError(f"loss is {loss!r}, expected one of {', '.join(GAMES)}")
    return GAMES[loss]


@no_grad()
def _answer(logits, loss):
    """The mean of D: of its probabilities, if it gives any."""
    is_probability = GAMES[loss].value is value
    return float((ops.sigmoid(logits) if is_probability else logits).mean())


# ---- using the trained model ----------------------------------------------------
@no_grad()
def sample(model, n, y=None, rng=None):
    """n new samples G(z|y): (n, C, ...). y (n,): labels; each class in turn if None."""
    z = model.noise(n, rng)
    if model.classes and y is None:
        y = beside([i % model.classes for i in range(n)], z)
    training = model.G.training
    model.G.eval()  # batch norm by its running averages
    try:
        return model.generate(z, y)
    finally:
        model.G.train(training)


# ---- the optimal discriminator --------------------------------------------------
def optimal_discriminator(p_data, p_g):
    """D*(x) = p_data(x) / (p_data(x) + p_g(x))   (2)

    Densities of one shape; 1/2 where both are 0, and D is never asked.
    """
    total = p_data + p_g
    return ops.where(total > 0, p_data / ops.where(total > 0, total, 1), 0.5)


def optimal_value(p_data, p_g, dx):
    """V(D*, G) = -log 4 + 2 JSD(p_data || p_g): densities at points dx apart   (6)

    -log 4 = -1.386 if the two are one, the least that G can reach (theorem 1); 0 if
    they do not overlap, where D is always right.
    """
    middle = (p_data + p_g) / 2
    return -math.log(4) + dx * (_divergence(p_data, middle) + _divergence(p_g, middle))


def _divergence(p, q):
    """sum_i p_i log(p_i / q_i), 0 where p_i is 0."""
    inside = p > 0
    ratio = ops.where(inside, p, 1) / ops.where(inside, q, 1)
    return float((p * ops.log(ratio)).sum())
