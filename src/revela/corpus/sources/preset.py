"""A corpus of the paper by its short name: a data set of the hub that is already described."""

from __future__ import annotations

from collections.abc import Iterator

from revela.corpus.schema import Document, Malformed, Record
from revela.corpus.sources import hub
from revela.corpus.sources.presets import hub_source
from revela.settings import PresetSource


def check(settings: PresetSource) -> None:
    """Open the data set and raise :class:`RevelaError` when it cannot be had."""
    hub.check(hub_source(settings))


def records(settings: PresetSource, max_bytes: int) -> Iterator[Record]:
    """Rows of the data set in their order, at most `limit` of them.

    Raises:
        RevelaError: no network, no such data set or revision.
    """
    return hub.records(hub_source(settings), max_bytes)


def parse(settings: PresetSource, record: Record) -> Document | Malformed:
    """One row's document."""
    return hub.parse(hub_source(settings), record)
