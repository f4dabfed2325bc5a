"""Read groups back, one at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revela.chunks.chunk import Chunk
from revela.errors import RevelaError
from revela.groups.schema import GROUP_SCHEMA

_CHUNK_COLUMNS = [field.name for field in fields(Chunk)]


class Groups:
    """The groups of a folder in the order of training, an indexable sequence of lists of chunks.

    All text is held in Arrow's memory (its size in UTF-8); chunks are made on access.

    Raises:
        RevelaError: there are no groups in `folder`, or they are not whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        shards = sorted(self.folder.glob("groups-*.parquet"))
        if not shards:
            raise RevelaError(f"{folder}: no groups-*.parquet. Run the stage build_batches first.")
        table = pa.concat_tables(pq.read_table(shard, schema=GROUP_SCHEMA) for shard in shards)
        groups = len(table["group"].unique())
        if groups == 0 or len(table) % groups:
            raise RevelaError(f"{folder}: {len(table)} chunks in {groups} groups. Run build_batches again.")
        self.group_size = len(table) // groups
        self._length = groups
        self._table = table.select(_CHUNK_COLUMNS).combine_chunks()

    def split_off(self, count: int) -> Groups:
        """Take the last `count` groups away from these and return them."""
        rest = copy.copy(self)
        kept = (self._length - count) * self.group_size
        rest._table, rest._length = self._table.slice(kept), count
        self._table, self._length = self._table.slice(0, kept), self._length - count
        return rest

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> list[Chunk]:
        if not -self._length <= index < self._length:
            raise IndexError(f"group {index} of {self._length}")
        rows = self._table.slice(index % self._length * self.group_size, self.group_size)
        return [Chunk(**row) for row in rows.to_pylist()]

    def __iter__(self) -> Iterator[list[Chunk]]:
        return (self[index] for index in range(self._length))
