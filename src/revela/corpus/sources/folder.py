"""Text and code files below a folder; one file is one document."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from revela.corpus.schema import Document, Malformed, kind_of
from revela.corpus.sources.text import UnreadableError, decode
from revela.errors import RevelaError
from revela.settings import FolderSource


def check(settings: FolderSource) -> None:
    """Raise :class:`RevelaError` when the folder is missing or has no matching file."""
    if not settings.path.exists():
        raise RevelaError(f"corpus.sources: {settings.path}: no such folder.")
    if not settings.path.is_dir():
        raise RevelaError(f"corpus.sources: {settings.path}: not a folder. Use `kind: files` for one file.")
    if not _paths(settings):
        raise RevelaError(
            f"corpus.sources: {settings.path}: no file ending in {', '.join(settings.suffixes)} below it. "
            "Adapt `suffixes` or `exclude`."
        )


def read(settings: FolderSource) -> Iterator[Document | Malformed]:
    """Documents of the files below the folder, by path. The id is ``<folder's name>/<path below it>``.

    Hidden files and folders are left out, and links to folders are not followed.
    """
    check(settings)
    name = settings.path.name
    source = f"folder:{name if settings.path.is_absolute() else settings.path.as_posix()}"
    for path in _paths(settings):
        label = f"{name}/{path}" if name not in ("", "..") else path
        location = settings.path / path
        try:
            text = decode(location.read_bytes())
        except UnreadableError as fault:
            yield Malformed(label, None, fault.reason, fault.what, source)
            continue
        yield Document(label, path, text, source, kind_of(location.suffix))


def _paths(settings: FolderSource) -> list[str]:
    """Relative paths of the wanted files, sorted."""
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
    paths = []
    for folder, subfolders, names in os.walk(settings.path):
        subfolders[:] = [name for name in subfolders if not name.startswith((".", "__pycache__"))]
        for name in names:
            if name.lower().endswith(suffixes) and not name.startswith("."):
                paths.append((Path(folder) / name).relative_to(settings.path).as_posix())
    return sorted(
        path for path in paths if not any(fnmatch.fnmatchcase(path, pattern) for pattern in settings.exclude)
    )
