"""What marks do to a language model: reward against KL, marks, and the closed form."""

import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled

_MARKS = ("o", "s", "^", "D", "v", "P")


@styled
def reward_against_kl(paths, best=None, unit="reward", title=None):
    """What a policy gained, against how far it went: {name: (kl (n,), reward (n,))}.

    Each path starts at the frozen model, at KL 0. best: (kl, reward), what no policy
    exceeds; drawn as a pale line.
    """
    figure = new_figure(6.4, 4.8)
    axes = figure.subplots()
    if best is not None:
        look = dict(color=PALE, linewidth=7, solid_capstyle="round")
        axes.plot(*best, label="the best there is", **look)
    for i, (name, (kl, reward)) in enumerate(paths.items()):
        look = dict(color=COLOURS[i % len(COLOURS)], marker=_MARKS[i % len(_MARKS)])
        kl, reward = np.asarray(kl), np.asarray(reward)
        axes.plot(kl, reward, linewidth=1, markersize=4, alpha=0.8, label=name, **look)
        axes.plot(kl[-1], reward[-1], markersize=10, **look)
    axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (1, 1)), zorder=0)
    axes.set(xlabel="KL(pi || rho), nats per answer", ylabel=unit)
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_title(title or "", pad=10)
    axes.legend(frameon=False, fontsize=11)
    return figure


@styled
def policies(names, rho, best, learnt, title=None):
    """Probabilities of all answers, as bars: before, the best, and what was learnt.

    names: of N answers; rho, best, learnt (N,): the frozen model, the closed form
    rho exp(r / beta) / Z, and the trained policy.
    """
    figure = new_figure(max(6.4, 0.9 * len(names)), 4.2)
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.bar(places, best, 0.8, color=PALE, label="closed form")
    axes.bar(places - 0.17, rho, 0.26, color=GREY, label="before")
    axes.bar(places + 0.17, learnt, 0.26, color=COLOURS[0], label="learnt")
    axes.set_xticks(places, names)
    axes.tick_params(axis="x", length=0, labelcolor=INK)
    axes.set(ylabel="probability")
    axes.set_title(title or "", pad=10)
    axes.legend(frameon=False, fontsize=11)
    return figure


@styled
def marks(before, after, unit):
    """Marks of many answers as two histograms: before (N,) and after (M,) training."""
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    both = np.concatenate([before, after])
    bins = np.linspace(both.min(), both.max() + 1e-9, 31)
    for x, colour, name in [(before, GREY, "before"), (after, COLOURS[0], "after")]:
        weights = np.full(len(x), 1 / len(x))
        axes.hist(x, bins, weights=weights, color=colour, alpha=0.6, label=name)
        axes.axvline(np.mean(x), color=colour, linestyle=(0, (3, 1.5)))
    axes.set(xlabel=unit, ylabel="share of answers")
    axes.legend(frameon=False)
    return figure
