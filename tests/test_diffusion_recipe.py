"""`scratchnn train diffusion`: short runs, what they draw and how they resume."""

import numpy as np
import pytest

from scratchnn import checkpoint, data, recipes, train
from scratchnn.plot.style import save

RECIPE = recipes.get("diffusion")
RNG = np.random.default_rng
SHORT = {
    "moons": dict(T=20, width=16, depth=1, sampling=20, batch=64, steps=8),
    "digits": dict(T=20, width=8, sampling=5, batch=16, steps=4),
}


def config(name, **options):
    base = {"model": "diffusion", "data": name, "seed": 1, "device": "cpu"}
    return base | RECIPE.DATA[name] | {"epochs": None} | SHORT[name] | options


def built(name, **options):
    asked = config(name, **options)
    return RECIPE.build(asked, RNG(0))[0], asked


def test_deviations_are_those_of_the_data():
    for name, deviation in RECIPE.DEVIATIONS.items():
        x = data.load(name, 20_000, rng=RNG(0)).x
        assert np.sqrt((x**2).mean()) == pytest.approx(deviation, rel=0.02), name


def test_every_set_of_points_has_its_number_of_classes():
    assert RECIPE.CLASSES.keys() == RECIPE.DEVIATIONS.keys() <= RECIPE.DATA.keys()
    for name, classes in RECIPE.CLASSES.items():
        y = data.load(name, 2000, rng=RNG(0)).y
        assert set(y) == set(range(classes)), name


@pytest.mark.parametrize("name", SHORT)
def test_a_run_draws_its_figures_snapshots_and_chain(name, tmp_path):
    run = train.new(config(name), tmp_path)
    outcome = train.train(run)
    assert 0 < outcome.after.loss < 3 and "mean squared error" in RECIPE.words(
        outcome.after, run.config
    )
    model, test = run.model, run.test_set
    figures = list(RECIPE.figures(model, run.config, test, RNG(0)))
    assert len(figures) == len(RECIPE.PICTURES)
    for figure in figures:
        save(figure, tmp_path / "x.png")
        assert (tmp_path / "x.png").stat().st_size > 5000
    a, b = (RECIPE.snapshot(model, run.config, RNG(5)) for _ in range(2))
    assert np.array_equal(a, b) and a.shape[1:] == tuple(run.config["shape"])
    titles, frames = zip(*RECIPE.chain(model, run.config, RNG(0)))
    assert titles[0] == "t = 20" and titles[-1] == "t = 0"
    assert len(frames) == 1 + run.config["sampling"]


@pytest.mark.parametrize("name", SHORT)
def test_a_stopped_run_goes_on_bit_for_bit(name, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.train(train.new(config(name), whole))
    run = train.new(config(name), parts)
    steps = run.recipe.train

    class Killed(Exception):
        pass

    def dying(*args):
        for loss in steps(*args):
            yield loss
            if run.step == 3:
                run.save()
                raise Killed

    run.recipe.train = dying
    try:
        with pytest.raises(Killed):
            train.train(run)
    finally:
        run.recipe.train = steps
    train.train(train.resumed(parts, {}))
    a, b = (checkpoint.load(f / "checkpoint.safetensors")[0] for f in (whole, parts))
    assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_samples_can_be_asked_for():
    model, asked = built("moons", conditional=True)
    usual = RECIPE.draw(model, asked, 5, RNG(0))
    assert usual.shape == (5, 2)
    for changed in (dict(label=1), dict(steps=3), dict(eta=1.0), dict(guidance=3.0)):
        other = RECIPE.draw(model, asked, 5, RNG(0), **changed)
        assert other.shape == (5, 2) and not np.array_equal(other, usual), changed
    pictures = RECIPE.draw(*built("digits"), 3, RNG(0), label=7, steps=2)
    assert pictures.shape == (3, 8, 8)
    assert 0 <= pictures.min() < pictures.max() <= 1


def test_what_does_not_go_together_is_refused_with_the_fix():
    error = recipes.OptionError
    with pytest.raises(error, match="--sampling 30 is more steps than --T 20"):
        built("moons", sampling=30)
    with pytest.raises(error, match="add --conditional on"):
        built("moons", guidance=1.0)
    model, asked = built("moons")
    with pytest.raises(error, match="train one with --conditional on"):
        RECIPE.draw(model, asked, 2, RNG(0), label=1)
    with pytest.raises(error, match="--steps 21 is more than the model's T"):
        RECIPE.draw(model, asked, 2, RNG(0), steps=21)
    model, asked = built("moons", conditional=True)
    with pytest.raises(error, match="moons has labels 0 to 1"):
        RECIPE.draw(model, asked, 2, RNG(0), label=2)
