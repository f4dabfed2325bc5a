"""Rows of JSONL (plain or gzip) and Parquet files; one row is one document."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.reading import beginning, printable, read_lines, shown, too_large
from revela.corpus.sources.rows import Columns, document_of_row, payload_of_row
from revela.errors import RevelaError
from revela.settings import FilesSource

JSON_LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".ndjson", ".ndjson.gz")
PARQUET_SUFFIXES = (".parquet",)

_ROWS_AT_ONCE = 512


def check(settings: FilesSource) -> None:
    """Raise :class:`RevelaError` for a path that matches nothing, an unknown format or a missing column."""
    for path in _paths(settings):
        if path.name.lower().endswith(PARQUET_SUFFIXES):
            _check_parquet(path, settings)
        elif path.name.lower().endswith(JSON_LINES_SUFFIXES):
            _check_json_lines(path)
        else:
            known = ", ".join(JSON_LINES_SUFFIXES + PARQUET_SUFFIXES)
            raise RevelaError(f"corpus.sources: {path}: unknown format; the suffixes read are {known}.")


def records(settings: FilesSource, max_bytes: int) -> Iterator[Record]:
    """Rows of every file that `path` matches, files by name, rows in order.

    Lines of JSON pass as they are; of Parquet only the wanted columns, as JSON. A file without any
    row is a record with the fault ``empty_file``.

    Raises:
        RevelaError: as :func:`check`, and for a damaged gzip or Parquet file.
    """
    check(settings)
    pattern = Path(settings.path)
    source = printable(f"files:{pattern.name if pattern.is_absolute() else pattern.as_posix()}")
    for path in _paths(settings):
        parquet = path.name.lower().endswith(PARQUET_SUFFIXES)
        rows = parquet_rows(path, _columns(settings), max_bytes) if parquet else json_lines(path, max_bytes)
        empty = True
        for line, payload, fault in rows:
            empty = False
            yield Record(shown(path), line, payload, source, fault)
        if empty:
            yield Record(shown(path), None, b"", source, ("empty_file", "no row"))


def parse(settings: FilesSource, record: Record) -> Document | Malformed:
    """One row's document; without `id_field` it is called ``<file name>#<line>``."""
    return document_of_row(record, _columns(settings), record.file.rpartition("/")[2])


def _columns(settings: FilesSource) -> Columns:
    return Columns(
        text=settings.text_field,
        id=settings.id_field,
        title=settings.title_field,
        metadata=tuple(settings.metadata_fields),
        kind=settings.document_kind,
        kind_field=settings.document_kind_field,
    )


def _paths(settings: FilesSource) -> list[Path]:
    paths = sorted(Path(found) for found in glob.glob(settings.path, recursive=True))
    if not paths:
        raise RevelaError(f"corpus.sources: {settings.path}: no such file, or the pattern matches nothing.")
    folders = [path for path in paths if path.is_dir()]
    if folders:
        raise RevelaError(
            f"corpus.sources: {folders[0]}: a folder. Use `path: {folders[0]}/*.jsonl`, or `kind: folder`."
        )
    return paths


def json_lines(path: Path, max_bytes: int) -> Iterator[tuple[int, bytes, tuple[str, str] | None]]:
    """Lines as (number from 1, bytes, fault); blank lines are passed over."""
    for line in read_lines(path, max_bytes):
        if line.length > max_bytes:
            yield line.number, b"", too_large(line.length, max_bytes)
        elif line.raw.strip():
            yield line.number, line.raw, None


def parquet_rows(
    path: Path, columns: Columns, max_bytes: int
) -> Iterator[tuple[int, bytes, tuple[str, str] | None]]:
    """Rows as (number from 1, the wanted columns as JSON, fault), a few hundred in memory at a time."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name in columns.wanted()]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    payload, fault = payload_of_row(row, columns)
                    if len(payload) > max_bytes:
                        payload, fault = b"", too_large(len(payload), max_bytes)
                    yield number, payload, fault
    except (pa.ArrowInvalid, OSError) as fault:
        raise RevelaError(f"{path}: damaged Parquet file after row {number}: {fault}") from None


def _check_parquet(path: Path, settings: FilesSource) -> None:
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as fault:
        raise RevelaError(f"corpus.sources: {path}: not a readable Parquet file: {fault}") from None
    if settings.text_field not in names:
        raise RevelaError(
            f"corpus.sources: {path}: no column '{settings.text_field}'. "
            f"Set `text_field` to one of: {', '.join(names)}."
        )


def _check_json_lines(path: Path) -> None:
    if beginning(path, 1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise RevelaError(
            f"corpus.sources: {path}: one JSON array, but one object a line is read. "
            f"Convert it with `jq -c '.[]' {path.name} > {path.stem}.jsonl`."
        )
