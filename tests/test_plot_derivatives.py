"""Pictures of derivatives: tapes, costs, step sizes, kinks, signatures."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from scratchnn import plot
from scratchnn.gradcheck import GradcheckError, gradcheck


def node(*parents, slopes=()):
    return SimpleNamespace(parents=parents, slopes=slopes)


@pytest.fixture
def diamond():
    a = node()
    b, c = node(a, slopes=(2.0,)), node(a, slopes=(3.0,))
    return [a, b, c, node(b, c, slopes=(5.0, 7.0))]


def texts(axes):
    return [t.get_text() for t in axes.texts]


def test_tape_writes_each_value_slope_and_visit(diamond):
    panels = {"before": [1.0, None, None, 4.0], "after": [31.0, 5.0, 7.0, 1.0]}
    figure = plot.tape(diamond, "abcd", panels, visits={"after": diamond[::-1]})
    before, after = figure.axes
    assert {"a\n1", "b\n?", "d\n4", "2", "3", "5", "7"} <= set(texts(before))
    assert texts(after)[-8:] == ["a\n31", "4", "b\n5", "3", "c\n7", "2", "d\n1", "1"]


def test_tape_takes_a_node_that_has_the_same_parent_twice():
    x = node()
    figure = plot.tape([x, node(x, x, slopes=(3.0, 3.0))], "xy", {"x x": [3.0, 9.0]})
    assert {"x\n3", "y\n9"} <= set(texts(figure.axes[0]))


def test_tape_frames_what_is_wrong_in_that_panel_only(diamond):
    panels = {"one": [1.0] * 4, "two": [1.0] * 4}
    figure = plot.tape(diamond, "abcd", panels, wrong=[("two", "b")])
    for axes in figure.axes:
        for t in axes.texts:
            thick = t.get_bbox_patch() and t.get_bbox_patch().get_linewidth() > 2
            named = axes.get_title("left") == "two" and t.get_text()[0] == "b"
            assert bool(thick) == named


def test_kink_names_the_slopes_of_its_secants():
    axes = plot.kink(np.abs, 0.0, 1.0).axes[0]
    labels = [t.get_text() for t in axes.get_legend().get_texts()]
    assert labels[1:] == [
        "to the left: slope -1",
        "to the right: slope 1",
        "centred: slope 0",
    ]


def failed(backward):
    with pytest.raises(GradcheckError) as e:
        gradcheck(np.sin, np.arange(6.0).reshape(2, 3), backward=backward)
    return e.value


def test_signatures_have_three_maps_of_one_scale_in_each_row():
    minus = failed(lambda g, x: -g * np.cos(x))
    twice = failed(lambda g, x: 2 * g * np.cos(x))
    figure = plot.signatures({"minus": minus, "twice": twice.report})
    maps = [axes.images[0] for axes in figure.axes]
    assert len(maps) == 6
    for row in (maps[:3], maps[3:]):
        numeric, analytic, difference = (m.get_array() for m in row)
        np.testing.assert_array_equal(difference, analytic - numeric)
        assert len({m.get_clim() for m in row}) == 1
    assert [texts(figure.axes[k]) for k in (2, 5)] == [["S"], ["R"]]


def test_series_of_any_kind_can_be_drawn():
    x = np.linspace(0.1, 1, 9)
    for figure in (
        plot.cost_of_slopes({"a": (x, x), "b": (x[:3], x[:3])}, (x, x)),
        plot.derivatives(x, {"f": x, "g": x, "h": x}, {"f": x, "g": x, "h": x}),
        plot.fitted(x, x, {"before": (x, x), "after": (x, x)}, x, truth=(x, x)),
        plot.step_sizes(x, {"a": x, "b": 0 * x}, model=x),
        plot.cotangents({"rule": (0.0, 1.0)}),
        plot.row_sums({"right": x, "wrong": 2 * x}, line=1),
    ):
        assert isinstance(figure, Figure) and figure.axes
