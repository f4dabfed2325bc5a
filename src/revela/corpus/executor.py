"""Runs a function over blocks in several processes of this machine, in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from revela.errors import RevelaError

Item = TypeVar("Item")
Result = TypeVar("Result")

_work: Callable | None = None


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_local(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None, key: str
) -> Iterator[Result]:
    """``work(item)`` for every item, results in the order of the items.

    Two items a process are in flight, so memory is bounded whatever the number of items. A single item
    is worked on here: starting processes takes about a second.

    Args:
        work: picklable; sent once to every process.
        items: drawn by this process as they are needed.
        workers: processes; None for one a core.
        key: settings key of `workers`, for the message.

    Raises:
        RevelaError: a process died; whatever `work` raises comes back as it is.
    """
    workers = workers or available_cores()
    items = iter(items)
    first = list(_take(items, 2))
    if workers == 1 or len(first) < 2:
        yield from map(work, _chain(first, items))
        return
    # Not fork: this process has threads (Arrow's, the progress bar's), whose locks a fork would copy as held.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(work,))
    pending: deque[Future[Result]] = deque()
    try:
        for item in _chain(first, items):
            pending.append(pool.submit(_call, item))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as fault:
        raise RevelaError(
            "a worker process died, most likely for lack of memory (`dmesg` tells). "
            f"Lower {key} (now {workers}); what is finished is kept."
        ) from fault
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take(items: Iterator[Item], count: int) -> Iterator[Item]:
    for _, item in zip(range(count), items, strict=False):
        yield item


def _chain(first: list[Item], rest: Iterator[Item]) -> Iterator[Item]:
    while first:
        yield first.pop(0)  # not held any longer than needed
    yield from rest


def _start(work: Callable) -> None:
    global _work
    _work = work
    # Ctrl-C is the parent's to handle: it stops the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _call(item: Item) -> Result:
    assert _work is not None
    return _work(item)
