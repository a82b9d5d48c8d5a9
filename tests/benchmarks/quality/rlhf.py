"""RL on top: the closed form found, marks gained at what KL, and a judge fooled.

    python tests/benchmarks/quality/rlhf.py --seeds 0 1 2
    python tests/benchmarks/quality/rlhf.py closed judge taste fooled betas

closed: a GPT with 16 possible answers, against rho exp(r / beta) / Z. judge, taste: the
runs of `scratchnn train rlhf` with marks by a reward model and by the taste itself.
fooled: a reward model that saw 320 pairs, and hardly any weight on the KL: its marks
rise, and what they stand for rises little and falls again. betas: four weights of the
KL. --quick: short runs, no figures kept.
"""

import itertools

import numpy as np

from common import arguments
from scratchnn import no_grad, optim, plot
from scratchnn.models import rl, transformer, transformer_training
from scratchnn.recipes import rlhf
from texts import RUNS, SHEETS, script, trained

TITLES = {
    "closed": "PPO on a GPT with 16 answers",
    "judge": "RLHF, Python's reference, marks by a reward model",
    "taste": "RLHF, Python's reference, marks by the taste itself",
    "fooled": "RLHF, a reward model of 320 pairs, beta 0.02",
    "betas": "RLHF, marks by the taste, four weights of the KL",
}
OPTIONS = {
    "taste": {"marks": "taste", "beta": 0.13},
    "fooled": dict(judge_steps=5, beta=0.02, policy_lr=5e-4, steps=1400),
}
BETAS = (1.0, 0.5, 0.2, 0.05)


# ---- the closed form ------------------------------------------------------------
def closed(seed, steps=400, beta=0.5):
    """How near PPO comes to the best policy there is: 4 tokens, answers of 2."""
    rng, N_V = np.random.default_rng(seed), 4
    model = transformer.DTransformer(N_V + 1, 32, 1, 2, l_max=4, rng=rng)
    answers = np.array(list(itertools.product(range(N_V), repeat=2)))
    begin = np.full((len(answers), 1), N_V)
    every = np.concatenate([begin, answers], axis=1)  # (16, 3)
    p = rng.dirichlet(np.ones(len(every)))
    data = (every[rng.choice(len(every), 128, p=p)] for _ in range(300))
    adam = optim.Adam(model.parameters(), lr=2e-3)
    for _ in transformer_training.d_training(model, adam, data):
        pass
    rho, r = rl.frozen(model), rng.normal(size=(N_V, N_V))

    def said(policy):
        """The probabilities of all answers, of which it says no others."""
        with no_grad():
            p = np.exp(rl.log_probs(policy, every, 2).data.sum(axis=1))
        return p.astype(np.float64)

    def reward(tokens, seen):  # the token that begins is no answer
        right = (tokens[:, 1:] < N_V).all(axis=1)
        y = np.minimum(tokens[:, 1:], N_V - 1)
        return np.where(right, r[y[:, 0], y[:, 1]], -5.0)

    before = said(rho) / said(rho).sum()
    best = rl.closed_form(before, r.ravel(), beta)
    adam = optim.Adam(model.parameters(), lr=2e-3)
    decay = optim.LambdaLR(adam, lambda t: max(1 - t / steps, 0.01))
    prompts = (np.full((512, 1), N_V) for _ in range(steps))
    walk = rl.ppo(model, rho, prompts, adam, reward, 2, beta, epochs=2, rng=rng)
    for _ in walk:
        decay.step()
    found = said(model)
    off, asked = (abs(p - best.pi).max() for p in (found, before))
    yield "largest difference of a probability", "at most 0.02", off
    yield "the largest before", "", asked
    with np.errstate(divide="ignore"):
        kl = (found * np.log(found / before)).sum()
    reached = (found * r.ravel()).sum() - beta * kl
    lost = best.value - reached
    yield "E[r] - beta KL, below the best there is", "at most 0.02", lost
    if seed == 0 and steps == 400:
        names = ["".join("abcd"[i] for i in answer) for answer in answers]
        title = "all answers, before and after marks"
        figure = plot.policies(names, before, best.pi, found, title)
        plot.save(figure, SHEETS / "rlhf-closed-form.png")


# ---- runs -----------------------------------------------------------------------
def held_out(config, n=512):
    """Held-out prompts (n, P)."""
    _, test, _ = rlhf.read(config)
    rng, P = np.random.default_rng(0), config["prompt"]
    starts = rng.integers(len(test.tokens) - P, size=n)
    return test.tokens[starts[:, None] + np.arange(P)], test


def gained(model, config, marks, rng):
    """(mean mark, KL) of the policy on held-out prompts, marks as `rlhf.marks_of`."""
    x, _ = held_out(config)
    found = rl.play(model.policy, model.rho, x, config["answer"], marks, rng=rng)
    return float(found.reward.mean()), float(found.kl.mean())


def text_nats(writer, config):
    """Nats per character of held-out text."""
    _, test = held_out(config, 1)
    length = config["length"] + 1
    x = test.tokens[: len(test.tokens) // length * length].reshape(-1, length)
    with no_grad():
        return float(transformer_training.d_loss(writer, x).loss)


def run(kind, seed, folder=None, **options):
    """A run of the command line, and what it has gained."""
    place = (folder or RUNS) / f"rlhf-{kind}-{seed}"
    how = OPTIONS.get(kind, {}) | options
    model, config, seconds = trained("rlhf", "python", seed, place, **how)
    rng = np.random.default_rng([seed, 3])
    reward, kl = gained(model, config, rlhf.marks_of(model, config), rng)
    taste, _ = gained(model, config, rlhf.taste_of(model, config), rng)
    yield "training (s)", "", seconds
    fooled = kind == "fooled"
    bar = "" if fooled else "at least 2"
    yield "marks it is trained on, in standard deviations of the GPT's", bar, reward
    yield "KL from the GPT (nats per answer)", "" if fooled else "at most 10", kl
    if kind != "taste":
        yield "the taste's own marks, likewise", "", taste
    if fooled:
        top = float(model.history[:, 2].max())
        yield "the most that these were on the way", "", top
        share = taste / reward
        yield "taste's marks by marks trained on, at the end", "at most 0.5", share
    before, after = (text_nats(m, config) for m in (model.rho, model.policy))
    yield "held-out text, before (nats per character)", "", before
    yield "held-out text, after", "", after
    if seed == 0 and folder is None and kind in ("judge", "fooled"):
        figure = next(rlhf.figures(model, config, held_out(config)[1], rng))
        plot.save(figure, SHEETS / f"rlhf-{kind}.png")


def betas(seed, folder=None, most=300, **options):
    """The GPT of the run `taste`, trained anew with several weights of the KL."""
    place = (folder or RUNS) / f"rlhf-taste-{seed}"
    how = OPTIONS["taste"] | options
    model, config, _ = trained("rlhf", "python", seed, place, **how)
    marks, prompts = rlhf.taste_of(model, config), held_out(config)[0]
    train_set, _, _ = rlhf.read(config)
    P, paths = config["prompt"], {}
    for beta in BETAS:
        rng = np.random.default_rng([seed, 4])
        policy = rl.frozen(model.rho).requires_grad_(True)
        last = len(train_set.tokens) - P
        starts = (rng.integers(last, size=64) for _ in range(most))
        batches = (train_set.tokens[s[:, None] + np.arange(P)] for s in starts)
        adam = optim.Adam(policy.parameters(), lr=config["policy_lr"])
        walk = rlhf.ppo(
            policy, model.rho, batches, adam, marks, config["answer"], beta, rng=rng
        )
        found = list(walk)
        _, reward, kl = np.array(found).T
        paths[f"beta = {beta:g}"] = plot.smooth(kl, reward, 25)
        yield f"marks, beta {beta:g} (standard deviations)", "", reward[-20:].mean()
        yield f"KL, beta {beta:g} (nats per answer)", "", kl[-20:].mean()
    if seed == 0 and folder is None:
        before = rl.play(
            model.rho, model.rho, np.tile(prompts, (4, 1)), config["answer"], marks,
            rng=rng,
        )  # fmt: skip
        unit = "standard deviations above the GPT"
        figure = plot.reward_against_kl(paths, rlhf.best_of(before.reward), unit)
        plot.save(figure, SHEETS / "rlhf-betas.png")


def measure(kind, seed, folder=None, **short):
    """The figures of one of the runs."""
    if kind == "closed":
        return closed(seed, **({"steps": 50} if short else {}))
    if kind == "betas":
        return betas(seed, folder, **({"most": 5} | short if short else {}))
    return run(kind, seed, folder, **short)


def main(argv=None):
    """All runs for each seed, into results/rlhf.json."""
    asked = arguments(__doc__, argv)
    SHEETS.mkdir(parents=True, exist_ok=True)
    for kind in asked.runs or TITLES:
        title = TITLES[kind]
        short = dict(gpt_steps=60, judge_steps=10)
        asked.runs = [kind]
        script("rlhf", asked, [kind], measure, title, steps=80, **short)


if __name__ == "__main__":
    main()
