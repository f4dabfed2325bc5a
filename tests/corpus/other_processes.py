"""Programs in processes that hash strings differently."""

from __future__ import annotations

import subprocess
import sys


def printed_by_other_processes(program: str) -> set[str]:
    """What a program prints under two seeds of Python's hash; one text where the seed does not matter."""
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
