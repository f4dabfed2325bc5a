"""The wheels of bench/gpu/wheels.txt, fetched for the GPU machine's Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from revela.errors import RevelaError

LIST = Path(__file__).parents[1] / "wheels.txt"

_PYTHON = ["--implementation", "cp", "--abi", "cp312", "--abi", "abi3", "--abi", "none"]
_LINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")
_TARGETS = {
    "native": [*_PYTHON, *(word for name in _LINUX for word in ("--platform", name))],
    "any": ["--implementation", "py", "--abi", "none", "--platform", "any"],
}


def wanted() -> dict[str, list[str]]:
    """Kind (``native`` or ``any``) -> requirements."""
    found: dict[str, list[str]] = {kind: [] for kind in _TARGETS}
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if words := line.partition("#")[0].split():
            requirement, kind = words
            found[kind].append(requirement)
    return found


def download(folder: Path) -> None:
    """Fetch all of them into `folder`, for Python 3.12 on x86-64 Linux, whatever runs here.

    Raises:
        RevelaError: pip does not find one, or has no network.
    """
    for kind, requirements in wanted().items():
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--only-binary=:all:", "--python-version", "3.12", *_TARGETS[kind], "--dest", str(folder),
            *requirements,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RevelaError(
                f"the wheels of {LIST.name} cannot be fetched (--no-wheels leaves them out):\n{done.stderr}"
            )
