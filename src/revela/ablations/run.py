"""Train and evaluate every planned run, one after another, sharing what they have in common."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from revela.ablations.plan import Planned, digest
from revela.ablations.table import DONE, write_table
from revela.batches.pipeline import build_batches
from revela.errors import RevelaError
from revela.evaluation.pipeline import evaluate
from revela.evaluation.probe import Probe
from revela.files import write_json
from revela.modeling.backbone import prepare_backbone
from revela.settings import Settings
from revela.tracking import start_run
from revela.training.checkpoints import recall_run
from revela.training.pipeline import train, training_fingerprint
from revela.training.records import read_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where the stages' outputs are, and where ablations keep theirs.

    Attributes:
        backbone, documents, groups: what the stages made of the settings without overrides.
        checkpoints: as for the stage train.
        cache: backbones and groups that overrides ask for; may be deleted at any time.
        results: gets ``<name>/seed-<n>/`` and the table.
        reference: per-query scores of the stage evaluate, which ablations are compared with.
    """

    backbone: Path
    documents: Path
    groups: Path
    checkpoints: Path
    cache: Path
    results: Path
    reference: Path


def run_ablations(settings: Settings, runs: Sequence[Planned], places: Places, console: Console) -> list[str]:
    """Do what is not done yet; a run that fails does not stop the others.

    A run is done when ``done.json`` in its folder has its fingerprint: the settings, the models, the groups
    and the code of training. MLflow gets one run ``ablations`` with a child for every training, tagged
    ``ablation`` and ``seed``, whose scores are named ``<benchmark>/<model>/<metric>`` as everywhere.

    Args:
        settings: without overrides; they say what `places` holds.

    Returns:
        A line for every run that failed.
    """
    failed: list[str] = []
    against = {one.name: one.against for one in settings.ablations if one.against is not None}
    with start_run(
        settings.registry.experiment,
        run_name="ablations",
        tags={"stage": "ablations", "ablations": ", ".join(dict.fromkeys(run.name for run in runs))},
        params={"seed": settings.seed},
    ) as parent:
        for number, run in enumerate(runs, start=1):
            log.info("ablation %d of %d: %s", number, len(runs), run.label)
            try:
                _run(settings, run, places, parent.run_id, console)
            except Exception as fault:  # whatever breaks one setting, the others are worth having
                failed.append(f"{run.label}: {fault}")
                log.error(
                    "ablation %s failed: %s", run.label, fault, exc_info=not isinstance(fault, RevelaError)
                )
            write_table(places.results, places.reference, against)
    return failed


def _run(settings: Settings, run: Planned, places: Places, parent: str, console: Console) -> None:
    backbone = _backbone(settings, run.settings, places)
    groups = _groups(settings, run.settings, backbone, places)
    mark = training_fingerprint(run.settings, backbone, groups)
    whole = digest(mark, run.settings.evaluate.model_dump(mode="json"))
    folder = places.results / run.name / f"seed-{run.seed}"
    if _fingerprint(folder / DONE) == whole:
        log.info("%s: done before", run.label)
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    workspace = places.checkpoints / mark
    models = places.cache / "models" / f"{run.name}-{run.seed}"
    train(
        run.settings,
        backbone_dir=backbone,
        groups_dir=groups,
        models_dir=models,
        report_dir=folder / "train",
        checkpoints_dir=places.checkpoints,
        probe=None if run.settings.training.probe is None else Probe(run.settings.training.probe),
        run_name=f"{run.name} seed {run.seed}",
        run_tags={"ablation": run.name, "seed": str(run.seed), "mlflow.parentRunId": parent},
    )
    scores = evaluate(
        # Encoders that no override changes were scored by the stage evaluate.
        run.settings.evaluate.model_copy(update={"encoders": []}),
        run.seed,
        _models(run.settings, None if backbone == places.backbone else backbone, models),
        None,  # the corpus and the benchmarks are those of the stage evaluate, which compares them
        folder / "evaluate",
        console,
    )
    rows = read_rows(folder / "train" / "curve.csv")
    _log_scores(settings, run, recall_run(workspace), scores)
    done = {
        "name": run.name,
        "seed": run.seed,
        "fingerprint": whole,
        "wall_s": round(_seconds(workspace / "curve.csv"), 1),
        "steps": len(rows),
        "tokens": sum(int(float(row["tokens"])) for row in rows),
        "train_run_id": recall_run(workspace),
    }
    write_json(folder / DONE, done)
    shutil.rmtree(models)


def _seconds(curve: Path) -> float:
    """Seconds that the steps took, those before an interruption among them."""
    return sum(float(row["tokens"]) / float(row["tokens_per_second"]) for row in read_rows(curve))


def _models(settings: Settings, backbone: Path | None, models: Path) -> dict[str, Path]:
    """What is evaluated; the stage evaluate has scored the settings' own backbone already."""
    found = {} if backbone is None else {"untrained": backbone / "retriever"}
    if settings.evaluate.every_phase and (models / "phases").is_dir():
        names = ["whitened", *(phase.name for phase in settings.training.phases)]
        folders = [models / "phases" / name for name in names]
        found |= {f"after_{folder.name}": folder for folder in folders if folder.is_dir()}
    return {**found, "retriever": models / "retriever"}


def _backbone(settings: Settings, wanted: Settings, places: Places) -> Path:
    if wanted.backbone == settings.backbone:
        return places.backbone
    folder = places.cache / f"backbone-{digest(wanted.backbone.model_dump(mode='json'))}"
    if not folder.is_dir():
        prepare_backbone(wanted.backbone, folder)
    return folder


def _groups(settings: Settings, wanted: Settings, backbone: Path, places: Places) -> Path:
    """The groups of these settings and this seed; they are cut in the retriever's tokens."""
    parts = [
        [one.seed, one.batches.model_dump(mode="json"), one.backbone.retriever.model_dump(mode="json")]
        for one in (settings, wanted)
    ]
    if parts[0] == parts[1]:
        return places.groups
    folder = places.cache / f"groups-{digest(parts[1])}"
    if not folder.is_dir():
        build_batches(
            wanted.batches,
            wanted.seed,
            places.documents,
            backbone / "retriever",
            folder,
            folder.with_name(f"{folder.name}-report"),
        )
    return folder


def _log_scores(settings: Settings, run: Planned, run_id: str | None, scores: dict[str, Any]) -> None:
    """Add the scores to the training's own run, under the names that `revela register` uses."""
    if run_id is None:
        return
    flat = {
        f"{benchmark}/{model}/{metric}": value
        for benchmark, models in scores.items()
        for model, metrics in models.items()
        for metric, value in metrics.items()
    }
    with start_run(
        settings.registry.experiment, run_name=run.label, tags={}, params={}, run_id=run_id
    ) as child:
        child.log(flat, step=0)


def _fingerprint(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, json.JSONDecodeError):
        return None
