"""Pictures: what can be drawn."""

import numpy as np

from scratchnn import Tensor, graph_of, plot


def test_a_result_and_its_graph_give_the_same_picture():
    y = (Tensor(np.ones(3), requires_grad=True) * 2).sum()
    of_result, of_graph = (
        [t.get_text() for t in plot.graph(g).axes[0].texts] for g in (y, graph_of(y))
    )
    assert of_result == of_graph and "sum\nscalar" in of_result


def test_long_captions_stand_inside_the_figure():
    long = "a small seven, slanted right, on the right"
    figure = plot.captioned(np.zeros((12, 6, 16, 16)), ["a large one"] * 11 + [long])
    figure.draw_without_rendering()  # that is when the layout is made
    assert figure.get_tightbbox().x0 > 0
