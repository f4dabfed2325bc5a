"""Groups of neighbours."""

from __future__ import annotations

from revela.batches.by_document import JOINED, WHOLE_DOCUMENT, Grouping, group_by_document
from revela.batches.schema import Chunk


def chunks(name: str, count: int, source: str = "folder:a", text: str | None = None) -> list[Chunk]:
    return [
        Chunk(f"{name}#{n}", name, "", source, "text", text or f"{name} {n}", 1, 2, n, n + 1, n, n + 1)
        for n in range(count)
    ]


def ids(grouping: Grouping, kind: str) -> list[str]:
    """Groups of a kind as ``"a#0 a#1"``, sorted since their order is drawn."""
    return sorted(
        " ".join(c.chunk_id for c in group.chunks) for group in grouping.groups if group.kind == kind
    )


def test_a_document_gives_groups_of_consecutive_chunks() -> None:
    grouping = group_by_document([chunks("a", 6)], 3, seed=0)
    assert ids(grouping, WHOLE_DOCUMENT) == ["a#0 a#1 a#2", "a#3 a#4 a#5"]
    assert grouping.dropped.total() == 0


def test_what_is_over_is_joined_with_the_next_documents_of_the_source() -> None:
    grouping = group_by_document([chunks("a", 5), chunks("b", 1), chunks("c", 1)], 3, seed=0)
    assert ids(grouping, WHOLE_DOCUMENT) == ["a#0 a#1 a#2"]
    assert ids(grouping, JOINED) == ["a#3 a#4 b#0"]
    assert grouping.dropped["incomplete_group"] == 1


def test_sources_are_not_joined() -> None:
    documents = [chunks("a", 1), chunks("b", 1, "folder:b"), chunks("c", 1), chunks("d", 1, "folder:b")]
    assert ids(group_by_document(documents, 2, seed=0), JOINED) == ["a#0 c#0", "b#0 d#0"]


def test_no_text_occurs_twice_whatever_its_white_space() -> None:
    documents = [chunks("a", 2), chunks("b", 3, text="same text"), chunks("c", 1, text=" same\ntext ")]
    grouping = group_by_document(documents, 3, seed=0)
    assert ids(grouping, JOINED) == ["a#0 a#1 b#0"]
    assert grouping.dropped["duplicate_chunk"] == 3


def test_a_long_document_gives_no_more_than_its_share() -> None:
    grouping = group_by_document([chunks("a", 20), chunks("b", 2)], 2, seed=0, max_groups_per_document=3)
    assert sum(group.chunks[0].document_id == "a" for group in grouping.groups) == 3
    assert grouping.dropped["group_limit_of_document"] == 14


def test_a_documents_draw_does_not_depend_on_other_documents() -> None:
    alone = group_by_document([chunks("a", 40)], 2, 0, max_groups_per_document=3)
    among = group_by_document([chunks("z", 40), chunks("a", 40)], 2, 0, max_groups_per_document=3)
    assert set(ids(alone, WHOLE_DOCUMENT)) < set(ids(among, WHOLE_DOCUMENT))


def test_the_total_is_limited_by_a_draw() -> None:
    grouping = group_by_document([chunks("a", 40)], 2, 0, max_groups=5)
    assert len(grouping.groups) == 5
    assert grouping.dropped["group_limit"] == 30
    assert ids(grouping, WHOLE_DOCUMENT) != ids(
        group_by_document([chunks("a", 40)], 2, 1, max_groups=5), "whole_document"
    )


def test_the_order_is_shuffled_by_the_seed_alone() -> None:
    def order(seed: int) -> list[str]:
        return [group.chunks[0].chunk_id for group in group_by_document([chunks("a", 40)], 2, seed).groups]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))
    assert order(0) != [f"a#{n}" for n in range(0, 40, 2)]


def test_the_longest_document_is_remembered() -> None:
    grouping = group_by_document([chunks("a", 2), chunks("b", 3), []], 16, seed=0)
    assert grouping.groups == []
    assert grouping.longest_document == ("b", 3)
