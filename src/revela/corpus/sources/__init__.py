"""Where documents come from: one kind of source a file, each with `check` and `read`."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from revela.corpus.schema import Document, Malformed
from revela.corpus.sources import distributions, files, folder, hub
from revela.settings import CorpusSettings, Source

SOURCES: dict[str, ModuleType] = {
    "distributions": distributions,
    "files": files,
    "folder": folder,
    "hub": hub,
}


def open_source(source: Source) -> Iterator[Document | Malformed]:
    """Stream one source, in the same order every time.

    Raises:
        RevelaError: the source cannot be read; single bad rows come as :class:`Malformed` instead.
    """
    return SOURCES[source.kind].read(source)


def check_sources(settings: CorpusSettings) -> None:
    """Check every source quickly, before long work starts.

    Raises:
        RevelaError: a missing path, a pattern that matches nothing, a distribution that is not
            installed, a missing column, a data set that cannot be reached.
    """
    for source in settings.sources:
        SOURCES[source.kind].check(source)
