"""Run git so that neither the caller's environment nor the repository's settings change what it does."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from revela.errors import RevelaError

# fsmonitor names a program to run: never one that a repository brings along.
_COMMAND = ["git", "-c", "core.fsmonitor=false", "--literal-pathspecs"]


class GitError(RevelaError):
    """git failed.

    Attributes:
        words: what it wrote, on one line; empty where it was told to be quiet.
    """

    def __init__(self, repository: Path, words: str) -> None:
        super().__init__(f"corpus.sources: {repository}: {_advice(words)}")
        self.words = words


def _advice(words: str) -> str:
    if "not a git repository" in words:
        return "not a git repository. Clone it first, or use `kind: folder`."
    if "safe.directory" in words:
        return (
            "it belongs to another user, and git refuses to read it. If you trust it, run "
            "`git config --global --add safe.directory <its absolute path>`."
        )
    return f"git failed: {words[:300]}"


def run_git(
    repository: Path, *arguments: str, more: dict[str, str] | None = None, given: bytes = b""
) -> bytes:
    """What git writes to its standard output.

    Args:
        more: further environment variables.
        given: standard input.

    Raises:
        GitError: git failed.
        RevelaError: git is not installed.
    """
    with _explained():
        done = subprocess.run(
            _command(repository, arguments),
            env=_environment() | (more or {}),
            input=given,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        raise GitError(repository, " ".join(done.stderr.decode(errors="replace").split()))
    return done.stdout


@contextlib.contextmanager
def start_git(repository: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running git with pipes to its standard input and output; it is ended with the block.

    Raises:
        RevelaError: git is not installed.
    """
    with _explained():
        process = subprocess.Popen(
            _command(repository, arguments),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _command(repository: Path, arguments: tuple[str, ...]) -> list[str]:
    return [*_COMMAND, "-C", str(repository), *arguments]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise RevelaError(
            "corpus.sources: git is not installed. Install it, or use `kind: folder`."
        ) from None


def _environment() -> dict[str, str]:
    """The caller's, without what points git elsewhere (hooks set it), and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
