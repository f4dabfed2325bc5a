"""git and DVC in another folder, by their command lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from revela.errors import RevelaError

DVC = (sys.executable, "-m", "dvc")
# What points the caller's own processes at the caller's project must not reach into the checkout.
_OWN = ("DVC_ROOT", "DVC_STAGE", "REVELA_PARAMS", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def environment(**more: str) -> dict[str, str]:
    """This process's, without what belongs to its own project."""
    return {**{key: value for key, value in os.environ.items() if key not in _OWN}, **more}


def output(*command: str, cwd: Path, why: str, **more: str) -> str:
    """What a command prints.

    Args:
        why: what it was needed for, for the message.
        more: variables of its environment.

    Raises:
        RevelaError: it failed; its last lines are quoted.
    """
    done = attempt(*command, cwd=cwd, **more)
    if done.returncode != 0:
        raise RevelaError(f"{why}: `{_shown(command)}` in {cwd} failed:\n{last_lines(done)}")
    return done.stdout


def attempt(*command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever that is."""
    return subprocess.run(
        command, cwd=cwd, env=environment(**more), text=True, capture_output=True, check=False
    )


def last_lines(done: subprocess.CompletedProcess[str], count: int = 12) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return "\n".join(lines[-count:]) or f"exit code {done.returncode}, no output"


def _shown(command: tuple[str, ...]) -> str:
    return " ".join(["dvc", *command[len(DVC) :]] if command[: len(DVC)] == DVC else command)
