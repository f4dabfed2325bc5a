"""Text, HTML and code files below a folder; one file is one document."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.reading import printable, read_file
from revela.corpus.sources.text import document_of_file
from revela.errors import RevelaError
from revela.settings import FolderSource


def check(settings: FolderSource) -> None:
    """Raise :class:`RevelaError` when the folder is missing or has no matching file."""
    if not settings.path.exists():
        raise RevelaError(f"corpus.sources: {settings.path}: no such folder.")
    if not settings.path.is_dir():
        raise RevelaError(f"corpus.sources: {settings.path}: not a folder. Use `kind: files` for one file.")
    if next(_walk(settings), None) is None:
        raise RevelaError(
            f"corpus.sources: {settings.path}: no file ending in {', '.join(settings.suffixes)} below it. "
            "Adapt `suffixes` or `exclude`."
        )


def records(settings: FolderSource, max_bytes: int) -> Iterator[Record]:
    """Files below the folder, by path. A record's file is ``<folder's name>/<path below it>``.

    Hidden files and folders are left out, links to folders are not followed, and what is neither file
    nor folder (a pipe, a device) is passed over. A folder that cannot be listed is a record with a fault.

    Raises:
        RevelaError: as :func:`check`.
    """
    check(settings)
    name = settings.path.name
    source = f"folder:{name if settings.path.is_absolute() else settings.path.as_posix()}"
    for path, fault in _walk(settings):
        label = printable(f"{name}/{path}" if name not in ("", "..") else path)
        read = (b"", fault) if fault is not None else read_file(settings.path / path, max_bytes)
        if read is not None:
            yield Record(label, None, read[0], printable(source), read[1])


def parse(settings: FolderSource, record: Record) -> Document | Malformed:
    """One file's document; its title is the path below the folder."""
    name = settings.path.name
    title = record.file.removeprefix(printable(f"{name}/")) if name not in ("", "..") else record.file
    return document_of_file(record, title, PurePosixPath(record.file).suffix, {})


def _walk(settings: FolderSource) -> Iterator[tuple[str, tuple[str, str] | None]]:
    """(relative path, None) of every wanted file by path, and (path, fault) of folders not listed.

    One folder's names are in memory at a time, and those of the folders above it.
    """
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
    waiting = [""]
    while waiting:
        path = waiting.pop()
        if path and not path.endswith("/"):
            yield path, None
            continue
        try:
            found = _entries(settings.path / path)
        except OSError as fault:
            yield path, ("unreadable", f"folder not listed: {fault.strerror}")
            continue
        for name in found:
            below = path + name
            if name.startswith((".", "__pycache__")):
                continue
            wanted = name.endswith("/") or name.lower().endswith(suffixes)
            if wanted and not any(fnmatch.fnmatchcase(below, pattern) for pattern in settings.exclude):
                waiting.append(below)


def _entries(folder: Path) -> list[str]:
    """Names in a folder, those of folders with a slash, from last to first by path."""
    with os.scandir(folder) as entries:
        names = [entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries]
    return sorted(names, reverse=True)
