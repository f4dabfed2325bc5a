"""Pairs in Parquet: one row a pair, all of a kind one after another."""

from __future__ import annotations

import pyarrow as pa

from revela.corpus.schema import described

PAIR_SCHEMA = pa.schema(
    [
        described(
            "kind", pa.string(), "the rule that found it, a key of revela.pairs.kinds.KINDS, or generated"
        ),
        described("query", pa.string(), "what is searched with, on one line"),
        described("passage", pa.string(), "what answers it, without the query's own words"),
        described("document_id", pa.string(), "document that the query comes from"),
        described("source", pa.string(), "source of that document"),
        described("held_out", pa.bool_(), "never trained on: kept to validate with"),
    ]
)
