"""How related the chunks of a group are, and which groups a reader is shown."""

from __future__ import annotations

import argparse
import csv
import json.decoder
from collections import Counter

import numpy as np
import pytest
from memory_store import MemoryStore, document, module_chunks

from revela.groups.formed import RANDOM, WHOLE_DOCUMENT, Formed
from revela.groups.relatedness import K1, B, Bm25, mean_pairwise, random_groups
from revela.groups.report import choose_examples, fenced, inline_code
from revela.groups.statistics import Statistics
from revela.groups.word_counts import COLUMNS, count_words
from revela.words import subwords

TEXTS = [chunk.text for module in (argparse, csv, json.decoder) for chunk in module_chunks(module)[:10]]


def written_out(texts: list[str], first: int, second: int) -> float:
    """The relatedness of two texts, word by word, from the formula in the module's docstring."""
    bags = [Counter(subwords(text)) for text in texts]
    mean = sum(bag.total() for bag in bags) / len(bags)

    def idf(word: str) -> float:
        df = sum(word in bag for bag in bags)
        return np.log(1 + (len(bags) - df + 0.5) / (df + 0.5))

    def saturated(bag: Counter, word: str) -> float:
        return bag[word] * (K1 + 1) / (bag[word] + K1 * (1 - B + B * bag.total() / mean))

    def score(one: Counter, other: Counter) -> float:
        return sum(idf(word) * saturated(one, word) * saturated(other, word) for word in one)

    one, other = bags[first], bags[second]
    return score(one, other) / np.sqrt(score(one, one) * score(other, other))


def test_relatedness_is_the_formula_written_out() -> None:
    counts = count_words([TEXTS])
    vectors = Bm25.of(counts).vectors(counts)
    found = (vectors @ vectors.T).toarray()
    for first, second in [(0, 1), (0, 15), (20, 21), (3, 3)]:
        assert found[first, second] == pytest.approx(written_out(TEXTS, first, second), abs=1e-5)
    pairs = [found[first, second] for first in range(4) for second in range(first)]
    assert mean_pairwise(vectors[:4], 4)[0] == pytest.approx(np.mean(pairs), abs=1e-6)


def test_a_text_without_words_is_related_to_nothing() -> None:
    counts = count_words([["", "a word", "a word"]])
    vectors = Bm25.of(counts).vectors(counts)
    assert (vectors @ vectors.T).toarray().round(5).tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_counts_are_the_same_however_texts_are_batched() -> None:
    whole, parts = count_words([TEXTS]), count_words([TEXTS[:7], TEXTS[7:]])
    assert (whole != parts).nnz == 0 and whole.dtype == np.uint8
    assert count_words([["x " * 1000]]).max() == 255
    assert count_words([]).shape == (0, COLUMNS)


def test_random_groups_have_no_member_twice() -> None:
    drawn = random_groups(np.arange(10, 50), 8, 100, seed=0)
    assert drawn.shape == (100, 8)
    assert all(len(set(group)) == 8 for group in drawn.tolist())
    assert len(set(drawn[:5].ravel())) == 40
    assert random_groups(np.arange(3), 8, 100, seed=0).shape == (0, 8)


def statistics_of(relatedness: list[float], kinds: list[str]) -> Statistics:
    ones = np.ones(len(kinds), np.int64)
    return Statistics(kinds, ones, ones, ones, np.array(relatedness, np.float32), np.zeros(2, np.float32))


def test_examples_go_from_the_least_to_the_most_related_and_show_every_kind() -> None:
    relatedness = np.random.default_rng(0).permutation(100) / 100
    kinds = [WHOLE_DOCUMENT if value != 0.37 else RANDOM for value in relatedness]
    chosen = choose_examples(statistics_of(relatedness.tolist(), kinds))
    assert relatedness[chosen].tolist() == [0.05, 0.15, 0.25, 0.37, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]
    assert len(choose_examples(statistics_of([0.1, 0.2], [RANDOM, RANDOM]))) == 2


def test_groups_of_one_subject_stand_out_against_chance() -> None:
    store = MemoryStore([document(str(n), TEXTS[10 * n : 10 * n + 10]) for n in range(3)])
    formed = Formed(store.members.reshape(-1, 5), [WHOLE_DOCUMENT] * 6)
    statistics = Statistics.of(store, formed, store.members, seed=0)
    assert statistics.documents.tolist() == [1] * 6
    assert statistics.tokens.tolist() == store.tokens.reshape(-1, 5).sum(axis=1).tolist()
    assert statistics.relatedness.mean() > 1.5 * statistics.random.mean()
    shown = statistics.metrics()["relatedness"]
    assert shown["groups"]["mean"] == pytest.approx(float(statistics.relatedness.mean()), abs=1e-4)
    assert list(shown["by_kind"]) == [WHOLE_DOCUMENT]


@pytest.mark.parametrize("text", ["plain", "a ``` b", "`````", "```\nx\n````"])
def test_no_text_closes_its_fence(text: str) -> None:
    first, *_, last = fenced(text).splitlines()
    assert first == f"{last}text" and last not in text and set(last) == {"`"}
    assert inline_code("a\n``b").splitlines() == ["``` a ``b ```"]
