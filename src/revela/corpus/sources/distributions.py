"""Source files of installed Python distributions; one file is one document."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from revela.corpus.schema import Document, Malformed, kind_of
from revela.corpus.sources.text import UnreadableError, decode
from revela.errors import RevelaError
from revela.settings import DistributionsSource


def check(settings: DistributionsSource) -> None:
    """Raise :class:`RevelaError` when a distribution is not installed or has no matching file."""
    missing = []
    for name in settings.names:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if not _paths(found, settings):
            raise RevelaError(
                f"corpus.sources: distribution {name} has no file ending in {', '.join(settings.suffixes)} "
                "(after `exclude`). Adapt `suffixes` or `exclude`, or remove the name."
            )
    if missing:
        raise RevelaError(
            f"corpus.sources: not installed: {', '.join(missing)}. "
            f"Run `pip install {' '.join(missing)}`, or remove from `names`."
        )


def read(settings: DistributionsSource) -> Iterator[Document | Malformed]:
    """Documents of every named distribution, in the order of `names`, then by path.

    The id is the path as the wheel records it (``pandas/core/frame.py``), the same on every machine.
    """
    check(settings)
    for name in settings.names:
        found = distribution(name)
        source = f"distributions:{found.name}=={found.version}"
        metadata = json.dumps({"distribution": found.name, "version": found.version})
        for path in _paths(found, settings):
            location = Path(str(found.locate_file(path)))
            try:
                text = decode(location.read_bytes())
            except FileNotFoundError:
                raise RevelaError(
                    f"{path}: recorded by the distribution {name}, but not on the disk. "
                    f"Run `pip install --force-reinstall {name}`."
                ) from None
            except UnreadableError as fault:
                yield Malformed(path, None, fault.reason, fault.what, source)
                continue
            yield Document(path, path, text, source, kind_of(location.suffix), metadata)


def _paths(found: Distribution, settings: DistributionsSource) -> list[str]:
    """Recorded files below site-packages with a wanted suffix, sorted."""
    if found.files is None:
        raise RevelaError(
            f"corpus.sources: the installation of {found.name} does not record its files. "
            f"Run `pip install --force-reinstall {found.name}`."
        )
    suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
    paths = {file.as_posix() for file in found.files if file.name.lower().endswith(suffixes)}
    return sorted(
        path
        for path in paths
        if not path.startswith(("../", "/"))
        and not any(fnmatch.fnmatchcase(path, pattern) for pattern in settings.exclude)
    )
