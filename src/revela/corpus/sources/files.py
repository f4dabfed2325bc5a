"""Rows of JSONL, CSV and TSV (each plain or gzip) and Parquet files; one row is one document."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.csv_rows import check_header, csv_rows
from revela.corpus.sources.parquet_rows import check_parquet, parquet_rows, parquet_size
from revela.corpus.sources.reading import beginning, printable, read_lines, shown, size_of, too_large
from revela.corpus.sources.rows import Columns, Row, document_of_row
from revela.errors import RevelaError
from revela.settings import FilesSource

JSON_LINES_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".ndjson", ".ndjson.gz")
CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet",)


def check(settings: FilesSource) -> None:
    """Raise :class:`RevelaError` for a path that matches nothing, an unknown format or a missing column."""
    columns = Columns.of(settings)
    for path in _paths(settings):
        name = path.name.lower()
        if name.endswith(PARQUET_SUFFIXES):
            check_parquet(path, columns)
        elif name.endswith(CSV_SUFFIXES):
            check_header(path, columns, settings.quoting)
        elif name.endswith(JSON_LINES_SUFFIXES):
            _check_json_lines(path)
        else:
            known = ", ".join(JSON_LINES_SUFFIXES + CSV_SUFFIXES + PARQUET_SUFFIXES)
            raise RevelaError(f"corpus.sources: {path}: unknown format; the suffixes read are {known}.")


def records(settings: FilesSource, max_bytes: int) -> Iterator[Record]:
    """Rows of every file that `path` matches, files by name, rows in order.

    Lines of JSON pass as they are; of the other formats only the wanted columns, as JSON. A file
    without any row is a record with the fault ``empty_file``.

    Raises:
        RevelaError: as :func:`check`, and for a damaged gzip or Parquet file.
    """
    check(settings)
    pattern = Path(settings.path)
    source = printable(f"files:{pattern.name if pattern.is_absolute() else pattern.as_posix()}")
    for path in _paths(settings):
        empty = True
        for line, payload, fault in _rows(path, settings, max_bytes):
            empty = False
            yield Record(shown(path), line, payload, source, fault)
        if empty:
            yield Record(shown(path), None, b"", source, ("empty_file", "no row"))


def size(settings: FilesSource) -> int:
    """Bytes of all rows, uncompressed, as far as the files tell; for an estimate of the time left."""
    columns = Columns.of(settings).wanted()
    return sum(
        parquet_size(path, columns) if path.name.lower().endswith(PARQUET_SUFFIXES) else size_of(path)
        for path in _paths(settings)
    )


def parse(settings: FilesSource, record: Record) -> Document | Malformed:
    """One row's document; without `id_field` it is called ``<file name>#<line>``."""
    return document_of_row(record, Columns.of(settings), record.file.rpartition("/")[2])


def _rows(path: Path, settings: FilesSource, max_bytes: int) -> Iterator[Row]:
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return parquet_rows(path, Columns.of(settings), max_bytes)
    if name.endswith(CSV_SUFFIXES):
        return csv_rows(path, Columns.of(settings), max_bytes, settings.quoting)
    return _json_lines(path, max_bytes)


def _paths(settings: FilesSource) -> list[Path]:
    """Files that `path` matches, sorted; pipes and devices are passed over."""
    found = sorted(_matches(settings.path))
    folders = [path for path in found if path.is_dir()]
    if folders:
        raise RevelaError(
            f"corpus.sources: {folders[0]}: a folder. Use `path: {folders[0]}/*.jsonl`, or `kind: folder`."
        )
    astray = [path for path in found if path.is_symlink() and not path.exists()]
    if astray:
        raise RevelaError(f"corpus.sources: {astray[0]}: a link that leads nowhere. Remove or mend it.")
    paths = [path for path in found if path.is_file()]
    if not paths:
        raise RevelaError(f"corpus.sources: {settings.path}: no such file, or the pattern matches nothing.")
    return paths


def _matches(pattern: str) -> list[Path]:
    """Paths that a shell pattern matches. ``**`` does not follow links to folders: they may form a loop."""
    if not glob.has_magic(pattern):
        return [Path(pattern)] if os.path.lexists(pattern) else []
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base, below = Path(*parts[:first]), "/".join(parts[first:])
    try:
        found = list(base.glob(below))
    except ValueError as fault:
        raise RevelaError(f"corpus.sources: {pattern}: {fault}") from None
    hidden_wanted = any(part.startswith(".") for part in parts[first:])
    return [
        path
        for path in found
        if hidden_wanted or not any(part.startswith(".") for part in path.relative_to(base).parts)
    ]


def _json_lines(path: Path, max_bytes: int) -> Iterator[Row]:
    """Lines as they are; blank ones are passed over."""
    for line in read_lines(path, max_bytes):
        if line.length > max_bytes:
            yield Row(line.number, b"", too_large(line.length, max_bytes))
        elif line.raw.strip():
            yield Row(line.number, line.raw, None)


def _check_json_lines(path: Path) -> None:
    if beginning(path, 1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise RevelaError(
            f"corpus.sources: {path}: one JSON array, but one object a line is read. "
            f"Convert it with `jq -c '.[]' {path.name} > rows.jsonl`."
        )
