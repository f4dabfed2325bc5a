"""Documents written in a test, what a rule finds in them, and a corpus of them on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from revela.corpus.schema import DOCUMENT_SCHEMA, Document
from revela.corpus.shards import ShardWriter
from revela.pairs.kinds import KINDS


def document(
    text: str, kind: str = "text", title: str = "", id: str = "docs/page", **metadata: object
) -> Document:
    return Document(id, title, text, "folder:docs", kind, json.dumps(metadata))


def found(rule: str, text: str, kind: str = "text", **rest: object) -> list[tuple[str, str]]:
    """(query, passage) of every pair of one rule in one document."""
    return [(pair.query, pair.passage) for pair in KINDS[rule](document(text, kind, **rest))]


def queries(rule: str, text: str, kind: str = "text", **rest: object) -> list[str]:
    return [query for query, _ in found(rule, text, kind, **rest)]


def write_corpus(folder: Path, documents: Sequence[Document]) -> Path:
    """What `filter_corpus` leaves."""
    folder.mkdir()
    with ShardWriter(folder, "documents", DOCUMENT_SCHEMA) as writer:
        for one in documents:
            writer.write(asdict(one), len(one.text))
    return folder


def sentences(number: int, start: int = 0) -> str:
    """So many sentences of nine words, all different."""
    return " ".join(
        f"Sentence {word(one)} says that the {word(one + 1)} is no {word(one + 2)}."
        for one in range(start, start + number)
    )


def word(number: int) -> str:
    """Another word for every number below 26**3."""
    return "".join(chr(97 + number // 26**place % 26) for place in range(3))
