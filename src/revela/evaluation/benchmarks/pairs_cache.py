"""Pairs that an earlier process has made of the same sources, on disk. Safe to delete at any time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from revela.errors import RevelaError
from revela.files import atomic_write_text
from revela.paths import CACHE, PARAMS

log = logging.getLogger(__name__)

KEPT_FILES = 12
"""The three benchmarks of four interpreters or releases; those not read for longest go."""

Rows = Sequence[Sequence[str]]


def remembered(root: Path, files: Iterable[Path], made_by: Iterable[str], make: Callable[[], Rows]) -> Rows:
    """What `make` returns, from the disk where it was made of the same files by the same code before.

    Only in a project, for there is its ``cache/``; elsewhere it is made anew.

    Args:
        root: what the names of files are relative to.
        files: all that `make` reads.
        made_by: names of the modules that decide what is made of them.
        make: gives rows of strings; what it raises is raised.
    """
    if not PARAMS.is_file():
        return make()
    try:
        content = digest(root, tuple(files))
    except OSError:
        return make()  # which says which file cannot be read
    code = [Path(str(sys.modules[name].__file__)).read_bytes() for name in made_by]
    python = f"{platform.python_implementation()} {platform.python_version()}".encode()
    key = hashlib.sha256(b"\0".join([python, content, *code])).hexdigest()
    file = CACHE / "benchmarks" / f"{key}.json"
    rows = _read(file)
    if rows is None:
        rows = make()
        _write(file, rows)
    return rows


@functools.cache
def digest(root: Path, files: tuple[Path, ...]) -> bytes:
    """SHA-256 of names and contents, read once a process."""
    found = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        found.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.digest()


def _read(file: Path) -> Rows | None:
    try:
        rows: Rows = json.loads(file.read_text(encoding="utf-8"))
        if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
            raise ValueError("no list of rows")
        os.utime(file)
        return rows
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as fault:
        log.warning("%s: cannot be read and is made again (%s)", file, fault)
        return None


def _write(file: Path, rows: Rows) -> None:
    try:
        atomic_write_text(file, json.dumps(rows, ensure_ascii=False))
    except (OSError, RevelaError) as fault:  # the latter of a disk that is full
        log.warning("%s: pairs are not kept (%s)", file, fault)
    with contextlib.suppress(OSError):  # another process may have removed what is about to be
        others = sorted(file.parent.glob("*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in others[KEPT_FILES:]:
            old.unlink()
