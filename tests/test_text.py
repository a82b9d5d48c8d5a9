"""Texts and their windows, tasks that a rule answers, pictures with captions."""

import datetime
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnn import data
from scratchnn.data import tasks
from scratchnn.data.captions import SLANT, draw, lean

real_data = pytest.mark.skipif(
    "SCRATCHNN_DATA" not in os.environ,
    reason="set SCRATCHNN_DATA to a folder with names/, multi30k/, tinyshakespeare/",
)
often = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32)


def seeded(seed=0):
    return np.random.default_rng(seed)


def refused(call):
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


# Texts


def test_the_default_text_is_pythons_own_reference():
    text = data.text()
    assert 300_000 < len(text) < 2_000_000 and text == data.text("python")
    assert "Assert statements are a convenient way" in text


def test_a_text_can_be_any_file_in_utf_8(tmp_path):
    path = tmp_path / "my.txt"
    path.write_bytes("\ufeffEin Bär\r\nläuft".encode())
    assert data.text(path) == data.text(str(path)) == "Ein Bär\nläuft"


def test_a_text_that_is_not_there_is_named(tmp_path):
    assert refused(lambda: data.text("pyhton")) == (
        "no text or file is called 'pyhton'; did you mean 'python'? (expected python, "
        "shakespeare or the path of a text file)"
    )
    assert "is called 'qqq' (expected" in refused(lambda: data.text("qqq"))
    assert "no text or file is called" in refused(lambda: data.text(tmp_path))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG")
    assert refused(lambda: data.text(path)) == (
        f"{path} is not text in UTF-8: invalid start byte at byte 0; convert it, or "
        "choose another file"
    )


def bigrams(tokens, V):
    return np.bincount(tokens[:-1] * V + tokens[1:], minlength=V * V).reshape(V, V)


@real_data
def test_tables_of_shakespeare_give_the_known_nats_per_character():
    text = data.text("shakespeare")
    tok = data.CharTokenizer.train(text, specials=())
    tokens = tok.encode(text)
    assert len(text) == 1_115_394 and len(tok) == 65
    n = int(0.9 * len(tokens))
    once = np.bincount(tokens[:n]) / n
    assert round(-np.log(once[tokens[n:]]).mean(), 4) == 3.3473
    twice = bigrams(tokens[:n], 65) + 1
    log_p = np.log(twice / twice.sum(axis=1, keepdims=True))
    held_out = tokens[n:]
    assert round(-log_p[held_out[:-1], held_out[1:]].mean(), 4) == 2.4819


@real_data
def test_names_are_those_of_makemore_split_as_in_its_notebooks():
    names = data.names()
    assert len(names) == 32_033 and names[:3] == ["emma", "olivia", "ava"]
    assert sum(len(name) + 1 for name in names) == 228_146
    parts = [data.names(split) for split in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [25_626, 3203, 3204]
    assert sorted(sum(parts, [])) == sorted(names)
    tok = data.CharTokenizer.train(names, specials=("eos",))
    train, dev, test = (
        np.concatenate([[0], *(tok.encode(name, eos=True) for name in part)])
        for part in parts
    )
    count = bigrams(train, 27) + 1
    log_p = np.log(count / count.sum(axis=1, keepdims=True))
    found = [round(-log_p[t[:-1], t[1:]].mean(), 4) for t in (dev, test)]
    assert found == [2.4533, 2.4584]  # a table of pairs, counts + 1
    assert refused(lambda: data.names("valid")) == (
        "split is 'valid', expected 'all', 'train', 'dev' or 'test'"
    )


@real_data
def test_multi30k_has_its_aligned_sentences():
    sizes = {split: len(data.multi30k(split)) for split in ("train", "val", "test")}
    assert sizes == {"train": 29_000, "val": 1014, "test": 1000}
    both = data.multi30k("test_2017", ("de", "en", "fr"))
    assert len(both) == 1000 and len(data.multi30k("test_2017_mscoco")) == 461
    assert data.multi30k("val")[0] == (
        "Eine Gruppe von Männern lädt Baumwolle auf einen Lastwagen",
        "A group of men are loading cotton onto a truck",
    )
    assert all(s and s == s.strip() for pair in both for s in pair)


def test_multi30k_names_its_splits_and_languages():
    expected = (
        "expected a split of train, val, test, test_2017, test_2017_mscoco and "
        "languages of de, en, fr"
    )
    text = refused(lambda: data.multi30k("dev"))
    assert text == f"no part 'dev' in the language 'de'; {expected}"
    assert expected in refused(lambda: data.multi30k("val", ("en", "cs")))


@pytest.mark.parametrize("name", ["shakespeare", "names", "multi30k"])
def test_each_file_to_download_has_two_mirrors(name):
    for file in data.DATASETS[name].files:
        assert len(file.mirrors) == 2 and len(file.sha256) == 64
        assert all(m.startswith("https://") and m.endswith("/") for m in file.mirrors)
        assert file.name.count("/") == 1


# Windows


@often
@given(st.integers(2, 60), st.integers(1, 9), st.integers(1, 5), seeds)
def test_random_windows_are_pieces_of_the_text(T, length, batch, seed):
    length = min(length, T - 1)
    windows = data.Windows(np.arange(T) + 5, length, batch, rng=seeded(seed))
    batches = list(windows)
    assert len(batches) == len(windows) == math.ceil((T - 1) // length / batch)
    for w in batches:
        assert w.shape == (batch, length + 1) and w.dtype == np.int64
        assert (np.diff(w, axis=1) == 1).all() and 5 <= w.min() <= w.max() < T + 5


def test_every_window_is_as_likely_as_any_other():
    T, length, n = 14, 4, 20_000
    windows = data.Windows(np.arange(T), length, n, steps=1, rng=seeded())
    counts = np.bincount(next(iter(windows))[:, 0], minlength=T)
    assert (counts[T - length :] == 0).all()  # the last may end with the text
    p = 1 / (T - length)
    assert abs(counts[: T - length] / n - p).max() < 5 * math.sqrt(p / n)


@often
@given(st.integers(2, 60), st.integers(1, 9), st.integers(1, 5))
def test_windows_in_order_predict_each_token_once(T, length, batch):
    length = min(length, T - 1)
    windows = data.Windows(np.arange(T), length, batch, shuffle=False)
    batches = list(windows)
    predicted = np.concatenate([w[:, 1:].reshape(-1) for w in batches])
    assert len(batches) == len(windows)
    assert predicted.tolist() == list(range(1, 1 + (T - 1) // length * length))


def test_an_epoch_of_windows_is_drawn_when_it_begins():
    rng = seeded(3)
    windows = data.Windows(np.arange(100), 5, 4, rng=rng)
    list(windows)
    saved = json.loads(json.dumps(rng.bit_generator.state))
    epoch = iter(windows)
    first = next(epoch)
    drawn = rng.bit_generator.state
    rest = list(epoch)
    assert rng.bit_generator.state == drawn  # nothing is drawn after the beginning
    rng.bit_generator.state = saved
    assert np.array_equal([first, *rest], list(windows))
    assert not np.array_equal([first, *rest], list(windows))


def test_windows_refuse_what_cannot_be_cut():
    text = refused(lambda: data.Windows(np.arange(8), 8))
    assert text == (
        "the text has 8 tokens, but a window of length 8 takes 9; choose a shorter "
        "length or a longer text"
    )
    text = refused(lambda: data.Windows(np.zeros((2, 9)), 3))
    assert text == (
        "tokens have shape (2, 9), expected one axis: what tok.encode(text) gives"
    )
    text = refused(lambda: data.Windows(np.arange(9), 3, 0))
    assert text == "batch is 0, expected at least 1"
    with pytest.raises(TypeError, match="rng is 7"):
        data.Windows(np.arange(9), 3, rng=7)


# Tasks

TASKS = [data.copying, data.reversing, data.addition, data.dates]


@pytest.mark.parametrize("task", TASKS)
def test_tasks_follow_their_rng(task):
    first, again = task(50, rng=seeded(1)), task(50, rng=seeded(1))
    assert first == again != task(50, rng=seeded(2)) and len(first) == 50
    assert task(0) == []


@pytest.mark.parametrize("task", TASKS)
def test_tasks_refuse_another_split_and_a_negative_number(task):
    assert refused(lambda: task(5, "valid")) == (
        "split is 'valid', expected 'train' or 'test'"
    )
    assert refused(lambda: task(-1)) == (
        "n is -1, expected a number of pairs of at least 0"
    )


@pytest.mark.parametrize("task, answer", [
    (data.copying, lambda x: x),
    (data.reversing, lambda x: x[::-1]),
])  # fmt: skip
@pytest.mark.parametrize("split", ["train", "test"])
def test_letters_are_copied_or_reversed(task, answer, split):
    pairs = task(2000, split, rng=seeded())
    assert all(target == answer(source) for source, target in pairs)
    assert all(tasks.held_out(source) == (split == "test") for source, _ in pairs)
    letters = "".join(source for source, _ in pairs)
    assert len(letters) == 20_000
    counts = np.array([letters.count(c) for c in "abcdefghij"])
    assert abs(counts - 2000).max() < 5 * math.sqrt(2000)


def test_all_of_a_small_task_are_in_one_split_or_the_other():
    words = {a + b + c for a in "xyz" for b in "xyz" for c in "xyz"}
    train, test = (
        {x for x, _ in data.copying(2000, split, 3, symbols="xyz", rng=seeded())}
        for split in ("train", "test")
    )
    assert train | test == words and not train & test


def test_lengths_are_those_asked_for():
    pairs = data.reversing(500, length=5, least=3, rng=seeded())
    assert {len(source) for source, _ in pairs} == {3, 4, 5}
    assert "expected 1 <= least <= length" in refused(
        lambda: data.copying(1, length=3, least=4)
    )


def test_a_task_with_nothing_to_hold_out_says_so():
    assert refused(lambda: data.copying(1, "test", 1, symbols="a")) == (
        "no pair in 1,000 is in the split 'test': the task has too few; make its "
        "sources longer, or of more symbols"
    )


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_sums_are_right_and_written_backwards(digits):
    for source, target in data.addition(300, digits=digits, rng=seeded()):
        assert len(source) == 2 * digits + 2 and len(target) == digits + 1
        assert source[digits] == "+" and source[-1] == "="
        a, b = int(source[:digits]), int(source[digits + 1 : -1])
        assert int(target[::-1]) == a + b


def test_the_splits_of_sums_are_all_sums_and_share_none_even_turned_round():
    train, test = (data.addition(None, split) for split in ("train", "test"))
    assert len(train) + len(test) == len({*train, *test}) == 10_000
    turned = {(f"{x[3:5]}+{x[:2]}=", y) for x, y in test}
    assert turned == set(test) and not turned & set(train)
    assert abs(len(test) / 10_000 - 0.1) < 5 * math.sqrt(0.09 / 5050)
    drawn = set(data.addition(3000, "test", rng=seeded()))
    assert drawn <= set(test) and len(drawn) > 900


def test_every_way_to_write_a_date_can_be_read_back():
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(366)]
    days += [datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)]
    meant = {}
    for day in days:
        for form in tasks.FORMATS:
            text = tasks.written(day, form)
            assert meant.setdefault(text, day) == day  # no string is two dates
    sunday = datetime.date(2024, 3, 3)
    assert [tasks.written(sunday, form) for form in tasks.FORMATS] == [
        "3 March 2024", "March 3, 2024", "3rd of March 2024", "the 3rd of March, 2024",
        "March 3rd, 2024", "Sunday, 3 March 2024", "Sun, Mar 3, 2024", "3 Mar 2024",
        "03-Mar-2024", "Mar 3 2024", "3.3.2024", "03.03.2024", "2024/3/3",
        "2024 March 3", "20240303",
    ]  # fmt: skip
    ends = [tasks.written(datetime.date(2024, 1, d), "{d}{th}") for d in range(1, 32)]
    assert ends[:3] == ["1st", "2nd", "3rd"] and ends[10:13] == ["11th", "12th", "13th"]
    assert ends[20:23] == ["21st", "22nd", "23rd"] and ends[29:] == ["30th", "31st"]


def test_a_day_of_the_test_is_in_no_training_pair():
    train, test = (data.dates(5000, split, rng=seeded()) for split in ("train", "test"))
    assert not {y for _, y in train} & {y for _, y in test}
    assert not any(tasks.held_out(y) for _, y in train)
    assert all(tasks.held_out(y) for _, y in test)
    years = [datetime.date.fromisoformat(y).year for _, y in train]
    assert min(years) < 1910 and max(years) > 2090


# Captions


def test_scenes_are_150_and_each_has_its_own_caption():
    scenes = data.scenes()
    texts = {scene.text for scene in scenes}
    assert len(scenes) == len(set(scenes)) == len(texts) == 150
    assert {"a large seven, slanted left", "two small threes", "two small sixes",
            "a small zero, slanted right, on the left"} <= texts  # fmt: skip


def test_captions_say_what_their_labels_say():
    images, texts, labels = data.captions(300, rng=seeded())
    assert images.shape == (300, 16, 16) and images.dtype == np.float32
    assert images.min() == 0 and images.max() <= 1
    assert labels.shape == (300, 2) and labels.dtype == np.int64
    known = {scene.text: (scene.digit, scene.count) for scene in data.scenes()}
    assert [known[text] for text in texts] == [tuple(label) for label in labels]
    again = data.captions(300, rng=seeded())
    assert np.array_equal(again.images, images) and again.texts == texts


def drawn(n=200, digit=7, **choices):
    return draw([data.Scene(digit, **choices)] * n, rng=seeded())


def middle(images):
    """The column of the middle of the ink, from the middle of the picture: (N,)."""
    ink = images.sum(axis=1)
    return (ink * (np.arange(16) - 7.5)).sum(axis=1) / ink.sum(axis=1)


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("size", ["small", "large"])
def test_slanted_digits_lean_to_their_side_by_more_than_they_vary(digit, size):
    left, none, right = (
        lean(drawn(digit=digit, size=size, slant=slant))
        for slant in ("left", "", "right")
    )
    assert left.max() < none.mean() < right.min()
    assert right.mean() - none.mean() > 0.8 * SLANT  # a little is cut off at the edge
    assert none.mean() - left.mean() > 0.8 * SLANT


def test_digits_stand_where_the_caption_says():
    assert (middle(drawn(side="left")) < -2).all()
    assert (abs(middle(drawn())) < 2).all()
    assert (middle(drawn(side="right")) > 2).all()
    halves = drawn(count=2).reshape(-1, 16, 2, 8).sum(axis=(1, 3))
    assert (halves > 8).all()  # ink of a digit in either half


def test_large_digits_are_1_6_times_as_high():
    def rows(images):
        return (images.max(axis=2) > 0.25).sum(axis=1)

    assert rows(drawn(size="small")).mean() == 8
    assert abs(rows(drawn(size="large")).mean() / 8 - 1.6) < 0.1


def test_small_upright_digits_keep_their_rows():
    image = drawn(1, digit=0)[0]
    x, y = data.digits("train")
    rows = [r.sum() for r in image if r.any()]
    assert any(np.allclose(rows, d.sum(axis=1), rtol=1e-5) for d in x[y == 0])


def test_pictures_of_the_splits_come_from_different_digits():
    scenes = [data.Scene(0)] * 40
    train, test = (data.digits(split).x for split in ("train", "test"))
    for split, digits in (("train", train), ("test", test)):
        sums = digits.sum(axis=(1, 2))
        for image in draw(scenes, split, seeded()):
            assert np.isclose(image.sum(), sums, rtol=1e-5).any()


def test_a_part_of_the_scenes_can_be_left_out():
    some = [s for s in data.scenes() if (s.digit, s.size) != (7, "large")]
    texts = data.captions(500, of=some, rng=seeded()).texts
    assert set(texts) <= {s.text for s in some}
