"""The held-out pairs as something to search in: each query has one answer, its own passage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from revela.pairs.pair import Pair, squash
from revela.pairs.reading import Pairs


class Questions(NamedTuple):
    """Queries with one relevant passage each.

    Attributes:
        queries: id -> text; an id is ``<kind>-<number>``.
        passages: id -> text; the passage of a query has its id.
    """

    queries: dict[str, str]
    passages: dict[str, str]


def questions_of(pairs: Pairs, most: int) -> Questions:
    """At most `most` held-out pairs of each kind that training sees, drawn by their text.

    No query and no passage is there twice: an answer that is not judged would count as a wrong one.
    """
    queries: dict[str, str] = {}
    passages: dict[str, str] = {}
    seen: set[str] = set()
    held_out = pairs.held_out()
    for kind in pairs.shares:
        number = 0
        for pair in _by_hash(held_out.of_kind(kind)):
            keys = {f"query {squash(pair.query)}", f"passage {squash(pair.passage)}"}
            if number < most and seen.isdisjoint(keys):
                seen |= keys
                queries[f"{kind}-{number}"] = pair.query
                passages[f"{kind}-{number}"] = pair.passage
                number += 1
    return Questions(queries, passages)


def kind_of(name: str) -> str:
    """Of a query or a passage with this id."""
    return name.rpartition("-")[0]


def _by_hash(pairs: Sequence[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda pair: hashlib.blake2b(pair.query.encode("utf-8", "replace")).digest())
