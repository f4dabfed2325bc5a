"""The last pass: parts and verdicts to final shards, in the order of the corpus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from revela.corpus.counts import Counts
from revela.corpus.parts import PartCache
from revela.corpus.schema import DOCUMENT_SCHEMA, DROPPED_SCHEMA, Malformed
from revela.corpus.shards import ShardWriter
from revela.corpus.shown import Shown
from revela.corpus.verdicts import EXACT_DUPLICATE, KEPT, NEAR_DUPLICATE, REASONS, Verdicts
from revela.files import explain_full_disk
from revela.progress import track

_PART_COLUMNS = [
    "id", "title", "text", "source", "kind", "metadata", "malformed", "file", "line",
    "reason", "detail", "edits", "words_read", "words", "characters", "id_hash",
]  # fmt: skip


_ROW_CHARACTERS = 500


def write_corpus(
    cache: PartCache,
    parts: Sequence[str],
    verdicts: Verdicts,
    counts: Counts,
    folder: Path,
    keep_dropped: bool,
    samples_per_reason: int,
) -> Shown:
    """Write shards of what is kept, of what was dropped, and the list of what was malformed.

    Args:
        cache: where the parts are.
        parts: their digests, in the order of the corpus.
        verdicts: over all of them.
        counts: filled in.
        folder: empty; gets the files.
        keep_dropped: whether dropped texts are written, a series of shards a reason, below ``dropped``.
        samples_per_reason: dropped documents to show in the report.

    Returns:
        what the report shows beside the counts.
    """
    shown = Shown(samples_per_reason)
    details = _Details(verdicts)
    with ExitStack() as stack:
        kept = stack.enter_context(ShardWriter(folder, "documents", DOCUMENT_SCHEMA))
        dropped = stack.enter_context(_DroppedWriter(folder / "dropped")) if keep_dropped else None
        stack.enter_context(explain_full_disk(folder))
        malformed = stack.enter_context(open(folder / "malformed.jsonl", "w", encoding="utf-8", newline="\n"))
        for number, digest in enumerate(track(parts, "writing documents")):
            span = verdicts.of_part(number)
            table, renamed = _renamed(cache.read(digest, _PART_COLUMNS), span.start, verdicts.names)
            counts.renamed_ids += renamed
            details.remember(span, table)
            code = verdicts.code[span]
            is_kept = np.asarray(pc.equal(table["reason"], "")) & (code == KEPT)
            shown.add_lengths(table, is_kept)
            _write_kept(table.filter(pa.array(is_kept)), kept, counts)
            for position, row in _others(table, is_kept):
                if row["malformed"]:
                    fault = Malformed(row["file"], row["line"], row["reason"], row["detail"], row["source"])
                    counts.add_malformed(fault)
                    malformed.write(json.dumps(asdict(fault), ensure_ascii=False) + "\n")
                    continue
                if code[position] != KEPT:
                    row["reason"], row["detail"] = details.of(span.start + position)
                counts.add_dropped(row)
                shown.add_dropped(row)
                if dropped is not None:
                    dropped.write(row)
    return shown


def _renamed(table: pa.Table, start: int, names: dict[int, str]) -> tuple[pa.Table, int]:
    """The part with new ids where an id was taken, and how many there are."""
    new = {row - start: names[row] for row in range(start, start + len(table)) if row in names}
    if new:
        ids = table["id"].to_pylist()
        for position, name in new.items():
            ids[position] = name
        table = table.set_column(table.column_names.index("id"), "id", pa.array(ids, pa.string()))
    return table, len(new)


def _write_kept(rows: pa.Table, writer: ShardWriter, counts: Counts) -> None:
    if len(rows) == 0:
        return
    counts.add_kept(rows.select(["source", "words_read", "words", "characters", "edits"]))
    characters = pc.sum(rows["characters"]).as_py()
    writer.write_table(rows.select(DOCUMENT_SCHEMA.names).cast(DOCUMENT_SCHEMA), characters)


def _others(table: pa.Table, is_kept: np.ndarray) -> list[tuple[int, dict[str, Any]]]:
    positions = np.flatnonzero(~is_kept)
    return list(zip(positions.tolist(), table.take(positions).to_pylist(), strict=True))


class _Details:
    """Says why a row that its part kept is dropped after all; remembers the ids that it needs for that."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._wanted = np.unique(verdicts.original[verdicts.original >= 0])
        self._ids: dict[int, str] = {}

    def remember(self, span: slice, table: pa.Table) -> None:
        """An original stands before its copies, so its part is seen first."""
        low, high = np.searchsorted(self._wanted, [span.start, span.stop])
        rows = self._wanted[low:high]
        if len(rows):
            self._ids |= zip(rows.tolist(), table["id"].take(rows - span.start).to_pylist(), strict=True)

    def of(self, row: int) -> tuple[str, str]:
        """(reason, detail)."""
        code = int(self._verdicts.code[row])
        if code == EXACT_DUPLICATE:
            detail = f"same text as {self._ids[int(self._verdicts.original[row])]}"
        elif code == NEAR_DUPLICATE:
            detail = f"nearly the text of {self._ids[int(self._verdicts.original[row])]}"
        else:
            detail = "not drawn: its source has more text than its weight asks for"
        return REASONS[code], detail


class _DroppedWriter:
    """One series of shards a reason, opened when the first row comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._writers: dict[str, ShardWriter] = {}

    def __enter__(self) -> _DroppedWriter:
        self._folder.mkdir()
        return self

    def __exit__(self, *fault: Any) -> None:
        self._stack.__exit__(*fault)

    def write(self, row: dict[str, Any]) -> None:
        reason = row["reason"]
        if reason not in self._writers:
            writer = ShardWriter(self._folder, reason, DROPPED_SCHEMA)
            self._writers[reason] = self._stack.enter_context(writer)
        wanted = {name: row[name] for name in DROPPED_SCHEMA.names}
        # Millions of stubs have hardly any text: what a row costs beside it counts as well.
        self._writers[reason].write(wanted, len(row["text"]) + _ROW_CHARACTERS)
