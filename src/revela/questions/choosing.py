"""Which passages of a corpus are asked about."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from revela.chunks.chunk import with_title
from revela.corpus.pipeline import read_documents
from revela.pairs.pair import SHORTEST_PASSAGE, shorten, squash
from revela.pairs.sections import body_of, passages, title_of
from revela.words import tokens


@dataclass(frozen=True, slots=True)
class Asked:
    """A passage that a question is written for.

    Attributes:
        key: 32 hex digits that stand for its text.
        document_id: of the document that it is from.
        source: of that document.
    """

    key: str
    passage: str
    document_id: str
    source: str


def choose(documents_dir: Path, number: int, seed: int) -> list[Asked]:
    """At most so many passages, drawn by their texts: a smaller number's are the first of a larger one's.

    Args:
        documents_dir: what ``filter_corpus`` wrote.

    Raises:
        RevelaError: no corpus.
    """
    drawn = heapq.nsmallest(number, _candidates(documents_dir, seed), key=itemgetter(0))
    return [asked for _, asked in drawn]


def _candidates(documents_dir: Path, seed: int) -> Iterator[tuple[bytes, Asked]]:
    """Every passage once, with its draw."""
    seen: set[str] = set()
    for document in read_documents(documents_dir):
        title = title_of(document)
        for text in passages(body_of(document)):
            if len(tokens(text)) < SHORTEST_PASSAGE:
                continue
            passage = shorten(with_title(title, text))
            key = hashlib.blake2b(squash(passage).encode("utf-8", "replace"), digest_size=16).hexdigest()
            if key not in seen:
                seen.add(key)
                draw = hashlib.blake2b(f"{seed} {key}".encode(), digest_size=8).digest()
                yield draw, Asked(key, passage, document.id, document.source)
