"""From a block of records to a part: parse, judge by the rules, and sign, in whatever process."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from revela.corpus.blocks import Block
from revela.corpus.filters import Filters
from revela.corpus.filters.base import Rule, View
from revela.corpus.minhash import Signer
from revela.corpus.parts import part_schema
from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources import parse_record
from revela.corpus.text_key import text_key
from revela.settings import Source

_ROW_GROUP = 4096


@dataclass(frozen=True)
class Worker:
    """Everything that one process needs; the same block gives the same bytes in every process.

    Attributes:
        sources: `corpus.sources`.
        filters: rules and cleaners.
        protection: rules that keep benchmarks out, asked last, of the cleaned text: cleaning joins what
            stood apart.
        signer: for near-duplicates; None without.
    """

    sources: Sequence[Source]
    filters: Filters
    protection: Sequence[Rule]
    signer: Signer | None

    def __call__(self, block: Block) -> bytes:
        """A part as the bytes of a Parquet file, one row a record in the order of the block."""
        rows = [self._row(self.sources[block.source], record) for record in block.records]
        self._sign(rows)
        schema = part_schema(self.signer.bands if self.signer else 0)
        buffer = io.BytesIO()
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, buffer, compression="zstd", row_group_size=_ROW_GROUP)
        return buffer.getvalue()

    def _row(self, source: Source, record: Record) -> dict[str, Any]:
        parsed = parse_record(source, record)
        if isinstance(parsed, Malformed):
            return _malformed(parsed)
        reason, detail, document, edits = self._verdict(parsed)
        words_read = len(parsed.text.split())
        return {
            "id": document.id,
            "title": document.title,
            "text": document.text,
            "source": document.source,
            "kind": document.kind,
            "metadata": document.metadata,
            "malformed": False,
            "file": record.file,
            "line": record.line,
            "reason": reason,
            "detail": detail,
            "edits": json.dumps(edits, sort_keys=True) if edits else "",
            "words_read": words_read,
            "words": len(document.text.split()) if edits else words_read,
            "characters": len(document.text),
            "id_hash": id_hash(document.id),
            "key": text_key(document.text),
        }

    def _verdict(self, parsed: Document) -> tuple[str, str, Document, dict[str, int]]:
        """(reason or an empty string, detail, the document to go on with, edits)."""
        judgement = self.filters.judge(parsed)
        if judgement.reason is not None:
            return judgement.reason, judgement.detail, judgement.document, {}
        view = View(judgement.document)
        for rule in self.protection:
            detail = rule(view)
            if detail is not None:
                return rule.reason, detail, parsed, {}
        return "", "", judgement.document, judgement.edits

    def _sign(self, rows: list[dict[str, Any]]) -> None:
        """Add MinHash bands to what was kept; all else gets zeros, which nobody reads."""
        if self.signer is None:
            return
        kept = [row for row in rows if not row["reason"]]
        signed: Iterable[Any] = self.signer.sign([row["text"] for row in kept]) if kept else []
        for row in rows:
            row["bands"] = bytes(8 * self.signer.bands)
        for row, bands in zip(kept, signed, strict=True):
            row["bands"] = bands.tobytes()


def id_hash(document_id: str) -> int:
    """64 bits of an id that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(document_id.encode(), digest_size=8).digest(), "little")


def _malformed(fault: Malformed) -> dict[str, Any]:
    blank = dict.fromkeys(("id", "title", "text", "kind", "metadata", "edits"), "")
    numbers = dict.fromkeys(("words_read", "words", "characters", "id_hash"), 0)
    return blank | numbers | {
        "source": fault.source,
        "malformed": True,
        "file": fault.file,
        "line": fault.line,
        "reason": fault.reason,
        "detail": fault.what,
        "key": text_key(""),
    }  # fmt: skip
