"""Products with a sparse matrix: of its entries, most are zero and not stored.

A `Pattern` says where the others are: entry e stands in row rows[e], column columns[e].
Entries need no order, and those at the same place add up. For a graph, A[i, j] is the
weight of the edge from node j to node i, and A @ x sums over each node's neighbours.
"""

import copy

import numpy as np

from ..errors import ShapeError
from ..tensor import op
from .examples import normal
from .index import _plain, accumulate, scatter


class Pattern:
    """The places of a sparse matrix's entries: (rows[e], columns[e]), in any order.

    rows, columns: integers of shape (E,); shape: (n, m) of the matrix. `T` is the
    transpose's pattern. Raises IndexError if a place is outside the shape.
    """

    def __init__(self, rows, columns, shape):
        self.shape = tuple(shape)
        self.rows = _checked("rows", rows, self.shape[0])
        self.columns = _checked("columns", columns, self.shape[1])
        if self.rows.shape != self.columns.shape:
            raise ShapeError(
                "Pattern",
                f"rows {self.rows.shape} and columns {self.columns.shape} need the "
                "same length: one of each for every entry",
            )
        self._axis, self._sorted = 0, {}

    @property
    def T(self):
        """The places of the transpose: rows and columns exchanged."""
        t = copy.copy(self)  # with the same `_sorted`: either way is sorted once only
        t.rows, t.columns, t.shape = self.columns, self.rows, self.shape[::-1]
        t._axis = 1 - self._axis
        return t

    @property
    def by_row(self):
        """(starts, columns, order): row i's entries are starts[i] to starts[i + 1] - 1.

        This is "compressed sparse row". order[e] is what was entry e's number before,
        None if the rows were sorted already. Within a row entries keep their order.
        """
        if self._axis not in self._sorted:
            starts = np.zeros(self.shape[0] + 1, np.intp)
            starts[1:] = np.cumsum(np.bincount(self.rows, minlength=self.shape[0]))
            columns, order = self.columns, None
            if (self.rows[1:] < self.rows[:-1]).any():
                n = len(self)
                order = np.sort(self.rows * n + np.arange(n)) % n  # 5 times argsort
                columns = columns[order]
            self._sorted[self._axis] = starts, columns, order
        return self._sorted[self._axis]

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"Pattern({len(self)} entries, shape={self.shape})"


def _checked(name, places, n):
    """Integers from 0 to n - 1 in one axis, or an error that names the culprit."""
    places = _plain(places)
    if places.ndim != 1:
        raise ShapeError("Pattern", f"{name} needs one axis, got shape {places.shape}")
    if places.dtype.kind not in "iu" and places.size:
        raise TypeError(
            f"Pattern: {name} must be integers, got {places.dtype}; convert with "
            f"{name}.astype(int)"
        )
    bad = (places < 0) | (places >= n)
    if bad.any():
        e = int(bad.argmax())
        raise IndexError(
            f"Pattern: {name}[{e}] is {int(places[e])}; the shape has {n} {name}"
            + (f", 0 to {n - 1}" if n else "")
        )
    return places.astype(np.intp, order="C", copy=False)  # np.nonzero's are strided


class SparseMatrix:
    """A matrix of the shape (n, m) with values[e] at (rows[e], columns[e]).

    `A @ x` and `A.T @ x` are products with x (m, ...) and (n, ...); gradients reach x
    and, if they are a Tensor, the values (E,).
    """

    def __init__(self, rows, columns, values, shape):
        self.pattern, self.values = Pattern(rows, columns, shape), values

    def with_values(self, values):
        """A matrix with other values at the same places."""
        matrix = copy.copy(self)
        matrix.values = values
        return matrix

    @property
    def T(self):
        """The transpose; both share their values and what was sorted."""
        t = copy.copy(self)
        t.pattern = self.pattern.T
        return t

    @property
    def shape(self):
        """(n, m)"""
        return self.pattern.shape

    def __matmul__(self, x):
        return sparse_matmul(self.values, x, self.pattern)

    def to_dense(self):
        """All entries as an array or Tensor (n, m), the zeros included."""
        places = self.pattern.rows, self.pattern.columns
        return scatter(self.values, index=places, shape=self.shape)

    __array_ufunc__ = None  # so that array @ matrix is an error, not an array of them


def _places(pattern, x):
    """Rows and columns, beside x on its device."""
    return (np.asarray(i, like=x) for i in (pattern.rows, pattern.columns))


@op
def sparse_matmul(values, x, pattern):
    """y_i = sum of values_e x_j over the entries e in row i, column j: y = A @ x.

    values (E,), x (m, ...), the Pattern of A (n, m) -> (n, ...).
    """
    _check(values, x, pattern)
    rows, columns = _places(pattern, x)
    terms = values.reshape(-1, *(1 for _ in x.shape[1:])) * x[columns]  # (E, ...)
    y = np.zeros_like(terms, shape=(pattern.shape[0], *x.shape[1:]), order="C")
    accumulate("add", y, rows, terms)
    return y


def _check(values, x, pattern):
    if values.shape != (len(pattern),):
        raise ShapeError(
            "sparse_matmul",
            f"values {values.shape} needs one entry for each of the pattern's: shape "
            f"({len(pattern)},)",
        )
    _check_rows("sparse_matmul", "x", x, pattern.shape[1], "columns", pattern)


def _check_rows(where, name, x, n, what, pattern):
    if x.shape[:1] != (n,):
        raise ShapeError(
            where,
            f"{name} {x.shape} needs {n} rows, as many as the matrix {pattern.shape} "
            f"has {what}",
        )


@op
def sampled_matmul(a, b, pattern):
    """y_e = sum_k a_ik b_jk for the entry e in row i, column j: a @ b.T at its places.

    a (n, ...), b (m, ...), a Pattern of the shape (n, m) -> (E,).
    """
    _check_rows("sampled_matmul", "a", a, pattern.shape[0], "rows", pattern)
    _check_rows("sampled_matmul", "b", b, pattern.shape[1], "columns", pattern)
    if a.shape[1:] != b.shape[1:]:
        raise ShapeError(
            "sampled_matmul",
            f"a {a.shape} and b {b.shape} need the same width: axis 0 aside, equal "
            "shapes",
        )
    rows, columns = _places(pattern, a)
    return np.sum(a[rows] * b[columns], axis=tuple(range(1, a.ndim)))


sparse_matmul.rules(
    values=lambda g, _y, _v, x, pattern: sampled_matmul(g, x, pattern),
    x=lambda g, _y, values, _x, pattern: sparse_matmul(values, g, pattern.T),
)
sampled_matmul.rules(
    a=lambda g, _y, _a, b, pattern: sparse_matmul(g, b, pattern),
    b=lambda g, _y, a, _b, pattern: sparse_matmul(g, a, pattern.T),
)

# Row 2 and column 3 are empty, and two entries are at (3, 0).
_pattern = Pattern([3, 0, 3, 1, 0, 3, 1], [0, 2, 4, 1, 4, 0, 0], (4, 5))
sparse_matmul.example(normal(7), normal(5, 3), pattern=_pattern)
sparse_matmul.example(normal(7), normal(5), pattern=_pattern)
sampled_matmul.example(normal(4, 3), normal(5, 3), pattern=_pattern)
sampled_matmul.example(normal(4), normal(5), pattern=_pattern)
