"""Groups in Parquet: one row a chunk, groups one after another."""

from __future__ import annotations

import pyarrow as pa

from revela.corpus.schema import described

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
