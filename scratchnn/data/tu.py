"""Many small graphs, each of one class: molecules and proteins.

From the collection of Morris et al., "TUDataset", arXiv:2007.08663, in the text files
of Zhang et al., "An End-to-End Deep Learning Architecture for Graph Classification",
AAAI 2018. Nodes have a tag, of which x is the one-hot code; edges go both ways.
"""

import numpy as np

from .download import RemoteFile, fetch, on_github
from .graphs import Graph

FILES = {
    name: RemoteFile(
        f"tu-graphs/{name}/{name}.txt", size, sha256,
        on_github("muhanzhang/pytorch_DGCNN", "master", f"data/{name}/"),
    )
    for name, size, sha256 in (
        ("MUTAG", 32377,
         "5897dae243f6c773aab54ec99e86551c3b1e8601acef254714073042c632d30e"),
        ("PROTEINS", 642021,
         "ed0730f9bf9da68aa6a8c80f2f2b6ecea5d05791ca254c709f3efab3b45d937b"),
        ("ENZYMES", 282255,
         "04e048844018a0f9c87afdc0d69031c4b625bb97d40320b9dbd76acc663f41a6"),
    )
}  # fmt: skip


def mutag():
    """188 molecules, atoms of 7 kinds: does it change bacteria's genes, y 0 or 1.

    A list of Graphs. Debnath et al. 1991.
    """
    return _read("MUTAG")


def proteins():
    """1,113 proteins, parts of 3 kinds: is it an enzyme, y 0 or 1. A list of Graphs.

    Borgwardt et al. 2005.
    """
    return _read("PROTEINS")


def enzymes():
    """600 enzymes, parts of 3 kinds: which of 6 classes, y 0 to 5. A list of Graphs.

    Borgwardt et al. 2005, of the BRENDA database.
    """
    return _read("ENZYMES")


def _read(name):
    """One graph after another: "n label", then for each node "tag degree neighbours".

    Labels and tags are numbered from 0 in the order of their own numbers.
    """
    lines = iter(fetch(FILES[name]).read_text().split("\n"))
    read = []  # (label, tags, edge_index) of each graph
    for _ in range(int(next(lines))):
        n, label = map(int, next(lines).split())
        nodes = [list(map(int, next(lines).split())) for _ in range(n)]
        i = np.repeat(np.arange(n), [len(node) - 2 for node in nodes])
        j = np.concatenate([node[2:] for node in nodes]).astype(np.int64)
        read.append((label, [node[0] for node in nodes], np.stack([j, i])))
    labels, tags = (sorted(set(some)) for some in (
        [label for label, _, _ in read], [t for _, some, _ in read for t in some]
    ))  # fmt: skip
    code = np.eye(len(tags), dtype=np.float32)
    return [
        Graph(code[np.searchsorted(tags, some)], edges, [labels.index(label)])
        for label, some, edges in read
    ]
