"""Rows of JSONL (plain or gzip) and Parquet files; one row is one document."""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from revela.corpus.schema import Document, Malformed
from revela.corpus.sources.text import UnreadableError, decode, label_of_row, text_of_row
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


def read(settings: FilesSource) -> Iterator[Document | Malformed]:
    """Documents of every file that `path` matches, files by name, rows in order.

    A row without `id_field` is called ``<file name>#<line>``.

    Raises:
        RevelaError: as :func:`check`, and for a damaged gzip or Parquet file.
    """
    check(settings)
    pattern = Path(settings.path)
    source = f"files:{pattern.name if pattern.is_absolute() else pattern.as_posix()}"
    for path in _paths(settings):
        parquet = path.name.lower().endswith(PARQUET_SUFFIXES)
        for line, row in _parquet_rows(path, settings) if parquet else _json_rows(path):
            try:
                if isinstance(row, UnreadableError):
                    raise row
                text = text_of_row(row, settings.text_field)
            except UnreadableError as fault:
                yield Malformed(_shown(path), line, fault.reason, fault.what, source)
                continue
            yield Document(
                id=label_of_row(row, settings.id_field) or f"{path.name}#{line}",
                title=label_of_row(row, settings.title_field),
                text=text,
                source=source,
                kind="text",
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


def _shown(path: Path) -> str:
    """The path for a message: as the settings give it, but only the name when that is absolute."""
    return path.name if path.is_absolute() else path.as_posix()


def _open(path: Path) -> Any:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | UnreadableError]]:
    """Lines as (number from 1, object), or the fault in its place; blank lines are skipped."""
    line = 0
    try:
        with _open(path) as file:
            for line, raw in enumerate(file, start=1):
                if raw.strip():
                    yield line, _parse(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise RevelaError(f"{path}:{line}: damaged gzip file after this line: {fault}") from None


def _parse(raw: bytes) -> dict[str, Any] | UnreadableError:
    try:
        row = json.loads(decode(raw))
    except UnreadableError as fault:
        return fault
    except (ValueError, RecursionError) as fault:
        return UnreadableError("bad_json", f"not JSON: {fault}")
    if not isinstance(row, dict):
        return UnreadableError("not_an_object", f"a JSON {type(row).__name__}, not an object")
    return row


def _parquet_rows(path: Path, settings: FilesSource) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows as (number from 1, the wanted columns), a few hundred in memory at a time."""
    row_number = 0
    try:
        with pq.ParquetFile(path) as file:
            wanted = {settings.text_field, settings.id_field, settings.title_field}
            columns = [name for name in file.schema_arrow.names if name in wanted]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                for row in batch.to_pylist():
                    row_number += 1
                    yield row_number, row
    except (pa.ArrowInvalid, OSError) as fault:
        raise RevelaError(f"{path}: damaged Parquet file after row {row_number}: {fault}") from None


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
    try:
        with _open(path) as file:
            beginning = file.read(1024)
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise RevelaError(f"corpus.sources: {path}: not a readable gzip file: {fault}") from None
    if beginning.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        raise RevelaError(
            f"corpus.sources: {path}: one JSON array, but one object a line is read. "
            f"Convert it with `jq -c '.[]' {path.name} > {path.stem}.jsonl`."
        )
