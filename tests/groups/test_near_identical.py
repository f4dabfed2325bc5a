"""No two near-identical chunks in a group, whatever was missed before."""

from __future__ import annotations

import argparse
import csv
import json.decoder
from collections import Counter

import numpy as np
from memory_store import MemoryStore, document, module_chunks

from revela.corpus.shingles import jaccard, shingle_hashes
from revela.groups.formed import JOINED, RANDOM, WHOLE_DOCUMENT, Formed
from revela.groups.near_identical import pairs_in_groups, separate_near_identical

TEXTS = [chunk.text for chunk in module_chunks(argparse)[:8]]
WORDS = 3


def near_copy(text: str) -> str:
    """One word more at the end: a Jaccard index just below 1."""
    return f"{text} indeed"


def test_pairs_are_those_of_the_exact_jaccard_within_each_group() -> None:
    base = TEXTS[0].split()
    texts = [" ".join(base[start:]) for start in range(0, 24, 3)] + [" ".join(base)] + TEXTS[1:8]
    sets = [shingle_hashes(text, WORDS) for text in texts]
    expected = [
        (first // 8, first % 8, second % 8)
        for first in range(16)
        for second in range(first + 1, 16)
        if first // 8 == second // 8 and jaccard(sets[first], sets[second]) >= 0.7
    ]
    assert len(expected) > 5
    assert pairs_in_groups(texts, 8, 0.7, WORDS) == expected


def test_the_later_one_gives_way_to_a_spare_chunk_of_its_source() -> None:
    store = MemoryStore(
        [
            document("a", TEXTS[:2]),
            document("copy", [near_copy(TEXTS[0])]),
            document("spare-elsewhere", [TEXTS[4]], "folder:b"),
            document("spare-copy", [near_copy(TEXTS[1])]),
            document("a", [TEXTS[5]]),
            document("spare", [TEXTS[6]]),
        ]
    )
    spare = {"incomplete_group": np.array([3, 4, 6]), "no_relatives": np.array([5])}
    formed = Formed(np.array([[0, 1, 2]]), [RANDOM], Counter(), spare)
    result = separate_near_identical(store, formed, 0.8, WORDS)
    assert result.formed.groups.tolist() == [[0, 1, 5]] or result.formed.groups.tolist() == [[0, 1, 6]]
    assert (result.pairs, result.replaced) == (1, 1)
    assert result.formed.reasons()["near_identical_in_group"] == 1
    result.formed.check_books(store.members)


def test_a_document_that_is_in_the_group_gives_no_spare_chunk() -> None:
    store = MemoryStore([document("a", [TEXTS[0], near_copy(TEXTS[0]), TEXTS[1]])])
    formed = Formed(np.array([[0, 1]]), [WHOLE_DOCUMENT], Counter(), {"incomplete_group": np.array([2])})
    result = separate_near_identical(store, formed, 0.8, WORDS)
    assert len(result.formed.groups) == 0
    assert result.formed.reasons() == {"near_identical_group": 2, "incomplete_group": 1}
    result.formed.check_books(store.members)


def test_a_whole_document_with_a_foreign_chunk_is_a_joined_one() -> None:
    store = MemoryStore([document("a", [TEXTS[0], near_copy(TEXTS[0])]), document("b", [TEXTS[1]])])
    formed = Formed(np.array([[0, 1]]), [WHOLE_DOCUMENT], Counter(), {"incomplete_group": np.array([2])})
    result = separate_near_identical(store, formed, 0.8, WORDS)
    assert result.formed.groups.tolist() == [[0, 2]] and result.formed.kinds == [JOINED]
    assert result.formed.spare["incomplete_group"].tolist() == []


def test_one_spare_chunk_serves_once() -> None:
    store = MemoryStore(
        [document(f"d{n}", [text]) for n, text in enumerate([TEXTS[0], near_copy(TEXTS[0])] * 2)]
        + [document("spare", [TEXTS[1]])]
    )
    formed = Formed(
        np.array([[0, 1], [2, 3]]), [RANDOM, RANDOM], Counter(), {"incomplete_group": np.array([4])}
    )
    result = separate_near_identical(store, formed, 0.8, WORDS)
    assert result.formed.groups.tolist() == [[0, 4]]
    assert result.formed.reasons() == {"near_identical_in_group": 1, "near_identical_group": 2}


def test_real_groups_without_copies_stay_as_they_are_and_none_switches_it_off() -> None:
    store = MemoryStore([module_chunks(csv)[:8], module_chunks(json.decoder)[:8]])
    formed = Formed(store.members.reshape(-1, 8), [WHOLE_DOCUMENT] * 2)
    assert separate_near_identical(store, formed, 0.8, WORDS).formed is formed
    copies = MemoryStore([document("a", [TEXTS[0], TEXTS[0]])])
    double = Formed(np.array([[0, 1]]), [WHOLE_DOCUMENT])
    assert separate_near_identical(copies, double, None, WORDS).formed is double
