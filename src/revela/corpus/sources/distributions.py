"""Source files of installed Python distributions; one file is one document."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources.reading import read_file
from revela.corpus.sources.text import document_of_file
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


def records(settings: DistributionsSource, max_bytes: int) -> Iterator[Record]:
    """Files of every named distribution, in the order of `names`, then by path.

    A record's file, and later the document's id, is the path as the wheel records it
    (``pandas/core/frame.py``), the same on every machine.

    Raises:
        RevelaError: as :func:`check`, and for a recorded file that is not on the disk.
    """
    check(settings)
    for name in settings.names:
        found = distribution(name)
        source = f"distributions:{found.name}=={found.version}"
        for path in _paths(found, settings):
            location = Path(str(found.locate_file(path)))
            if not location.exists():
                raise RevelaError(
                    f"{path}: recorded by the distribution {name}, but not on the disk. "
                    f"Run `pip install --force-reinstall {name}`."
                )
            read = read_file(location, max_bytes)
            if read is not None:
                yield Record(path, None, read[0], source, read[1])


def parse(settings: DistributionsSource, record: Record) -> Document | Malformed:
    """One file's document, with the distribution and its version in the metadata."""
    name, _, version = record.source.removeprefix("distributions:").partition("==")
    path = PurePosixPath(record.file)
    return document_of_file(record, record.file, path.suffix, {"distribution": name, "version": version})


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
