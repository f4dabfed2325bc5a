"""Pairs of nearly the same words come together, and no right answer is called wrong."""

from __future__ import annotations

import numpy as np
import pytest

from revela.pairs.pair import Pair
from revela.training.related_pairs import _Queue, by_words, draw_related, related_leaves

TOPICS = {
    "sea": "ship harbour wave sail captain anchor tide",
    "bread": "flour oven yeast dough baker crust salt",
    "music": "violin chord tempo melody concert rhythm bass",
    "garden": "soil seed rose spade compost hedge lawn",
}


def pair(topic: str, number: int, kind: str = "title") -> Pair:
    words = TOPICS[topic].split()
    text = " ".join(words[(number + place) % len(words)] for place in range(5))
    return Pair(kind, f"{text} asked {number:02}", f"{text} told {number:02}", f"{topic}-{number}", "s")


PAIRS = [pair(topic, number) for number in range(16) for topic in TOPICS]


def topic(one: Pair) -> str:
    return one.document_id.split("-")[0]


def test_a_leaf_is_about_one_thing_and_every_pair_is_in_one():
    leaves = related_leaves(PAIRS, 16, seed=0)
    assert [len(leaf) for leaf in leaves] == [16] * 4
    assert all(len({topic(one) for one in leaf}) == 1 for leaf in leaves)
    assert sorted(one.query for leaf in leaves for one in leaf) == sorted(one.query for one in PAIRS)


def test_what_makes_neighbours_may_be_given():
    def by_number(pairs, seed):
        return np.array([[float(one.document_id.split("-")[1])] for one in pairs], np.float32)

    leaves = related_leaves(PAIRS, 16, seed=0, points=by_number)
    numbers = [sorted(int(one.document_id.split("-")[1]) for one in leaf) for leaf in leaves]
    assert sorted(numbers) == [sorted([*range(first, first + 4)] * 4) for first in (0, 4, 8, 12)]


def test_few_pairs_are_one_leaf():
    assert related_leaves(PAIRS[:3], 4, seed=0) == [PAIRS[:3]]


def test_an_item_is_made_of_related_parts_and_each_pair_comes_once_before_any_comes_twice():
    items = draw_related({"title": PAIRS}, {"title": 1.0}, items=4, together=16, related=8, seed=0)
    assert all(len({topic(one) for one in item[:8]}) == 1 for item in items)
    assert sorted(one.query for item in items for one in item) == sorted(one.query for one in PAIRS)


def test_kinds_have_their_shares():
    both = {
        "title": PAIRS,
        "message": [pair(name, number, "message") for number in range(8) for name in TOPICS],
    }
    items = draw_related(both, {"title": 0.75, "message": 0.25}, items=8, together=16, related=4, seed=0)
    kinds = [one.kind for item in items for one in item]
    assert kinds.count("message") == pytest.approx(len(kinds) / 4, abs=4)


def test_kinds_may_stand_apart_but_for_those_that_cannot_fill_an_item():
    several = {
        "title": PAIRS,
        "message": [pair(name, number, "message") for number in range(8) for name in TOPICS],
        "link": [pair("sea", number, "link") for number in range(20, 30)],
    }
    shares = {"title": 0.6, "message": 0.3, "link": 0.1}
    items = draw_related(several, shares, 20, together=16, related=4, seed=0, mixed=False)
    for item in items:
        assert len(item) == 16 and len({one.kind for one in item} - {"link"}) == 1
    kinds = [one.kind for item in items for one in item]
    assert {kind: kinds.count(kind) / len(kinds) for kind in shares} == pytest.approx(shares, abs=0.06)


def test_a_kind_whose_neighbours_are_no_safe_negatives_comes_one_by_one_of_other_documents():
    messages = [pair(name, number, "message") for number in range(8) for name in TOPICS]
    both = {"title": PAIRS, "message": messages}
    looked_at = []

    def points(pairs, seed):
        looked_at.append({one.kind for one in pairs})
        return by_words(pairs, seed)

    items = draw_related(
        both,
        {"title": 0.5, "message": 0.5},
        4,
        together=16,
        related=4,
        seed=0,
        points=points,
        single=["title"],
    )
    assert looked_at == [{"message"}]
    for item in items:
        documents = [one.document_id for one in item if one.kind == "title"]
        others = {one.document_id for one in item if one.kind == "message"}
        assert len(set(documents)) == len(documents) == pytest.approx(8, abs=3)
        first = {one.document_id for one in item[: item.index(next(o for o in item if o.kind == "message"))]}
        assert not (set(documents) - first) & others
    assert len({topic(one) for one in items[0] if one.kind == "title"}) > 1


def test_the_same_seed_draws_the_same_and_a_longer_sequence_begins_with_the_shorter():
    def drawn(items: int, seed: int = 1):
        return draw_related({"title": PAIRS}, {"title": 1.0}, items, together=12, related=4, seed=seed)

    assert drawn(3) == drawn(3) == drawn(7)[:3]
    assert drawn(3) != drawn(3, seed=2)


def test_a_class_and_its_method_or_one_query_twice_are_not_in_one_item():
    method = Pair("docstring", "how to open", "def open(self): return self.file", "a", "s")
    whole = Pair("docstring", "what a door is", f"class Door:\n    {method.passage}", "a", "s")
    again = Pair("docstring", "How to  open", "def unlock(self): return self.key", "b", "s")
    others = [pair("sea", number, "docstring") for number in range(9)]
    items = draw_related({"docstring": [method, whole, again, *others]}, {"docstring": 1.0}, 6, 4, 4, seed=0)
    for item in items:
        assert len(item) == 4
        assert method not in item or (whole not in item and again not in item)
    assert any(method in item for item in items)


def test_a_corpus_of_fewer_pairs_than_an_item_still_fills_it():
    items = draw_related({"title": PAIRS[:3]}, {"title": 1.0}, items=2, together=8, related=4, seed=0)
    assert [len(item) for item in items] == [8, 8]


def test_pairs_of_one_document_fill_item_after_item_without_piling_up():
    same = [Pair("title", f"{one.query}", f"{one.passage}", "one document", "s") for one in PAIRS]
    queue = _Queue([[one] for one in same], "0", single=True)
    for _ in range(50):
        item: list[Pair] = []
        while len(item) < 4:
            item += queue.take(item, 4 - len(item))
        assert len(queue._waiting) <= 2 * len(same)
