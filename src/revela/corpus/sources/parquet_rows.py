"""Rows of Parquet files, the wanted columns only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from revela.corpus.sources.rows import Columns, Row, payload_of_row
from revela.errors import RevelaError

_ROWS_AT_ONCE = 128
_BYTES_AT_ONCE = 32_000_000


def check_parquet(path: Path, columns: Columns) -> None:
    """Raise :class:`RevelaError` for a file that is no Parquet, lacks `text_field` or has a column twice."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as fault:
        raise RevelaError(f"corpus.sources: {path}: not a readable Parquet file: {fault}") from None
    columns.check(names, str(path))


def parquet_rows(path: Path, columns: Columns, max_bytes: int) -> Iterator[Row]:
    """Rows in order; in memory at a time are one page of each column and some 32 MB of rows.

    Parquet stores no length of a single row: one above `max_bytes` is read before it is refused, and
    where a few long values are repeated often (a dictionary page), 128 of them are in memory at a time.

    Raises:
        RevelaError: the file is damaged.
    """
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name in columns.wanted()]
            for batch in file.iter_batches(batch_size=_rows_at_once(file), columns=names):
                for row in _rows(batch):
                    number += 1
                    if isinstance(row, tuple):
                        yield Row(number, b"", row)
                    else:
                        yield payload_of_row(number, row, columns, max_bytes)
    except (pa.ArrowException, OSError) as fault:
        raise RevelaError(f"{path}: damaged Parquet file after row {number}: {fault}") from None


def parquet_size(path: Path, columns: Collection[str]) -> int:
    """Uncompressed bytes of some columns, as the file's footer gives them."""
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    except (pa.ArrowException, OSError):
        return 0  # whoever reads it says what is wrong with it
    return sum(one.total_uncompressed_size for one in chunks if one.path_in_schema in columns)


def _rows_at_once(file: pq.ParquetFile) -> int:
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    longest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    return max(1, min(_ROWS_AT_ONCE, int(_BYTES_AT_ONCE / max(1.0, longest))))


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | tuple[str, str]]:
    """Rows as Python values, or the fault of one that has no such value."""
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError):
        # Arrow does not check that its strings are UTF-8, or that Python's calendar has its dates.
        yield from _one_by_one(batch)
    else:
        yield from rows


def _one_by_one(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | tuple[str, str]]:
    for at in range(len(batch)):
        try:
            row = batch.slice(at, 1).to_pylist()[0]
        except UnicodeDecodeError as fault:
            yield ("bad_encoding", f"not UTF-8: byte 0x{fault.object[fault.start]:02x} at byte {fault.start}")
        except (ValueError, OverflowError) as fault:
            yield ("wrong_type", f"no Python value: {fault}")
        else:
            yield row
