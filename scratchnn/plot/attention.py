"""What a Transformer looks at: maps of attention with the tokens beside them."""

import numpy as np

from .style import COLOURS, GREY, INK, PALE, new_figure, styled


@styled
def attention(alpha, queries, keys=None, title=None, names=None):
    """Maps of attention weights side by side, a row for each query: it adds up to 1.

    alpha (H, T, S): of each head, what query t takes of key s. queries: T labels; keys:
    S labels, those of the queries if left out. names: of the maps; "head 1" and so on.
    """
    H, T, S = alpha.shape
    keys = queries if keys is None else keys
    if (len(queries), len(keys)) != (T, S):
        raise ValueError(
            f"attention: {len(queries)} labels of queries and {len(keys)} of keys for "
            f"maps of {T} by {S}; give one label for each"
        )
    names = names or ([f"head {h + 1}" for h in range(H)] if H > 1 else [""])
    columns = 1 if H == 1 or max(T, S) > 40 else 2
    rows = -(-H // columns)
    wide = 6.4 if columns == 1 else 9.6
    size = 11 if max(T, S) * columns <= 50 else 8
    turned = 90 * any(len(visible(k)) > 1 for k in keys)
    long = 0.09 * max(len(visible(k)) for k in keys)  # inches of an upright label
    tall = min(2.5, max(0.3, (T / S))) * (wide / columns - 0.8) + long + 0.6
    figure = new_figure(wide, rows * tall + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, weights, name in zip(panels, alpha, names):
        image = axes.imshow(weights, vmin=0, vmax=1, aspect="auto")
        shown = dict(rotation=turned, fontsize=size)
        axes.set_xticks(np.arange(S), map(visible, keys), **shown)
        axes.set_yticks(np.arange(T), map(visible, queries), fontsize=size)
        axes.tick_params(length=0, labelcolor=INK)
        axes.spines[:].set_visible(True)
        axes.spines[:].set_color(PALE)
        axes.set_title(name)
        axes.set(xlabel="looks at", ylabel="token")
    for axes in panels[H:]:
        axes.set_visible(False)
    bar = figure.colorbar(image, ax=list(panels), shrink=0.6, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("weight", color=INK)
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=13)
    return figure


def visible(token):
    """A token as a label: blanks and ends of lines can be seen."""
    return token.replace(" ", "·").replace("\n", "↵").replace("\t", "→") or "(none)"


def entropy(alpha):
    """-sum_s alpha_s log alpha_s of each query, in nats: (..., T, S) -> (..., T).

    exp of it is the number of keys that a query looks at, were they equally weighted.
    """
    alpha = np.asarray(alpha, np.float64)
    return -np.sum(alpha * np.log(np.where(alpha > 0, alpha, 1)), axis=-1)


@styled
def attention_spread(maps):
    """To how many tokens each head looks: exp of the entropy, its mean over queries.

    maps: for each layer an array (B, H, T, S) of weights. A dot for each head.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for layer, alpha in enumerate(maps, 1):
        spread = np.exp(entropy(alpha)).mean(axis=(0, 2))  # (H,)
        places = layer + np.linspace(-0.25, 0.25, len(spread) + 2)[1:-1]
        axes.scatter(places, spread, s=50, color=COLOURS[0], zorder=3)
        for h, (x, y) in enumerate(zip(places, spread), 1):
            axes.annotate(
                str(h), (x, y), (0, 6), textcoords="offset points", ha="center",
                fontsize=10, color=INK,
            )  # fmt: skip
    S = maps[0].shape[-1]
    axes.axhline(S, color=GREY, linestyle=(0, (3, 1.5)))
    axes.annotate(f"all {S}", (0.5, S), (4, 5), textcoords="offset points")
    axes.set_yscale("log", base=2)
    ticks = [2**i for i in range(12) if 2**i <= S]
    axes.set_yticks(ticks, map(str, ticks))
    axes.set_xticks(np.arange(len(maps)) + 1)
    axes.set(xlim=(0.5, len(maps) + 0.5), ylim=(0.8, 1.8 * S))
    axes.set(xlabel="layer (numbers: heads)", ylabel="tokens")
    axes.set_title("how many tokens a head looks at")
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    return figure
