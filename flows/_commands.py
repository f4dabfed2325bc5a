"""Run a command as part of a flow: its output in the run's log, its processes gone when the run ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

_GUARD = Path(__file__).with_name("_guard.py")
_TAIL = 40
_KILL_AFTER_S = 25.0
_TRANSIENT = re.compile(
    r"ConnectionError|ConnectTimeout|ReadTimeout|Connection reset|Temporary failure in name resolution|"
    r"Max retries exceeded|503 Server Error|504 Server Error|429 Client Error|database is locked|"
    r"is busy, it is being blocked by",
)
"""What another try may mend: the network, a busy hub, a store or a stage that another process holds."""


class CommandFailedError(RuntimeError):
    """A command ended with another code than 0.

    Attributes:
        transient: its output names something that passes by itself.
    """

    def __init__(self, command: Sequence[str], code: int, tail: Sequence[str]) -> None:
        self.command, self.code, self.tail = list(command), code, list(tail)
        self.transient = any(_TRANSIENT.search(line) for line in tail)
        super().__init__(f"`{' '.join(command)}` ended with code {code}:\n" + "\n".join(tail))

    def __reduce__(self) -> tuple:
        return type(self), (self.command, self.code, self.tail)


def run(command: Sequence[str], log: Callable[[str], object], *, timeout_s: float | None = None) -> list[str]:
    """Run `command` to its end, line by line into `log`.

    It has a session of its own. Whatever interrupts this function, and even a kill of this process, ends
    the whole of that session.

    Args:
        timeout_s: after which it is ended; None waits for ever.

    Returns:
        The last 40 lines.

    Raises:
        CommandFailedError: it ended with another code than 0.
        TimeoutError: it was ended.
    """
    process = subprocess.Popen(
        [sys.executable, str(_GUARD), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end(process)

    timer = threading.Timer(timeout_s, expire) if timeout_s is not None else None
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        if timer is not None:
            timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line.rstrip())
            log(line.rstrip())
        code = process.wait()
    except BaseException:
        end(process)
        raise
    finally:
        if timer is not None:
            timer.cancel()
    if expired.is_set():
        raise TimeoutError(f"`{' '.join(command)}` took longer than {timeout_s:.0f} s and was ended")
    if code != 0:
        raise CommandFailedError(command, code, tail)
    return list(tail)


def end(process: subprocess.Popen, grace_s: float = _KILL_AFTER_S) -> None:
    """End the whole session of a guarded process, and wait until it is gone.

    Args:
        grace_s: between SIGTERM and SIGKILL.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    # What the command started may still be there, or it may not have listened.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
