"""Every model that can be trained keeps to what recipes/__init__.py asks of it."""

import inspect
import itertools
import json
from argparse import ArgumentTypeError

import numpy as np
import pytest
from matplotlib.figure import Figure
from test_train import assert_same_run, killed_at

from scratchnn import cli, no_grad, recipes, train
from scratchnn.cli.training import _config
from scratchnn.data import DATASETS

TEXTS = ("UNIT", "LOSS")
FUNCTIONS = {"build": 2, "train": 5, "losses": 4, "words": 2, "figures": 4}
EITHER = [{"load": 1, "read": 1}, {"sample": 4, "write": 5, "translate": 3}]
OPTIONAL = {
    "batches": 1, "snapshot": 3, "chain": 3, "loader": 4, "size": 2, "counted": 1,
    "texts": 4, "load": 1, "read": 1, "sample": 4, "write": 5, "translate": 3,
}  # fmt: skip
ASKED = {"SAMPLE": "sample", "WRITE": "write", "TRANSLATE": "translate"}
SMALL = dict(width=16, heads=2, layers=1, batch=64)  # of a model of text


@pytest.fixture(params=recipes.RECIPES)
def recipe(request):
    return recipes.get(request.param)


def arguments(function):
    """How many arguments a function needs, and at most takes, by position."""
    kinds = [p for p in inspect.signature(function).parameters.values()]
    plain = [p for p in kinds if p.kind == p.POSITIONAL_OR_KEYWORD]
    return sum(p.default is p.empty for p in plain), len(plain)


def test_a_recipe_has_all_names_with_their_arguments(recipe):
    assert all(isinstance(getattr(recipe, name), str) for name in TEXTS)
    assert "\n" not in recipe.LOSS
    assert all(name.endswith(".png") for name in recipe.PICTURES)
    assert all(any(hasattr(recipe, k) for k in either) for either in EITHER)
    wanted = FUNCTIONS | {k: n for k, n in OPTIONAL.items() if hasattr(recipe, k)}
    for name, n in wanted.items():
        least, most = arguments(getattr(recipe, name))
        assert least <= n <= most, name


def test_its_defaults_are_what_its_options_can_be_asked_for(recipe, tmp_path):
    name = recipe.__name__.rpartition(".")[2]
    for data, defaults in recipe.DATA.items():
        known = getattr(recipe, "SETS", {}).get(data, data)
        assert known in DATASETS or hasattr(recipe, "read")
        assert ("steps" in defaults) != ("epochs" in defaults)
        config = {"model": name, "data": data, "seed": 0, "device": "cpu", "total": 1}
        config |= defaults
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert train.read_config(tmp_path) == config
        own = defaults.keys() - {"shape", "steps", "epochs", "batch", "lr"}
        assert own == recipe.OPTIONS.keys(), data


def test_sample_takes_the_options_that_it_announces(recipe):
    for options, part in ASKED.items():
        asked = getattr(recipe, options, {})
        if not asked and not hasattr(recipe, part):
            continue
        named = inspect.signature(getattr(recipe, part)).parameters
        takes_all = any(p.kind == p.VAR_KEYWORD for p in named.values())
        assert takes_all or asked.keys() <= named.keys()
        known = {"run", "n", "seed", "out", "prompt", "text", "attention"}
        assert not asked.keys() & known


def test_nonsense_is_refused_by_every_option(recipe):
    options = recipes.options(recipe)
    for name in ASKED:
        options = options | getattr(recipe, name, {})
    for name, (read, text) in options.items():
        assert text and "\n" not in text, name
        for wrong in ("", "nonsense", "nan"):
            with pytest.raises(ArgumentTypeError, match="expected .*, got "):
                read(wrong)


def test_models_lists_every_model_with_its_data(capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in "\n" + out for name in recipes.RECIPES)
    assert max(map(len, out.splitlines())) <= 88


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_help_lists_the_options_of_every_model(name, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", name, "--help"])
    out = capsys.readouterr().out
    for option in recipes.options(recipes.get(name)):
        assert f"--{option.replace('_', '-')} X" in out


# ---- each in a run of a few steps -----------------------------------------------
def having(part):
    """The recipes that have an optional part, as parameters of a test."""
    found = [r for r in map(recipes.get, recipes.RECIPES) if hasattr(r, part)]
    return pytest.mark.parametrize("recipe", found, ids=lambda r: r.__name__[18:])


def untrained(recipe, data=None):
    """The run of a model before its first step, on a data set or its usual one."""
    name = recipe.__name__.rpartition(".")[2]
    asked = {"steps": 6} | ({"data": data} if data else {})
    if hasattr(recipe, "read"):
        known = recipes.options(recipe)
        asked |= {k: value for k, value in SMALL.items() if k in known}
    return train.Run(_config(name, recipe, asked), "unused")


def test_every_model_resumes_bit_for_bit(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNN_PROGRESS", "0")
    monkeypatch.delattr(recipe, "snapshot", raising=False)  # held below, and slow
    config = untrained(recipe).config
    if "vae_steps" in config:
        config["vae_steps"] = 2  # of 6, so that it is stopped in its second stage
    train.train(train.new(config, tmp_path / "straight"))
    killed_at(train.new(config, tmp_path / "killed"), step=5, saved_at=3)
    run = train.resumed(tmp_path / "killed", {})
    assert run.step == 3
    train.train(run)
    assert_same_run(tmp_path / "killed", tmp_path / "straight")


@having("snapshot")
def test_snapshots_are_samples_from_the_same_noise(recipe):
    for data in {"digits", "moons"} & recipe.DATA.keys():
        run = untrained(recipe, data)
        with no_grad():
            x, y = (
                recipe.snapshot(run.model.eval(), run.config, np.random.default_rng(7))
                for _ in range(2)
            )
        assert x.shape[1:] == tuple(run.config["shape"]) and len(x) > 1
        assert np.array_equal(np.asarray(x), np.asarray(y))


@having("chain")
def test_a_chain_has_titles_and_samples(recipe):
    for data in {"digits", "moons"} & recipe.DATA.keys():
        run = untrained(recipe, data)
        chain = recipe.chain(run.model.eval(), run.config, np.random.default_rng(0))
        with no_grad():
            for title, x in itertools.islice(chain, 2):
                assert isinstance(title, str)
                assert x.shape[1:] == tuple(run.config["shape"])


@having("sample")
def test_a_sheet_of_a_few_samples_can_be_drawn(recipe):
    run = untrained(recipe)
    with no_grad():
        rng = np.random.default_rng(0)
        assert isinstance(recipe.sample(run.model.eval(), run.config, 3, rng), Figure)


@having("texts")
def test_what_it_writes_is_lines_and_the_same_with_the_same_seed(recipe):
    run = untrained(recipe)
    with no_grad():
        state = run.model.eval(), run.config, run.test_set
        x, y = (list(recipe.texts(*state, np.random.default_rng(7))) for _ in "12")
    assert x == y and all(isinstance(line, str) for line in x) and x


def test_held_out_losses_have_the_names_of_those_of_a_step(recipe):
    run = untrained(recipe)
    step, held_out = next(run.steps()), run.evaluate()
    assert step._fields == held_out._fields and step._fields[0] == "loss"
    assert "\n" not in recipe.words(held_out, run.config)
