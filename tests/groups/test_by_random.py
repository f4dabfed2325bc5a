"""Groups at random."""

from __future__ import annotations

from collections import Counter

import numpy as np
from memory_store import MemoryStore, numbered

from revela.groups.by_random import form_by_random
from revela.groups.formed import RANDOM, Formed
from revela.settings import BatchesSettings

STORE = MemoryStore([numbered("a", 90), numbered("b", 7), numbered("c", 6)])


def form(seed: int = 0, limit: int | None = None) -> Formed:
    settings = BatchesSettings(group_size=5, max_groups_per_document=limit)
    formed = form_by_random(STORE, STORE.members, settings, seed)
    formed.check_books(STORE.members)
    return formed


def test_every_chunk_has_a_place_but_fewer_than_a_group() -> None:
    formed = form()
    assert formed.groups.shape == (20, 5)
    assert set(formed.kinds) == {RANDOM}
    assert formed.reasons() == {"incomplete_group": 3}


def test_neighbours_are_separated() -> None:
    steps = np.diff(form().groups, axis=1)
    assert (steps == 1).mean() < 0.1


def test_a_long_document_is_cut_to_its_share_by_its_own_draw() -> None:
    formed = form(limit=2)
    used = Counter(STORE.document_ids(formed.groups.ravel()))
    assert used["a"] <= 10 and formed.reasons()["group_limit_of_document"] == 80
    kept = set(formed.groups.ravel()) | set(formed.spare["incomplete_group"])
    alone = MemoryStore([numbered("a", 90)])
    settings = BatchesSettings(group_size=5, max_groups_per_document=2)
    again = form_by_random(alone, alone.members, settings, 0)
    assert set(again.groups.ravel()) == {number for number in kept if number < 90}


def test_the_seed_alone_decides() -> None:
    assert form().groups.tolist() == form().groups.tolist()
    assert form().groups.tolist() != form(seed=1).groups.tolist()
