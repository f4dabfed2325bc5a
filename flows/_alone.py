"""One run at a time in a project's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from revela import paths

LOCK = paths.CACHE / "flows.lock"


@contextmanager
def alone(log: Callable[[str], object]) -> Iterator[None]:
    """Wait until no other flow works in this folder, and keep others waiting for the block.

    Deployments have a limit each, but `nightly` and `on-demand` share params.yaml, the stages' outputs and
    DVC's locks. The system takes the lock back from a process that is killed.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log("another run works in this folder; this one begins when that has ended")
        lock.acquire(poll_interval=1)
    try:
        yield
    finally:
        lock.release()
