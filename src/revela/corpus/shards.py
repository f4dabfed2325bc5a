"""Rows into numbered Parquet files of a few tens of megabytes each."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from revela.files import explain_full_disk

# Characters of text before a shard is closed: tens of files for gigabytes, as DVC and readers like it.
SHARD_CHARACTERS = 64_000_000
# Characters held in memory before they are written as one row group.
ROW_GROUP_CHARACTERS = 8_000_000


class ShardWriter:
    """Context manager that writes rows to ``<name>-00000.parquet``, ``<name>-00001.parquet``, …

    Memory holds one row group. At least one file is written, even without rows, so that readers
    find the schema. The same rows give the same bytes.
    """

    def __init__(self, folder: Path, name: str, schema: pa.Schema) -> None:
        self._folder = folder
        self._name = name
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._pending = 0
        self._in_shard = 0
        self._shards = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._rows or self._shards == 0:
                self._flush()
            self._close()
        elif self._writer is not None:
            # The folder is thrown away: close the file, but do not let that hide the first fault.
            with contextlib.suppress(OSError):
                self._writer.close()

    def write(self, row: dict[str, Any], characters: int) -> None:
        """Add a row whose text has so many characters."""
        self.write_all([row], characters)

    def write_all(self, rows: list[dict[str, Any]], characters: int) -> None:
        """Add rows that must stay in one row group; their texts have so many characters together."""
        self._rows.extend(rows)
        self._pending += characters
        if self._pending >= ROW_GROUP_CHARACTERS:
            self._flush()
            if self._in_shard >= SHARD_CHARACTERS:
                self._close()

    def write_table(self, table: pa.Table, characters: int) -> None:
        """Add a table of the writer's schema as a row group of its own, behind the rows given so far."""
        if self._rows:
            self._flush()
        self._append(table, characters)
        if self._in_shard >= SHARD_CHARACTERS:
            self._close()

    def _flush(self) -> None:
        self._append(pa.Table.from_pylist(self._rows, schema=self._schema), self._pending)
        self._rows, self._pending = [], 0

    def _append(self, table: pa.Table, characters: int) -> None:
        with explain_full_disk(self._folder):
            if self._writer is None:
                path = self._folder / f"{self._name}-{self._shards:05d}.parquet"
                self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
                self._shards += 1
            self._writer.write_table(table)
        self._in_shard += characters

    def _close(self) -> None:
        if self._writer is not None:
            with explain_full_disk(self._folder):
                self._writer.close()
        self._writer, self._in_shard = None, 0
