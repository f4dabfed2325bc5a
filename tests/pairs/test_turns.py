"""Kinds in their shares, mixed in every item or each in a turn of its own."""

from __future__ import annotations

from collections import Counter

import pytest

from revela.pairs.turns import Turns

SHARES = {"docstring": 0.6, "definition": 0.3, "message": 0.1}


def items(room: dict[str, int], count: int, together: int = 20, mixed: bool = False) -> list[Counter[str]]:
    turns = Turns(SHARES, room, together, mixed)
    found = []
    for _ in range(count):
        turns.begin()
        item: Counter[str] = Counter()
        for _ in range(together):
            kind = turns.next()
            turns.took(kind, 1)
            item[kind] += 1
        found.append(item)
    return found


def test_mixed_kinds_are_in_every_item_in_their_shares():
    for item in items(dict.fromkeys(SHARES, 1000), 10, mixed=True):
        assert item == {"docstring": 12, "definition": 6, "message": 2}


def test_kinds_apart_have_items_of_their_own_as_often_as_their_share():
    found = items(dict.fromkeys(SHARES, 20), 30)
    assert all(len(item) == 1 for item in found)
    assert Counter(next(iter(item)) for item in found) == {"docstring": 18, "definition": 9, "message": 3}


def test_shares_are_kept_at_every_length():
    for length in (5, 11, 20, 47):
        counts = sum(items(dict.fromkeys(SHARES, 20), length), Counter())
        assert all(abs(counts[kind] - share * 20 * length) < 20 for kind, share in SHARES.items())


def test_a_kind_that_cannot_fill_an_item_comes_among_the_others():
    found = items({"docstring": 500, "definition": 500, "message": 19}, 30)
    assert all(1 <= item["message"] <= 3 and len(item) == 2 for item in found)
    assert sum(item["message"] for item in found) == pytest.approx(60, abs=2)
    assert Counter(next(kind for kind in item if kind != "message") for item in found) == pytest.approx(
        {"docstring": 20, "definition": 10}, abs=1
    )


def test_where_none_can_fill_an_item_they_are_mixed():
    few = dict.fromkeys(SHARES, 19)
    assert items(few, 6) == items(few, 6, mixed=True)


def test_what_comes_in_parts_comes_as_often():
    turns = Turns(SHARES, {"docstring": 500, "definition": 500, "message": 19}, 20, mixed=False)
    counts: Counter[str] = Counter()
    for _ in range(100):
        turns.begin()
        left = 20
        while left:
            kind = turns.next()
            taken = min(left, 8)
            turns.took(kind, taken)
            counts[kind] += taken
            left -= taken
    assert {kind: counts[kind] / 2000 for kind in SHARES} == pytest.approx(SHARES, abs=0.01)
