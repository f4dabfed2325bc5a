"""Groups of neighbours."""

from __future__ import annotations

import argparse
import csv
import json.decoder
import json.encoder

import numpy as np
from memory_store import MemoryStore, document, module_chunks, numbered

from revela.chunks.chunk import Chunk
from revela.groups.by_document import form_by_document
from revela.groups.formed import JOINED, WHOLE_DOCUMENT, Formed
from revela.settings import BatchesSettings


def form(
    documents: list[list[Chunk]], size: int, seed: int = 0, limit: int | None = None
) -> tuple[MemoryStore, Formed]:
    store = MemoryStore(documents)
    settings = BatchesSettings(group_size=size, max_groups_per_document=limit)
    formed = form_by_document(store, store.members, settings, seed)
    formed.check_books(store.members)
    return store, formed


def ids(store: MemoryStore, formed: Formed, kind: str) -> list[str]:
    """Groups of a kind as ``"a#0 a#1"``, sorted."""
    groups = formed.groups[np.array(formed.kinds) == kind]
    return sorted(" ".join(chunk.chunk_id for chunk in store.chunks(group)) for group in groups)


def test_a_document_gives_groups_of_consecutive_chunks() -> None:
    store, formed = form([numbered("a", 6)], 3)
    assert ids(store, formed, WHOLE_DOCUMENT) == ["a#0 a#1 a#2", "a#3 a#4 a#5"]
    assert formed.reasons() == {}


def test_what_is_over_is_joined_with_its_nearest_relatives_not_with_what_stands_next() -> None:
    birds = ["the heron stands in shallow water and waits for fish", "a heron catches fish in the water"]
    trains = ["the express train leaves the station on time", "a slow train stops at every station"]
    documents = [
        document("heron", ["heron one heron", "heron two heron", birds[0]]),
        document("express", ["express three express", "express four express", trains[0]]),
        document("fishing", [birds[1]]),
        document("local", [trains[1]]),
    ]
    store, formed = form(documents, 2)
    assert ids(store, formed, JOINED) == ["express#2 local#0", "heron#2 fishing#0"]


def test_a_remainder_stays_together_where_there_is_room() -> None:
    birds = [f"heron heron wing nest feather {word}" for word in ("egg", "beak", "song", "plume", "moult")]
    trains = [
        f"train train rail station engine {word}" for word in ("coach", "signal", "ticket", "fog", "bay")
    ]
    texts = [birds[:3], trains[:3], birds[2:], trains[2:]]
    store, formed = form([document(f"d{number}", each) for number, each in enumerate(texts)], 6)
    assert formed.kinds == [JOINED, JOINED]
    together = {frozenset(store.document[group].tolist()) for group in formed.groups}
    assert together == {frozenset({0, 2}), frozenset({1, 3})}
    for group in formed.groups:
        for number in np.unique(store.document[group]):
            assert np.diff(group[store.document[group] == number]).tolist() == [1, 1]


def test_a_remainder_that_is_too_large_for_the_room_is_cut() -> None:
    _, formed = form([numbered(name, 3) for name in "abcd"], 4)
    assert formed.groups.shape == (3, 4) and formed.reasons() == {}


def test_sources_are_not_joined_and_fewer_than_a_group_are_left_over() -> None:
    documents = [numbered(name, 1, f"folder:{name[0]}") for name in ("ax", "bx", "ay", "by", "az")]
    store, formed = form(documents, 2)
    joined = [{chunk.source for chunk in store.chunks(group)} for group in formed.groups]
    assert sorted(map(sorted, joined)) == [["folder:a"], ["folder:b"]]
    assert formed.reasons() == {"incomplete_group": 1}


def test_only_the_chunks_that_are_asked_for_are_used() -> None:
    store = MemoryStore([numbered("a", 8)])
    members = np.array([0, 1, 3, 4, 6, 7])
    settings = BatchesSettings(group_size=3)
    formed = form_by_document(store, members, settings, 0)
    assert formed.groups.tolist() == [[0, 1, 3], [4, 6, 7]]


def test_a_long_document_gives_no_more_than_its_share() -> None:
    store, formed = form([numbered("a", 20), numbered("b", 2)], 2, limit=3)
    assert (store.document[formed.groups[:, 0]] == 0).sum() == 3
    assert formed.reasons() == {"group_limit_of_document": 14}


def test_a_documents_draw_does_not_depend_on_other_documents() -> None:
    alone = form([numbered("a", 40)], 2, limit=3)
    among = form([numbered("z", 40), numbered("a", 40)], 2, limit=3)
    assert set(ids(*alone, WHOLE_DOCUMENT)) < set(ids(*among, WHOLE_DOCUMENT))


def test_the_same_seed_gives_the_same_groups() -> None:
    documents = [module_chunks(module)[:7] for module in (argparse, csv, json.decoder, json.encoder)]
    first, second = form(documents, 4), form(documents, 4)
    assert first[1].groups.tolist() == second[1].groups.tolist()


def test_no_chunks_give_no_groups() -> None:
    assert form([], 2)[1].groups.shape == (0, 2)
