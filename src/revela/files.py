"""Files that are either whole or absent: temporary name first, rename last."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from revela.errors import RevelaError

_READ_BYTES = 1 << 20


@contextlib.contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn "no space left" and "quota exceeded" into a :class:`RevelaError` that names `path`."""
    try:
        yield
    except Exception as fault:
        if _is_full_disk(fault):
            raise RevelaError(f"{path}: no space left on the disk. Free some, or write elsewhere.") from fault
        raise


def _is_full_disk(fault: Exception) -> bool:
    if isinstance(fault, OSError):
        return fault.errno in (errno.ENOSPC, errno.EDQUOT)
    # Writers in other languages raise types of their own: safetensors quotes the system's words,
    # torch.save only that its archive came out shorter than it should.
    return "No space left on device" in str(fault) or "inline_container.cc" in str(fault)


@contextlib.contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the block succeeds.

    When the block raises, the folder is removed and an older `target` stays as it was.

    Raises:
        RevelaError: the disk is full.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_leftovers(target)
    partial = _sibling(target, "partial")
    replaced = _sibling(target, "replaced")
    try:
        with explain_full_disk(target):
            partial.mkdir()
            yield partial
            if target.exists():
                # A folder cannot be renamed onto a non-empty one: the old one steps aside first.
                target.rename(replaced)
            try:
                partial.rename(target)
            except OSError:
                if replaced.exists():
                    replaced.rename(target)
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if target.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to `path`; readers see the old content or the new, never a part.

    Raises:
        RevelaError: the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _sibling(path, "partial")
    try:
        with explain_full_disk(path):
            partial.write_text(text, encoding="utf-8", newline="\n")
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def settle(partial: Path, target: Path) -> None:
    """Give a finished file its final name once the disk has it: a crash of the machine leaves no husk."""
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically: keys in the given order, two spaces a level, newline at the end."""
    atomic_write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """What :func:`write_json` wrote.

    Raises:
        RevelaError: there is no such file, or it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise RevelaError(f"{path}: cannot be read: {fault}") from fault


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_tree(path: Path) -> str:
    """Hex digest of a folder's relative file names and contents, whatever order they are stored in.

    Compiled Python is left out: it differs with the time of compilation, not with the code.
    """
    digest = hashlib.sha256()
    names = (file.relative_to(path).as_posix() for file in Path(path).rglob("*") if file.is_file())
    for name in sorted(name for name in names if "__pycache__" not in name):
        digest.update(f"{name}\0{sha256_file(Path(path) / name)}\n".encode())
    return digest.hexdigest()


def _sibling(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{role}-{os.getpid()}")


def _sweep_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`; restore a target caught between two renames."""
    for leftover in sorted(target.parent.glob(f".{target.name}.*-*")):
        role, _, pid = leftover.name.removeprefix(f".{target.name}.").rpartition("-")
        if role not in ("partial", "replaced") or not pid.isdigit():
            continue
        if int(pid) != os.getpid() and _is_running(int(pid)):
            continue
        if role == "replaced" and not target.exists():
            leftover.rename(target)
        else:
            shutil.rmtree(leftover, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
