"""Citation graphs: papers that cite each other, their words, and their subjects.

Cora, Citeseer and Pubmed as split by Yang, Cohen and Salakhutdinov, "Revisiting Semi-
Supervised Learning with Graph Embeddings", ICML 2016, arXiv:1603.08861 ("Planetoid").

The published files are pickles of Python 2, and a pickle can run any code when it is
read. These are read by a reader that admits arrays, sparse matrices and lists only.
"""

import pickle
from collections import defaultdict

import numpy as np

from ..ops.sparse import SparseMatrix
from .download import RemoteFile, fetch, on_github
from .graphs import Graph

MIRRORS = on_github("kimiyoung/planetoid", "master", "data/")
FILES = {
    name: {
        part: RemoteFile(f"planetoid/{name}/ind.{name}.{part}", size, sha256, MIRRORS)
        for part, size, sha256 in files
    }
    for name, files in {
        "cora": (
            ("x", 22119,
             "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab"),
            ("tx", 148025,
             "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a"),
            ("allx", 257305,
             "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543"),
            ("y", 4054,
             "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1"),
            ("ty", 28135,
             "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad"),
            ("ally", 47959,
             "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71"),
            ("graph", 59847,
             "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d"),
            ("test.index", 5000,
             "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875"),
        ),
        "citeseer": (
            ("x", 31087,
             "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6"),
            ("tx", 260321,
             "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21"),
            ("allx", 595021,
             "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668"),
            ("y", 3014,
             "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924"),
            ("ty", 24135,
             "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce"),
            ("ally", 55623,
             "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95"),
            ("graph", 61987,
             "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7"),
            ("test.index", 5000,
             "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4"),
        ),
        "pubmed": (
            ("x", 23172,
             "fbe9cb5c47200d1b7769a26e579be3b7130b556831f9d850e77c4c74f2599b33"),
            ("tx", 405505,
             "4eb5f5d0f30f26497eb0ac6ac9719d09c67e284f1ed0385c93f3ef27a671da3d"),
            ("allx", 7578385,
             "508e538e2abdccdd54c4d3e9f49d638b4af7107d85845f66ddea5a5152658b7e"),
            ("y", 854,
             "e6c807633307a07ed659249006536a147c7999c797f11a2560752990181b41b3"),
            ("ty", 12135,
             "ee2e0d4819d9fbcc403689c3bf2e49face401b605932f093bc58ab6461130fdd"),
            ("ally", 224739,
             "0c37bbe3b5014ec365e9d393cf4791925e5ed94fb194305d74f064a8d7b50f0e"),
            ("graph", 471808,
             "5b89f0036ca22909471f1e6558eb42fa06e0c730a577bde5b058b40638f81dc9"),
            ("test.index", 6000,
             "b101d421688bbaecbd82e8a18f1e282378d6830f3a37666f28ebc47f844341b5"),
        ),
    }.items()
}  # fmt: skip


def cora():
    """2,708 papers on machine learning in 7 fields; 1,433 words; 5,278 citations.

    A Graph: x a SparseMatrix (n, words) of 1 where a paper has a word, y (n,) the
    field; each citation both ways. train 20 papers of each field, val 500, test 1,000:
    the split that papers use. McCallum et al. 2000; Sen et al. 2008.
    """
    return _planetoid("cora")


def citeseer():
    """3,327 papers in 6 fields; 3,703 words; 4,552 citations. As cora.

    15 papers of no known field have y = -1 and no words; 48 cite nothing.
    """
    return _planetoid("citeseer")


def pubmed():
    """19,717 papers on diabetes in 3 fields; 500 words; 44,324 citations. As cora.

    x has TF-IDF weights in place of 1. Namata et al. 2012.
    """
    return _planetoid("pubmed")


def _planetoid(name):
    part = {p: _read(fetch(file)) for p, file in FILES[name].items()}
    test = part["test.index"]  # where the rows of tx belong, in their order
    n = max(len(part["graph"]), int(test.max()) + 1)
    known = len(part["ally"])
    y = np.full(n, -1, np.int64)  # of papers in no file: Citeseer has 15
    y[:known] = part["ally"].argmax(axis=1)
    y[test] = part["ty"].argmax(axis=1)
    rows, columns, values = (
        np.concatenate(both)
        for both in zip(
            part["allx"].entries(np.arange(known)), part["tx"].entries(test)
        )
    )
    width = part["allx"].shape[1]
    x = SparseMatrix(rows, columns, values.astype(np.float32), (n, width))
    first = len(part["y"])
    return Graph(
        x, _edges(part["graph"]), y, num_nodes=n, train=np.arange(first),
        val=np.arange(first, first + 500), test=np.sort(test),
    )  # fmt: skip


def _edges(neighbours):
    """{node: its neighbours} as edges, each both ways, without repeats and loops."""
    j = np.repeat(list(neighbours), [len(some) for some in neighbours.values()])
    i = np.concatenate([np.asarray(some, int) for some in neighbours.values()])
    both = np.stack([np.concatenate([j, i]), np.concatenate([i, j])])
    return np.unique(both[:, both[0] != both[1]], axis=1)


# ---- reading pickles that can't bite --------------------------------------------
class _CSR:
    """What a pickled scipy.sparse.csr_matrix holds: no method of it is run."""

    shape = property(lambda self: self._shape)

    def entries(self, names):
        """(rows, columns, values); row k goes by the name names[k]."""
        rows = np.repeat(np.asarray(names), np.diff(self.indptr))
        return rows, self.indices.astype(np.int64), self.data


def _object(cls, base, state):
    """What Python 2 makes an empty object by; here of a _CSR only."""
    if cls is not _CSR:
        raise pickle.UnpicklingError(f"an object of {cls!r}, expected a matrix")
    return _CSR()


def _empty(cls, shape, kind):
    """What NumPy makes an empty array by; here of plain arrays only."""
    if cls is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of {cls!r}, expected a plain one")
    return np.ndarray.__new__(np.ndarray, 0, "b")


ADMITTED = {
    "numpy ndarray": np.ndarray,
    "numpy dtype": np.dtype,
    "numpy.core.multiarray _reconstruct": _empty,
    "scipy.sparse.csr csr_matrix": _CSR,
    "copy_reg _reconstructor": _object,
    "__builtin__ object": object,
    "__builtin__ list": list,
    "collections defaultdict": defaultdict,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if f"{module} {name}" not in ADMITTED:
            raise pickle.UnpicklingError(
                f"the file asks for {module}.{name}; only arrays, sparse matrices and "
                "lists are read, since a pickle may run any code. It is not the "
                "published file"
            )
        return ADMITTED[f"{module} {name}"]


def _read(path):
    """What a file holds: an array, a _CSR, or a dict of lists."""
    if path.name.endswith(".index"):
        return np.loadtxt(path, dtype=np.int64)
    with open(path, "rb") as file:
        return _Unpickler(file, encoding="latin1").load()
