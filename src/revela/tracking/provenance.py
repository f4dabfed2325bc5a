"""Where a model comes from, as flat names and values that MLflow can keep: settings, git, DVC."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from revela.errors import RevelaError

COMMIT, DIRTY, CHANGED = "mlflow.source.git.commit", "git.dirty", "git.changed"
UNKNOWN = "unknown"
MAX_PARAM_CHARACTERS = 6000
MAX_KEY_CHARACTERS = 250
# What a run keeps anyway, results and settings, says nothing about the code being as committed.
_KEPT_ANYWAY = [f":(exclude){path}" for path in ("dvc.lock", "params.yaml", "ablations.yaml", "results")]
_MAX_CHANGED_CHARACTERS = 1000


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow parameters: ``{"training.phases.0.steps": "150"}``.

    Values are written as in JSON (`null`, `true`), strings as they are; one that is longer than MLflow
    takes is cut and says so.
    """
    if isinstance(tree, Mapping) and tree:
        items = [(str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple) and tree:
        items = [(str(index), value) for index, value in enumerate(tree)]
    elif not prefix:
        return {}
    else:
        text = tree if isinstance(tree, str) else json.dumps(tree, default=str)
        if len(text) > MAX_PARAM_CHARACTERS:
            text = f"{text[: MAX_PARAM_CHARACTERS - 60]} [cut: {len(text)} characters in all]"
        return {safe_key(prefix): text}
    flat: dict[str, str] = {}
    for key, value in items:
        flat |= flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def safe_key(key: str) -> str:
    return re.sub(r"[^\w.\-/ :]", "_", key, flags=re.ASCII)[:MAX_KEY_CHARACTERS]


def git_tags(root: Path) -> dict[str, str]:
    """The commit checked out, whether files differ from it, and which; `unknown` without a repository.

    dvc.lock, params.yaml, ablations.yaml and results do not count, for a run keeps what it takes of them, nor
    do files that git does not know, except in a folder of code: notes beside the project make no other model.
    """
    commit = git(root, "rev-parse", "HEAD")
    changed = git(root, "status", "--porcelain", "--", ".", *_KEPT_ANYWAY)
    if commit is None or changed is None:
        return {COMMIT: commit or UNKNOWN, DIRTY: UNKNOWN, CHANGED: UNKNOWN}
    entries = (line.split(maxsplit=1) for line in changed.splitlines())
    names = ", ".join(path for state, path in entries if state != "??" or "/src/" in f"/{path}")
    return {
        COMMIT: commit,
        DIRTY: str(bool(names)).lower(),
        CHANGED: names[:_MAX_CHANGED_CHARACTERS] or "nothing",
    }


def git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails or is not there."""
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def dvc_tags(lock: Path, stage: str | None = None) -> dict[str, str]:
    """``{"dvc.data/corpus": md5}`` of everything that dvc.lock knows to stand before `stage`.

    While a stage runs, the lock still holds the hashes of its *last* outputs and of what was made
    from them, so these are left out. With `stage` None everything counts.

    Raises:
        RevelaError: the file is not a dvc.lock.
    """
    if not lock.is_file():
        return {}
    try:
        stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
        stale = _downstream(stages, stage)
        kept = [entry for name, entry in stages.items() if name not in stale]
        made = {out["path"]: out for entry in kept for out in entry.get("outs", [])}
        read = {dep["path"]: dep for entry in kept for dep in entry.get("deps", [])}
        files = (read | made).items()
        return {safe_key(f"dvc.{path}"): str(file[file["hash"]]) for path, file in files if "hash" in file}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as fault:
        raise RevelaError(f"{lock}: not a dvc.lock: {fault}. Run `dvc repro` to write it.") from fault


def _downstream(stages: Mapping[str, Any], stage: str | None) -> set[str]:
    """`stage` and every stage that reads, directly or not, what it writes or a part of it."""
    found = {name for name in stages if name == stage}
    while True:
        outs = [out["path"] for name in found for out in stages[name].get("outs", [])]
        readers = {
            name
            for name, entry in stages.items()
            if any(_nested(out, dep["path"]) for dep in entry.get("deps", []) for out in outs)
        }
        if readers <= found:
            return found
        found |= readers


def _nested(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
