"""Title -> the text below it, as a bibliography asks for an abstract."""

from __future__ import annotations

from collections.abc import Iterator

from revela.corpus.schema import Document
from revela.pairs.pair import Found
from revela.pairs.sections import body_of, passages, title_of


def pairs_of(document: Document) -> Iterator[Found]:
    """The document's title, where it is one in words -> the first passage of its text."""
    title = title_of(document)
    first = next(passages(body_of(document)), None) if title else None
    if first is not None:
        yield Found(title, first)
