"""The quality runs of the VAE at reduced length: what a broken model does not reach."""

import importlib.util
import os
import pathlib
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("SCRATCHNN_DATA"), reason="needs MNIST in SCRATCHNN_DATA"
    ),
]


@pytest.fixture(scope="module")
def quality():
    """tests/benchmarks/quality/vae.py as a module."""
    path = pathlib.Path(__file__).parent / "benchmarks" / "quality" / "vae.py"
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location("quality_vae", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def test_one_epoch_on_binarised_pictures_reaches_what_pytorch_reaches(quality):
    found, _ = quality.mlp(1, binarised=True, epochs=1)
    assert 118 < found < 128


def test_a_short_convolutional_run_is_far_on_its_way(quality):
    train, test = quality.pictures("train", 12_800), quality.fixed_test()[::50]
    model = quality.conv(0, epochs=2, train=train)
    elbo, k = quality.negative_elbo(model, test, 0), 100
    value, error = quality.bound(model, test, k)
    assert value < elbo - 1  # draws help
    assert value < 150 and 0 < error < 5, value
