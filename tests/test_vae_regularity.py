"""Continuity and completeness, on decoders and pictures whose values are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import Tensor
from scratchnn.metrics import nearest
from scratchnn.models import regularity

RNG = np.random.default_rng


def codes(p=6, z=3):
    return RNG(0).standard_normal((2, p, z))


# ---- continuity -------------------------------------------------------------------
def test_a_linear_decoder_is_the_cross_fade():
    W = RNG(1).standard_normal((3, 7))
    found = regularity.continuity(lambda z: z @ W, *codes(), n=10)
    assert found == pytest.approx((1, 1))


def test_a_decoder_that_jumps_has_a_largest_step_of_n():
    z_0, z_1 = np.array([[-1.0]]), np.array([[1.3]])
    jump = lambda z: np.repeat(z > 0, 7, axis=1).astype(float)  # noqa: E731
    for n in (3, 10, 40):
        found = regularity.continuity(jump, z_0, z_1, n)
        assert found == pytest.approx((n, 1))


def test_half_a_circle_is_pi_half_as_long_as_its_ends_are_apart():
    z_0, z_1 = np.zeros((1, 1)), np.full((1, 1), np.pi)
    circle = lambda z: np.concatenate([np.cos(z), np.sin(z)], axis=1)  # noqa: E731
    found = regularity.continuity(circle, z_0, z_1, 1000)
    assert found == pytest.approx((np.pi / 2, np.pi / 2), rel=1e-5)


def test_a_decoder_that_ignores_the_code_has_no_steps():
    found = regularity.continuity(lambda z: np.ones((len(z), 4)), *codes())
    assert found == (0, 0)


def test_each_pair_is_measured_by_itself_and_steps_are_in_order():
    z_0, z_1 = np.array([[0.0], [0.0]]), np.array([[1.0], [-1.0]])
    decode = lambda z: np.where(z > 0, z**2, z)  # noqa: E731
    found = regularity.steps(decode, z_0, z_1, 2)
    np.testing.assert_allclose(found, [[0.5, 1.5], [1, 1]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_a_path_is_never_shorter_than_the_straight_line(seed, n):
    rng = RNG(seed)
    W, V = rng.standard_normal((3, 8)), rng.standard_normal((8, 5))
    decode = lambda z: Tensor(np.tanh(3 * z @ W) @ V)  # noqa: E731
    found = regularity.continuity(decode, *rng.standard_normal((2, 4, 3)), n)
    assert 1 - 1e-9 <= found.length <= found.largest + 1e-9 <= n * found.length + 1e-6


# ---- completeness -----------------------------------------------------------------
def test_training_pictures_have_distance_0_and_noise_is_far():
    rng = RNG(0)
    real, held_out = rng.random((2, 200, 30))
    found = regularity.completeness(real[:50], real, held_out)
    assert found.distance == pytest.approx(0, abs=1e-6) and found.share == 1
    assert found.real == pytest.approx(nearest(held_out, real)[0].mean())
    noise = 10 * rng.standard_normal((50, 30))
    found = regularity.completeness(noise, real, held_out)
    assert found.share == 0 and found.distance > 5 * found.real


def test_samples_as_good_as_real_ones_have_a_share_of_95_percent():
    rng, n = RNG(0), 4000
    real, held_out, samples = rng.standard_normal((3, n, 4))
    share = regularity.completeness(samples, real[:500], held_out).share
    # Both the quantile and the share have an error of sqrt(.95 * .05 / n).
    assert abs(share - 0.95) < 5 * np.sqrt(2 * 0.95 * 0.05 / n)


def test_half_of_the_cloud_in_a_hole_is_half_complete():
    rng = RNG(0)
    real, held_out, samples = rng.random((3, 1000, 3))
    samples[::2] += 5
    share = regularity.completeness(samples, real, held_out).share
    assert abs(share - 0.475) < 0.03
