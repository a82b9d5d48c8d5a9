"""Pairs of submissions that are nearly the same, for a teacher to look at.

A submission is what its tokens say: names are one word, comments and text are dropped,
so a copy with other names and other comments is the same. Runs of tokens that the stub
or the solution has, or that many hand in, tell nothing. What is left of two independent
answers to a short task is little; a pair counts if it shares much that is rare.
"""

import io
import keyword
import tokenize
from collections import Counter
from typing import NamedTuple

RUN = 10  # tokens in a run
COMMON = 0.1  # of the class: runs that more than this hand in are common
LEAST = 30  # runs that a pair must share
SHARE = 0.6  # of the rarer runs of the smaller one
DROPPED = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER, tokenize.STRING,
)  # fmt: skip


class Pair(NamedTuple):
    """Two submissions; shared, the part of their rare runs that both have."""

    first: str
    second: str
    shared: float


def similar(texts, known=()):
    """Pairs of {id: text} that are nearly the same, the closest first.

    known: texts whose runs of tokens count for nothing: the stub, the solution.
    """
    given = set().union(*(runs(text) for text in known)) if known else set()
    found = {id: runs(text) - given for id, text in texts.items()}
    count = Counter(run for all_runs in found.values() for run in all_runs)
    most = max(2, COMMON * len(texts))
    holders = {}
    for id, all_runs in found.items():
        for run in all_runs:
            if count[run] <= most:
                holders.setdefault(run, []).append(id)
    rare, both = Counter(), Counter()
    for ids in holders.values():
        rare.update(ids)
        both.update((a, b) for k, a in enumerate(ids) for b in ids[k + 1 :])
    pairs = []
    for (a, b), shared in both.items():
        part = shared / min(rare[a], rare[b])
        if shared >= LEAST and part >= SHARE:
            pairs.append(Pair(a, b, round(part, 2)))
    return sorted(pairs, key=lambda p: (-p.shared, p.first, p.second))


def runs(text):
    """The set of runs of RUN tokens in a Python text."""
    words = tokens(text)
    return {tuple(words[k : k + RUN]) for k in range(len(words) - RUN + 1)}


def tokens(text):
    """Tokens with one word for all names; attributes, as `exp` in np.exp, are kept."""
    words, before = [], ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in DROPPED:
                continue
            word = token.string
            if token.type == tokenize.NAME and not keyword.iskeyword(word):
                word = word if before == "." else "name"
            before = word
            words.append(word)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # as far as it can be read
    return words
