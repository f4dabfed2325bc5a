"""Words and shingles as numbers: the same partition as the words themselves, in every process."""

from __future__ import annotations

import random
import re
import sys

import numpy as np
import pytest
from near_duplicate_reference import plain_jaccard, plain_shingles, real_texts
from other_processes import printed_by_other_processes

from revela.corpus import word_hashes as words_module
from revela.corpus.minhash import RECALL, Signer, bands_and_rows
from revela.corpus.shingles import flat_shingles, jaccard, shingle_hashes, shingles_of_texts
from revela.corpus.word_hashes import run_hashes, word_hashes
from revela.words import PARTS, TOKENS, WORDS

SPLITTINGS = {
    PARTS: lambda text: re.findall(r"[^\W_]+", text),
    WORDS: lambda text: re.findall(r"\w+", text),
    TOKENS: str.split,
}
ODD = [
    "",
    " ",
    "one",
    "  snake_case __init__ _ x_1 --- | a=b\tc\n\x00\x1c\x85end",
    "Ünïcode ½ ² ٣ 漢字かな\u3000中 e\u0301 na\u00a0me \U0001d54f\U00010400 \ud800 İ",
    "a" * 100_000 + " b " + "é" * 70_000,
]


@pytest.mark.parametrize("text", [*ODD, *real_texts(3000)[:20]])
def test_words_are_cut_where_the_regular_expressions_cut(text: str) -> None:
    text = text.lower()
    for (_, plain), found in zip(SPLITTINGS.items(), word_hashes(text, *SPLITTINGS), strict=True):
        assert [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)] == plain(text)


def test_every_character_belongs_where_the_regular_expressions_put_it() -> None:
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    text = "".join(characters)
    for splitting, plain in SPLITTINGS.items():
        (found,) = word_hashes(text, splitting)
        assert [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)] == plain(text)


def test_equal_words_and_only_they_have_equal_hashes() -> None:
    text = "\n".join(real_texts()).lower()
    (found,) = word_hashes(text, WORDS)
    by_word = dict(zip(re.findall(r"\w+", text), found.hashes.tolist(), strict=True))
    assert [by_word[word] for word in re.findall(r"\w+", text)] == found.hashes.tolist()
    assert len(set(by_word.values())) == len(by_word) > 3000


def test_the_same_in_pieces_of_any_size(monkeypatch) -> None:
    text = "\n".join(real_texts()[:20]) + " ünd " + "\n".join(real_texts()[20:30])
    whole = word_hashes(text, *SPLITTINGS)
    monkeypatch.setattr(words_module, "_PIECE", 37)
    for one, other in zip(whole, word_hashes(text, *SPLITTINGS), strict=True):
        for part, same in zip(one, other, strict=True):
            assert np.array_equal(part, same)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 12, 13, 16])
def test_runs_are_equal_where_their_words_are(length: int) -> None:
    generator = random.Random(0)
    numbers = [generator.randrange(2) for _ in range(400)]
    runs = run_hashes(np.array(numbers, np.uint64), length)
    plain = [tuple(numbers[start : start + length]) for start in range(400 - length + 1)]
    assert len(set(zip(runs.tolist(), plain, strict=True))) == len(set(plain)) == len(set(runs.tolist()))
    assert len(run_hashes(np.zeros(length - 1, np.uint64), length)) == 0


@pytest.mark.parametrize("words", [1, 3, 5])
def test_shingles_are_those_of_the_plain_definition(words: int) -> None:
    texts = [*ODD, *real_texts()[:50], "Two words", "two WORDS?"]
    sets = [plain_shingles(text, words) for text in texts]
    hashed = list(shingles_of_texts(texts, words))
    assert [len(one) for one in hashed] == [len(one) for one in sets]
    for number in range(len(texts)):
        assert np.array_equal(hashed[number], shingle_hashes(texts[number], words))
        assert np.all(np.diff(hashed[number].astype(object)) > 0)
        assert jaccard(hashed[number], hashed[number - 7]) == plain_jaccard(sets[number], sets[number - 7])


def test_no_shingle_reaches_from_one_text_into_the_next() -> None:
    flat, offsets = flat_shingles(["a b c", "", "d", "e f"], 2)
    assert np.diff(offsets).tolist() == [2, 0, 1, 1]
    assert set(flat.tolist()) == {int(shingle_hashes(run, 2)[0]) for run in ("a b", "b c", "d", "e f")}


@pytest.mark.parametrize("wanted", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_bands_and_rows_find_a_pair_at_the_threshold(wanted: float) -> None:
    bands, rows = bands_and_rows(wanted)
    assert 1 - (1 - wanted**rows) ** bands >= RECALL
    assert 1 - (1 - wanted**rows) ** (bands - 1) < RECALL
    assert 1 - (1 - 0.05**rows) ** bands < 1e-3


def test_pairs_at_the_threshold_share_a_band_as_often_as_the_formula_says() -> None:
    """2000 pairs with 160 of 200 shingles in common, in texts of their own."""
    generator = random.Random(0)

    def text(numbers: list[int]) -> str:
        return " ".join(f"w{number}" for number in numbers)

    pairs = 2000
    texts = []
    for _ in range(pairs):
        numbers = [generator.randrange(10**9) for _ in range(200)]
        texts += [text(numbers[:180]), text(numbers[:160] + numbers[180:])]
    signer = Signer(0.8, 1)
    signed = signer.sign(texts)
    assert signed.shape == (2 * pairs, signer.bands)
    found = (signed[::2] == signed[1::2]).any(axis=1).mean()
    assert found == pytest.approx(1 - (1 - 0.8**6) ** 18, abs=0.006)


def test_signatures_and_shingles_are_the_same_in_every_process() -> None:
    """And in every version: what is stored by one run is compared by the next."""
    program = (
        "from revela.corpus.minhash import Signer;from revela.corpus.shingles import shingle_hashes;"
        "t = 'The quick brown fox jumps over the lazy dog';"
        "print(shingle_hashes(t, 5).tolist(), Signer(0.8, 5).sign([t])[0, :3].tolist())"
    )
    outputs = printed_by_other_processes(program)
    assert len(outputs) == 1, outputs
