"""Densities by command: figures of all kinds, and the quality run at reduced length."""

import importlib.util
import math
import pathlib

import numpy as np
import pytest

from scratchnn import data, plot
from scratchnn.recipes import OptionError
from scratchnn.recipes import density as recipe

RNG = np.random.default_rng


@pytest.mark.parametrize("kind", recipe.KINDS)
@pytest.mark.parametrize("name", ["moons", "digits"])
def test_all_figures_can_be_drawn_of_points_and_pictures(kind, name, monkeypatch):
    config = dict(recipe.DATA[name], data=name, kind=kind, covariance="diagonal")
    if kind == "histogram" and name == "digits":
        with pytest.raises(OptionError, match="--kind histogram on digits: .*cells"):
            recipe.build(config, RNG(0))
        return
    monkeypatch.setattr(recipe, "_dimensions", lambda rng: None)  # takes seconds
    model, optimizers = recipe.build(config, RNG(0))
    train, test = recipe.load(name)
    train, test = (type(s)(s.x[:300], s.y[:300]) for s in (train, test))
    (loss,) = recipe.train(model, optimizers, [train], config, RNG(0))
    assert math.isfinite(loss.loss)
    figures = list(recipe.figures(model, config, test, RNG(0)))
    assert len(figures) == len(recipe.PICTURES)
    again = [recipe.snapshot(model, config, RNG(0)) for _ in range(2)]
    assert again[0].shape[1:] == tuple(config["shape"])
    assert np.array_equal(*again)


def test_a_batch_smaller_than_the_number_of_gaussians_is_refused():
    config = dict(recipe.DATA["digits"], data="digits", K=50, batch=32)
    with pytest.raises(OptionError, match="--K 50 .* a --batch of at least .* got 32"):
        recipe.build(config, RNG(0))


def test_the_map_of_a_density_has_its_top_row_first():
    low, high, grid = plot.places(data.moons(50, rng=RNG(0)).x, side=4)
    grid = grid.reshape(4, 4, 2)
    assert np.all(np.diff(grid[:, 0, 1]) < 0) and np.all(np.diff(grid[0, :, 0]) > 0)
    np.testing.assert_allclose(grid[-1, 0], low + (high - low) / 8, rtol=1e-5)


def test_the_figures_of_the_quality_run_hold_at_reduced_length(monkeypatch):
    folder = pathlib.Path(__file__).parent / "benchmarks" / "quality"
    monkeypatch.syspath_prepend(folder)
    path = folder / "density.py"
    spec = importlib.util.spec_from_file_location("quality_density", path)
    quality = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(quality)
    found = quality.log_likelihoods(0, "shuffled", steps=15)
    assert found["ten Gaussians"] > 41 and 28 < found["one Gaussian"] < 33
    assert 28 < found["a bump on every sample"] < 33
    # independent pixels within each Gaussian, or ten directions in all, are too few
    assert found["ten Gaussians, diagonal"] < found["one Gaussian"]
