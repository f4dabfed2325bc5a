"""One function over many tasks in several processes: in order, ending together, errors passed on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from typing import Any, TypeVar

from revela.errors import RevelaError

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tokenize_in_one_thread() -> None:
    """Call it in every process started by another: its tokenizers then have no threads of their own.

    They would compete for the other processes' cores. And in a fork of a process that had used such threads
    there are none, only the belief that there are: with TOKENIZERS_PARALLELISM=true the first batch of texts
    waits for them for ever.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def in_order(
    work: Callable[[Any, Task], Result],
    tasks: Iterable[Task],
    workers: int,
    prepare: Callable[..., Any],
    arguments: tuple[Any, ...],
    key: str,
) -> Generator[Result, None, None]:
    """Yield ``work(state, task)`` for every task, in their order.

    Two tasks a worker are ahead of the one that is yielded. However this process ends, and when the
    iterator is closed, the others end too. With one worker, or a single task, all is done in this
    process: starting another takes about a second.

    Args:
        work, prepare: functions of a module, to be found by other processes.
        workers: processes.
        arguments: of `prepare`, which gives each process its `state`, once.
        key: settings key of `workers`, for the message.

    Raises:
        RevelaError: a process was killed.
        Exception: whatever `work` raises, with a note on the task.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    tasks = _chain(first, tasks)
    if workers <= 1 or len(first) < 2:
        state = prepare(*arguments)
        for task in tasks:
            yield work(state, task)
        return
    # Spawned, not forked: this process may have threads, and a fork would copy their locks held.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, (prepare, arguments))
    try:
        yield from _results(pool, work, tasks, ahead=2 * workers, key=key)
    except BaseException:
        processes = list(pool._processes.values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


def _chain(first: list[Task], rest: Iterator[Task]) -> Iterator[Task]:
    while first:
        yield first.pop(0)  # not held any longer than needed
    yield from rest


def _results(
    pool: ProcessPoolExecutor,
    work: Callable[[Any, Task], Result],
    tasks: Iterable[Task],
    ahead: int,
    key: str,
) -> Iterator[Result]:
    running: deque[tuple[Task, Future[Result]]] = deque()
    waiting = iter(tasks)
    try:
        while True:
            for task in waiting:
                running.append((task, pool.submit(_apply, work, task)))
                if len(running) == ahead:
                    break
            if not running:
                return
            task, future = running.popleft()
            try:
                result = future.result()
            except BrokenProcessPool:
                raise
            except Exception as fault:
                fault.add_note(f"in another process, at {_shown(task)}")
                raise
            yield result
    except BrokenProcessPool as fault:
        raise RevelaError(
            "a worker process was killed, as the system does when memory runs out. Run again with fewer "
            f"{key}; what is finished is kept."
        ) from fault


def _shown(task: Any) -> str:
    text = str(task)
    return text if len(text) <= 200 else f"{text[:200]}…"


_state: Any = None
"""What `prepare` gave a worker process."""


def _begin(prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    global _state
    # The first process ends the others; and this one does not outlive it, however it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tokenize_in_one_thread()
    _state = prepare(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # for this is a worker
    connection.wait([parent.sentinel])
    os._exit(1)


def _apply(work: Callable[[Any, Task], Result], task: Task) -> Result:
    return work(_state, task)
