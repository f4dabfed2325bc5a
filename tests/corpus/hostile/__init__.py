"""Damaged inputs of many kinds, each with what is to become of it: five variants of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hostile import folders, lines, tables
from hostile.case import Case

KINDS: dict[str, Callable[[Path, int], Case]] = {
    kind.__name__: kind for kind in (*lines.KINDS, *tables.KINDS, *folders.KINDS)
}
