"""What training leaves: the models' folder, the curve, the report, the figures in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from revela.files import atomic_directory, write_json
from revela.settings import Settings
from revela.tracking import start_run
from revela.training import checkpoints, processes
from revela.training.plots import plot_curves
from revela.training.records import StepRecorder, read_rows, summarise, write_reproducible

Record = Callable[[int, str, dict[str, float]], None]
Note = Callable[[dict[str, float]], None]


@contextmanager
def outputs(
    settings: Settings,
    mark: str,
    workspace: Path,
    models_dir: Path,
    position: int,
    run_name: str | None,
    run_tags: Mapping[str, str] | None,
) -> Iterator[tuple[Path | None, Record, Note]]:
    """The folder that becomes `models_dir`, what records a step, what notes figures of the whole training.

    None of them in any process but the first.
    """
    if not processes.is_first():
        yield None, lambda step, phase, figures: None, lambda figures: None
        return
    run = start_run(
        settings.registry.experiment,
        run_name=run_name or _run_name(settings),
        tags={
            "stage": "train",
            "fingerprint": mark,
            "processes": str(processes.world_size()),
            **(run_tags or {}),
        },
        params=settings.model_dump(mode="json", exclude={"ablations"}),
        run_id=checkpoints.recall_run(workspace),
    )
    checkpoints.remember_run(workspace, run.run_id)
    steps = sum(phase.steps for phase in settings.training.phases)
    with run, atomic_directory(models_dir) as models:
        recorder = StepRecorder(workspace / "curve.csv", steps, position, sink=run.log)
        with closing(recorder):
            yield models, recorder.record, lambda figures: run.log(figures, 0)


def write_training_report(curve: Path, report_dir: Path, told: dict[str, dict[str, Any]]) -> None:
    """Write metrics.json, curve.csv and curve.png from the curve that the steps left.

    Args:
        told: what there is to say of the whole training, by name; what is empty is left out.
    """
    with atomic_directory(report_dir) as report:
        write_reproducible(curve, report / "curve.csv")
        rows = read_rows(report / "curve.csv")
        write_json(report / "metrics.json", summarise(rows) | {key: one for key, one in told.items() if one})
        plot_curves(rows, report / "curve.png")


def _run_name(settings: Settings) -> str:
    """What tells this run from its neighbours at a glance."""
    phases = "+".join(f"{phase.name}{phase.steps}" for phase in settings.training.phases)
    return f"{settings.objective.attention} {phases} seed{settings.seed}"
