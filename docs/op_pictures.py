"""A picture of function and derivative for each op that acts on single numbers.

Made while the site is built. The derivative is the op's own rule at work, not a formula
written again. NO_PICTURE says why an op of these families has none; ops of the other
families mix the entries of an array, so no curve can show them.
"""

import numpy as np

import scratchnn as snn
from scratchnn.plot.style import COLOURS, GREY, PALE, new_figure, save, styled

HERE = (-3.0, 3.0)
RANGES = {"log": (0.02, 4.0), "sqrt": (0.0, 4.0), "log1p": (-0.98, 3.0)}
RANGES |= {"exp": (-3.0, 1.5), "expm1": (-3.0, 1.5), "square": (-2.0, 2.0)}
RANGES |= dict.fromkeys(("sin", "cos", "sigmoid", "softplus"), (-6, 6))
RANGES["bce_with_logits"] = (-6, 6)
PARAMETERS = {"clip": {"min": -1.0, "max": 1.5}}
PARAMETERS |= dict.fromkeys(
    ("mse_loss", "l1_loss", "huber_loss", "bce_with_logits"), {"reduction": "none"}
)
# Of an op of two inputs: what the one is while the other moves along the axis.
OTHERS = {
    "add": {"a": 1.0, "b": 1.0},
    "subtract": {"a": 1.0, "b": 1.0},
    "multiply": {"a": 0.5, "b": 0.5},
    "divide": {"a": 1.0, "b": 2.0},
    "power": {"a": 2.0, "b": 3.0},
    "maximum": {"a": 0.5, "b": 0.5},
    "minimum": {"a": 0.5, "b": 0.5},
    "mse_loss": {"target": 0.5},
    "l1_loss": {"target": 0.5},
    "huber_loss": {"target": 0.5},
    "bce_with_logits": {"target": 1.0},
}
_COMPARES = "its values are True and False"
NO_PICTURE = dict.fromkeys(
    ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal",
     "logical_and", "logical_or", "logical_not"),
    _COMPARES,
)  # fmt: skip
NO_PICTURE |= {
    "where": "it picks one of two arrays, and changes neither",
    "sign": "it is a step: there is no derivative to draw",
    "dropout": "what it does to a number is chance",
}
LOSSES = [name for name, other in OTHERS.items() if "target" in other]


def names():
    """The ops that get a picture, in the table's order."""
    families = [snn.ops.elementwise.__name__, snn.ops.activation.__name__]
    return [
        name
        for name, entry in snn.TABLE.items()
        if (entry.body.__module__ in families or name in LOSSES)
        and not name.startswith("_")
        and name not in NO_PICTURE
    ]


def write(folder):
    """Draw every picture into a folder, as NAME.png."""
    folder.mkdir(exist_ok=True)
    for name in names():
        save(draw(name), folder / f"{name}.png")


def markdown(name):
    """What the page of ops says between an op's docstring and its rule."""
    if name not in names():
        why = NO_PICTURE.get(name)
        return f"\n*No picture: {why}.*\n" if why else ""
    inputs = " and by ".join(moving(name))
    alt = f"{name} and its derivative by {inputs}, as curves"
    return f"\n![{alt}](pictures/{name}.png)\n"


def moving(name):
    """The inputs that a picture moves along the axis: each has a panel."""
    first = snn.TABLE[name].names[0]
    others = OTHERS.get(name, {})
    return ["a", "b"] if "a" in others else [first]


@styled
def draw(name):
    """The Figure of one op: a panel for each input, function and derivative in it."""
    inputs = moving(name)
    figure = new_figure(3.2 + 1.4 * len(inputs), 2.7)
    panels = figure.subplots(1, len(inputs), squeeze=False)[0]
    for axes, moved in zip(panels, inputs):
        x, y, slope, others = curves(name, moved)
        axes.axhline(0, color=PALE, linewidth=1, zorder=0)
        axes.axvline(0, color=PALE, linewidth=1, zorder=0)
        axes.plot(x, cut(y), color=COLOURS[0], label=name)
        dashes = dict(color=COLOURS[1], linestyle=(0, (3, 1.5)))
        axes.plot(x, cut(slope), label="derivative", **dashes)
        both = np.concatenate([y, slope])
        both = both[np.isfinite(both)]
        low, high = max(both.min(), -4.0), min(both.max(), 5.0)
        margin = 0.08 * (high - low) + 0.1
        axes.set_ylim(low - margin, high + margin)
        known = "".join(f"{k} = {v:g}" for k, v in others.items())
        axes.set_xlabel(f"{moved}     ({known})" if known else moved)
        axes.tick_params(colors=GREY)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=2,
        frameon=False,
    )  # fmt: skip
    return figure


def curves(name, moved):
    """x, the op's values, its derivative by x, and what its other input is."""
    x = np.linspace(*RANGES.get(name, HERE), 1201)
    x = x[x != 0] if name in ("divide", "power") else x
    if name == "power" and moved == "b":
        x = np.linspace(-2.0, 2.0, 801)
    others = {k: v for k, v in OTHERS.get(name, {}).items() if k != moved}
    at = snn.Tensor(x, requires_grad=True)
    given = {moved: at} | {k: np.full_like(x, v) for k, v in others.items()}
    inputs = [given[k] for k in snn.TABLE[name].names[: len(given)]]
    with np.errstate(all="ignore"):
        y = getattr(snn, name)(*inputs, **PARAMETERS.get(name, {}))
        slope = snn.grad(y.sum(), at)
    return x, y.data, slope.data, others


def cut(y):
    """y with a gap where it jumps, so that no line is drawn across."""
    y = np.array(y, dtype=float)
    jumps = np.abs(np.diff(y)) > 0.15
    y[1:][jumps] = np.nan
    return y
