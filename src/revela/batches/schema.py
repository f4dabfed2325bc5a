"""What a chunk is, in memory and in Parquet (one row a chunk, groups one after another)."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from revela.corpus.schema import described


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of one document; the fields are described in :data:`GROUP_SCHEMA`."""

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


GROUP_SCHEMA = pa.schema(
    [
        described("group", pa.int64(), "number of the group, from 0, in the order of training"),
        described("position", pa.int32(), "place in the group, from 0 to group_size - 1"),
        described("chunk_id", pa.string(), "<document_id>#<start_byte>-<end_byte>"),
        described("document_id", pa.string(), "id of the document it was cut from"),
        described("title", pa.string(), "title of the document"),
        described("source", pa.string(), "source of the document"),
        described("kind", pa.string(), "kind of the document"),
        described("text", pa.string(), "document.text[start:end]"),
        described(
            "query_end", pa.int32(), "text[:query_end] is the query, cut between tokens; no side is blank"
        ),
        described("tokens", pa.int32(), "tokens of text alone, by the retriever, no special tokens"),
        described("start", pa.int64(), "first character in the document"),
        described("end", pa.int64(), "one past the last character in the document"),
        described("start_byte", pa.int64(), "first byte in the document's text as UTF-8"),
        described("end_byte", pa.int64(), "one past the last byte in the document's text as UTF-8"),
        described(
            "passage_title",
            pa.string(),
            "the retriever reads it and a line end before the passage; empty without batches.titles",
        ),
    ]
)
