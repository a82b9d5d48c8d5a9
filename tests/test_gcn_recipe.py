"""`scratchnn train gcn`: what it types, what it draws, and how good it is."""

import os
import time

import numpy as np
import pytest

from scratchnn import cli, data, plot, train
from scratchnn.models import graph as graphs
from scratchnn.recipes import OptionError
from scratchnn.recipes import gcn as recipe

KARATE = recipe.DATA["karate"] | {"data": "karate"}
real = pytest.mark.skipif(
    not os.environ.get("SCRATCHNN_DATA"), reason="needs Cora in SCRATCHNN_DATA"
)


def learnt(seed, **asked):
    """(model, scores) of a run with the defaults and what is asked for."""
    config, rng = KARATE | asked, np.random.default_rng(seed)
    model, optimizer = recipe.build(config, rng)
    nodes = recipe.load(config["data"])[0]
    for _ in recipe.train(model, optimizer, [nodes] * config["steps"], config, rng):
        pass
    x, A, _ = recipe._inputs(config, model)
    return model, graphs.scores(model, x, A)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")


@pytest.mark.parametrize("seed", range(5))
def test_two_leaders_tell_at_least_32_of_34_members(seed):
    _, scores = learnt(seed)
    assert (scores.argmax(axis=1) == data.karate_club().y).sum() >= 32


def test_without_the_edges_the_others_are_guessed():
    """The same network, each node alone: 16 of 32 others are in either club."""
    _, scores = learnt(0, net="mlp")
    right = scores.argmax(axis=1) == data.karate_club().y
    assert 12 <= right[1:33].sum() <= 20


@pytest.mark.parametrize("net", ["sage", "gat"])
def test_other_nets_learn_too(net):
    _, scores = learnt(0, net=net)
    assert (scores.argmax(axis=1) == data.karate_club().y).sum() >= 26


def test_the_command_takes_seconds_draws_and_animates(tmp_path, capsys):
    start = time.perf_counter()
    cli.main(["train", "gcn", "--out", str(tmp_path / "run")])
    assert time.perf_counter() - start < 60  # 3 here; a broken one is far above
    text = capsys.readouterr().out
    assert "2 nodes with a known class to learn from, 32 held out" in text
    assert "of 32 held-out nodes right" in text
    for name in (*recipe.PICTURES, "loss.png"):
        assert (tmp_path / "run" / name).stat().st_size > 5000
    cli.main(["animate", str(tmp_path / "run")])
    assert (tmp_path / "run" / "training.gif").stat().st_size > 5000
    cli.main(["sample", str(tmp_path / "run")])
    assert (tmp_path / "run" / "sample.png").exists()


def test_a_run_goes_on_exactly_where_it_stopped(tmp_path):
    def config(steps):
        return KARATE | dict(model="gcn", seed=3, device="cpu", epochs=None,
                             steps=steps)  # fmt: skip

    whole = train.new(config(30), tmp_path / "whole")
    train.train(whole)
    train.train(train.new(config(20), tmp_path / "part"))
    part = train.resumed(tmp_path / "part", {"steps": 30})
    assert part.step == 20
    train.train(part)
    for name, x in whole.model.state_dict().items():
        assert np.array_equal(x, part.model.state_dict()[name]), name


def test_heads_must_divide_the_width():
    with pytest.raises(OptionError, match="--heads 5 must divide --hidden 16"):
        recipe.build(KARATE | dict(net="gat", heads=5), np.random.default_rng(0))


@pytest.mark.parametrize(
    "asked, words",
    [
        (["--data", "karat"], "gcn can't train on 'karat'; did you mean 'karate'"),
        (["--net", "gnc"], "expected gcn or sage or gat or mlp, got 'gnc'"),
        (["--dropout", "2"], "expected a number from 0 to 1, got '2'"),
    ],
)
def test_wrong_words_are_answered(asked, words, tmp_path, capsys):
    assert cli.main(["train", "gcn", "--out", str(tmp_path), *asked]) == 2
    assert words in capsys.readouterr().err


def test_rows_of_features_sum_to_1():
    assert np.allclose(recipe.graph_of("karate").x.sum(axis=1), 1)


def test_a_picture_has_two_principal_directions_and_does_not_flip():
    rng = np.random.default_rng(0)
    H = rng.standard_normal((30, 4)) * [5, 3, 0.1, 0.1]
    P = recipe.principal(H)
    assert P.shape == (30, 2)
    assert np.allclose(recipe.principal(H + 7), P)  # where the cloud lies is no matter
    assert P.var(axis=0).sum() > 0.99 * H.var(axis=0).sum()
    assert recipe.principal(H[:, :1]).shape == (30, 2)


# ---- pictures -------------------------------------------------------------------
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 30])
def test_a_spring_layout_puts_no_two_nodes_at_one_place(n):
    graph = data.ring_graph(n) if n > 2 else data.Graph(num_nodes=n)
    places = plot.spring(graph)
    assert places.shape == (n, 2) and np.isfinite(places).all()
    apart = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
    np.fill_diagonal(apart, 9)
    assert n < 2 or apart.min() > 0.1
    assert np.array_equal(places, plot.spring(graph))


def test_neighbours_are_nearer_than_strangers():
    graph = data.grid_graph(5, 6)
    places = plot.spring(graph)
    apart = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
    j, i = graph.edge_index
    joined = np.zeros_like(apart, bool)
    joined[i, j] = True
    assert apart[joined].max() < np.median(apart[~joined])


def test_a_network_of_one_class_without_edges_is_drawn():
    graph = data.Graph(num_nodes=3)
    figure = plot.network(graph, plot.spring(graph), np.zeros(3, int), "alone")
    assert figure.axes[0].get_title(loc="left") == "alone"


# ---- Cora -----------------------------------------------------------------------
@real
def test_cora_in_a_few_epochs_is_far_better_than_without_its_edges():
    graph = recipe.graph_of("cora")
    x = graph.x
    sums = np.bincount(x.pattern.rows, x.values, 2708)
    assert np.allclose(sums, 1, atol=1e-5)
    right = {}
    for net in ("gcn", "mlp"):
        _, scores = learnt(0, **recipe.DATA["cora"] | dict(
            data="cora", steps=60, net=net))  # fmt: skip
        right[net] = (scores.argmax(axis=1) == graph.y)[graph.test].mean()
    assert right["gcn"] > 0.77  # 0.81 after 200
    assert 0.4 < right["mlp"] < 0.65
