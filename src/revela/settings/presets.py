"""Take the method of a preset into a user's settings, and leave the user's text and benchmarks alone."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from revela.errors import RevelaError
from revela.settings.ablations import ABLATIONS_FILE

METHOD = ("backbone", "batches", "objective", "training")
"""Sections that say how a retriever is made; all others say of what, and how it is judged."""

_SECTION = re.compile(r"(?m)^([A-Za-z_]\w*):")


def presets(folder: Path) -> dict[str, str]:
    """Name -> what its first comment says of it; of whole settings files, not of their ablations.

    Raises:
        RevelaError: there are none in `folder`.
    """
    files = sorted(path for path in folder.glob("*.yaml") if not path.name.endswith(f".{ABLATIONS_FILE}"))
    if not files:
        raise RevelaError(f"{folder}: no presets there. Run from the project's root.")
    return {file.stem: file.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ") for file in files}


def ablations_of(folder: Path, name: str) -> str | None:
    """The text of the ablations that come with a preset; None where it has none of its own."""
    path = folder / f"{name}.{ABLATIONS_FILE}"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def with_method(settings: str, preset: str) -> str:
    """The text of a settings file with the sections :data:`METHOD` of a preset in place of its own.

    Comments stay with what stands below them. Sections that the settings lack are appended.

    >>> with_method("seed: 1\\ntraining: old\\nevaluate: mine\\n", "seed: 0\\ntraining: new\\n")
    'seed: 1\\ntraining: new\\nevaluate: mine\\n'
    """
    own, wanted = _sections(settings), _sections(preset)
    for name in METHOD:
        if name in wanted:
            own[name] = wanted[name]
    blank = "\n" if "\n\n" in settings else ""
    return blank.join(f"{text.rstrip()}\n" for text in own.values() if text.strip())


def _sections(text: str) -> dict[str, str]:
    """Top-level key -> its lines, with the comments above it; "" is what stands above the first."""
    starts = [(match[1], _with_comments(text, match.start())) for match in _SECTION.finditer(text)]
    found = {"": text[: starts[0][1]] if starts else text}
    for (name, start), (_, end) in pairwise([*starts, ("", len(text))]):
        found[name] = text[start:end]
    return found


def _with_comments(text: str, start: int) -> int:
    """Where the comment lines directly above a position begin, or the position; a blank line ends them."""
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if not text[above:start].startswith("#"):
            return start
        start = above
    return start
