"""`scratchnn train rlhf`: the chatbot idea in miniature, around models/rl.py.

One run has three stages. A GPT learns to write; a reward model learns somebody's taste
from pairs of answers, of which one was preferred; and the GPT learns to please the
reward model, without going far from what it was.

The taste is for what is easy to say aloud: vowels and consonants in turn. It stands in
for people, so that we can ask it what the reward model can't: did things get better?
"""

import functools
import itertools
from typing import NamedTuple

import numpy as np

from .. import nn, ops, optim, plot
from ..device import beside
from ..models import generation, rl, transformer
from ..models import transformer_training as training
from ..nn import init
from . import (
    OptionError, choice, draw_from, gpt, positive, switch, text, weight, whole,
)  # fmt: skip

UNIT = ""
LOSS = (
    "text is the surprise at each next character, in nats: less is better; reward and "
    "taste are in standard deviations of the untrained answers: more is better"
)
PICTURES = ("reward_kl.png", "marks.png")
TESTS = text.TESTS
ppo = functools.partial(rl.ppo, epochs=2)  # more, and a few batches go far too far
FILE = "python"
HISTORY = 100  # places on the way that reward_kl.png shows
VOWELS = "aeiouyAEIOUY"

_BOOK = dict(
    steps=1800, gpt_steps=1000, judge_steps=200, batch=64, lr=2e-3, policy_lr=5e-5,
    method="ppo", marks="judge", judge="transformer", beta=0.1, prompt=4, answer=32,
    length=64, width=64, layers=2, heads=4, dropout=0.0, warmup=50,
)  # fmt: skip
DATA = {"python": _BOOK, "shakespeare": _BOOK}

OPTIONS = {
    "gpt_steps": (whole, "how many of the steps the GPT learns to write, the first"),
    "judge_steps": (whole, "how many the reward model learns from pairs, the next"),
    "policy_lr": (positive, "learning rate of the last stage"),
    "method": (choice("ppo", "reinforce"), "ppo or reinforce: how it is trained"),
    "marks": (
        choice("judge", "taste"),
        "judge: marks are a reward model's; taste: they are the taste itself",
    ),
    "judge": (
        choice("transformer", "letters"),
        "the reward model: a transformer, or letters: a number for each letter",
    ),
    "beta": (weight, "weight of the KL: what going a nat away from the GPT costs"),
    "prompt": (whole, "characters that an answer begins from"),
    "answer": (whole, "characters of an answer"),
    **{k: v for k, v in text.OPTIONS.items() if k not in ("tokens", "vocabulary")},
}
WRITE = {
    **gpt.WRITE,
    "frozen": (switch, "on: write as the GPT did before it got marks"),
}


class Loss(NamedTuple):
    """loss = text + beta kl - reward: what all stages together make small.

    text: nats per character of the data. reward: the marks that it is trained on.
    taste: those that it should get; both in standard deviations of the frozen GPT's, 0
    as long as it does not answer. kl: nats per answer from the frozen GPT.
    """

    loss: float
    text: float
    reward: float
    taste: float
    kl: float


class Letters(nn.Module):
    """The sum of a number for each token so far: x (B, T) -> (B, T, 1); 0 at first."""

    def __init__(self, N_V):
        self.value = nn.Embedding(N_V, 1)
        init.zeros_(self.value.weight)

    def forward(self, x):
        return ops.cumsum(self.value(x), axis=1)


class Pupil(nn.Module):
    """The policy, the GPT that it was (rho), its judge; and how far the run has come.

    scale: mean and deviation of the taste's marks, and of the judge's, for answers of
    rho. history: a row (kl, reward, taste) for each of HISTORY parts of the last stage.
    """

    def __init__(self, policy, judge):
        self.policy, self.judge, self.rho = policy, judge, rl.frozen(policy)
        self.step = np.array(0)
        self.scale = np.zeros((2, 2), np.float32)
        self.history = np.zeros((HISTORY, 3), np.float32)


def _char(config):
    return config | {"tokens": "char", "vocabulary": None}


def read(config):
    """Train and test text, and the tokenizer of its characters.

    The test is on 16,000 characters: to answer takes longer than to read.
    """
    train, test, tokenizer = text.long_text(_char(config))
    return train, text.Text(test.tokens[: max(16_000, config["length"] + 1)]), tokenizer


def counted(config):
    """What len(train[0]) counts."""
    return "characters"


loader, size = text.loader, text.size


def build(config, rng):
    """A Pupil, and an optimizer for each stage."""
    text.check(config)
    if config["prompt"] + config["answer"] > config["length"]:
        raise OptionError(
            f"--prompt {config['prompt']} and --answer {config['answer']} have "
            f"{config['prompt'] + config['answer']} characters together, and the GPT "
            f"sees --length {config['length']}; make one of them smaller"
        )
    if config["batch"] == 1:
        raise OptionError(
            "--batch 1: an answer is measured against the others; take at least 2"
        )
    N_V, width, heads = len(config["tokenizer"]), config["width"], config["heads"]
    sizes = dict(l_max=config["length"], dropout=config["dropout"], rng=rng)
    policy = transformer.DTransformer(N_V, width, config["layers"], heads, **sizes)
    if config["judge"] == "letters":
        judge = rl.Scores(Letters(N_V), 1)
        judge.head.weight.data[:] = 1  # with both at 0 neither would ever learn
    else:
        body = transformer.DTransformer(N_V, width, 1, heads, **sizes)
        judge = rl.Scores(body, N_V)
    first = text.optimizers(policy, config | {"total": config["gpt_steps"]})
    optimizers = {
        "gpt": first["adam"],
        "rate": first["rate"],
        "judge": optim.Adam(judge.parameters(), lr=config["lr"]),
        "policy": optim.Adam(policy.parameters(), lr=config["policy_lr"]),
    }
    return Pupil(policy, judge), optimizers


# ---- marks ----------------------------------------------------------------------
def easy_to_say(tokenizer, answer):
    """A reward: the share of an answer's neighbours that are a vowel and a consonant.

    A blank, a digit or a mark is neither.
    """
    letters = [t if len(t) == 1 and t.isalpha() else "" for t in tokenizer.vocabulary]
    kinds = [0 if not t else 1 if t in VOWELS else -1 for t in letters]
    kinds = np.array(kinds, np.float32)

    def reward(tokens, seen):
        kind = beside(kinds, tokens)[tokens[:, -answer:]]  # (B, answer)
        return (kind[:, 1:] * kind[:, :-1] == -1).mean(axis=1)

    return reward


def taste_of(model, config, raw=False):
    """The taste's marks as a reward, in standard deviations of the frozen GPT's.

    raw: as they are.
    """
    reward = easy_to_say(config["tokenizer"], config["answer"])
    mean, deviation = (0.0, 1.0) if raw else model.scale[0].tolist()
    return lambda tokens, seen: (reward(tokens, seen) - mean) / deviation


def marks_of(model, config, raw=False):
    """The marks that the policy is trained on, in the same unit."""
    if config["marks"] == "taste":
        return taste_of(model, config, raw)
    mean, deviation = (0.0, 1.0) if raw else model.scale[1].tolist()
    return lambda tokens, seen: (
        (model.judge.reward(tokens, seen).data - mean) / deviation
    )


def prompts_of(batch, config):
    """The beginnings of windows of text, to be answered: (B, prompt)."""
    return batch[:, : config["prompt"]]


def _scaled(model, config, rewards, batch, rng):
    """Mean and deviation of a reward over 512 answers of rho, and not 0."""
    x = np.tile(prompts_of(batch, config), (-(-512 // len(batch)), 1))[:512]
    found = rl.play(model.rho, model.rho, x, config["answer"], rewards, rng=rng).reward
    return [float(found.mean()), max(float(found.std()), 1e-6)]


# ---- training -------------------------------------------------------------------
def train(model, optimizers, batches, config, rng):
    """The losses of each step: of writing, of judging, of pleasing the judge."""
    draw_from(model, rng)
    writing, judging = config["gpt_steps"], config["judge_steps"]
    judging = 0 if config["marks"] == "taste" else judging
    walk = training.d_training(
        model.policy, optimizers["gpt"], _share(batches, writing, model),
        optimizers["rate"], clip=1.0,
    )  # fmt: skip
    for loss in walk:
        yield _reached(model, Loss(loss.loss, loss.loss, 0.0, 0.0, 0.0))
    if int(model.step) == writing:  # not when it is resumed later on
        batches, first = _peek(batches)
        if first is None:
            return
        model.rho.load_state_dict(model.policy.state_dict())
        taste = taste_of(model, config, raw=True)
        model.scale[0] = beside(_scaled(model, config, taste, first, rng), model.scale)
    some = _share(batches, writing + judging, model)
    for loss in _judging(model, optimizers["judge"], some, config, rng):
        yield _reached(model, loss)
    if int(model.step) == writing + judging:
        batches, first = _peek(batches)
        if first is None:
            return
        judge = marks_of(model, config, raw=True)
        model.scale[1] = beside(_scaled(model, config, judge, first, rng), model.scale)
    model.eval()  # dropout would make the policy another one at each look
    some = _Kept(batches)
    how = ppo if config["method"] == "ppo" else rl.reinforce
    prompts = (prompts_of(batch, config) for batch in some)
    walk = how(
        model.policy, model.rho, prompts, optimizers["policy"],
        _both(model, config, some), config["answer"], config["beta"], rng=rng,
    )  # fmt: skip
    for marks in walk:
        nats = _text(model, some.last)
        loss = Loss(nats + marks.loss, nats, marks.reward, some.taste, marks.kl)
        _note(model, loss, config, writing + judging)
        yield _reached(model, loss)


def _share(batches, until, model):
    """The batches up to step `until`."""
    return itertools.islice(batches, max(0, until - int(model.step)))


def _peek(batches):
    """The batches, and the first of them; None if there is none left."""
    first = next(batches, None)
    return itertools.chain([first], batches), first


def _reached(model, loss):
    model.step += 1
    return loss


class _Kept:
    """Batches, of which the last is kept; and the taste's mean mark of its answers."""

    def __init__(self, batches):
        self.batches, self.last, self.taste = batches, None, 0.0

    def __iter__(self):
        for self.last in self.batches:
            yield self.last


def _both(model, config, kept):
    """The marks to train on; what the taste says of the same answers is noted."""
    marks, taste = marks_of(model, config), taste_of(model, config)

    def reward(tokens, seen):
        kept.taste = float(taste(tokens, seen).mean())
        return marks(tokens, seen)

    return reward


def _judging(model, optimizer, batches, config, rng):
    """The reward model learns from pairs of rho's answers, one pair for each prompt.

    Two deviations of taste apart, an answer is preferred 98 times of 100.
    """
    taste, kept = taste_of(model, config), []

    def comparisons():
        for batch in batches:
            kept.append(batch)
            x = prompts_of(batch, config)
            yield rl.compare(
                model.rho, x, config["answer"], lambda *a: 2 * taste(*a), rng=rng
            )

    for _ in rl.reward_training(model.judge, comparisons(), optimizer):
        nats = _text(model, kept.pop())
        yield Loss(nats, nats, 0.0, 0.0, 0.0)


def _text(model, batch):
    """What the policy still knows of the text: nats per character."""
    return float(training.d_loss(model.policy, batch).loss)


def _note(model, loss, config, before):
    """The history's row for this step of the last stage."""
    total = max(config["total"] - before, 1)
    row = min((int(model.step) - before) * HISTORY // total, HISTORY - 1)
    values = np.array([loss.kl, loss.reward, loss.taste], np.float32)
    model.history[row:] = beside(values, model.history)


def losses(model, batch, config, rng):
    """The losses of held-out text; and of answers, if it gives any yet."""
    nats = _text(model, batch)
    if not float(model.scale[0, 1]) or _waits(model, config):
        return Loss(nats, nats, 0.0, 0.0, 0.0)
    kept = _Kept(())
    rewards, x = _both(model, config, kept), prompts_of(batch, config)
    found = rl.play(model.policy, model.rho, x, config["answer"], rewards, rng=rng)
    marks = rl.marks(found, config["beta"])
    return Loss(nats + marks.loss, nats, marks.reward, kept.taste, marks.kl)


def _waits(model, config):
    """Whether marks still wait for the judge to be trained."""
    return config["marks"] == "judge" and not float(model.scale[1, 1])


def words(loss, config):
    """The losses in a sentence."""
    unsure = text.unsure(loss.text, _char(config))
    if loss.kl == loss.reward == 0:
        return f"{unsure}; it gives no answers yet"
    if config["marks"] == "taste":
        gain = f"the taste's marks {loss.reward:+.1f} standard deviations"
    else:
        gain = (
            f"the reward model's marks {loss.reward:+.1f} standard deviations, the "
            f"taste's own {loss.taste:+.1f}"
        )
    return f"{gain}, at {loss.kl:.1f} nats from the GPT; {unsure}"


# ---- what it writes -------------------------------------------------------------
def write(
    model, config, prompt, n, rng, temperature=1.0, top_k=None, top_p=None, frozen=False
):
    """n characters after the prompt, by the policy, or by the GPT that it was."""
    writer = model.rho if frozen else model.policy
    how = dict(temperature=temperature, top_k=top_k, top_p=top_p)
    return gpt.write(writer, _char(config), prompt, n, rng, **how)


def texts(model, config, test, rng):
    """Held-out prompts with the answers before and after, and their marks."""
    tokenizer, P, n = config["tokenizer"], config["prompt"], config["answer"]
    taste = easy_to_say(tokenizer, n)
    for i in rng.integers(len(test.tokens) - P, size=3):
        prompt = test.tokens[i : i + P][None]
        for name, writer in (("before", model.rho), ("after", model.policy)):
            if name == "before" and int(model.step) < config["gpt_steps"]:
                continue  # rho is not there yet
            y = np.stack(list(generation.generate(writer, prompt, n, rng=rng)), axis=1)
            mark = 100 * float(taste(y, None)[0])
            said = f"{tokenizer.decode(prompt[0])}|{tokenizer.decode(y[0])}"
            said = " ".join(said.split())
            yield f"{name:6} {mark:3.0f} % easy to say: {said}"


# ---- pictures -------------------------------------------------------------------
def figures(model, config, test, rng, n=2000):
    """Reward against KL on the way; and all marks before and after."""
    P, answer = config["prompt"], config["answer"]
    starts = rng.integers(len(test.tokens) - P, size=n)
    prompts = test.tokens[starts[:, None] + np.arange(P)]
    ready = int(model.step) > config["gpt_steps"] and not _waits(model, config)
    rewards = marks_of(model, config, raw=not ready)
    before = rl.play(model.rho, model.rho, prompts, answer, rewards, rng=rng).reward
    kl, *marks = model.history.T
    names = "the reward model's marks", "the taste's own"
    if config["marks"] == "taste":
        names, marks = ["the taste's marks"], marks[:1]
    paths = {name: plot.smooth(kl, r, 25) for name, r in zip(names, marks)}
    unit = "standard deviations above the GPT"
    yield plot.reward_against_kl(paths, best_of(before), unit)
    some = prompts[: n // 4]
    after = rl.play(model.policy, model.rho, some, answer, rewards, rng=rng)
    what = "taste" if config["marks"] == "taste" else "reward model"
    yield plot.marks(before, after.reward, f"mark by the {what}, in deviations")


def best_of(r):
    """(KL, reward) of the closed form, as far as N answers r (N,) of rho can tell.

    pi* = rho exp(r / beta) / Z gives answer i of a sample of rho the share w_i ~
    exp(r_i / beta), for every beta; a sample knows of no better answer than its best.
    """
    found, N = [], len(r)
    for beta in np.geomspace(20, 0.15, 40):
        pi = rl.closed_form(np.full(N, 1 / N), r, beta).pi
        kl = float((pi * np.log(np.maximum(pi * N, 1e-300))).sum())
        if kl < 0.6 * np.log(N):
            found.append((kl, float((pi * r).sum())))
    return np.array(found).T
