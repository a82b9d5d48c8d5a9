"""Tokenizers: nothing is lost, merges are those of the paper, files come back."""

import json
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scratchnn import data
from scratchnn.data import BPETokenizer, CharTokenizer, WordTokenizer
from scratchnn.data.tokenize import SPECIALS, _pieces

TEXT = "the thin cat that thinks, this is the cat: then, that thin cat hums. "
GREEK = "ἐν ἀρχῇ ἦν ὁ λόγος"
KINDS = [CharTokenizer, WordTokenizer, BPETokenizer]
BPE = BPETokenizer.train(TEXT * 3 + GREEK, merges=60)

any_text = st.text(st.characters(exclude_categories=["Cs"]))  # lone surrogates: no text
often = settings(max_examples=100, deadline=None)


# Byte-pair encoding


def merges_by_the_slow_loop(text, n, first):
    """Algorithm 1 as printed: count all pairs again before each merge."""
    words = [[b + first for b in piece.encode()] for piece in _pieces(text)]
    found = []
    for new in range(first + 256, first + 256 + n):
        counts = Counter(pair for word in words for pair in zip(word, word[1:]))
        most = max(counts.values(), default=0)
        if most < 2:
            break
        pair = min(p for p, count in counts.items() if count == most)
        for w, word in enumerate(words):
            merged = []
            while word:
                if tuple(word[:2]) == pair:
                    merged, word = merged + [new], word[2:]
                else:
                    merged, word = merged + word[:1], word[1:]
            words[w] = merged
        found.append(pair)
    return found, [token for word in words for token in word]


def of(alphabet):
    return st.text(st.sampled_from(alphabet), max_size=200)


@settings(max_examples=100, deadline=None)
@given(of("ab ") | of("abcé .") | of("a"), st.sampled_from([(), SPECIALS]))
@example("aaaa aaaa aaa aa", ())  # a pair that overlaps itself
def test_bpe_learns_and_applies_the_merges_of_algorithm_1(text, specials):
    tok = BPETokenizer.train(text, merges=20, specials=specials)
    merges, tokens = merges_by_the_slow_loop(text, 20, len(specials))
    assert tok.merges == merges
    assert tok.encode(text).tolist() == tokens


def test_bpe_learns_the_papers_example():
    text = " ".join(["low"] * 5 + ["lowest"] * 2 + ["newer"] * 6 + ["wider"] * 3)
    tok = BPETokenizer.train(text, merges=4, specials=())
    # e r (9 times) first, as in section 3.2; its second has an end-of-word mark
    assert tok.vocabulary[256] == "er" and "low" in tok.vocabulary


@often
@given(any_text)
@example("\x00\r\n\t  \u2028 \u00a0x_y 3²½ 👩‍👩‍👧 ﬁ İ " + GREEK)
@example("<pad><mask>")
def test_bpe_gives_back_every_unicode_string(text):
    tokens = BPE.encode(text, bos=True, eos=True)
    assert BPE.decode(tokens) == text
    assert tokens[0] == BPE.bos and tokens[-1] == BPE.eos
    assert (tokens[1:-1] >= len(BPE.specials)).all()  # no text is a special token


@often
@given(any_text)
def test_pieces_hold_each_character_once(text):
    assert "".join(_pieces(text)) == text


def test_pieces_are_words_with_the_blank_before_them():
    pieces = ["Hello", ",", " big", "  ", " world", " 42", "!", "\n", "\t", "x"]
    assert _pieces("Hello, big   world 42!\n\tx") == pieces


@often
@given(st.lists(st.integers(0, len(BPE) - 1)))
def test_bpe_decodes_whatever_a_model_writes_and_the_same_in_pieces(tokens):
    text = BPE.decode(tokens)
    assert isinstance(text, str) and text == "".join(BPE.stream(iter(tokens)))


def test_a_character_of_several_bytes_appears_with_its_last():
    tok = BPETokenizer.train("", merges=0)
    assert list(tok.stream(tok.encode("né🎉"))) == ["n", "", "é", "", "", "", "🎉", ""]


def test_bytes_that_are_no_character_show_as_one():
    e, acute = (4 + b for b in "é".encode())
    assert BPE.decode([e, acute]) == "é" and BPE.decode([acute]) == "\ufffd"
    assert BPE.decode([e, BPE.mask, 4 + ord("a")]) == "\ufffd<mask>a"
    assert BPE.decode([4 + ord("a"), e]) == "a\ufffd"


def test_merges_shorten_what_the_tokenizer_was_trained_on():
    text = data.python()[:20_000]
    tok = BPETokenizer.train(text, merges=300)
    assert len(tok) == 4 + 256 + 300
    assert len(tok.encode(text)) < 0.5 * len(text.encode())


def test_training_ends_when_no_pair_occurs_twice():
    tok = BPETokenizer.train("abab", merges=100, specials=())
    assert tok.merges == [(97, 98)] and len(tok) == 257


def test_a_thousand_merges_of_half_a_megabyte_take_seconds():
    text = data.python()
    start = time.process_time()
    tok = BPETokenizer.train(text, merges=1000)
    tokens = tok.encode(text)
    # About 1 s here. Counting all pairs before each merge takes minutes.
    assert time.process_time() - start < 20
    assert len(tok.merges) == 1000 and tok.decode(tokens) == text


def test_a_long_word_takes_no_quadratic_time():
    start = time.process_time()
    text = "abcd" * 25_000
    assert BPE.decode(BPE.encode(text)) == text
    assert time.process_time() - start < 10


# Characters and words


@often
@given(any_text)
def test_characters_give_back_what_is_made_of_them(text):
    tok = CharTokenizer.train(text)
    assert tok.decode(tok.encode(text, bos=True, eos=True)) == text
    assert tok.vocabulary[5:] == sorted(set(text))


def test_characters_are_numbered_in_order_after_the_special_tokens():
    tok = CharTokenizer.train(["hello", "abc"], specials=("eos", "bos"))
    assert tok.vocabulary == ["<bos>", "<eos>", *"abcehlo"] and len(tok) == 9
    assert tok.encode("cab", eos=True).tolist() == [4, 2, 3, 1]
    assert (tok.bos, tok.eos, tok.pad, tok.mask, tok.unk) == (0, 1, None, None, None)
    assert tok.encode("").dtype == tok.encode("a").dtype == np.int64


def test_all_special_tokens_come_first_in_their_order():
    tok = CharTokenizer.train("a")
    assert [tok.pad, tok.bos, tok.eos, tok.mask, tok.unk] == [0, 1, 2, 3, 4]
    assert BPE.unk is None and BPE.specials == ("pad", "bos", "eos", "mask")


def test_special_tokens_are_silent_or_show_their_name():
    tok = CharTokenizer.train("ab")
    tokens = [tok.bos, 5, tok.mask, 6, tok.unk, tok.eos, tok.pad, tok.pad]
    assert tok.decode(tokens) == "a<mask>b<unk>"
    assert BPE.decode([BPE.mask, 4 + ord("a")]) == "<mask>a"
    assert tok.encode("<mask>").tolist() == [4, 4, 5, 4, 4, 4]  # text, not the token


def test_words_are_ordered_by_frequency_then_alphabet():
    tok = WordTokenizer.train("b a, b c a b", specials=("unk",))
    assert tok.vocabulary == ["<unk>", "b", "a", ",", "c"]
    assert tok.encode("a d b").tolist() == [2, 0, 1]
    short = WordTokenizer.train("b a, b c a b", size=3, specials=("unk",))
    assert short.vocabulary == ["<unk>", "b", "a"]
    twice = WordTokenizer.train("b a, b c a b", min_count=2, specials=("unk",))
    assert twice.vocabulary == short.vocabulary


def test_words_keep_hyphens_and_apostrophes_and_lose_space():
    tok = WordTokenizer.train("A dog's well-known ball (red), isn't it?")
    assert tok.vocabulary[5:] == sorted(
        ["A", "dog's", "well-known", "ball", "(", "red", ")", ",", "isn't", "it", "?"]
    )
    spaced = "A  dog's well-known\nball ( red ) , isn't it ?"
    assert tok.decode(tok.encode(spaced)) == "A dog's well-known ball (red), isn't it?"
    small = WordTokenizer.train("A Dog", lower=True)
    assert small.decode(small.encode("a DOG")) == "a dog"


@often
@given(any_text)
def test_decoded_words_are_the_same_words(text):
    tok = WordTokenizer.train(text)
    tokens = tok.encode(text)
    assert tok.unk not in tokens
    assert np.array_equal(tok.encode(tok.decode(tokens)), tokens)


# Files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("specials", [(), ("pad", "eos", "unk"), SPECIALS])
def test_a_saved_tokenizer_comes_back(kind, specials, tmp_path):
    tok = kind.train([TEXT, GREEK], specials=specials)
    path = tmp_path / "tokenizer.json"
    tok.save(path)
    for again in (data.tokenizer(path), kind.load(path)):
        assert type(again) is kind and again.vocabulary == tok.vocabulary
        assert again.specials == tok.specials and again.eos == tok.eos
        assert np.array_equal(again.encode(TEXT), tok.encode(TEXT))
        assert again.decode(tok.encode(GREEK)) == tok.decode(tok.encode(GREEK))


def test_words_in_small_letters_stay_so_in_the_file(tmp_path):
    WordTokenizer.train("A b", lower=True).save(tmp_path / "t.json")
    assert data.tokenizer(tmp_path / "t.json").encode("B a").tolist() == [6, 5]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"tokenizer": "morse"}', '{"tokenizer": "bpe"}',
                '{"tokenizer": "bpe", "specials": [], "merges": [[1, 999]]}', "\xff"],
)  # fmt: skip
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "t.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        data.tokenizer(path)
    assert str(error.value).startswith(f"{path} holds no tokenizer (")
    assert "expected a JSON file that tok.save(path) wrote" in str(error.value)


def test_a_tokenizer_of_another_kind_is_named(tmp_path):
    CharTokenizer.train("a").save(tmp_path / "t.json")
    with pytest.raises(ValueError, match="is a CharTokenizer, expected a BPETokenizer"):
        BPETokenizer.load(tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["tokenizer"] == "char"
    with pytest.raises(FileNotFoundError):
        data.tokenizer(tmp_path / "none.json")


# What is refused


def refused(call):
    with pytest.raises(ValueError) as error:
        call()
    return str(error.value)


def test_text_without_a_token_is_named():
    tok = CharTokenizer.train("abc", specials=())
    assert refused(lambda: tok.encode("abz")) == (
        "no token for 'z': it was not in the text that this CharTokenizer was trained "
        "on; train it on text that has it, or with 'unk' in specials"
    )


def test_a_special_token_that_is_not_there_is_named():
    tok = CharTokenizer.train("abc", specials=("eos",))
    assert refused(lambda: tok.encode("a", bos=True)) == (
        "this CharTokenizer has no bos: its special tokens are eos; train it with "
        "'bos' in specials"
    )


@pytest.mark.parametrize("specials", ["bos", ("bos", "end")])
@pytest.mark.parametrize("kind", KINDS)
def test_unknown_special_tokens_are_refused(kind, specials):
    text = refused(lambda: kind.train("ab", specials=specials))
    assert text.startswith(f"specials is {specials!r}, expected some of pad, bos, eos,")


@pytest.mark.parametrize("token", [-1, 8])
def test_a_number_that_is_no_token_is_refused(token):
    tok = CharTokenizer.train("abc")
    assert refused(lambda: tok.decode([5, token])) == (
        f"token {token} is not in the vocabulary, expected 0 to 7"
    )


def test_a_size_with_no_room_for_words_is_refused():
    text = refused(lambda: WordTokenizer.train("a", size=5))
    assert text == "size is 5, expected more than the 5 special tokens"


# Batches


@often
@given(st.lists(st.lists(st.integers(1, 9), max_size=6), max_size=5))
def test_padding_adds_nothing_but_pad_at_the_end(sequences):
    tokens, seen = data.pad(sequences, 0)
    longest = max(map(len, sequences), default=0)
    assert tokens.shape == seen.shape == (len(sequences), longest)
    assert tokens.dtype == np.int64 and seen.dtype == bool
    assert [row[keep].tolist() for row, keep in zip(tokens, seen)] == sequences
    assert not tokens[~seen].any()
    assert [row.sum() for row in seen] == list(map(len, sequences))


def test_padding_without_a_token_is_refused():
    assert refused(lambda: data.pad([[1]], None)) == (
        "pad is None, expected a token; train with 'pad' in specials"
    )


@often
@given(st.lists(st.lists(st.integers(0, 9), max_size=6)), st.integers(1, 7))
def test_packing_cuts_all_in_order_into_full_rows(sequences, length):
    rows = data.pack(sequences, length)
    joined = sum(sequences, [])
    assert rows.shape == (len(joined) // length, length) and rows.dtype == np.int64
    assert rows.reshape(-1).tolist() == joined[: rows.size]


def test_packing_into_empty_rows_is_refused():
    text = refused(lambda: data.pack([[1]], 0))
    assert text == "length is 0, expected at least 1"
