"""What a damaged input is, and what is to become of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from revela.settings import FilesSource, Source

VARIANTS = 5
MAX_BYTES = 20_000


@dataclass(frozen=True)
class Case:
    """A damaged input.

    Attributes:
        source: how it is read.
        good: rows or files that must come out as documents.
        bad: rows or files that must be named as malformed.
        stops: the file that an error must name, where reading must stop instead.
    """

    source: Source
    good: int = 0
    bad: int = 0
    stops: str | None = None


GOOD = [
    json.dumps({"_id": str(number), "text": f"text {number} " * 3}).encode() for number in range(VARIANTS)
]


def stop(folder: Path, name: str, content: bytes) -> Case:
    """A file that must stop the reading."""
    (folder / name).write_bytes(content)
    return Case(FilesSource(kind="files", path=f"{folder}/{name}"), stops=name)
