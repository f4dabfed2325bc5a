"""The code that runs on the GPU machine: as it stands in the clone, edits included."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from revela.errors import RevelaError
from revela.tracking.provenance import git_tags

ROOT = Path(__file__).parents[3]

_CODE = ("src/revela", "bench", "pyproject.toml", "LICENSE")
_GOLDEN = "tests/data/golden"


def copy_code(payload: Path) -> dict[str, Any]:
    """Copy what git tracks, or would on `git add`, to ``code/``, and the golden vectors to ``golden/``.

    Returns the git commit, and whether something was edited since.

    Raises:
        RevelaError: this is no clone.
    """
    for name in _listed(*_CODE):
        _copy(ROOT / name, payload / "code" / name)
    for name in _listed(_GOLDEN):
        _copy(ROOT / name, payload / "golden" / Path(name).relative_to(_GOLDEN))
    return git_tags(ROOT)


def _listed(*paths: str) -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", *paths]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        raise RevelaError(f"{ROOT}: `prepare` needs the clone with its git history: {listed.stderr.strip()}")
    # A file that was deleted, but not from git, is listed too.
    return sorted(name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
