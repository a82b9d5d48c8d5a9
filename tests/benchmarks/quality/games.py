"""What goes wrong between two players, drawn: docs/results/games_*.png.

    python tests/benchmarks/quality/games.py
"""

import math
import pathlib

import numpy as np

from scratchnn import nn, no_grad, optim, plot
from scratchnn.models import games, gan, gan_networks

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "results"


def circling():
    """The game x y, played in three ways."""
    V = games.bilinear
    paths = {m: [p[:2] for p in games.play(V, method=m)] for m in games.METHODS}
    return plot.games(paths, {m: lambda x, y: games.slopes(V, x, y) for m in paths})


def saddles():
    """Alternating steps where each player is in a valley, on a plain, on a hill."""
    titles = {"valleys: a = c = 0.3": 0.3, "plain: a = c = 0": 0.0}
    titles["hills: a = c = -0.2"] = -0.2
    V = {title: games.quadratic(a, 1, a) for title, a in titles.items()}
    paths = {t: [p[:2] for p in games.play(V[t], method="alternating")] for t in V}
    slopes = {t: lambda x, y, t=t: games.slopes(V[t], x, y) for t in V}
    return plot.games(paths, slopes, alike=False)


def early_win(steps=300, seed=0):
    """D is trained, G is not: what is left of the gradient of both losses."""
    rng = np.random.default_rng(seed)
    model = gan_networks.mlp(2, 2, (64, 64), rng=rng)
    batches = (4 + rng.standard_normal((64, 2), np.float32) for _ in range(steps))
    adam = optim.Adam(model.D.parameters(), 2e-3)
    return plot.early_win(list(games.early_win(model, batches, adam, rng)))


def best_discriminator(steps=1500, seed=0):
    """N(-1, 1) against N(1, 1.5^2): D* and a D that has been trained."""
    rng = np.random.default_rng(seed)
    D = nn.MLP([1, 32, 32, 1], nn.Tanh, rng=rng)
    moments = (-1, 1), (1, 1.5)

    def draws(mean, sigma):
        for _ in range(steps):
            yield mean + sigma * rng.standard_normal((1000, 1), np.float32)

    adam = optim.Adam(D.parameters(), 5e-3)
    falling = optim.CosineAnnealingLR(adam, steps)
    for _ in games.fit_discriminator(D, *(draws(*m) for m in moments), adam):
        falling.step()
    x = np.linspace(-5, 6, 400)
    p_data, p_g = (
        np.exp(-(((x - mean) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
        for mean, sigma in moments
    )
    with no_grad():
        logits = D(x[:, None].astype(np.float32)).numpy()[:, 0]
    best = gan.optimal_discriminator(p_data, p_g)
    return plot.best_discriminator(x, p_data, p_g, best, 1 / (1 + np.exp(-logits)))


FIGURES = {
    "circling": circling,
    "saddles": saddles,
    "slopes": plot.generator_slopes,
    "early_win": early_win,
    "best_discriminator": best_discriminator,
}


def main():
    """Draw them all."""
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        plot.save(draw(), DOCS / f"games_{name}.png")


if __name__ == "__main__":
    main()
