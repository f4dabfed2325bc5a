"""Read a source as a user's settings would."""

from __future__ import annotations

from revela.corpus.schema import Document, Malformed
from revela.corpus.sources import check_sources, open_source
from revela.settings import CorpusSettings, Source


def documents(source: Source) -> list[Document]:
    """Documents of a source that has nothing else."""
    rows = list(open_source(source))
    assert all(isinstance(row, Document) for row in rows), rows
    return rows  # type: ignore[return-value]


def faults(source: Source, max_bytes: int = 16_000_000) -> list[tuple[str, str]]:
    """(place, reason) of everything that could not be read."""
    rows = open_source(source, max_bytes)
    return [(row.place, row.reason) for row in rows if isinstance(row, Malformed)]


def checked(*sources: Source) -> None:
    check_sources(CorpusSettings(sources=list(sources)))
