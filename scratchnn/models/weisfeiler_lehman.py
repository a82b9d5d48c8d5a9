"""What graph networks can't tell apart: the test of Weisfeiler and Lehman, 1968.

All nodes begin with one colour. In each round a node's new colour names its own and the
multiset of its neighbours' colours. Two graphs with other counts of colours are other
graphs; equal counts prove nothing. Networks that sum over neighbours see no more: Xu et
al., arXiv:1810.00826, lemma 2 and theorem 3.
"""

import numpy as np

from ..data.graphs import together


def refine(graph, rounds=None, colours=None):
    """Colours after each round, a generator of arrays (n,) of integers from 0.

    colours (n,): what nodes differ in at first, such as their tags; none if None. Ends
    after `rounds`, or when a round tells no more nodes apart. First come those at
    first.
    """
    start = np.zeros(graph.num_nodes, int) if colours is None else np.asarray(colours)
    _, colours = np.unique(start, return_inverse=True)
    yield colours
    j, i = graph.edge_index
    order = np.argsort(i, kind="stable")  # edges by the node that they arrive at
    ends = np.cumsum(np.bincount(i, minlength=graph.num_nodes))
    most = graph.num_nodes if rounds is None else rounds
    for _ in range(most):
        heard = np.split(colours[j[order]], ends)[:-1]
        seen = [(own, *np.sort(h)) for own, h in zip(colours.tolist(), heard)]
        names = {name: k for k, name in enumerate(sorted(set(seen)))}
        new = np.array([names[name] for name in seen], int)
        if rounds is None and len(names) == colours.max(initial=-1) + 1:
            return
        colours = new
        yield colours


def distinguishes(graph, other, rounds=None):
    """The first round after which the colours' counts differ; None if none does.

    None: the test, and so every network of message_passing with equal features, takes
    the two for one graph. Round 0: they have different numbers of nodes.
    """
    if graph.num_nodes != other.num_nodes:
        return 0
    both = together([graph.changed(x=None, y=None), other.changed(x=None, y=None)])
    for round, colours in enumerate(refine(both, rounds)):
        first, second = (np.sort(colours[both.batch == k]) for k in (0, 1))
        if not np.array_equal(first, second):
            return round
    return None
