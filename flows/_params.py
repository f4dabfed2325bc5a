"""Overrides of params.yaml for one run; the file is as it was before when the run ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from revela.errors import RevelaError
from revela.files import atomic_write_text
from revela.settings import load_settings

BACKUP_SUFFIX = ".before-run"


@contextmanager
def overridden(params: Path, overrides: Mapping[str, Any]) -> Iterator[None]:
    """Write `params` with other values, and put the file back at the end, however it ends.

    DVC reads the file itself, so the values have to stand in it. A run that was killed leaves a copy
    beside it, which the next run puts back first.

    Args:
        overrides: dotted key -> value, such as ``training.phases.0.steps: 10``.

    Raises:
        RevelaError: a key that leads nowhere, or a value that is not allowed there; nothing has changed then.
    """
    backup = params.with_name(params.name + BACKUP_SUFFIX)
    if backup.is_file():
        backup.replace(params)
    if not overrides:
        yield
        return
    before = params.read_text(encoding="utf-8")
    yaml = YAML()
    content = yaml.load(before)
    for key, value in overrides.items():
        _put(content, key, value)
    trial = params.with_name(params.name + ".trial")
    try:
        with trial.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        load_settings(trial)
        changed = trial.read_text(encoding="utf-8")
    finally:
        trial.unlink(missing_ok=True)
    atomic_write_text(backup, before)
    try:
        atomic_write_text(params, changed)
        yield
    finally:
        backup.replace(params)


def _put(content: Any, key: str, value: Any) -> None:
    *path, last = key.split(".")
    holder = content
    for step in path:
        try:
            holder = holder[int(step)] if isinstance(holder, list) else holder[step]
        except (KeyError, ValueError, IndexError, TypeError):
            raise RevelaError(f"override `{key}`: there is no `{step}` in params.yaml") from None
    if isinstance(holder, list):
        try:
            holder[int(last)] = value
        except (ValueError, IndexError):
            raise RevelaError(f"override `{key}`: the list has no entry `{last}`") from None
    elif isinstance(holder, dict):
        holder[last] = value
    else:
        raise RevelaError(f"override `{key}`: what stands before `{last}` has no keys")
