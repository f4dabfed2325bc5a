"""What a pair is: a query, and the passage that answers it, both out of one corpus."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_QUERY, LONGEST_QUERY = 3, 64
"""Words of a query: fewer fit anything, more is a passage."""

SHORTEST_PASSAGE, LONGEST_PASSAGE = 8, 2400
"""Words, and characters, of a passage. Encoders of this size read about 256 tokens, which is less."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One query with its passage; the fields are described in :data:`revela.pairs.schema.PAIR_SCHEMA`."""

    kind: str
    query: str
    passage: str
    document_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule finds in one document.

    Attributes:
        query: on one line.
        passage: what answers it, without the query's own words; or the id of another document where
            `points_to` says so.
        points_to: the passage is what that document begins with.
    """

    query: str
    passage: str
    points_to: bool = False


def one_line(text: str) -> str:
    """White space of any kind as single blanks."""
    return " ".join(text.split())


def squash(text: str) -> str:
    """Lower case without white space: what two texts are compared by."""
    return "".join(text.lower().split())


def shorten(passage: str) -> str:
    """The passage cut at the last line or word within :data:`LONGEST_PASSAGE` characters."""
    if len(passage) <= LONGEST_PASSAGE:
        return passage
    cut = passage[:LONGEST_PASSAGE]
    end = max(cut.rfind("\n", LONGEST_PASSAGE // 2), cut.rfind(" ", LONGEST_PASSAGE - 200))
    return cut[: end if end > 0 else LONGEST_PASSAGE].rstrip()
