"""Texts, lists of names, pairs of sentences; and the windows that a model learns from.

`text()` needs no download: it is the reference text that comes with Python.
"""

import difflib
import gzip
import math
import random
from pathlib import Path

import numpy as np

from ..random import default_rng
from .download import RemoteFile, fetch, on_github


def _file(place, name, size, sha256):
    folder, mirrors = place
    return RemoteFile(f"{folder}/{name}", size, sha256, mirrors)


_CHAR_RNN = (
    "tinyshakespeare",
    on_github("karpathy/char-rnn", "master", "data/tinyshakespeare/"),
)
_MAKEMORE = "names", on_github("karpathy/makemore", "master", "")
_MULTI30K = "multi30k", on_github("multi30k/dataset", "master", "data/task1/raw/")

SHAKESPEARE = _file(
    _CHAR_RNN, "input.txt", 1115394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)  # fmt: skip

NAMES = _file(
    _MAKEMORE, "names.txt", 228145,
    "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
)  # fmt: skip

MULTI30K = {  # (split, language): file
    (split, language): _file(_MULTI30K, f"{name}.{language}.gz", size, sha256)
    for split, name, language, size, sha256 in (
        ("train", "train", "de", 637044,
         "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
        ("train", "train", "en", 568929,
         "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
        ("train", "train", "fr", 604242,
         "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c"),
        ("val", "val", "de", 24681,
         "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
        ("val", "val", "en", 21650,
         "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
        ("val", "val", "fr", 23001,
         "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9"),
        ("test", "test_2016_flickr", "de", 22890,
         "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8"),
        ("test", "test_2016_flickr", "en", 21077,
         "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9"),
        ("test", "test_2016_flickr", "fr", 22310,
         "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90"),
        ("test_2017", "test_2017_flickr", "de", 21471,
         "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee"),
        ("test_2017", "test_2017_flickr", "en", 19138,
         "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074"),
        ("test_2017", "test_2017_flickr", "fr", 20434,
         "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496"),
        ("test_2017_mscoco", "test_2017_mscoco", "de", 10230,
         "799e4854c25d601cb6cb6be29eabe5667734c61ace2f495e03e429031a0bc338"),
        ("test_2017_mscoco", "test_2017_mscoco", "en", 8844,
         "aab300bfb4427697987e02cd0aacd44bfe8aa50456231b6474c08038bbed2b58"),
        ("test_2017_mscoco", "test_2017_mscoco", "fr", 9751,
         "754f3072ba9f124569ba5258b32730fc1d214bbf8e0c6dfb2b74401676220db0"),
    )
}  # fmt: skip


# ---- one long text ----------------------------------------------------------------
def text(name="python"):
    """A text, as one str: "python", "shakespeare", or the path of a UTF-8 file.

    Raises ValueError for a name that is neither, or a file that is no text.
    """
    if name in TEXTS:
        return TEXTS[name]()
    path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(str(name), TEXTS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"no text or file is called {str(name)!r}{hint} (expected "
            f"{', '.join(TEXTS)} or the path of a text file)"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8: {error.reason} at byte {error.start}; "
            "convert it, or choose another file"
        ) from None


def python():
    """Python's own reference, from pydoc_data.topics: 0.5 million characters.

    It comes with Python, so each version of Python has a text of its own. Licence:
    PSF.
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def shakespeare():
    """Plays of Shakespeare: 1,115,394 characters, 65 different ones.

    The first 90 % is what models are usually trained on. Source: "tiny shakespeare",
    Karpathy's char-rnn; the text is in the public domain.
    """
    return fetch(SHAKESPEARE).read_text(encoding="utf-8")


TEXTS = {"python": python, "shakespeare": shakespeare}


# ---- many short ones ----------------------------------------------------------------
def names(split="all"):
    """32,033 first names of small letters, as a list of str; the most usual first.

    split: "all", or "train", "dev" and "test", 80, 10 and 10 % of all after a shuffle
    that is the same everywhere: that of the notebooks which the published figures are
    from (random.seed(42)). Source: Karpathy's makemore, MIT.
    """
    found = fetch(NAMES).read_text(encoding="utf-8").split()
    if split == "all":
        return found
    a, b = int(0.8 * len(found)), int(0.9 * len(found))
    parts = {"train": slice(a), "dev": slice(a, b), "test": slice(b, None)}
    if split not in parts:
        raise ValueError(
            f"split is {split!r}, expected 'all', 'train', 'dev' or 'test'"
        )
    random.Random(42).shuffle(found)
    return found[parts[split]]


def multi30k(split="train", languages=("de", "en")):
    """What is to be seen in pictures, in several languages: a list of tuples of str.

    languages: of each tuple, from "de", "en" and "fr". split: "train" (29,000), "val"
    (1,014), "test" (1,000, of 2016, the usual one), "test_2017" (1,000) or
    "test_2017_mscoco" (461, from other photographs, harder).
    Source: Elliott, Frank, Sima'an, Specia, "Multi30K", 2016, arXiv:1605.00459; no
    licence of the text is stated, it is for research.
    """
    for language in languages:
        if (split, language) not in MULTI30K:
            splits, known = (list(dict.fromkeys(x)) for x in zip(*MULTI30K))
            raise ValueError(
                f"no part {split!r} in the language {language!r}; expected a split of "
                f"{', '.join(splits)} and languages of {', '.join(known)}"
            )
    columns = []
    for language in languages:
        content = gzip.decompress(fetch(MULTI30K[split, language]).read_bytes())
        lines = content.decode("utf-8").removesuffix("\n").split("\n")
        columns.append([line.strip() for line in lines])
    return list(zip(*columns))


# ---- windows --------------------------------------------------------------------
class Windows:
    """Batches of pieces of a long text: arrays (B, length + 1), B = batch.

    A model sees x = window[:, :-1] and learns to predict window[:, 1:].

    tokens (T,), or a list of several such. With shuffle each window begins anywhere,
    and an epoch is `steps` batches, by default so many that they hold about as many
    tokens as the text. They are drawn from `rng` when iteration begins, and nothing
    afterwards: a run resumed from the state that the generator had before an epoch
    sees that epoch's batches again. Without shuffle windows follow one another, so that
    each token but the first, and what fills no window at the end, is predicted once;
    the last batch may be smaller.

    Raises ValueError if the text is shorter than one window.
    """

    def __init__(self, tokens, length, batch=1, shuffle=True, *, steps=None, rng=None):
        self.tokens = np.asarray(tokens, dtype=np.int64)
        if self.tokens.ndim != 1:
            raise ValueError(
                f"tokens have shape {self.tokens.shape}, expected one axis: what "
                "tok.encode(text) gives"
            )
        for name, value in (("length", length), ("batch", batch), ("steps", steps)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        if len(self.tokens) <= length:
            raise ValueError(
                f"the text has {len(self.tokens)} tokens, but a window of length "
                f"{length} takes {length + 1}; choose a shorter length or a longer text"
            )
        default_rng(rng)  # a bad rng is refused here, not in the first epoch
        self.length, self.batch, self.shuffle, self.rng = length, batch, shuffle, rng
        self.steps = steps

    def __len__(self):
        """The number of batches in an epoch."""
        windows = (len(self.tokens) - 1) // self.length
        full = math.ceil(windows / self.batch)
        return full if self.steps is None else self.steps

    def __iter__(self):
        if self.shuffle:
            last = len(self.tokens) - self.length  # where a window may not begin
            starts = default_rng(self.rng).integers(last, size=len(self) * self.batch)
        else:
            starts = np.arange(0, len(self.tokens) - self.length, self.length)
        return self._batches(starts)

    def _batches(self, starts):
        places = np.arange(self.length + 1)
        for i in range(len(self)):
            start = starts[i * self.batch : (i + 1) * self.batch]
            yield self.tokens[start[:, None] + places]  # (B, length + 1)
