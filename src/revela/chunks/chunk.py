"""What a chunk is: a stretch of one document, of which a first part serves as a query."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of one document; the fields are described in :data:`revela.groups.schema.GROUP_SCHEMA`."""

    chunk_id: str
    document_id: str
    title: str
    source: str
    kind: str
    text: str
    query_end: int
    tokens: int
    start: int
    end: int
    start_byte: int
    end_byte: int
    passage_title: str = ""

    @property
    def query(self) -> str:
        """What the retriever reads as a query: never the title, which would give the passage away."""
        return self.text[: self.query_end]

    @property
    def passage(self) -> str:
        """What the retriever reads as a passage: the text, below its title where titles are asked for."""
        return with_title(self.passage_title, self.text)


def chunk_id(document_id: str, start_byte: int, end_byte: int) -> str:
    """``"<document_id>#<start_byte>-<end_byte>"``: where the chunk is found again."""
    return f"{document_id}#{start_byte}-{end_byte}"


def with_title(title: str, text: str) -> str:
    """A text below its title; the text alone when the title is empty."""
    return f"{title}\n{text}" if title else text
