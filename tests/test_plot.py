"""Pictures: what can be drawn."""

import numpy as np

from scratchnn import Tensor, graph_of, plot


def test_a_result_and_its_graph_give_the_same_picture():
    y = (Tensor(np.ones(3), requires_grad=True) * 2).sum()
    of_result, of_graph = (
        [t.get_text() for t in plot.graph(g).axes[0].texts] for g in (y, graph_of(y))
    )
    assert of_result == of_graph and "sum\nscalar" in of_result
