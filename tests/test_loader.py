"""DataLoader, Subset and random_split: every sample once, in a repeatable order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchnn.random
from scratchnn import data
from scratchnn.data import DataLoader, Labelled, Subset, TensorDataset, random_split


class Squares:
    """A data set that is no array: sample i is (i, i^2)."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        assert type(i) is int and 0 <= i < self.n
        return np.array([i]), i**2


def seeded(seed=0):
    return np.random.default_rng(seed)


def in_order(loader):
    return [batch.tolist() for batch in loader]


epochs = settings(deadline=None)
any_epoch = given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)


@epochs
@any_epoch
@pytest.mark.parametrize("form", ["array", "tuple", "TensorDataset", "Subset", "own"])
def test_an_epoch_gives_each_sample_once_in_batches_of_batch_size(
    form, n, batch_size, shuffle, drop_last
):
    x = np.arange(n)
    dataset = {
        "array": x,
        "tuple": (x, x**2),
        "TensorDataset": TensorDataset(x, x**2),
        "Subset": Subset((np.arange(2 * n), np.arange(2 * n) ** 2), slice(n)),
        "own": Squares(n),
    }[form]
    loader = DataLoader(
        dataset, batch_size, shuffle, drop_last=drop_last, rng=seeded(1)
    )
    batches = list(loader)
    assert len(loader) == len(batches)
    if form != "array":
        assert all((squares == first.ravel() ** 2).all() for first, squares in batches)
        batches = [first for first, _ in batches]
    lengths = [len(batch) for batch in batches]
    whole, rest = divmod(n, batch_size)
    assert lengths == [batch_size] * whole + [rest] * (rest > 0 and not drop_last)
    seen = np.concatenate([batch.ravel() for batch in batches]) if batches else x[:0]
    assert len(np.unique(seen)) == len(seen) == sum(lengths)
    if not drop_last:
        assert sorted(seen) == list(range(n))
    if not shuffle:
        assert np.array_equal(seen, x[: len(seen)])


def test_batches_keep_the_form_of_the_data_set():
    x, y = np.zeros((5, 8, 8), np.float32), np.arange(5)
    (batch,) = DataLoader(Labelled(x, y), batch_size=5)
    assert type(batch) is Labelled
    assert batch.x.shape == (5, 8, 8) and batch.x.dtype == np.float32
    (batch,) = DataLoader((x, y), batch_size=5)
    assert type(batch) is tuple
    (batch,) = DataLoader(x, batch_size=5)
    assert type(batch) is np.ndarray
    (batch,) = DataLoader([Labelled(x[i], y[i]) for i in range(5)], batch_size=5)
    assert type(batch) is Labelled and np.array_equal(batch.y, y)


def test_batches_are_copies():
    x = np.ones(4)
    for batch in DataLoader(x, batch_size=2):
        batch *= 7
    assert (x == 1).all()


def test_default_is_one_sample_at_a_time_in_order():
    assert in_order(DataLoader(np.arange(3))) == [[0], [1], [2]]


def test_each_epoch_has_its_own_order():
    loader = DataLoader(np.arange(50), batch_size=10, shuffle=True, rng=seeded())
    assert in_order(loader) != in_order(loader)


def test_same_seed_same_orders():
    first, second = (
        DataLoader(np.arange(50), batch_size=7, shuffle=True, rng=seeded(3))
        for _ in range(2)
    )
    for _ in range(3):
        assert in_order(first) == in_order(second)
    other = DataLoader(np.arange(50), batch_size=7, shuffle=True, rng=seeded(4))
    assert in_order(first) != in_order(other)


def test_shuffling_without_rng_follows_manual_seed():
    loader = DataLoader(np.arange(50), batch_size=7, shuffle=True)
    scratchnn.random.manual_seed(3)
    order = in_order(loader)
    scratchnn.random.manual_seed(3)
    assert in_order(loader) == order != in_order(loader)


def test_order_is_drawn_once_when_iteration_begins():
    rng = seeded(5)
    loader = DataLoader(np.arange(20), batch_size=4, shuffle=True, rng=rng)
    expected = seeded(5).permutation(20)
    batches = iter(loader)
    rng.random(100)  # draws by others, after the epoch has begun
    assert np.array_equal(np.concatenate(list(batches)), expected)


def test_no_shuffle_draws_nothing():
    rng = seeded(5)
    list(DataLoader(np.arange(20), batch_size=4, rng=rng))
    assert rng.random() == seeded(5).random()


def test_a_saved_generator_state_resumes_the_same_epochs():
    rng = seeded(9)
    loader = DataLoader(np.arange(30), batch_size=4, shuffle=True, rng=rng)
    in_order(loader)
    state = rng.bit_generator.state
    rest = [in_order(loader) for _ in range(3)]

    resumed = seeded(0)
    resumed.bit_generator.state = state
    loader = DataLoader(np.arange(30), batch_size=4, shuffle=True, rng=resumed)
    assert [in_order(loader) for _ in range(3)] == rest


def test_two_iterations_at_once_do_not_disturb_each_other():
    loader = DataLoader(np.arange(6), batch_size=2, shuffle=True, rng=seeded())
    for epoch in zip(*zip(loader, loader)):
        assert sorted(np.concatenate(epoch)) == list(range(6))


def test_drop_last_with_a_batch_larger_than_the_data_gives_no_batch():
    loader = DataLoader(np.arange(3), batch_size=4, drop_last=True)
    assert len(loader) == 0 and list(loader) == []


@pytest.mark.parametrize("batch_size", [0, -2, 2.5, None, "8"])
def test_loader_refuses_a_batch_size_that_is_no_count(batch_size):
    with pytest.raises(ValueError) as error:
        DataLoader(np.arange(3), batch_size=batch_size)
    assert str(error.value) == (
        f"batch_size is {batch_size!r}, expected a whole number of at least 1; "
        "32 is a usual choice"
    )


@pytest.mark.parametrize("dataset", [np.zeros((0, 2)), (), (np.zeros(0), np.zeros(0))])
def test_loader_refuses_an_empty_data_set(dataset):
    with pytest.raises(ValueError) as error:
        DataLoader(dataset)
    assert str(error.value) == (
        "the data set is empty, expected at least 1 sample; "
        "check how it was loaded or split"
    )


def test_arrays_of_unequal_length_are_refused():
    message = "arrays of unequal length: 3, 4; expected one row per sample in each"
    for build in (lambda *arrays: DataLoader(arrays), TensorDataset):
        with pytest.raises(ValueError) as error:
            build(np.zeros(3), np.zeros(4))
        assert str(error.value) == message


def test_loader_refuses_a_seed_for_a_generator():
    with pytest.raises(TypeError, match="rng is 0, expected a numpy.random.Generator"):
        DataLoader(np.arange(3), shuffle=True, rng=0)


def test_arrays_are_indexed_a_batch_at_a_time():
    class Counting(np.ndarray):
        calls = 0

        def __getitem__(self, index):
            Counting.calls += 1
            return np.asarray(self)[index]

    list(DataLoader(np.arange(1000).view(Counting), batch_size=100))
    assert Counting.calls == 10


# Subset and random_split


def test_subset_takes_numbers_masks_and_slices():
    x = np.arange(10) * 10
    assert Subset(x, [3, 1])[:].tolist() == [30, 10]
    assert Subset(x, x > 70)[:].tolist() == [80, 90]
    assert Subset(x, slice(2))[:].tolist() == [0, 10]
    assert Subset(x, [-1])[0] == 90
    with pytest.raises(IndexError):
        Subset(x, [10])


def test_subset_of_a_tuple_gives_samples_and_arrays():
    subset = Subset(data.digits(), [5, 7])
    assert len(subset) == 2
    assert subset[1].x.shape == (8, 8) and subset[1].y == data.digits().y[7]
    assert np.array_equal(subset[:].x, data.digits().x[[5, 7]])


@epochs
@given(n=st.integers(0, 80), parts=st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_random_split_is_a_partition(n, parts):
    lengths = [*parts, n]
    total = sum(lengths)
    if total == 1:
        lengths, total = [2], 2  # a sum of 1 means fractions
    splits = random_split(np.arange(total), lengths, rng=seeded())
    assert [len(split) for split in splits] == lengths
    assert sorted(np.concatenate([split[:] for split in splits])) == list(range(total))


def test_random_split_by_fractions_deals_out_the_samples_left_over():
    splits = random_split(np.arange(11), [0.5, 0.25, 0.25], rng=seeded())
    assert [len(split) for split in splits] == [6, 3, 2]  # 5, 2, 2 and two over
    splits = random_split(np.arange(100), [0.7, 0.2, 0.1], rng=seeded())
    assert [len(split) for split in splits] == [70, 20, 10]


def test_random_split_repeats_with_the_seed_and_feeds_a_loader():
    first, _ = random_split(data.digits(), [0.8, 0.2], rng=seeded(1))
    again, _ = random_split(data.digits(), [0.8, 0.2], rng=seeded(1))
    other, _ = random_split(data.digits(), [0.8, 0.2], rng=seeded(2))
    assert np.array_equal(first.indices, again.indices)
    assert not np.array_equal(first.indices, other.indices)
    x, y = next(iter(DataLoader(first, batch_size=32)))
    assert np.array_equal(x, data.digits().x[first.indices[:32]])
    assert np.array_equal(y, data.digits().y[first.indices[:32]])


@pytest.mark.parametrize("lengths", [[50, 40], [0.5, 0.6], [110, -10]])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths):
    with pytest.raises(ValueError) as error:
        random_split(np.arange(100), lengths)
    assert str(error.value) == (
        f"lengths {lengths} cannot split 100 samples, expected numbers of samples "
        "that sum to 100, or fractions that sum to 1"
    )
