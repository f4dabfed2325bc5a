"""Bytes from files that may be hostile: never more of one in memory than was allowed."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from revela.errors import RevelaError

# A gzip file is refused when it grows beyond both. Text shrinks 3 to 10 times, logs up to 50 times.
_BOMB_BYTES = 100_000_000
_BOMB_RATIO = 100

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Line(NamedTuple):
    """One line of a file.

    Attributes:
        number: from 1.
        raw: its bytes with the line end; empty when it was longer than allowed.
        length: its length in bytes.
    """

    number: int
    raw: bytes
    length: int


def too_large(length: int, max_bytes: int) -> tuple[str, str]:
    """The fault of a record with more bytes than allowed."""
    return (
        "too_large",
        f"{length / 1e6:.1f} MB, more than corpus.max_record_megabytes ({max_bytes / 1e6:g})",
    )


def read_file(path: Path, max_bytes: int) -> tuple[bytes, tuple[str, str] | None] | None:
    """(bytes, None) of a file, or (b"", fault) when it is too large or cannot be read.

    None for what is no file: a folder, a pipe, a device. A pipe is not waited for.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                return None
            if found.st_size > max_bytes:
                return b"", too_large(found.st_size, max_bytes)
            raw = _read_all(handle, max_bytes + 1)
        finally:
            os.close(handle)
    except OSError as fault:
        return b"", ("unreadable", fault.strerror or type(fault).__name__)
    return (b"", too_large(len(raw), max_bytes)) if len(raw) > max_bytes else (raw, None)


def _read_all(handle: int, limit: int) -> bytes:
    parts, left = [], limit
    while left and (part := os.read(handle, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_lines(path: Path, max_bytes: int) -> Iterator[Line]:
    """Lines of a plain or gzip file; a line longer than `max_bytes` comes empty, and is never held.

    Raises:
        RevelaError: the file cannot be read, is UTF-16, a damaged gzip file, or one that grows to more
            than 100 MB and 100 times its size.
    """
    number = 0
    compressed = path.name.lower().endswith(".gz")
    try:
        with open(path, "rb") as plain:
            if not stat.S_ISREG(os.fstat(plain.fileno()).st_mode):
                raise RevelaError(f"{path}: not a regular file.")
            allowed = max(_BOMB_BYTES, _BOMB_RATIO * os.fstat(plain.fileno()).st_size)
            file = gzip.GzipFile(fileobj=plain) if compressed else plain
            taken = 0
            while raw := file.readline(max_bytes + 1):
                number += 1
                if number == 1 and raw.startswith(_UTF_16):
                    raise RevelaError(f"{path}: UTF-16. Convert it with `iconv -f UTF-16 -t UTF-8`.")
                length = len(raw)
                taken += length
                if length > max_bytes:
                    rest = () if raw.endswith(b"\n") else _rest_of_line(file)
                    raw = b""
                    for skipped in rest:
                        length += skipped
                        taken += skipped
                        _check_growth(path, number, taken, allowed, compressed)
                _check_growth(path, number, taken, allowed, compressed)
                yield Line(number, raw, length)
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise RevelaError(f"{path}:{number}: damaged gzip file after this line: {fault}") from None
    except OSError as fault:
        raise RevelaError(f"{path}:{number}: cannot be read after this line: {fault.strerror}") from None


def beginning(path: Path, length: int) -> bytes:
    """The first bytes of a plain or gzip file.

    Raises:
        RevelaError: the file cannot be read, or is a damaged gzip file.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as file:
            return file.read(length)
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise RevelaError(f"{path}: not a readable gzip file: {fault}") from None
    except OSError as fault:
        raise RevelaError(f"{path}: cannot be read: {fault.strerror}") from None


def _rest_of_line(file: gzip.GzipFile | io.BufferedReader) -> Iterator[int]:
    """Go on to the end of a line that is too long; lengths of the pieces that were passed over."""
    while piece := file.readline(1 << 20):
        yield len(piece)
        if piece.endswith(b"\n"):
            return


def _check_growth(path: Path, line: int, taken: int, allowed: int, compressed: bool) -> None:
    if compressed and taken > allowed:
        raise RevelaError(
            f"{path}:{line}: grows to more than {taken / 1e6:.0f} MB, {_BOMB_RATIO} times its size: refused "
            "as a decompression bomb. If it is meant to be so, decompress it and read the plain file."
        )


def shown(path: Path) -> str:
    """The path for a message or id: as the settings give it, but only the name when that is absolute."""
    return printable(path.name if path.is_absolute() else path.as_posix())


def printable(name: str) -> str:
    r"""A file name with every byte that is not UTF-8 spelled out: ``caf\xe9.txt``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def size_of(path: Path) -> int:
    """Bytes that a file holds, for an estimate; of a gzip file, what it expands to.

    Gzip's last four bytes are the expanded size modulo 2**32 of its last member (RFC 1952); where that
    is less than the compressed size it has wrapped round or there are several members, and five times
    the compressed size is as good a guess as any.
    """
    try:
        size = path.stat().st_size
        if not path.name.lower().endswith(".gz") or size < 18:
            return size
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            expanded = int.from_bytes(file.read(4), "little")
    except OSError:
        return 0  # whoever reads it says what is wrong with it
    return expanded if expanded >= size else 5 * size
