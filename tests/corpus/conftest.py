"""Small real corpora on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def notes(tmp_path: Path) -> Callable[..., Path]:
    """Write files below a folder `notes` from {relative path: text or bytes} and return the folder."""

    def write(files: dict[str, str | bytes]) -> Path:
        folder = tmp_path / "notes"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder

    return write
