"""Time is over, or somebody wants it to be: the work in progress ends, what it wrote stays."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Stopped(BaseException):
    """Raised in the midst of a step. No Exception, so that no library takes it for a fault of its own."""


@contextlib.contextmanager
def stoppable(seconds: float) -> Iterator[None]:
    """Within the block SIGTERM, Ctrl-C and the end of `seconds` raise :class:`Stopped` in the main thread."""
    over = threading.Event()

    def stop(number: int, frame: object) -> None:
        raise Stopped("the time is over" if over.is_set() else signal.Signals(number).name)

    def time_is_over() -> None:
        over.set()
        os.kill(os.getpid(), signal.SIGTERM)

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    timer = threading.Timer(max(0.0, seconds), time_is_over)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in handlers.items():
            signal.signal(number, handler)
