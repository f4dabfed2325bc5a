"""Progress of a long loop: a bar on a terminal, otherwise a log line every ten seconds."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
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


def track(
    iterable: Iterable[Item],
    description: str,
    total: float | None = None,
    size: Callable[[Item], float] | None = None,
) -> Iterator[Item]:
    """Yield the items of `iterable` and report how far it has come.

    Args:
        iterable: what to go through.
        description: a few words that begin every report.
        total: number of items (or sum of their sizes), for a share and an estimate; taken from `len` where
            there is one and `size` is not given.
        size: what an item counts for; without it, one.
    """
    if total is None and size is None and isinstance(iterable, Sized):
        total = len(iterable)
    follow = _track_with_bar if sys.stderr.isatty() else _track_with_log
    yield from follow(iterable, description, total, size or (lambda item: 1))


def _track_with_bar(
    iterable: Iterable[Item], description: str, total: float | None, size: Callable[[Item], float]
) -> Iterator[Item]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        for item in iterable:
            yield item
            progress.advance(task, size(item))


def _track_with_log(
    iterable: Iterable[Item], description: str, total: float | None, size: Callable[[Item], float]
) -> Iterator[Item]:
    start = reported = time.monotonic()
    count: float = 0
    for item in iterable:
        yield item
        count += size(item)
        now = time.monotonic()
        if now - reported >= LOG_EVERY_SECONDS:
            reported = now
            logger.info("%s", describe(description, count, total, now - start))
    logger.info("%s: %s done in %s", description, _number(count), _duration(time.monotonic() - start))


def describe(description: str, count: float, total: float | None, seconds: float) -> str:
    """One report as text, e.g. ``"chunking: 300 of 1200 (25%), 30.0/s, 0:30 left"``."""
    rate = count / seconds if seconds > 0 else 0.0
    if not total:
        return f"{description}: {_number(count)}, {rate:.1f}/s"
    # A total may be an estimate, and fall short.
    left = f", {_duration(max(0.0, total - count) / rate)} left" if rate > 0 else ""
    share = min(100, int(100 * count / total))
    return f"{description}: {_number(count)} of {_number(total)} ({share}%), {rate:.1f}/s{left}"


def _number(count: float) -> str:
    return f"{count:.1f}" if isinstance(count, float) and not count.is_integer() else str(int(count))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
