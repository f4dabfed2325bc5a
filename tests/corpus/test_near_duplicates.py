"""Near-duplicates: everything that resembles a kept earlier text goes, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from near_duplicate_reference import (
    SHINGLE_WORDS,
    plain_jaccard,
    plain_near_duplicates,
    plain_shingles,
    real_texts,
    with_planted,
)

from revela.corpus import near_duplicates
from revela.corpus.minhash import Signer
from revela.corpus.near_duplicates import find_near_duplicates, near_duplicate_texts
from revela.corpus.shingles import shingle_hashes

TEXTS = with_planted(real_texts()[:500], 300)


def shingles_of(texts: list[str]):
    def stream(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for number in numbers.tolist():
            yield number, shingle_hashes(texts[number], SHINGLE_WORDS)

    return stream


def bands_of(texts: list[str], jaccard: float = 0.8) -> np.ndarray:
    return Signer(jaccard, SHINGLE_WORDS).sign(texts).T


@pytest.mark.parametrize("jaccard", [0.6, 0.7, 0.8, 0.9])
def test_recall_is_at_least_0_98_and_precision_1(jaccard: float) -> None:
    found = near_duplicate_texts(TEXTS, jaccard, SHINGLE_WORDS)
    expected = np.array(plain_near_duplicates(TEXTS, jaccard))
    dropped, wanted = found >= 0, expected >= 0
    assert wanted.sum() >= 40
    assert (dropped & wanted).sum() >= 0.98 * wanted.sum()
    sets = [plain_shingles(text) for text in TEXTS]
    for later in np.flatnonzero(dropped).tolist():
        earlier = int(found[later])
        assert earlier < later
        assert found[earlier] < 0, "dropped for a text that was dropped itself"
        assert plain_jaccard(sets[earlier], sets[later]) >= jaccard


def test_at_0_8_every_verdict_is_that_of_all_pairs() -> None:
    assert near_duplicate_texts(TEXTS, 0.8, SHINGLE_WORDS).tolist() == plain_near_duplicates(TEXTS, 0.8)


def test_appended_texts_change_no_earlier_verdict() -> None:
    whole = near_duplicate_texts(TEXTS, 0.8, SHINGLE_WORDS)
    half = near_duplicate_texts(TEXTS[:400], 0.8, SHINGLE_WORDS)
    assert half.tolist() == whole[:400].tolist()


def test_what_is_not_eligible_neither_goes_nor_makes_others_go() -> None:
    texts = [TEXTS[0], TEXTS[0], TEXTS[0]]
    eligible = np.array([False, True, True])
    found = find_near_duplicates(bands_of(texts), eligible, shingles_of(texts), 0.8)
    assert found.tolist() == [-1, -1, 1]


def test_a_chain_is_broken_where_the_link_is_gone() -> None:
    """B resembles A and C resembles B, but C does not resemble A: C stays when B goes."""
    words = [f"w{number}" for number in range(104)]
    chain = [" ".join(words[start : start + 80]) for start in (0, 8, 16)]
    sets = [plain_shingles(text) for text in chain]
    assert plain_jaccard(sets[0], sets[1]) >= 0.8 > plain_jaccard(sets[0], sets[2])
    assert near_duplicate_texts(chain, 0.8, SHINGLE_WORDS).tolist() == [-1, 0, -1]


def test_texts_without_words_and_shorter_than_a_shingle() -> None:
    texts = ["", "--", "two words", "Two  words!", "two other"]
    assert near_duplicate_texts(texts, 0.8, SHINGLE_WORDS).tolist() == [-1, -1, -1, 2, -1]


def test_no_texts_and_no_candidates() -> None:
    assert near_duplicate_texts([], 0.8, SHINGLE_WORDS).tolist() == []
    assert near_duplicate_texts(["one text", "and another"], 0.8, SHINGLE_WORDS).tolist() == [-1, -1]


def test_ten_thousand_texts_in_one_band_are_not_compared_all_with_all(monkeypatch) -> None:
    texts = 10_000
    generator = np.random.default_rng(0)
    bands = generator.integers(0, 2**64, (18, texts), np.uint64)
    bands[0] = 7
    bands[1:, texts - 1] = bands[1:, 5000]  # a pair in the middle of the crowd
    sets = generator.integers(0, 2**64, (texts, 20), np.uint64)
    sets[texts - 1] = sets[5000]
    sets.sort(axis=1)
    compared = []
    real = near_duplicates.similarity
    monkeypatch.setattr(near_duplicates, "similarity", lambda a, b: compared.append(1) or real(a, b))

    found = find_near_duplicates(
        bands, np.ones(texts, bool), lambda numbers: ((n, sets[n]) for n in numbers.tolist()), 0.8
    )

    assert len(compared) <= 16 * texts
    assert found[texts - 1] == 5000, "its other bands bring it together with its twin"
    assert (found >= 0).sum() == 1


def test_a_crowd_of_near_duplicates_leaves_its_first() -> None:
    base = real_texts(400)[0].split()
    generator = random.Random(0)
    crowd = []
    for number in range(300):
        words = list(base)
        words[generator.randrange(len(words))] = f"page{number}"
        crowd.append(" ".join(words))
    assert near_duplicate_texts(crowd, 0.8, SHINGLE_WORDS).tolist() == [-1] + [0] * 299


def test_many_small_portions_of_pairs_give_the_same(monkeypatch) -> None:
    expected = near_duplicate_texts(TEXTS, 0.8, SHINGLE_WORDS)
    monkeypatch.setattr(near_duplicates, "_PAIRS", 10)
    assert near_duplicate_texts(TEXTS, 0.8, SHINGLE_WORDS).tolist() == expected.tolist()


def test_bands_may_be_a_memory_map_and_scratch_is_empty_afterwards(tmp_path: Path) -> None:
    bands = bands_of(TEXTS)
    path = tmp_path / "bands"
    bands.tofile(path)
    mapped = np.memmap(path, np.uint64, "r", shape=bands.shape)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    used = []

    def stream(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        used.extend(scratch.iterdir())
        yield from shingles_of(TEXTS)(numbers)

    found = find_near_duplicates(mapped, np.ones(len(TEXTS), bool), stream, 0.8, scratch)
    assert found.tolist() == near_duplicate_texts(TEXTS, 0.8, SHINGLE_WORDS).tolist()
    assert len(used) == 1
    assert list(scratch.iterdir()) == []


def test_scratch_is_empty_after_an_error(tmp_path: Path) -> None:
    def broken(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        raise OSError("the shard is gone")
        yield

    with pytest.raises(OSError, match="the shard is gone"):
        find_near_duplicates(bands_of(TEXTS), np.ones(len(TEXTS), bool), broken, 0.8, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_texts_in_a_pair_are_asked_for() -> None:
    texts = [*real_texts()[:100], real_texts()[50]]
    asked: list[int] = []

    def stream(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        asked.extend(numbers.tolist())
        yield from shingles_of(texts)(numbers)

    find_near_duplicates(bands_of(texts), np.ones(len(texts), bool), stream, 0.8)
    assert {50, 100} <= set(asked)
    assert asked == sorted(asked)
    assert len(asked) < 40


def test_shingles_of_the_wrong_texts_are_refused() -> None:
    texts = [TEXTS[0], TEXTS[0]]
    with pytest.raises(ValueError, match="shingles of text 5"):
        find_near_duplicates(
            bands_of(texts), np.ones(2, bool), lambda numbers: iter([(5, np.zeros(1, np.uint64))]), 0.8
        )
