"""A folder as one compressed archive in parts of bounded size, and the script that undoes it."""

from __future__ import annotations

import itertools
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

from bench.gpu.bundle import unpack
from revela.files import atomic_write_text, sha256_file
from revela.progress import track

JOIN = "join.sh"

_HARD = {".gguf", ".safetensors", ".whl"}
"""What hardly shrinks: searched for repetitions briefly."""

_QUICK = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
# A window of 64 MiB: groups and benchmarks repeat each other's texts.
_THOROUGH = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26}]

_SCRIPT = """#!/usr/bin/env bash
# Put the parts beside this file together: bash join.sh DEST PART...
# Their order does not matter. Needs Python 3.12 with pip; PYTHON names it where it is not python3.
set -euo pipefail
exec "${{PYTHON:-python3}}" - "$@" <<'END_OF_PROGRAM'
{program}

if __name__ == "__main__":
    main(json.loads('{parts}'), sys.argv[1:])
END_OF_PROGRAM
"""

Rows = list[dict[str, Any]]


def pack(payload: Path, folder: Path, part_bytes: int) -> Rows:
    """Write ``part-01``, ``part-02``, … of at most `part_bytes` bytes each, and join.sh.

    Equal files in `payload` give equal bytes. Returns name, size and SHA-256 of each part.
    """
    paths = (path for path in payload.rglob("*") if path.is_file())
    files = sorted(paths, key=lambda path: (path.suffix in _HARD, path.relative_to(payload).as_posix()))
    total = sum(path.stat().st_size for path in files)
    with _Parts(folder, part_bytes) as parts:
        follow = track(files, "packing bytes", total=total, size=lambda path: path.stat().st_size)
        for hard, some in itertools.groupby(follow, key=lambda path: path.suffix in _HARD):
            # Archives one after another are no archive, but compressed streams one after another are one.
            with lzma.open(parts, "wb", format=lzma.FORMAT_XZ, filters=_QUICK if hard else _THOROUGH) as file:
                for path in some:
                    file.write(_entry(path, payload).tobuf(tarfile.PAX_FORMAT))
                    file.write(path.read_bytes())
                    file.write(bytes(-path.stat().st_size % tarfile.BLOCKSIZE))
        parts.write(lzma.compress(bytes(2 * tarfile.BLOCKSIZE)))
    rows = [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in parts.paths
    ]
    program = Path(unpack.__file__).read_text(encoding="utf-8").rstrip()
    atomic_write_text(folder / JOIN, _SCRIPT.format(program=program, parts=json.dumps(rows)))
    return rows


def _entry(path: Path, root: Path) -> tarfile.TarInfo:
    """Without owner, date and rights: those differ between machines."""
    entry = tarfile.TarInfo(path.relative_to(root).as_posix())
    entry.size, entry.mode = path.stat().st_size, 0o644
    return entry


class _Parts:
    """A file to write to that is cut into several."""

    def __init__(self, folder: Path, part_bytes: int) -> None:
        self.paths: list[Path] = []
        self._folder, self._limit = folder, part_bytes
        self._room = 0
        self._file: Any = None

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while len(view):
            if self._room == 0:
                self._open_next()
            written = self._file.write(view[: self._room])
            self._room -= written
            view = view[written:]
        return len(data)

    def _open_next(self) -> None:
        self.__exit__()
        self.paths.append(self._folder / f"part-{len(self.paths) + 1:02d}")
        self._file = self.paths[-1].open("wb")
        self._room = self._limit
