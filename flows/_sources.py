"""Has a source of the corpus changed? Told without reading the texts."""

from __future__ import annotations

import glob
import hashlib
import json
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from revela.corpus.sources.git_command import run_git
from revela.errors import RevelaError
from revela.settings import CorpusSettings

_COMMIT = re.compile("[0-9a-f]{40}")


def fingerprints(corpus: CorpusSettings) -> dict[str, str]:
    """A digest of each source, by its number and kind, such as ``0 folder``."""
    return {f"{number} {source.kind}": _digest(source) for number, source in enumerate(corpus.sources)}


def _digest(source: Any) -> str:
    content = json.dumps([source.model_dump(mode="json"), list(_state(source))], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _state(source: Any) -> Iterator[Any]:
    """What changes when the source does."""
    if source.kind == "distributions":
        for name in source.names:
            yield name, metadata.version(name)
    elif source.kind in ("hub", "preset"):
        yield _hub_revision(source)
    elif source.kind == "git":
        yield run_git(Path(source.path), "rev-parse", source.revision).decode().strip()
    elif source.kind == "files":
        for path in sorted(glob.glob(str(source.path), recursive=True)):
            yield _file(Path(path), Path(path).parent)
    else:
        root = Path(source.path)
        yield from _files(root) if root.is_dir() else [_file(root, root.parent)]


def _files(root: Path) -> Iterator[Any]:
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield _file(path, root)


def _file(path: Path, root: Path) -> tuple[str, int, int]:
    found = path.stat()
    return path.relative_to(root).as_posix(), found.st_size, found.st_mtime_ns


def _hub_revision(source: Any) -> str:
    from huggingface_hub import HfApi

    from revela.corpus.sources.presets import hub_source

    if source.kind == "preset":
        source = hub_source(source)
    if source.revision is not None and _COMMIT.fullmatch(source.revision):
        return source.revision  # never anything new
    try:
        return HfApi().dataset_info(source.name, revision=source.revision, timeout=30).sha or ""
    except Exception as fault:  # the hub's client lets its HTTP library's own exceptions through
        raise RevelaError(
            f"corpus.sources: {source.kind} {source.name}: the hub does not tell its revision: {fault}\n"
            "Check the name and the network (HF_HUB_OFFLINE must not be set), or set `revision` to a "
            "commit's 40 digits, which is not watched."
        ) from fault
