"""From a data set to batches: DataLoader, and the data sets it can be given.

A data set is an array (row i is sample i), a tuple of arrays of equal length such as
`data.digits()`, or any object with `len(dataset)` and `dataset[i]`.
"""

import math
import operator

import numpy as np

from ..random import default_rng


class DataLoader:
    """Batches of a data set: `for x, y in DataLoader(data.digits(), batch_size=32)`.

    A batch has the form of the data set: an array for an array, a tuple (or the same
    named tuple) of arrays for a tuple, each with batch_size rows. The last batch is
    smaller if batch_size does not divide the length; drop_last leaves it out.

    shuffle draws a fresh permutation from `rng` at the start of each epoch, that is
    when iteration begins, and nothing afterwards. A run resumed from the state that
    the generator had before an epoch therefore sees that epoch's batches again.

    Batches are copies. Raises ValueError for a batch_size below 1, an empty data set
    or arrays of unequal length.
    """

    def __init__(
        self, dataset, batch_size=1, shuffle=False, *, drop_last=False, rng=None
    ):
        if isinstance(dataset, list) and any(hasattr(a, "shape") for a in dataset):
            raise TypeError(
                "the data set is a list of arrays; put them in a tuple: "
                "DataLoader((x, y), batch_size=32)"
            )
        if hasattr(batch_size, "shape"):
            raise TypeError(
                "batch_size is an array; put the arrays of the data set in a tuple: "
                "DataLoader((x, y), batch_size=32)"
            )
        if not _is_count(batch_size):
            raise ValueError(
                f"batch_size is {batch_size!r}, expected a whole number of at least 1; "
                "32 is a usual choice"
            )
        if _length(dataset) == 0:
            raise ValueError(
                "the data set is empty, expected at least 1 sample; "
                "check how it was loaded or split"
            )
        default_rng(rng)  # a bad rng is refused here, not in the first epoch
        self.dataset = dataset
        self.batch_size = operator.index(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rng = rng

    def __len__(self):
        """The number of batches in an epoch."""
        n = _length(self.dataset)
        if self.drop_last:
            return n // self.batch_size
        return math.ceil(n / self.batch_size)

    def __iter__(self):
        n = _length(self.dataset)
        order = default_rng(self.rng).permutation(n) if self.shuffle else np.arange(n)
        return self._batches(order)

    def _batches(self, order):
        for batch in range(len(self)):
            start = batch * self.batch_size
            yield _take(self.dataset, order[start : start + self.batch_size])


class TensorDataset:
    """Arrays of equal length as one data set: sample i is (a[i], b[i], ...)."""

    def __init__(self, *arrays):
        self.tensors = arrays
        _length(arrays)

    def __len__(self):
        return _length(self.tensors)

    def __getitem__(self, index):
        return tuple(array[index] for array in self.tensors)


class Subset:
    """The samples of `dataset` at `indices`: a list of numbers, a mask or a slice.

    subset[i] is one sample, subset[:] all of them as arrays.
    """

    def __init__(self, dataset, indices):
        self.dataset = dataset
        self.indices = np.arange(_length(dataset))[indices]

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return _take(self.dataset, self.indices[index])


def random_split(dataset, lengths, rng=None):
    """Disjoint random Subsets of the given lengths: `random_split(d, [0.8, 0.2])`.

    lengths are numbers of samples that sum to len(dataset), or fractions that sum to
    1, rounded down, with the samples left over dealt out one each from the first.
    Raises ValueError for lengths that sum to anything else.
    """
    n = _length(dataset)
    if math.isclose(sum(lengths), 1):
        counts = [math.floor(n * fraction) for fraction in lengths]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        counts = lengths
    if sum(counts) != n or any(count < 0 for count in counts):
        raise ValueError(
            f"lengths {list(lengths)} cannot split {n} samples, expected numbers of "
            f"samples that sum to {n}, or fractions that sum to 1"
        )
    order = default_rng(rng).permutation(n)
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(counts)[:-1])]


def _length(dataset):
    """The number of samples; a tuple of arrays has as many as each of its arrays."""
    if not isinstance(dataset, tuple):
        return len(dataset)
    lengths = [len(array) for array in dataset]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"arrays of unequal length: {', '.join(map(str, lengths))}; "
            "expected one row per sample in each"
        )
    return lengths[0] if lengths else 0


def _take(dataset, index):
    """The sample at an index, or the batch at an array of them."""
    if isinstance(dataset, tuple):
        return _same_form(dataset, [_take(array, index) for array in dataset])
    if isinstance(dataset, np.ndarray | TensorDataset | Subset):
        return dataset[index]
    if np.ndim(index) == 0:
        return dataset[int(index)]
    return _stack([dataset[int(i)] for i in index])


def _stack(samples):
    """Samples into a batch: one new first axis, in each field of a tuple."""
    if isinstance(samples[0], tuple):
        return _same_form(samples[0], [_stack(field) for field in zip(*samples)])
    return np.stack(samples)


def _same_form(form, fields):
    """`fields` as a tuple, named as `form` is."""
    return type(form)(*fields) if hasattr(form, "_fields") else tuple(fields)


def _is_count(value):
    try:
        return operator.index(value) >= 1
    except TypeError:
        return False
