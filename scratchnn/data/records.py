"""What a data set looks like to its user: named arrays that also unpack."""

from typing import NamedTuple

import numpy as np


class Labelled(NamedTuple):
    """Samples and their labels: `x, y = data.digits()`, or `.x` and `.y`.

    x (N, ...) float32, y (N,) int64: sample i is x[i], its class is y[i].
    """

    x: np.ndarray
    y: np.ndarray
