"""scatter of whole rows: the gradient of an embedding, without np.add.at's overhead."""

import numpy as np
from numba import njit


@njit(cache=True)
def _add_rows(x, rows, y):
    n, d = x.shape
    for i in range(n):
        for j in range(d):
            y[rows[i], j] += x[i, j]


def forward(x, index, shape):
    """Zeros of `shape` with x's rows added at integer positions along axis 0."""
    if type(index) is not np.ndarray or index.dtype.kind not in "iu" or not index.size:
        return NotImplemented
    if x.shape != index.shape + shape[1:]:
        return NotImplemented
    low, high = index.min(), index.max()
    if low < -shape[0] or high >= shape[0]:
        return NotImplemented  # NumPy raises the error
    rows = index.ravel().astype(np.int64)
    if low < 0:
        rows = np.where(rows < 0, rows + shape[0], rows)
    y = np.zeros((shape[0], x.size // rows.size), np.float32)
    _add_rows(x.reshape(rows.size, -1), rows, y)
    return y.reshape(shape)


def warmup():
    """Compile the kernel."""
    forward(np.ones((1, 2), np.float32), np.array([0]), (1, 2))
