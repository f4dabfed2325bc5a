"""DVC, ended by SIGTERM as by Ctrl-C: it waits for the stage's command and gives its locks back.

``python flows/_dvc.py repro ...``. DVC by itself dies of SIGTERM at once: nobody waits for the stage's
command any more, and `.dvc/tmp/rwlock` names a process that is gone, which blocks the stage for good if
another process is ever given its number. Imports DVC alone.
"""

from __future__ import annotations

import signal
import sys


def _end(*_: object) -> None:
    # While a stage's command runs, DVC ignores SIGINT and waits: the command has had its own signal.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        raise KeyboardInterrupt


def main() -> int:
    # A handler, and not SIG_IGN, which the stage's command would inherit.
    signal.signal(signal.SIGTERM, _end)
    # Whoever started this in the background of a shell has SIGINT ignored from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from dvc.cli import main as dvc

    return dvc(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
