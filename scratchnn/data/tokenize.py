"""From text to numbers and back: tokens that are characters, words, or pieces of words.

    tok = BPETokenizer.train(text, merges=1000)
    tokens = tok.encode("Hello", bos=True)    # int64 array
    tok.decode(tokens)                        # "Hello"

A token is a number from 0 to len(tok) - 1, the place of its text in tok.vocabulary. The
first few are special: no text is ever encoded as them. Phuong and Hutter, "Formal
Algorithms for Transformers", arXiv:2207.09238, section 4.
"""

import codecs
import functools
import heapq
import json
import re
from collections import Counter, defaultdict

import numpy as np

SPECIALS = ("pad", "bos", "eos", "mask", "unk")


class Tokenizer:
    """What all tokenizers share. tok.bos, tok.eos, ...: their tokens, None if left out.

    specials: which of pad (fills up a batch), bos and eos (begin and end of a
    sequence), mask (hides a token) and unk (stands for unknown text) there are, in
    that order, as tokens 0, 1, ...
    """

    KIND = ""

    def __init__(self, vocabulary, specials):
        self.specials = _in_order(specials)
        for name in SPECIALS:
            token = self.specials.index(name) if name in self.specials else None
            setattr(self, name, token)
        self.vocabulary = [*(f"<{name}>" for name in self.specials), *vocabulary]

    def __len__(self):
        return len(self.vocabulary)

    def encode(self, text, bos=False, eos=False):
        """The tokens of a text: str -> int64 array; bos, eos: put those at its ends.

        Raises ValueError for text that has no token, if there is no unk.
        """
        tokens = self._tokens(text)
        if bos:
            tokens = [self._special("bos"), *tokens]
        if eos:
            tokens = [*tokens, self._special("eos")]
        return np.array(tokens, dtype=np.int64)

    def decode(self, tokens):
        """The text of some tokens. pad, bos and eos say nothing; mask shows as <mask>.

        tokens: an array (T,), or whole numbers. Raises ValueError for one that is no
        token.
        """
        return "".join(self.stream(tokens))

    def stream(self, tokens):
        """decode, piece by piece: a generator of the text that each token adds.

        Tokens may come one at a time, from a model that is still at work.
        """
        for token in self._spoken(tokens):
            yield self.vocabulary[token]

    def _spoken(self, tokens):
        """The tokens that have a text to show."""
        silent = {self.pad, self.bos, self.eos}
        for token in map(int, tokens):
            if not 0 <= token < len(self):
                raise ValueError(
                    f"token {token} is not in the vocabulary, expected 0 to "
                    f"{len(self) - 1}"
                )
            if token not in silent:
                yield token

    def save(self, path):
        """Write all there is to know of it as a JSON file; see `tokenizer`."""
        content = {"tokenizer": self.KIND, "specials": self.specials, **self._state()}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)

    @classmethod
    def load(cls, path):
        """The tokenizer that `save` wrote. Raises ValueError for any other file."""
        found = tokenizer(path)
        if not isinstance(found, cls):
            raise ValueError(
                f"{path} is a {type(found).__name__}, expected a {cls.__name__}; "
                "data.tokenizer reads any of them"
            )
        return found

    def _special(self, name):
        token = getattr(self, name)
        if token is None:
            raise ValueError(
                f"this {type(self).__name__} has no {name}: its special tokens are "
                f"{', '.join(self.specials) or 'none'}; train it with {name!r} in "
                "specials"
            )
        return token

    def _look_up(self, pieces):
        """The tokens of pieces of text, unk for those without."""
        tokens = [self._token.get(piece, self.unk) for piece in pieces]
        if self.unk is None and None in tokens:
            piece = pieces[tokens.index(None)]
            raise ValueError(
                f"no token for {piece!r}: it was not in the text that this "
                f"{type(self).__name__} was trained on; train it on text that has it, "
                "or with 'unk' in specials"
            )
        return tokens


def _in_order(specials):
    if isinstance(specials, str) or not set(specials) <= set(SPECIALS):
        raise ValueError(
            f"specials is {specials!r}, expected some of {', '.join(SPECIALS)} "
            'in a tuple, such as ("bos", "eos")'
        )
    return tuple(name for name in SPECIALS if name in specials)


class CharTokenizer(Tokenizer):
    """Each character a token: a small vocabulary, long sequences, nothing to learn."""

    KIND = "char"

    def __init__(self, characters, specials=SPECIALS):
        super().__init__(characters, specials)
        self._token = {c: i + len(self.specials) for i, c in enumerate(characters)}

    @classmethod
    def train(cls, texts, specials=SPECIALS):
        """The characters of a text, or of several, sorted."""
        return cls(sorted(set().union(*_several(texts))), specials)

    def _tokens(self, text):
        return self._look_up(text)

    def _state(self):
        return {"characters": self.vocabulary[len(self.specials) :]}


class WordTokenizer(Tokenizer):
    """Each word and each punctuation mark a token: short sequences, many unknown words.

    How much space there was between words is lost; decode puts what is usual.
    """

    KIND = "word"

    def __init__(self, words, specials=SPECIALS, lower=False):
        super().__init__(words, specials)
        self.lower = lower
        self._token = {w: i + len(self.specials) for i, w in enumerate(words)}

    @classmethod
    def train(cls, texts, size=None, min_count=1, specials=SPECIALS, lower=False):
        """The words that occur at least min_count times, the most frequent first.

        size: of the whole vocabulary at most, special tokens included. lower: all in
        small letters.
        """
        count = Counter()
        for text in _several(texts):
            count.update(_words(text, lower))
        words = [w for w, n in count.items() if n >= min_count]
        words.sort(key=lambda w: (-count[w], w))
        if size is not None:
            if size <= len(specials):
                raise ValueError(
                    f"size is {size}, expected more than the {len(specials)} special "
                    "tokens"
                )
            words = words[: size - len(specials)]
        return cls(words, specials, lower)

    def stream(self, tokens):
        """decode, piece by piece; each with the blank before it, if it has one."""
        before = ""
        for token in self._spoken(tokens):
            word = self.vocabulary[token]
            joined = before in ("", *"([{") or word in (*".,;:!?)]}",)
            yield word if joined else " " + word
            before = word

    def _tokens(self, text):
        return self._look_up(_words(text, self.lower))

    def _state(self):
        words = self.vocabulary[len(self.specials) :]
        return {"words": words, "lower": self.lower}


def _words(text, lower):
    """Runs of letters and digits, hyphens and apostrophes inside; other marks alone."""
    return re.findall(r"\w+(?:['’-]\w+)*|[^\w\s]", text.lower() if lower else text)


class BPETokenizer(Tokenizer):
    """Byte-pair encoding: bytes, and pairs of tokens that were often side by side.

    Every text has tokens, since every byte is one, and decode gives back every text
    exactly. merges: the pairs of tokens that became one, in the order they were found.
    Sennrich, Haddow, Birch, arXiv:1508.07909, Algorithm 1; on the bytes of UTF-8,
    within words, as in Radford et al., "Language Models are Unsupervised Multitask
    Learners", 2019, section 2.2.
    """

    KIND = "bpe"

    def __init__(self, merges, specials=SPECIALS[:-1]):
        self.merges = [tuple(pair) for pair in merges]
        first = len(_in_order(specials))
        self._bytes = dict(enumerate(map(bytes, zip(range(256))), first))
        for new, (a, b) in enumerate(self.merges, first + 256):
            self._bytes[new] = self._bytes[a] + self._bytes[b]
        texts = [b.decode("utf-8", "backslashreplace") for b in self._bytes.values()]
        super().__init__(texts, specials)
        self._merged = {pair: i for i, pair in enumerate(self.merges, first + 256)}
        self._of_word = functools.lru_cache(2**16)(self._merge_all)

    @classmethod
    def train(cls, texts, merges=1000, specials=SPECIALS[:-1]):
        """Algorithm 1: `merges` times, make one token of the most frequent pair.

        len(tok) is len(specials) + 256 + merges; fewer if no pair is left that occurs
        twice. Of equally frequent pairs the one with the lowest tokens is taken.
        """
        first = len(_in_order(specials))
        words = Counter()
        for text in _several(texts):
            words.update(_pieces(text))
        pairs = _Pairs([[b + first for b in w.encode()] for w in words], words.values())
        found = []
        for new in range(first + 256, first + 256 + merges):
            pair = pairs.most_frequent()
            if pair is None:
                break
            pairs.merge(pair, new)
            found.append(pair)
        return cls(found, specials)

    def stream(self, tokens):
        """decode, piece by piece; a character of several bytes comes with its last.

        Bytes that are no UTF-8 show as the replacement character.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in self._spoken(tokens):
            if token in self._bytes:
                yield decoder.decode(self._bytes[token])
            else:
                yield decoder.decode(b"", final=True) + self.vocabulary[token]
        yield decoder.decode(b"", final=True)

    def _tokens(self, text):
        tokens = []
        for word in _pieces(text):
            tokens += self._of_word(word)
        return tokens

    def _merge_all(self, word):
        """The tokens of one piece: of the merges that apply, the first found first."""
        tokens = [b + len(self.specials) for b in word.encode()]
        while True:
            known = self._merged.keys() & zip(tokens, tokens[1:])
            if not known:
                return tokens
            pair = min(known, key=self._merged.get)
            tokens = _merge(tokens, pair, self._merged[pair])

    def _state(self):
        return {"merges": self.merges}


# A run of letters, digits or other marks, with the blank before it; or a run of space,
# but for its last blank, if a word follows. Each character of a text is in one piece.
_PIECE = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+(?!\S)|\s+")


def _pieces(text):
    """A text in pieces of about a word each; no token goes over their borders."""
    return _PIECE.findall(text)


def _merge(tokens, pair, new):
    """`tokens` with each `pair`, from the left, made one token `new`."""
    merged, i, n = [], 0, len(tokens)
    while i < n:
        if i + 1 < n and tokens[i] == pair[0] and tokens[i + 1] == pair[1]:
            merged.append(new)
            i += 2
        else:
            merged.append(tokens[i])
            i += 1
    return merged


class _Pairs:
    """How often each pair of tokens is side by side in some words, kept up to date.

    A merge changes the counts of pairs in the words that hold its pair, no others.
    """

    def __init__(self, words, counts):
        self.words, self.counts = list(words), list(counts)
        self.frequency = Counter()
        self.places = defaultdict(set)  # pair: the numbers of words that may hold it
        for i, word in enumerate(self.words):
            for pair in zip(word, word[1:]):
                self.frequency[pair] += self.counts[i]
                self.places[pair].add(i)
        self.heap = [(-n, pair) for pair, n in self.frequency.items()]
        heapq.heapify(self.heap)

    def most_frequent(self):
        """The pair that occurs most often, None if none does twice."""
        while self.heap:
            n, pair = self.heap[0]
            if -n == self.frequency[pair]:
                return pair if -n > 1 else None
            heapq.heappop(self.heap)  # counted before a merge that changed it
        return None

    def merge(self, pair, new):
        """Make each `pair` one token `new`."""
        change = Counter()
        for i in self.places.pop(pair):
            before, n = self.words[i], self.counts[i]
            after = _merge(before, pair, new)
            for p in zip(before, before[1:]):
                change[p] -= n
            for p in zip(after, after[1:]):
                change[p] += n
                if new in p:
                    self.places[p].add(i)
            self.words[i] = after
        for p, n in change.items():
            if n:
                self.frequency[p] += n
                heapq.heappush(self.heap, (-self.frequency[p], p))


def _several(texts):
    return [texts] if isinstance(texts, str) else list(texts)


KINDS = {kind.KIND: kind for kind in (CharTokenizer, WordTokenizer, BPETokenizer)}


def tokenizer(path):
    """The tokenizer in a file that `save` wrote, of whatever kind it is.

    Raises ValueError, with the path, for a file that holds none.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        kind = KINDS[content.pop("tokenizer")]
        return kind(**content)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} holds no tokenizer ({type(error).__name__}: {error}), expected "
            "a JSON file that tok.save(path) wrote"
        ) from None


# ---- batches of sequences ---------------------------------------------------------
def pad(sequences, pad):
    """Sequences of unequal length as one array, filled up with the token `pad`.

    Returns tokens (B, T) int64 and seen (B, T), False where a token is only padding;
    T is the length of the longest.
    """
    if pad is None:
        raise ValueError("pad is None, expected a token; train with 'pad' in specials")
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    seen = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (B, T)
    tokens = np.full(seen.shape, pad, dtype=np.int64)
    if seen.any():
        tokens[seen] = np.concatenate([np.asarray(s, np.int64) for s in sequences])
    return tokens, seen


def pack(sequences, length):
    """Sequences one after the other, cut into rows: (N, length), with no padding.

    What is left at the end and fills no row is dropped. Give each sequence a bos or
    eos, or their borders are lost.
    """
    if length < 1:
        raise ValueError(f"length is {length}, expected at least 1")
    joined = np.concatenate([np.asarray(s, np.int64) for s in sequences] or [[]])
    rows = len(joined) // length
    return joined[: rows * length].astype(np.int64).reshape(rows, length)
