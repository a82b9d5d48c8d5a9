"""The quality runs of diffusion on points, at reduced length."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

from scratchnn import optim

pytestmark = pytest.mark.slow
SHORT = dict(steps=1500, T=100, sampling=100)


@pytest.fixture(scope="module")
def quality():
    """tests/benchmarks/quality/diffusion.py as a module."""
    path = pathlib.Path(__file__).parent / "benchmarks" / "quality" / "diffusion.py"
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location("quality_diffusion", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def test_a_short_run_comes_near_to_data_and_a_frozen_network_does_not(
    quality, monkeypatch
):
    assert quality.ratio("swiss_roll", 0, pairs=1, **SHORT) < 3
    monkeypatch.setattr(optim.Adam, "step", lambda self: None)
    frozen = dict(SHORT, steps=2)
    assert quality.ratio("swiss_roll", 0, pairs=1, **frozen) > 10


def test_in_few_steps_no_noise_on_the_way_is_better(quality):
    curves, floor = quality.against_steps(
        "moons", 0, steps=(5, 10), pairs=1, options=SHORT
    )
    none, most = np.array(curves["eta = 0"]), np.array(curves["eta = 1"])
    assert np.all(none < most) and none[1] < 8 * floor
