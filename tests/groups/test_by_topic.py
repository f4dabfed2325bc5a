"""Groups of related chunks, on the standard library's own modules."""

from __future__ import annotations

import argparse
import asyncio.events
import calendar
import csv
import email.message
import http.client
import json.decoder
import statistics
import unittest.case
from collections import Counter

import numpy as np
import pytest
from memory_store import MemoryStore, document, module_chunks

from revela.groups import related_groups
from revela.groups.by_random import form_by_random
from revela.groups.by_topic import form_by_topic
from revela.groups.clusters import balanced_leaves
from revela.groups.formed import TOPIC, Formed, count_words_of
from revela.groups.relatedness import Bm25, mean_pairwise
from revela.settings import BatchesSettings

MODULES = [
    argparse, asyncio.events, calendar, csv, email.message, http.client, json.decoder, statistics,
    unittest.case,
]  # fmt: skip
SETTINGS = BatchesSettings(strategy="topic", group_size=4, max_groups_per_document=None)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore([module_chunks(module) for module in MODULES])


def form(store: MemoryStore, seed: int = 0, **changes: object) -> Formed:
    formed = form_by_topic(store, store.members, SETTINGS.model_copy(update=changes), seed)
    formed.check_books(store.members)
    return formed


def relatedness(store: MemoryStore, formed: Formed) -> np.ndarray:
    counts = count_words_of(store, store.members, "counting")
    vectors = Bm25.of(counts).vectors(counts[formed.groups.ravel()])
    return mean_pairwise(vectors, formed.groups.shape[1])


def test_topic_groups_are_far_more_related_than_random_ones(store: MemoryStore) -> None:
    topic, chance = form(store), form_by_random(store, store.members, SETTINGS, 0)
    assert relatedness(store, topic).mean() > 2 * relatedness(store, chance).mean()
    assert topic.groups.size > 0.8 * len(store)


def test_planted_topics_are_told_apart() -> None:
    words = {
        "birds": "heron feather wing nest egg beak flight song migration plumage",
        "trains": "locomotive rail station signal platform carriage timetable junction freight engine",
        "cooking": "flour butter oven simmer onion garlic knife recipe saucepan dough",
    }
    generator = np.random.default_rng(0)
    documents = []
    for number in range(90):
        topic = list(words)[number % 3]
        texts = [" ".join(generator.choice(words[topic].split(), 8)) for _ in range(2)]
        documents.append(document(f"{topic}-{number}", texts))
    store = MemoryStore(documents)
    formed = form(store)
    topics = [{name.split("-")[0] for name in store.document_ids(group)} for group in formed.groups]
    assert all(len(found) == 1 for found in topics)
    assert formed.groups.size > 0.9 * len(store)


@pytest.mark.parametrize("most", [1, 2])
def test_a_group_has_few_chunks_of_one_document(store: MemoryStore, most: int) -> None:
    formed = form(store, topic_chunks_per_document=most)
    assert len(formed.groups) > 10
    for group in formed.groups:
        assert max(Counter(store.document[group].tolist()).values()) <= most


def test_a_document_gives_no_more_chunks_than_its_groups_would_have(store: MemoryStore) -> None:
    formed = form(store, max_groups_per_document=2)
    assert max(Counter(store.document[formed.groups.ravel()].tolist()).values()) <= 8
    over = np.maximum(np.bincount(store.document) - 8, 0).sum()
    assert formed.reasons()["group_limit_of_document"] == over > 0


def test_what_finds_no_relatives_is_left_out_and_counted() -> None:
    related = [document(f"d{n}", [f"heron wing nest egg beak {'abcdefgh'[n % 8]}{n}"]) for n in range(16)]
    letters = "abcdefghijklmnopqrstuvwxyzabcd"
    alone = [
        document(f"x{n}", [f"{a}{n // 26 * 'x'}one {a}{n // 26 * 'x'}two"]) for n, a in enumerate(letters)
    ]
    store = MemoryStore(related + alone)
    formed = form(store)
    assert sorted(formed.groups.ravel().tolist()) == list(range(16))
    assert formed.reasons() == {"no_relatives": 30}
    assert formed.spare["no_relatives"].tolist() == list(range(16, 46))


def test_the_seed_alone_decides(store: MemoryStore) -> None:
    assert form(store).groups.tolist() == form(store).groups.tolist()
    assert form(store).groups.tolist() != form(store, seed=1).groups.tolist()


def test_many_leaves_lose_little_against_all_similarities(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = form(store)
    monkeypatch.setattr(related_groups, "LEAF", 100)
    leaves = form(store)
    assert len(leaves.groups) > 0.9 * len(exact.groups)
    assert relatedness(store, leaves).mean() > 0.8 * relatedness(store, exact).mean()
    assert leaves.groups.tolist() == form(store).groups.tolist()


def test_one_small_corpus_gives_what_it_can() -> None:
    assert form(MemoryStore([])).groups.shape == (0, 4)
    assert form(MemoryStore([module_chunks(calendar)[:3]])).reasons() == {"no_relatives": 3}


@pytest.mark.parametrize(("count", "leaf_size", "leaves"), [(100, 100, 1), (101, 100, 2), (1000, 300, 4)])
def test_leaves_are_a_partition_into_as_few_equal_parts_as_fit(
    count: int, leaf_size: int, leaves: int
) -> None:
    points = np.random.default_rng(0).normal(size=(count, 5)).astype(np.float32)
    found = balanced_leaves(points, leaf_size, seed=0)
    sizes = [len(leaf) for leaf in found]
    assert len(found) == leaves and max(sizes) - min(sizes) <= 1
    assert sorted(np.concatenate(found).tolist()) == list(range(count))


def test_books_that_do_not_balance_stop_the_run() -> None:
    members = np.arange(5)
    Formed(np.array([[0, 1], [2, 3]]), [TOPIC, TOPIC], Counter(lost=1)).check_books(members)
    with pytest.raises(RuntimeError, match="5 chunks, but 4 in groups and 0 dropped"):
        Formed(np.array([[0, 1], [2, 3]]), [TOPIC, TOPIC]).check_books(members)
    with pytest.raises(RuntimeError, match="in two groups"):
        Formed(np.array([[0, 1], [1, 3]]), [TOPIC, TOPIC], Counter(lost=1)).check_books(members)
