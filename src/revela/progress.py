"""Progress of a long loop: a bar on a terminal, otherwise a log line every ten seconds."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

logger = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 10.0

Item = TypeVar("Item")


def track(iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items of `iterable` and report how far it has come.

    Args:
        iterable: what to go through.
        description: a few words that begin every report.
        total: number of items, for a share and an estimate; taken from `len` where there is one.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        yield from _track_with_bar(iterable, description, total)
    else:
        yield from _track_with_log(iterable, description, total)


def _track_with_bar(iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(iterable, total=total, description=description)


def _track_with_log(iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    start = reported = time.monotonic()
    count = 0
    for item in iterable:
        yield item
        count += 1
        now = time.monotonic()
        if now - reported >= LOG_EVERY_SECONDS:
            reported = now
            logger.info("%s", describe(description, count, total, now - start))
    logger.info("%s: %d done in %s", description, count, _duration(time.monotonic() - start))


def describe(description: str, count: int, total: int | None, seconds: float) -> str:
    """One report as text, e.g. ``"chunking: 300 of 1200 (25%), 30.0/s, 0:30 left"``."""
    rate = count / seconds if seconds > 0 else 0.0
    if not total:
        return f"{description}: {count}, {rate:.1f}/s"
    left = f", {_duration((total - count) / rate)} left" if rate > 0 else ""
    return f"{description}: {count} of {total} ({100 * count // total}%), {rate:.1f}/s{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
