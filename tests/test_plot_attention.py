"""Maps of attention: their labels, and to how many tokens a head looks."""

import numpy as np
import pytest

from scratchnn import plot

RNG = np.random.default_rng


def weights(*shape):
    e = np.exp(RNG(0).standard_normal(shape))
    return e / e.sum(axis=-1, keepdims=True)


def shown(figure):
    """The axes of maps, without the bar of colours."""
    return [a for a in figure.axes if a.get_xlabel() == "looks at"]


def test_a_map_has_its_weights_and_the_tokens_beside_them():
    alpha = weights(3, 2, 4)
    figure = plot.attention(alpha, ["a b", "c"], ["d", "\n", "", " e"], "which")
    panels = shown(figure)
    assert [a.get_title(loc="left") for a in panels] == ["head 1", "head 2", "head 3"]
    for axes, each in zip(panels, alpha):
        assert np.array_equal(axes.images[0].get_array(), each)
        assert [t.get_text() for t in axes.get_yticklabels()] == ["a·b", "c"]
        labels = [t.get_text() for t in axes.get_xticklabels()]
        assert labels == ["d", "↵", "(none)", "·e"]
    (one,) = shown(plot.attention(alpha[:1, :, :2], ["a", "b"]))
    assert [t.get_text() for t in one.get_xticklabels()] == ["a", "b"]


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 labels of queries and 3 of keys for maps"):
        plot.attention(weights(1, 2, 4), ["a", "b"], ["c", "d", "e"])


def test_entropy_of_even_weights_is_log_n_and_of_one_is_0():
    even, one = np.full((2, 3, 8), 1 / 8), np.eye(8)
    assert plot.entropy(even) == pytest.approx(np.log(8))
    assert plot.entropy(one).tolist() == [0] * 8
    half = np.float32([0.5, 0, 0.5, 0])
    assert plot.entropy(half) == pytest.approx(np.log(2))


def test_a_head_that_looks_at_k_tokens_is_drawn_at_k():
    alpha = np.zeros((2, 3, 8, 8))
    for h, k in enumerate((1, 4, 8)):
        alpha[:, h, :, :k] = 1 / k
    axes = plot.attention_spread([alpha, alpha]).axes[0]
    dots = [c.get_offsets()[:, 1].tolist() for c in axes.collections]
    assert dots == [pytest.approx([1, 4, 8])] * 2
