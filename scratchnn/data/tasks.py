"""Tasks whose right answer a rule gives: copy, reverse, add, write a date another way.

Each function draws n pairs (source, target) of str. Whether a pair belongs to the
training or to the test split follows from the pair itself, by a checksum. So the splits
share nothing, however many pairs are drawn; about a tenth of all are for the test.
"""

import datetime
import zlib

from ..random import default_rng

LETTERS = "abcdefghij"


def held_out(key):
    """Whether what `key` stands for is for the test: crc32(key) mod 10 = 0."""
    return zlib.crc32(key.encode()) % 10 == 0


def _drawn(n, split, draw, key, rng):
    """n draws, those of the other split left out."""
    rng = default_rng(rng)
    found, missed = [], 0
    while len(found) < _checked(n, split):
        drawn = draw(rng)
        if held_out(key(drawn)) == (split == "test"):
            found.append(drawn)
            missed = 0
        elif (missed := missed + 1) > 1000:  # 0.9^1000 = 1e-46
            raise ValueError(
                f"no pair in 1,000 is in the split {split!r}: the task has too few; "
                "make its sources longer, or of more symbols"
            )
    return found


def _checked(n, split):
    if split not in ("train", "test"):
        raise ValueError(f"split is {split!r}, expected 'train' or 'test'")
    if n < 0:
        raise ValueError(f"n is {n}, expected a number of pairs of at least 0")
    return n


# ---- letters --------------------------------------------------------------------
def copying(n=1000, split="train", length=10, least=None, symbols=LETTERS, rng=None):
    """The target is the source: ("hdbca", "hdbca"), letters drawn independently.

    length: of each source; with `least` anything from least to length is equally
    likely. By default the sizes of the Annotated Transformer (Rush et al.): 10 of 10
    symbols.
    """
    return [(x, x) for x in _words(n, split, length, least, symbols, rng)]


def reversing(n=1000, split="train", length=10, least=None, symbols=LETTERS, rng=None):
    """The target is the source backwards: ("hdbca", "acbdh"). See copying."""
    return [(x, x[::-1]) for x in _words(n, split, length, least, symbols, rng)]


def _words(n, split, length, least, symbols, rng):
    least = length if least is None else least
    if not 1 <= least <= length:
        raise ValueError(
            f"least is {least} and length {length}, expected 1 <= least <= length"
        )

    def draw(rng):
        size = length if least == length else rng.integers(least, length + 1)
        places = rng.integers(len(symbols), size=size).tolist()
        return "".join([symbols[i] for i in places])

    return _drawn(n, split, draw, str, rng)


# ---- sums -----------------------------------------------------------------------
def addition(n=1000, split="train", digits=2, rng=None):
    """Sums, the last digit of the answer first: ("85+50=", "531") for 135.

    Both numbers have `digits` digits, the answer one more, with zeros in front: 05+07=.
    Backwards, a digit of the answer follows from digits that are there already. a+b
    and b+a are in the same split, or half of the test would have been seen. n=None: all
    pairs of the split, each once. Format: Karpathy's minGPT, projects/adder.
    """
    if digits < 1:
        raise ValueError(f"digits is {digits}, expected at least 1")
    if n is None:
        _checked(0, split)
        all_there_are = (divmod(i, 10**digits) for i in range(10 ** (2 * digits)))
        test = split == "test"
        pairs = [ab for ab in all_there_are if held_out(_unordered(ab)) == test]
    else:
        draw = lambda rng: rng.integers(10**digits, size=2).tolist()
        pairs = _drawn(n, split, draw, _unordered, rng)
    return [
        (f"{a:0{digits}}+{b:0{digits}}=", f"{a + b:0{digits + 1}}"[::-1])
        for a, b in pairs
    ]


def _unordered(ab):
    return f"{min(ab)}+{max(ab)}"


# ---- dates ----------------------------------------------------------------------
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August",
    "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip

# No string is two dates: between dots the day comes first, between strokes the year.
FORMATS = (
    "{d} {month} {y}",  # 3 March 2024
    "{month} {d}, {y}",
    "{d}{th} of {month} {y}",  # 3rd of March 2024
    "the {d}{th} of {month}, {y}",
    "{month} {d}{th}, {y}",
    "{weekday}, {d} {month} {y}",  # Sunday, 3 March 2024
    "{weekday:.3}, {mon} {d}, {y}",  # Sun, Mar 3, 2024
    "{d} {mon} {y}",
    "{d:02}-{mon}-{y}",  # 03-Mar-2024
    "{mon} {d} {y}",
    "{d}.{m}.{y}",  # 3.3.2024
    "{d:02}.{m:02}.{y}",
    "{y}/{m}/{d}",
    "{y} {month} {d}",
    "{y}{m:02}{d:02}",  # 20240303
)
FIRST_DAY, LAST_DAY = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)


def dates(n=1000, split="train", formats=FORMATS, rng=None):
    """Dates as people write them, and as ISO 8601: ("3 March 2024", "2024-03-03").

    All days from 1900 to 2099 and all formats are equally likely. A day of the test is
    in no pair of the training split, however it is written.
    """
    days = (LAST_DAY - FIRST_DAY).days + 1

    def draw(rng):
        return FIRST_DAY + datetime.timedelta(int(rng.integers(days)))

    rng = default_rng(rng)
    drawn = _drawn(n, split, draw, datetime.date.isoformat, rng)
    which = rng.integers(len(formats), size=n)
    return [(written(d, formats[i]), d.isoformat()) for d, i in zip(drawn, which)]


def written(date, form):
    """A date in one of the FORMATS, in English wherever it is run."""
    month, d = MONTHS[date.month - 1], date.day
    th = "th" if 10 < d < 20 else {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
    return form.format(
        d=d, m=date.month, y=date.year, th=th, month=month, mon=month[:3],
        weekday=WEEKDAYS[date.weekday()],
    )  # fmt: skip
