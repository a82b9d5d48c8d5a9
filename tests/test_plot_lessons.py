"""Pictures of the lessons on the VAE and on attention: what is drawn is what was given.

Clouds of codes, slices through spaces of codes, look-ups by keys, arrays with their
shapes, and measurements against what was varied.
"""

import numpy as np
import pytest

from scratchnn import plot

RNG = np.random.default_rng


def texts(axes):
    return [t.get_text() for t in axes.texts]


# ---- clouds ---------------------------------------------------------------------
def test_cloud_costs_draws_each_cloud_over_the_normal_one_with_its_nats():
    figure = plot.cloud_costs([0, 1.5], [1, 0.5], [0, 1.443])
    for axes, m, s, title in zip(figure.axes, (0, 1.5), (1, 0.5), ("0.00", "1.44")):
        outline = axes.collections[0].get_paths()[0].vertices
        top = outline[outline[:, 1].argmax()]
        assert top == pytest.approx([m, 1 / (s * np.sqrt(2 * np.pi))], abs=0.01)
        assert f"KL = {title} nats" in axes.get_title(loc="left")
        dashed = axes.lines[0].get_xydata()
        assert dashed[:, 1].max() == pytest.approx(1 / np.sqrt(2 * np.pi))
        assert axes.get_ylim()[1] > top[1]


def test_posteriors_draws_ellipses_of_one_deviation_and_the_circle_of_95_percent():
    mu, sigma = RNG(0).normal(size=(7, 2)), RNG(1).uniform(0.1, 0.5, (7, 2))
    labels = np.array([3, 3, 0, 0, 0, 9, 3])
    figure = plot.posteriors({"points": (4 * mu, None), "clouds": (mu, sigma)}, labels)
    points, clouds = figure.axes
    for axes, at in ((points, 4 * mu), (clouds, mu)):
        radius = np.linalg.norm(axes.lines[0].get_xydata(), axis=1)
        assert np.allclose(1 - np.exp(-(radius**2) / 2), 0.95)
        half = axes.get_xlim()[1]
        assert half > np.abs(at).max() and half >= radius.max()
    ellipses = [c for c in clouds.collections if hasattr(c, "get_widths")]
    assert len(ellipses) == 3 and not any(
        hasattr(c, "get_widths") for c in points.collections
    )
    for k, drawn in zip((0, 3, 9), ellipses):
        rows = labels == k
        assert np.allclose(drawn.get_offsets(), mu[rows])
        assert np.allclose(drawn.get_widths(), 2 * sigma[rows, 0])
        assert np.allclose(drawn.get_heights(), 2 * sigma[rows, 1])


def test_rate_distortion_draws_a_point_for_each_weight_below_its_limit():
    samples = RNG(0).random((3, 5, 4, 4))
    kl, nats = [9.0, 3.0, 0.0], [18.0, 21.0, 26.5]
    figure = plot.rate_distortion([0.3, 1, 64], kl, nats, samples, ("one", 27.0))
    above, below = figure.axes
    assert np.allclose(above.lines[0].get_xydata(), np.transpose([kl, nats]))
    assert texts(above) == [f"$\\beta$ = {b}" for b in ("0.3", "1", "64")] + ["one"]
    assert above.lines[1].get_ydata()[0] == 27 < above.get_ylim()[1]
    sheet = below.images[0].get_array()
    assert np.allclose(sheet[1:5, 1:5], samples[0, 0])
    assert np.allclose(sheet[11:15, 6:10], samples[2, 1])


# ---- slices ---------------------------------------------------------------------
def test_slice_codes_goes_through_its_three_codes_top_row_first():
    z = RNG(0).normal(size=(3, 10)).astype(np.float32)
    margin, side = 0.5, 5  # even places from -0.3 in steps of 0.4: 0.1, 0.5, 0.9, 1.3
    places = plot.slice_codes(z, side, margin).reshape(side, side, 10)
    assert places.dtype == np.float32
    t = -margin + (1 + 2 * margin) * (np.arange(side) + 0.5) / side
    for row, v in enumerate(t[::-1]):
        for column, u in enumerate(t):
            right = (1 - u - v) * z[0] + u * z[1] + v * z[2]
            assert np.allclose(places[row, column], right, atol=1e-5)


def test_slices_share_one_scale_and_draw_the_level_only_where_it_is_crossed():
    far, near = RNG(0).uniform(1, 3, (8, 8)), RNG(1).uniform(0, 1, (8, 8))
    pictures = RNG(2).random((2, 2, 4, 4))
    maps = {"far": (far, pictures), "near": (near, None)}
    figure = plot.slices(maps, "abc", level=2.0)
    above, _, left, right, bar = figure.axes
    assert np.array_equal(left.images[0].get_array(), far)
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0, far.max())
    assert len(left.collections) == 1 and not right.collections
    assert [t.get_position() for t in left.texts] == [(0, 0), (1, 0), (0, 1)]
    assert texts(right) == list("abc") and bar.get_ylabel() == "distance"
    assert above.images and above.get_title(loc="left") == "far"


# ---- look-ups -------------------------------------------------------------------
def test_look_ups_draws_what_is_stored_what_comes_back_and_the_truth():
    keys, values = np.array([0.0, 1, 2]), np.array([5.0, 3, 4])
    q = np.linspace(0, 2, 9)
    figure = plot.look_ups(keys, values, {"a": (q, q), "b": (q, -q)}, (q, q**2))
    for axes, sign in zip(figure.axes, (1, -1)):
        truth, returned, stored = (line.get_xydata() for line in axes.lines)
        assert np.array_equal(truth[:, 1], q**2)
        assert np.array_equal(returned[:, 1], sign * q)
        assert np.array_equal(stored, np.transpose([keys, values]))
    (axes,) = plot.look_ups(keys, values, {"a": (q, q)}).axes
    assert len(axes.lines) == 2


def test_readings_draws_weights_as_bars_and_the_weight_of_one_that_does_not_care():
    weights = {"one": np.array([0.5, 0.3, 0.2, 0]), "other": np.array([0.1, 0, 0, 0.9])}
    figure = plot.readings(weights, {"one": "7", "other": "8"}, "abcd")
    (axes,) = figure.axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert np.array_equal(heights, list(weights.values()))
    assert axes.lines[0].get_ydata()[0] == 1 / 4
    legend = [t.get_text() for t in axes.get_legend().get_texts()]
    assert legend == ["one: 7", "other: 8"]
    middle = [bars[2].get_x() + bars[2].get_width() / 2 for bars in axes.containers]
    assert np.mean(middle) == pytest.approx(2)


def test_weight_sums_writes_rows_at_the_right_and_columns_below():
    alpha = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.3]])
    (axes, _) = plot.weight_sums({"a": alpha, "b": alpha}).axes
    assert texts(axes) == ["1.00", "0.50", "0.60", "0.35", "0.55"]
    places = [t.get_position() for t in axes.texts]
    assert all(x > 2.5 for x, _ in places[:2]) and all(y > 1.5 for _, y in places[2:])
    assert np.array_equal(axes.images[0].get_array(), alpha)


# ---- numbers --------------------------------------------------------------------
def test_arrays_have_their_numbers_their_shapes_and_cells_of_one_size():
    steps = {"m": np.arange(6.0).reshape(3, 2), "v": np.array([0.125, -4]), "s": 7.0}
    figure = plot.arrays(steps, columns=2)
    shown = [axes for axes in figure.axes if axes.texts]
    assert [texts(axes) for axes in shown] == [list("012345"), ["0.125", "-4"], ["7"]]
    titles = [axes.get_title(loc="left") for axes in shown]
    assert titles == ["m   (3, 2)", "v   (2,)", "s   ()"]
    figure.draw_without_rendering()
    corners = [axes.transData.transform([(0, 0), (1, 1)]) for axes in shown]
    cells = np.diff(corners, axis=1)
    assert np.ptp(cells, axis=0).max() < 0.1 * np.abs(cells).min()


def test_against_draws_each_series_and_its_references():
    x = np.array([4, 16, 64])
    series = {"a": np.array([0.1, 0.5, 0.9]), "b": np.array([0.2, 0.2, 0.2])}
    figure = plot.against(x, series, "d", "weight", {"fair": 0.01}, log=4)
    (axes,) = figure.axes
    a, b, fair = axes.lines
    assert np.array_equal(a.get_xydata(), np.transpose([x, series["a"]]))
    assert a.get_linestyle() != b.get_linestyle() and a.get_marker() != b.get_marker()
    assert fair.get_ydata()[0] == 0.01 and axes.get_ylim()[0] == 0
    assert [t.get_text() for t in axes.get_xticklabels()] == ["4", "16", "64"]
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert names == ["a", "b", "fair"]
