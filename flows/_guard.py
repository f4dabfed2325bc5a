"""Run a command that cannot outlive whoever started it.

``python flows/_guard.py COMMAND ...`` in a session of its own. Its standard input is a pipe that the starter
holds open and never writes to: when the starter ends, however it ends, the pipe closes, and everything in
this session is ended, first by SIGTERM and after a while by SIGKILL. Imports only the standard library.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_S = 20.0
"""Between SIGTERM and SIGKILL."""


_ending = threading.Event()


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    _ending.set()
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    # The guard outlives a SIGTERM to the session, to wait for the command. A handler, and not SIG_IGN, which
    # the command would inherit.
    signal.signal(signal.SIGTERM, lambda *_: None)
    threading.Thread(target=_end_with_starter, daemon=True).start()
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    code = child.wait()
    if _ending.is_set():
        os.killpg(0, signal.SIGKILL)  # nobody is left to look for what the command did not take with it
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
