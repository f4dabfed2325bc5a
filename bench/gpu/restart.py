"""`revela train` killed after its first checkpoint and gone on with: is the curve that of an undisturbed one?

``python -m bench.gpu.restart SETTINGS.json PLACES.json`` is the training that is killed.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from revela.settings import Settings

TOLERANCE = 1e-3
"""Relative, of a step's loss, in float32: a GPU adds up in another order each time, and steps amplify it."""

PATIENCE_S = 300.0


def restart_row(settings: Settings, backbone: Path, groups: Path, folder: Path) -> dict[str, Any]:
    """Train undisturbed, then killed by SIGKILL and resumed; the worst difference of the two curves.

    Args:
        settings: `training.save_every` must be below the number of steps.
        folder: where everything is written; the undisturbed retriever stays in ``undisturbed/models``.

    Raises:
        RuntimeError: the training that was to be killed ended before, or wrote no checkpoint in time.
    """
    from revela.training.pipeline import train

    places = {
        name: {
            "backbone_dir": backbone,
            "groups_dir": groups,
            "models_dir": folder / name / "models",
            "report_dir": folder / name / "report",
            "checkpoints_dir": folder / name / "checkpoints",
        }
        for name in ("undisturbed", "killed")
    }
    _train_and_kill(settings, places["killed"], folder)
    train(settings, **places["killed"])
    train(settings, **places["undisturbed"])
    whole, resumed = (_losses(places[name]["report_dir"]) for name in ("undisturbed", "killed"))
    if len(whole) != len(resumed):
        raise RuntimeError(f"the resumed curve has {len(resumed)} steps, the undisturbed one {len(whole)}")
    worst = max(abs(a - b) / abs(a) for a, b in zip(whole, resumed, strict=True))
    return {
        "case": "revela train, killed and resumed",
        "steps": len(whole),
        "loss_error": float(f"{worst:.3g}"),
        "within": worst <= TOLERANCE,
    }


def _train_and_kill(settings: Settings, places: dict[str, Path], folder: Path) -> None:
    from revela.training.checkpoints import last_checkpoint

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "settings.json", folder / "places.json"]
    files[0].write_text(settings.model_dump_json(), encoding="utf-8")
    files[1].write_text(json.dumps({key: str(path) for key, path in places.items()}), encoding="utf-8")
    # The other process finds the same code, wherever this one was told to look for it.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    with (folder / "killed.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.gpu.restart", *map(str, files)],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not any(map(last_checkpoint, places["checkpoints_dir"].glob("*/*/"))):
            if process.poll() is not None or time.monotonic() > deadline:
                log_text = (folder / "killed.log").read_text(errors="replace")[-1500:]
                raise RuntimeError(f"no checkpoint to kill at; exit code {process.returncode}\n{log_text}")
            time.sleep(0.01)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if places["models_dir"].exists():
        raise RuntimeError("the training that was to be killed was faster and ended")


def _losses(report: Path) -> list[float]:
    with (report / "curve.csv").open(encoding="utf-8") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def main(settings_file: str, places_file: str) -> None:
    """Train as the two files say."""
    from revela.settings import Settings
    from revela.training.pipeline import train

    settings = Settings.model_validate_json(Path(settings_file).read_text(encoding="utf-8"))
    places = json.loads(Path(places_file).read_text(encoding="utf-8"))
    train(settings, **{key: Path(path) for key, path in places.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
