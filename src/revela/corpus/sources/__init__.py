"""Where documents come from: one kind of source a file.

Each has `check(settings)`, quick and before any long work; `records(settings, max_bytes)`, which one
process reads in order; and `parse(settings, record)`, which any number of processes can share.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources import distributions, files, folder, git, hub, preset, stackexchange
from revela.settings import CorpusSettings, Source

SOURCES: dict[str, ModuleType] = {
    "distributions": distributions,
    "files": files,
    "folder": folder,
    "git": git,
    "hub": hub,
    "preset": preset,
    "stackexchange": stackexchange,
}


def open_records(source: Source, max_bytes: int = 16_000_000) -> Iterator[Record]:
    """Raw rows and files of one source, unparsed, in the same order every time.

    Args:
        max_bytes: a longer row or file comes as a record with the fault ``too_large``, unread.

    Raises:
        RevelaError: the source cannot be read, or a file of many rows is damaged.
    """
    return SOURCES[source.kind].records(source, max_bytes)


def parse_record(source: Source, record: Record) -> Document | Malformed:
    """What one record of :func:`open_records` holds; needs nothing but the two, so any process can do it."""
    return SOURCES[source.kind].parse(source, record)


def open_source(source: Source, max_bytes: int = 16_000_000) -> Iterator[Document | Malformed]:
    """Records of one source, parsed one after the other.

    Raises:
        RevelaError: as :func:`open_records`; single bad rows come as :class:`Malformed` instead.
    """
    for record in open_records(source, max_bytes):
        yield parse_record(source, record)


def check_sources(settings: CorpusSettings) -> None:
    """Check every source quickly, before long work starts.

    Raises:
        RevelaError: a missing path, a pattern that matches nothing, a distribution that is not
            installed, a missing column, a data set that cannot be reached.
    """
    for source in settings.sources:
        SOURCES[source.kind].check(source)
