"""Held-out pairs as something to search in."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from revela.files import write_json
from revela.pairs.pair import Pair
from revela.pairs.reading import Pairs
from revela.pairs.schema import PAIR_SCHEMA
from revela.pairs.validation import Questions, questions_of


def pair(kind: str, number: int) -> Pair:
    return Pair(kind, f"{kind} query {number}", f"{kind} passage {number}", f"page {number}", "s")


HELD_OUT = [pair(kind, number) for kind in ("title", "heading", "halves") for number in range(20)]
TRAINED = [pair("title", number) for number in range(20, 40)]


@pytest.fixture
def questions(tmp_path: Path):
    def questions(most: int, held_out: list[Pair] = HELD_OUT) -> Questions:
        rows = [asdict(one) | {"held_out": one in held_out} for one in [*held_out, *TRAINED]]
        pq.write_table(pa.Table.from_pylist(rows, PAIR_SCHEMA), tmp_path / "pairs-00000.parquet")
        write_json(tmp_path / "shares.json", {"title": 0.5, "heading": 0.5})
        return questions_of(Pairs(tmp_path), most)

    return questions


def test_every_query_has_one_passage_of_its_own_id(questions) -> None:
    asked, passages = questions(100)
    assert list(asked) == list(passages)
    assert list(asked) == [f"{kind}-{number}" for kind in ("title", "heading") for number in range(20)]
    assert all(passages[id] == query.replace("query", "passage") for id, query in asked.items())
    trained = {one.query for one in TRAINED}
    assert trained.isdisjoint(asked.values())


def test_at_most_so_many_of_each_kind_are_drawn_by_their_text(questions) -> None:
    few, _ = questions(5)
    assert len(few) == 10
    more, _ = questions(8)
    assert few.items() <= more.items()
    assert questions(5, HELD_OUT[::-1])[0] == few
    assert list(few.values()) != [pair("title", number).query for number in range(5)]


def test_no_query_and_no_passage_is_there_twice(questions) -> None:
    same_query = replace(pair("heading", 0), query="Title  query 3")
    same_passage = replace(pair("heading", 1), passage="title\npassage 4")
    asked, _ = questions(100, [*HELD_OUT[:20], same_query, same_passage, pair("heading", 2)])
    assert [query for id, query in asked.items() if id.startswith("heading")] == ["heading query 2"]


def test_without_held_out_pairs_there_are_no_questions(questions) -> None:
    assert questions(5, []) == ({}, {})
