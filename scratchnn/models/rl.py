"""Reinforcement learning on top of a language model: it answers, and gets marks.

A language model says what people would say next. A chatbot shall say what people like
to hear, and nobody can write that down as the one right answer. So the model answers,
each answer y to a prompt x gets a mark r(x, y), and what was marked well becomes more
likely. The mark is a number from outside: no gradient flows through it.

The policy pi starts as a copy of the language model rho, which stays as it is, and has
to stay near it:

    maximise  E[r(x, y)] - beta KL(pi || rho)

Ziegler et al., "Fine-Tuning Language Models from Human Preferences", arXiv:1909.08593;
Ouyang et al., "Training language models to follow instructions with human feedback"
(InstructGPT), arXiv:2203.02155. A policy is a DTransformer, or what can be called as
one: model(x, cache=None) -> logits (B, T, N_V) for tokens x (B, T), and l_max. A reward
is any function reward(tokens, seen) -> (B,), see Episodes.
"""

import copy
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from ..device import beside
from ..nn import init
from ..random import default_rng
from ..recording import no_grad
from ..tensor import Tensor
from .generation import generate

BASELINES = ("others", "none")


# ---- what the best policy is, where it can be computed --------------------------
class Best(NamedTuple):
    """The best policy pi (N_V,) and what it reaches, E[r] - beta KL(pi || rho)."""

    pi: np.ndarray
    value: float


def closed_form(rho, r, beta):
    """pi* = rho exp(r / beta) / Z,  value beta log Z,  Z = E_rho[exp(r / beta)].

    The policy of the largest E_pi[r] - beta KL(pi || rho), where all answers can be
    counted: rho (N,) their probabilities, r (N,) their marks. beta > 0.
    """
    if not beta > 0:
        raise ValueError(f"beta is {beta}, expected a number above 0")
    with np.errstate(divide="ignore"):
        log_weight = np.log(rho) + np.asarray(r) / beta
    log_Z = ops.logsumexp(log_weight)
    return Best(np.exp(log_weight - log_Z), float(beta * log_Z))


def bandit_gradient(z, r):
    """dJ/dz_k = pi_k (r_k - sum_j pi_j r_j),  J = sum_k pi_k r_k,  pi = softmax(z).

    The exact policy gradient where an answer is one of K tokens: z, r (K,) -> (K,).
    What is better than the policy's mean mark becomes more likely.
    """
    pi = ops.softmax(z, -1)
    return pi * (r - (pi * r).sum())


# ---- answers and their marks ----------------------------------------------------
class Episodes(NamedTuple):
    """Prompts with answers behind them, and what was said of those.

    tokens (B, P + l): prompts of P tokens, answers of l. seen (B, P + l): True for the
    prompt, and for the answer up to its eos_token, which is still part of it. log_pi,
    log_rho (B, l): log-probability of each answer token by the policy that drew it and
    by the frozen model. kl (B,): sum_t KL(pi(.|x, y_<t) || rho(.|x, y_<t)); its mean
    is KL(pi || rho), as that of log_pi - log_rho is, but is never below 0. reward (B,).
    """

    tokens: np.ndarray
    seen: np.ndarray
    log_pi: np.ndarray
    log_rho: np.ndarray
    kl: np.ndarray
    reward: np.ndarray

    @property
    def said(self):
        """Which answer tokens count: (B, l)."""
        return self.seen[:, -self.log_pi.shape[1] :]


def frozen(model):
    """A copy of the model that no step changes: rho."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@no_grad()
def play(model, rho, prompts, l_gen, reward, eos_token=None, rng=None):
    """Answer each of prompts (B, P) with up to l_gen tokens y ~ pi: Episodes.

    With eos_token an answer ends behind its first one.
    """
    draw = generate(model, prompts, l_gen, rng=rng, cached=hasattr(model, "cache"))
    answers = beside(np.stack(list(draw), axis=1), prompts)  # (B, l_gen)
    tokens = np.concatenate([prompts, answers], axis=1)
    said = np.ones_like(answers, dtype=bool)
    if eos_token is not None:
        ended = np.cumsum(answers == eos_token, axis=1)
        said[:, 1:] = ended[:, :-1] == 0  # the first eos_token counts itself
    seen = np.concatenate([np.ones_like(prompts, dtype=bool), said], axis=1)
    log_p, log_q = (_log_next(m, tokens, l_gen) for m in (model, rho))  # (B, l, N_V)
    kl = ((np.exp(log_p) * (log_p - log_q)).sum(axis=2) * said).sum(axis=1)
    chosen = answers[..., None]
    log_pi, log_rho = (
        np.take_along_axis(a, chosen, axis=2)[..., 0] * said for a in (log_p, log_q)
    )
    marks = reward(tokens, seen)
    marks = beside(marks.data if isinstance(marks, Tensor) else marks, log_pi)
    return Episodes(tokens, seen, log_pi, log_rho, kl, marks.astype(log_pi.dtype))


def _log_next(model, tokens, l_gen):
    """log-probabilities of all N_V tokens at each answer token: (B, l_gen, N_V)."""
    logits = model(tokens[:, :-1])
    logits = logits.data if isinstance(logits, Tensor) else logits
    return ops.log_softmax(logits[:, -l_gen:], axis=-1)


def log_probs(model, tokens, l_gen):
    """log pi(y_t | x, y_<t) of the last l_gen tokens of each row: (B, l_gen)."""
    logits = model(tokens[:, :-1])[:, -l_gen:]  # place t says what t + 1 will be
    N_V, y = logits.shape[-1], tokens[:, -l_gen:]
    surprise = ops.cross_entropy(
        logits.reshape(-1, N_V), y.reshape(-1), reduction="none"
    )
    return -surprise.reshape(y.shape)


# ---- REINFORCE ------------------------------------------------------------------
class Marks(NamedTuple):
    """How a batch of answers did; loss = -(reward - beta kl), what is minimised.

    reward: the mean mark. kl: KL(pi || rho) in nats per answer.
    """

    loss: float
    reward: float
    kl: float


def returns(episodes, beta):
    """R = r(x, y) - beta log(pi(y|x) / rho(y|x)): (B,).

    Equation (2) of Ziegler et al. Its mean over answers is E[r] - beta KL(pi || rho).
    """
    return episodes.reward - beta * (episodes.log_pi - episodes.log_rho).sum(axis=1)


def advantages(R, baseline="others"):
    """A = R - b: (B,) -> (B,). b_i is the mean of the others' returns, or 0 ("none").

    A baseline that does not look at its own answer leaves the gradient right on
    average, and takes most of its noise away. Kool, van Hoof and Welling, "Buy 4
    REINFORCE Samples, Get a Baseline for Free!", ICLR workshop 2019.
    """
    if baseline not in BASELINES:
        raise ValueError(f"baseline is {baseline!r}, expected 'others' or 'none'")
    if baseline == "none":
        return R
    if len(R) < 2:
        raise ValueError(
            "the baseline is the mean of the other answers, and there is one answer; "
            "give batches of at least 2 prompts, or baseline='none'"
        )
    return (R - R.mean()) * (len(R) / (len(R) - 1))  # R_i - mean of R_j, j != i


def reinforce_loss(log_pi, A, said):
    """-mean_i A_i log pi(y_i | x_i), whose gradient is -E[(R - b) grad log pi].

    Williams, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning", 1992. log_pi (B, l) a Tensor, A (B,), said (B, l). Each
    answer's log-probability is the sum of its tokens', and meets its own A.
    """
    return -(A * (log_pi * said).sum(axis=1)).mean()


def reinforce(
    model, rho, prompts, optimizer, reward, l_gen, beta=0.1, baseline="others",
    eos_token=None, rng=None,
):  # fmt: skip
    """REINFORCE with a KL penalty, as a generator: Marks for each batch of prompts.

    prompts: an iterable of arrays (B, P), as many as there shall be steps. rho: the
    frozen model. reward, l_gen, eos_token: see play.
    """
    for x in prompts:
        episodes = play(model, rho, x, l_gen, reward, eos_token, rng)
        A = advantages(returns(episodes, beta), baseline)
        log_pi = log_probs(model, episodes.tokens, l_gen)
        _descend(optimizer, reinforce_loss(log_pi, A, episodes.said))
        yield marks(episodes, beta)


def marks(episodes, beta):
    """Marks of some episodes."""
    reward, kl = float(episodes.reward.mean()), float(episodes.kl.mean())
    return Marks(beta * kl - reward, reward, kl)


def _descend(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# ---- PPO ------------------------------------------------------------------------
def token_rewards(episodes, beta):
    """r_t = -beta log(pi(y_t|.) / rho(y_t|.)), and r(x, y) on top at the last token.

    (B, l); the sum over an answer is its return.
    """
    said = episodes.said
    r = -beta * (episodes.log_pi - episodes.log_rho)
    last = said.sum(axis=1)[:, None] - 1 == np.arange(said.shape[1], like=said)
    return r + last * episodes.reward[:, None]


def gae(r, V, said, gamma=1.0, lam=0.95):
    """A_t = sum_k (gamma lam)^k delta_{t+k},  delta_t = r_t + gamma V_{t+1} - V_t.

    Equations (11) and (12) of PPO, after Schulman et al., arXiv:1506.02438. r (B, l):
    what each token earns. V (B, l): the return that is expected before token t. Behind
    the end both are 0. lam = 1: the return from t on, minus V_t; 0: one token ahead.
    """
    A, later, V_next = np.zeros_like(r), 0.0, 0.0
    V = V * said
    for t in range(r.shape[1] - 1, -1, -1):
        delta = r[:, t] + gamma * V_next - V[:, t]
        later = (delta + gamma * lam * later) * said[:, t]
        A[:, t], V_next = later, V[:, t]
    return A


def ppo_loss(log_pi, log_old, A, said, epsilon=0.2):
    """-E[min(ratio A, clip(ratio, 1 - epsilon, 1 + epsilon) A)]   (7).

    ratio = pi / pi_old of each token; log_pi (B, l) a Tensor; log_old, A, said (B, l).
    The sum over an answer, mean over answers, so that at the first step the gradient is
    that of reinforce_loss. Once a token's ratio has moved by epsilon in the direction
    that A asks for, it gets no gradient any more.
    """
    ratio = ops.exp(log_pi - log_old)
    kept = ops.clip(ratio, 1 - epsilon, 1 + epsilon)
    return -(ops.minimum(ratio * A, kept * A) * said).sum(axis=1).mean()


def adapted(beta, kl, target, K=0.1):
    """beta (1 + K e),  e = clip(kl / target - 1, -0.2, 0.2).

    A beta that finds the one at which KL(pi || rho) is `target` nats: section 2.2 of
    Ziegler et al.
    """
    return beta * (1 + K * min(max(kl / target - 1, -0.2), 0.2))


def ppo(
    model, rho, prompts, optimizer, reward, l_gen, beta=0.1, epsilon=0.2, epochs=4,
    critic=None, lam=0.95, target_kl=None, eos_token=None, rng=None,
):  # fmt: skip
    """PPO with a KL penalty, as a generator: Marks for each batch of prompts.

    Schulman, Wolski, Dhariwal, Radford and Klimov, arXiv:1707.06347 (numbers of
    equations are its), algorithm 1: answers are drawn once and learnt from `epochs`
    times. critic: a Scores that learns V, the return to expect after each token; the
    optimizer must hold its parameters too. None: an answer's tokens share the advantage
    of REINFORCE. target_kl: adapt beta until KL(pi || rho) is there.
    """
    for x in prompts:
        old = play(model, rho, x, l_gen, reward, eos_token, rng)
        r, said = token_rewards(old, beta), old.said
        if critic is None:
            A = advantages(returns(old, beta))[:, None]
        else:
            with no_grad():
                V = critic(old.tokens[:, :-1])[:, -l_gen:].data
            A = gae(r, V, said, 1.0, lam)
            goal = A + V  # what V should have been
        for _ in range(epochs):
            log_pi = log_probs(model, old.tokens, l_gen)
            loss = ppo_loss(log_pi, old.log_pi, A, said, epsilon)
            if critic is not None:
                V = critic(old.tokens[:, :-1])[:, -l_gen:]
                loss = loss + 0.5 * (ops.square(V - goal) * said).sum(axis=1).mean()
            _descend(optimizer, loss)
        yield marks(old, beta)
        if target_kl is not None:
            beta = adapted(beta, float(old.kl.mean()), target_kl)


# ---- a reward that is learnt from preferences -----------------------------------
class Scores(nn.Module):
    """w . body(x)_t + b, a number after each token: x (B, T) -> (B, T).

    body: a language model, body(x) -> (B, T, N_V), whose last layer gets a linear layer
    on top; at first all scores are 0. A reward model takes the number after an answer's
    last token; a critic those on the way.
    """

    def __init__(self, body, N_V):
        self.body, self.head = body, nn.Linear(N_V, 1)
        init.zeros_(self.head.weight)
        init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.body(x))[..., 0]

    def reward(self, tokens, seen):
        """r(x, y) of whole texts, after the last token that is seen: (B, T) -> (B,)."""
        last = seen.sum(axis=1)[:, None] - 1 == np.arange(seen.shape[1], like=seen)
        return (self(tokens) * last).sum(axis=1)


def ranked(r, rng=None):
    """How people of limited attention order answers: r (N, K) -> places (N, K).

    The best first: a ranking by r + Gumbel noise, so that of two answers w is put above
    l with probability sigma(r_w - r_l). Bradley and Terry, 1952; Plackett, 1975.
    """
    noise = -np.log(default_rng(rng).exponential(size=r.shape))
    return np.argsort(-(r + beside(noise, r)), axis=1)


def preference_loss(r):
    """-1 / C(K, 2) sum_{w < l} log sigma(r_w - r_l), mean over prompts: r (N, K).

    Equation (1) of InstructGPT. r holds the scores of K answers to each prompt, the
    preferred first.
    """
    w, worse = _pairs(r)
    return ops.softplus(r[:, worse] - r[:, w]).mean()  # softplus(-d) = -log sigma(d)


def _pairs(r):
    """The C(K, 2) pairs of places w < l, as two rows of indices for r (N, K)."""
    return (beside(places, r) for places in np.triu_indices(r.shape[1], k=1))


class Preference(NamedTuple):
    """The loss of a reward model, in nats per pair, and the share it orders right."""

    loss: float
    right: float


def preferences(model, tokens, seen):
    """The Preference of a reward model on ranked answers, with the loss a Tensor.

    tokens, seen (N, K, T): K texts for each prompt, the preferred first.
    """
    N, K, T = tokens.shape
    r = model.reward(tokens.reshape(N * K, T), seen.reshape(N * K, T)).reshape(N, K)
    w, worse = _pairs(r)
    right = (r.data[:, w] > r.data[:, worse]).mean()
    return Preference(preference_loss(r), right)


def reward_training(model, comparisons, optimizer):
    """Train a Scores as reward model, as a generator: a Preference for each batch.

    comparisons: an iterable of pairs (tokens, seen), see preferences.
    """
    for tokens, seen in comparisons:
        found = preferences(model, tokens, seen)
        _descend(optimizer, found.loss)
        yield Preference(*map(float, found))


@no_grad()
def compare(model, prompts, l_gen, reward, K=2, eos_token=None, rng=None):
    """K answers to each of prompts (N, P), ranked by someone's taste: (tokens, seen).

    Both (N, K, P + l_gen), the preferred first. reward is the taste, which `ranked`
    knows with noise.
    """
    each = np.repeat(prompts, K, axis=0)
    rng = default_rng(rng)
    drawn = play(model, model, each, l_gen, reward, eos_token, rng)
    places = ranked(drawn.reward.reshape(-1, K), rng)[..., None]  # (N, K, 1)
    return tuple(
        np.take_along_axis(a.reshape(len(prompts), K, -1), places, axis=1)
        for a in (drawn.tokens, drawn.seen)
    )
