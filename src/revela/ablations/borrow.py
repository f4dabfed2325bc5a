"""An equal training that the pipeline has finished already is taken over, not repeated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from revela.files import atomic_directory
from revela.settings import Settings
from revela.training.checkpoints import STATE_FILE


def borrow(settings: Settings, source: Path, target: Path) -> bool:
    """Give `target` the finished checkpoints of `source`, weights as hard links; not its MLflow run.

    Args:
        source, target: folders of checkpoints under the same fingerprint.

    Returns:
        Whether there was a finished training to take over.
    """
    phases = [f"{index}-{phase.name}" for index, phase in enumerate(settings.training.phases)]
    if not all((source / phase / STATE_FILE).is_file() for phase in phases):
        return False
    with atomic_directory(target) as folder:
        shutil.copytree(
            source,
            folder,
            ignore=shutil.ignore_patterns("run.json", "checkpoint-*"),
            copy_function=_link_weights,
            dirs_exist_ok=True,
        )
    return True


def _link_weights(source: str, target: str) -> None:
    """Weights are never written in place, the curve is."""
    if source.endswith(".safetensors"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
