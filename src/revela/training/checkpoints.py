"""Where an interrupted training continues: folders named by everything that decides its outcome."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from revela.errors import RevelaError
from revela.files import atomic_write_text, read_json, sha256_tree

STATE_FILE = "state.safetensors"


def fingerprint(params: object, *folders: Path) -> str:
    """Sixteen hex digits over the settings and the contents of the given folders (data, models, code).

    A checkpoint is only ever continued under the same fingerprint: with a changed learning rate an
    old one would otherwise pass for a finished run.

    Args:
        params: anything JSON can write.
        *folders: every file in them counts, by name and content.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for folder in folders:
        digest.update(sha256_tree(folder).encode())
    return digest.hexdigest()[:16]


def save_state(state: dict[str, Tensor], folder: Path) -> None:
    """Write a finished phase's weights; the file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{STATE_FILE}.tmp"
    save_file({name: weight.cpu() for name, weight in state.items()}, temporary)
    temporary.replace(folder / STATE_FILE)


def load_state(folder: Path) -> dict[str, Tensor] | None:
    """What :func:`save_state` wrote, or None when the phase has not finished."""
    path = folder / STATE_FILE
    return load_file(path) if path.is_file() else None


def kept_state(folder: Path, workspace: Path) -> dict[str, Tensor]:
    """What :func:`save_state` wrote.

    Raises:
        RevelaError: it is gone; what to do with the `workspace` that it was in.
    """
    state = load_state(folder)
    if state is None:
        raise RevelaError(f"{folder}: gone; delete {workspace} to train anew.")
    return state


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete ``checkpoint-N`` of a phase, or None.

    The Trainer writes ``trainer_state.json`` last, so a checkpoint that a kill cut short lacks it, or
    has a part of it, and is passed over.
    """
    complete = [path for path in folder.glob("checkpoint-*") if _is_whole(path / "trainer_state.json")]
    return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)


def _is_whole(state: Path) -> bool:
    """A kill may fall between the file's opening and its last byte; half of JSON is no JSON."""
    try:
        read_json(state)
    except RevelaError:
        return False
    return True


def remember_run(folder: Path, run_id: str) -> None:
    """Keep the MLflow run beside the checkpoints, so that a resumed training continues it."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "run.json", json.dumps({"run_id": run_id}) + "\n")


def recall_run(folder: Path) -> str | None:
    """The run that :func:`remember_run` kept, or None.

    Raises:
        RevelaError: the file is damaged.
    """
    path = folder / "run.json"
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))["run_id"]
    except (ValueError, KeyError) as fault:
        raise RevelaError(f"{path}: damaged ({fault}); delete it to start a new MLflow run.") from fault


def remember_span(folder: Path, processes: int) -> None:
    """Keep over how many processes this training's groups span."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "span.txt", f"{processes}\n")


def recall_span(folder: Path) -> int | None:
    """What :func:`remember_span` kept, or None.

    Raises:
        RevelaError: the file is damaged.
    """
    path = folder / "span.txt"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8").strip()
    if not text.isdecimal():
        raise RevelaError(f"{path}: damaged, expected a number; delete {folder} to begin the training anew.")
    return int(text)
