"""Graph networks on citation graphs and on small graphs, beside the published figures.

    SCRATCHNN_DATA=... python tests/benchmarks/quality/graphs.py [RUN ...] [--seeds ...]

Names of data sets among the runs leave out the others: `graphs.py gat citeseer`.

Runs: gcn, gat, mlp (nodes of Cora, Citeseer, Pubmed; 20 seeds if none are named), depth
(a GCN of 1 to 16 layers on Cora: it says less and less) and gin (MUTAG, PROTEINS: one
seed is ten folds).

Nodes: the public split of Planetoid, features whose rows sum to 1. gcn and mlp are
Kipf and Welling's, arXiv:1609.02907: two layers, 16 hidden, dropout 0.5, weight decay
5e-4 in the first layer, Adam 0.01, 200 epochs. gat is Velickovic et al.'s,
arXiv:1710.10903: 8 heads of 8, dropout 0.6, weight decay 5e-4, Adam 0.005, until
neither loss nor accuracy of the validation nodes was better for 100 epochs; the weights
are those of the least validation loss.

Graphs: after Xu et al., arXiv:1810.00826, section 7: ten stratified folds, GIN-0 of
five layers, batches of 32, Adam 0.01 halved four times, and of the mean accuracy of the
ten folds that of the best epoch, which is optimistic: the same folds choose and judge.
Beside it, what the last epoch has. An epoch is one pass over nine folds, 200 of them
for MUTAG and 100 for PROTEINS, where the paper has 350 of 50 batches.
"""

import pathlib
import sys

import common
import numpy as np

from scratchnn import data, no_grad, optim, plot
from scratchnn.models import graph as graphs
from scratchnn.models import spectral
from scratchnn.recipes import gcn as recipe

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "results"

BARS = {
    ("gcn", "cora"): "at least 81.0", ("gcn", "citeseer"): "at least 70.0",
    ("gcn", "pubmed"): "at least 78.7", ("gat", "cora"): "at least 82.3",
    ("gat", "citeseer"): "at least 71.5", ("gin", "mutag"): "at least 87",
    ("gin", "proteins"): "at least 73",
}  # fmt: skip
ON = {
    "gcn": ("cora", "citeseer", "pubmed"), "gat": ("cora", "citeseer"),
    "mlp": ("cora",), "depth": ("cora",), "gin": ("mutag", "proteins"),
}  # fmt: skip


# ---- nodes ----------------------------------------------------------------------
def network(name, dataset, rng):
    """(model, optimizer, x, A, y) of a net on a citation graph."""
    if name != "gat":
        config = recipe.DATA[dataset] | {"data": dataset, "net": name}
        model, adam = recipe.build(config, rng)
        return model, adam, *recipe._inputs(config, model)
    graph = recipe.graph_of(dataset)
    model = graphs.gat(graph.x.shape[1], int(graph.y.max()) + 1, rng=rng)
    adam = optim.Adam(model.parameters(), lr=0.005, weight_decay=5e-4)
    return model, adam, graph.x, graph.add_self_loops().adjacency(), graph.y


def nodes(name, dataset, seed, epochs=None):
    """Accuracy on the test nodes in %, and the number of epochs."""
    graph, rng = recipe.graph_of(dataset), np.random.default_rng(seed)
    model, adam, x, A, y = network(name, dataset, rng)
    patience = 100 if name == "gat" else None
    epochs = epochs or (1000 if patience else 200)
    steps = graphs.train(model, x, A, y, [graph.train] * epochs, adam)
    least, most, waited, best = np.inf, 0.0, 0, None
    for epoch, _ in enumerate(steps, 1):
        if patience is None:
            continue
        scores = graphs.scores(model, x, A)
        loss, wrong = surprise(scores[graph.val], y[graph.val])
        if loss <= least:
            best = scores
        waited = 0 if loss <= least or 1 - wrong >= most else waited + 1
        least, most = min(loss, least), max(1 - wrong, most)
        if waited == patience:
            break
    scores = graphs.scores(model, x, A) if best is None else best
    _, wrong = surprise(scores[graph.test], y[graph.test])
    return 100 * (1 - wrong), epoch


def surprise(scores, y):
    """Mean of -log p(y) in nats, and the share that is classified wrong."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wrong = (scores.argmax(axis=1) != y).mean()
    return -log_p[np.arange(len(y)), y].mean(), wrong


# ---- depth ----------------------------------------------------------------------
DEPTHS = (1, 2, 4, 8, 16)


def deep(dataset, layers, residual, seed, steps=200):
    """(accuracy in %, Dirichlet energy of the last hidden layer) of a GCN."""
    rng, graph = np.random.default_rng(seed), recipe.graph_of(dataset)
    asked = dict(data=dataset, net="gcn", layers=layers, residual=residual)
    model, adam = recipe.build(recipe.DATA[dataset] | asked, rng)
    x, A, y = recipe._inputs(asked, model)
    for _ in graphs.train(model, x, A, y, [graph.train] * steps, adam):
        pass
    with no_grad():
        *hidden, out = model.eval().hidden(x, A)
    right = out.data.argmax(axis=1)[graph.test] == y[graph.test]
    inner = (hidden[-1] if hidden else out).data
    L = spectral.laplacian(graph.add_self_loops())
    return 100 * right.mean(), spectral.dirichlet_energy(inner, L)


def run_depth(name, dataset, seeds, quick):
    kept = dict(run=f"GCN by depth, {dataset}", bar="", seeds=seeds)
    panels = {"right, of 1,000 test nodes (%)": {}, "Dirichlet energy": {}}
    for residual in (False, True):
        label = "with residuals" if residual else "plain"
        means = []
        for layers in DEPTHS[: 2 if quick else None]:
            with common.clock() as spent:
                found = [
                    deep(dataset, layers, residual, seed, 10 if quick else 200)
                    for seed in seeds
                ]
            seconds = spent[0] / len(seeds)
            for figure, values in zip(panels, zip(*found)):
                figure = f"{layers} layers, {label}: {figure}"
                yield dict(kept, figure=figure, values=values, seconds=seconds)
            means.append(np.mean(found, axis=0))
        for panel, values in zip(panels.values(), zip(*means)):
            panel[label] = DEPTHS[: len(values)], values
    if not quick:
        plot.save(plot.curves(panels, "layers", ""), DOCS / "graph-depth.png")


# ---- graphs ---------------------------------------------------------------------
def folds(y, rng, k=10):
    """k parts of the graphs' numbers, with each class in its share."""
    parts = [[] for _ in range(k)]
    for label in np.unique(y):
        some = rng.permutation(np.flatnonzero(y == label))
        for part, more in zip(parts, np.array_split(some, k)):
            part.extend(more)
        parts = parts[::-1]  # what does not divide goes to other parts
    return [np.sort(part) for part in parts]


EPOCHS = {"mutag": 200, "proteins": 100}


def gin(dataset, seed, epochs=None, batch=32, hidden=32, only=None):
    """Accuracy in % on each held-out fold after each epoch: (folds, epochs)."""
    epochs = epochs or EPOCHS[dataset]
    rng, some = np.random.default_rng(seed), data.load(dataset)
    y = np.array([int(graph.y[0]) for graph in some])
    curves, parts = [], folds(y, rng)
    for k, held in enumerate(parts[:only]):
        learn = np.concatenate(parts[:k] + parts[k + 1 :])
        model = graphs.GIN(some[0].x.shape[1], int(y.max()) + 1, hidden, rng=rng)
        adam = optim.Adam(model.parameters(), lr=0.01)
        rate = optim.StepLR(adam, -(-epochs // 5), 0.5)
        test, curve = data.together([some[i] for i in held]), []
        for _ in range(epochs):
            order = rng.permutation(learn)
            for first in range(0, len(order), batch):
                drawn = order[first : first + batch]
                step(model, adam, data.together([some[i] for i in drawn]))
            rate.step()
            curve.append(100 * judged(model, test))
        curves.append(curve)
        print(f"{dataset}, seed {seed}, fold {k}: {max(curve):.1f}", flush=True)
    return np.array(curves)


def step(model, adam, graph):
    found = graphs.losses(seen(model, graph), graph.y)
    adam.zero_grad()
    found.loss.backward()
    adam.step()


def seen(model, graph):
    return model(graph.x, graph.adjacency(), graph.batch, graph.num_graphs)


def judged(model, graph):
    """The share of graphs whose class is right."""
    model.eval()
    right = (seen(model, graph).data.argmax(axis=1) == graph.y).mean()
    model.train()
    return float(right)


# ---- the script -----------------------------------------------------------------
def run_nodes(name, dataset, seeds, quick):
    values, epochs, seconds = [], [], []
    for seed in seeds:
        with common.clock() as spent:
            value, epoch = nodes(name, dataset, seed, 20 if quick else None)
        seconds += spent
        values.append(value)
        epochs.append(epoch)
    kept = dict(run=f"{name}, {dataset}", seeds=seeds, seconds=seconds)
    bar = BARS.get((name, dataset), "")
    yield dict(kept, figure="right, of 1,000 test nodes (%)", bar=bar, values=values)
    yield dict(kept, figure="epochs", bar="", values=epochs)


def run_gin(name, dataset, seeds, quick):
    short = dict(epochs=3, only=2) if quick else {}
    best, last, seconds = [], [], []
    for seed in seeds:
        with common.clock() as spent:
            mean = gin(dataset, seed, **short).mean(axis=0)
        seconds += spent
        best.append(mean.max())
        last.append(mean[-1])
    kept = dict(run=f"gin, {dataset}, 10 folds", seeds=seeds, seconds=seconds)
    yield dict(kept, figure="right, at the best epoch of the mean over folds (%)",
               bar=BARS[name, dataset], values=best)  # fmt: skip
    yield dict(kept, figure="right, after the last epoch (%)", bar="", values=last)


def main(argv=None):
    asked = common.arguments(__doc__, argv, seeds=range(20))
    datasets = {dataset for some in ON.values() for dataset in some}
    unknown = set(asked.runs) - set(ON) - datasets
    if unknown:
        known = ", ".join([*ON, *sorted(datasets)])
        sys.exit(f"no run {', '.join(unknown)}; there are {known}")
    datasets = datasets & set(asked.runs) or datasets
    for name in [run for run in asked.runs if run in ON] or ON:
        seeds = asked.seeds
        if len(seeds) == 20:
            seeds = seeds[: {"gin": 1, "depth": 3}.get(name)]
        for dataset in ON[name]:
            if dataset not in datasets:
                continue
            measure = {"gin": run_gin, "depth": run_depth}.get(name, run_nodes)
            rows = list(measure(name, dataset, seeds[: 1 if asked.quick else None],
                                asked.quick))  # fmt: skip
            command = f"python tests/benchmarks/quality/graphs.py {name} --seeds "
            for row in rows:
                row["command"] = command + " ".join(map(str, row["seeds"]))
                mean, deviation = np.mean(row["values"]), np.std(row["values"])
                text = f"{row['run']}: {row['figure']}: {mean:.2f} +- {deviation:.2f}"
                print(f"{text} {row['bar']}", flush=True)
            if not asked.quick:
                common.save("graphs", rows, asked.add)


if __name__ == "__main__":
    main()
