"""Pairs read back, and the sequences that training sees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from revela.errors import RevelaError
from revela.pairs.pair import Pair
from revela.pairs.reading import Pairs, draw

SHARES = {"title": 0.5, "heading": 0.3, "link": 0.2}


def pairs_of(kind: str, *per_document: int) -> list[Pair]:
    """So many pairs of each document, whose numbers all kinds share."""
    return [
        Pair(kind, f"{kind} {number} of {document}", "passage", f"page {document}", "s")
        for document, count in enumerate(per_document)
        for number in range(count)
    ]


PAIRS = {
    "title": pairs_of("title", *[1] * 100),
    "heading": pairs_of("heading", *[3] * 50),
    "link": pairs_of("link", *[7, 1, 1, 1] * 10),
}


def test_every_stretch_has_the_kinds_in_their_shares() -> None:
    kinds = [pair.kind for pair in draw(PAIRS, SHARES, 600, 20, 0)]
    for start in range(0, 600, 7):
        for length in (10, 50, 200):
            counts = Counter(kinds[start : start + length])
            size = len(kinds[start : start + length])
            assert all(abs(counts[kind] - share * size) < 2 for kind, share in SHARES.items())


def test_shares_need_not_sum_to_1_and_are_those_of_the_kinds_that_are_drawn() -> None:
    two = {kind: PAIRS[kind] for kind in ("title", "link")}
    counts = Counter(pair.kind for pair in draw(two, {"title": 3, "link": 1, "answer": 9}, 80, 8, 0))
    assert counts == {"title": 60, "link": 20}


def test_each_pair_of_a_kind_comes_once_before_any_comes_twice() -> None:
    drawn = draw(PAIRS, SHARES, 900, 20, 0)
    for kind, pairs in PAIRS.items():
        of_kind = [pair for pair in drawn if pair.kind == kind]
        assert len(of_kind) > len(pairs) or kind == "heading"
        for start in range(0, len(of_kind), len(pairs)):
            turn = of_kind[start : start + len(pairs)]
            assert len(turn) == len(set(turn))


def test_every_turn_has_another_order() -> None:
    drawn = draw({"title": PAIRS["title"]}, SHARES, 200, 10, 0)
    assert set(drawn[:100]) == set(drawn[100:]) and drawn[:100] != drawn[100:]


def test_no_two_pairs_of_one_document_are_seen_together() -> None:
    drawn = draw(PAIRS, SHARES, 400, 16, 0)
    for start in range(0, 400, 16):
        documents = [pair.document_id for pair in drawn[start : start + 16]]
        assert len(documents) == len(set(documents))


def test_large_documents_among_few_others_are_together_no_more_than_they_must_be() -> None:
    few = {"heading": pairs_of("heading", 30, 30, *[1] * 100)}
    drawn = [pair.document_id for pair in draw(few, SHARES, 160, 8, 0)]
    together = [len(set(drawn[at : at + 8])) for at in range(0, 160, 8)]
    assert sum(together) == 140  # each of the others once, and both large ones 20 times


def test_a_document_is_seen_with_itself_where_there_is_no_other() -> None:
    only = {"title": pairs_of("title", 3)}
    assert Counter(draw(only, SHARES, 6, 4, 0)) == dict.fromkeys(only["title"], 2)
    assert len(draw({"title": pairs_of("title", 1)}, SHARES, 5, 4, 0)) == 5


def test_the_seed_and_nothing_else_decides() -> None:
    assert (
        draw(PAIRS, SHARES, 100, 10, 0) == draw(PAIRS, SHARES, 100, 10, 0) != draw(PAIRS, SHARES, 100, 10, 1)
    )


@pytest.mark.parametrize("length", [0, 1, 16, 160, 400])
def test_a_longer_sequence_begins_with_the_shorter_one(length: int) -> None:
    assert draw(PAIRS, SHARES, 480, 16, 0)[:length] == draw(PAIRS, SHARES, length, 16, 0)


def test_kinds_apart_fill_items_of_their_own_and_each_pair_still_comes_in_turn() -> None:
    drawn = draw(PAIRS, SHARES, 800, 20, 0, mixed=False)
    together = [{pair.kind for pair in drawn[start : start + 20]} for start in range(0, 800, 20)]
    assert Counter(next(iter(kinds)) for kinds in together if len(kinds) == 1) == {
        "title": 20, "heading": 12, "link": 8,
    }  # fmt: skip
    titles = [pair for pair in drawn if pair.kind == "title"]
    assert len(set(titles[:100])) == len(set(titles[100:200])) == 100


def test_a_folder_without_pairs_says_which_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(RevelaError, match=r"no pairs-\*\.parquet\. Run the stage build_batches first"):
        Pairs(tmp_path)
