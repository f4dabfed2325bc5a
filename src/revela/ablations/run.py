"""Train and evaluate every planned run, one after another, sharing what they have in common."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from revela.ablations.beginnings import Beginnings, steps_taken_over, told
from revela.ablations.inputs import InputMaker, Inputs
from revela.ablations.plan import Planned, digest
from revela.ablations.record import Record
from revela.ablations.table import DONE, write_table
from revela.errors import RevelaError
from revela.evaluation.pipeline import evaluate
from revela.evaluation.probe import Probe
from revela.evaluation.validation import validation_of
from revela.evaluation.vector_cache import VectorCache
from revela.files import write_json
from revela.registry.data_sets import content_digests
from revela.settings import Settings
from revela.training.checkpoints import recall_run
from revela.training.pipeline import train, training_fingerprint
from revela.training.records import read_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where the stages' outputs are, and where ablations keep theirs.

    Attributes:
        made: what the stages made of the settings without overrides.
        checkpoints: those of the stage train; ablations keep theirs in ``ablations/<name>`` there, and what
            several begin with in ``beginnings``.
        cache: backbones, documents and groups that overrides ask for, and which runs MLflow has; may be
            deleted at any time.
        results: gets ``<name>/seed-<n>/`` and the table.
        reference: per-query scores of the stage evaluate, which ablations are compared with.
        vectors: of texts that the stage evaluate has encoded, and the ablations before.
    """

    made: Inputs
    checkpoints: Path
    cache: Path
    results: Path
    reference: Path
    vectors: VectorCache | None = None


def run_ablations(settings: Settings, runs: Sequence[Planned], places: Places, console: Console) -> list[str]:
    """Do what is not done yet; a run that fails does not stop the others.

    A run is done when ``done.json`` in its folder has its fingerprint: the settings, the models, the groups
    and the code of training. What MLflow gets is written in :mod:`revela.ablations.record`.

    Args:
        settings: without overrides; they say what `places` holds.

    Returns:
        A line for every run that failed.
    """
    failed: list[str] = []
    against = {one.name: one.against for one in settings.ablations if one.against is not None}
    maker = InputMaker(settings, places.made, places.cache)
    record = Record(settings, places.cache / "runs.json", places.results)
    data_sets = functools.cache(lambda: content_digests(settings.evaluate))
    broken: set[str] = set()
    try:
        for number, run in enumerate(runs, start=1):
            log.info("ablation %d of %d: %s", number, len(runs), run.label)
            try:
                _run(settings, run, places, maker, record, data_sets, console)
            except Exception as fault:  # whatever breaks one setting, the others are worth having
                broken.add(run.name)
                failed.append(f"{run.label}: {fault}")
                log.error(
                    "ablation %s failed: %s", run.label, fault, exc_info=not isinstance(fault, RevelaError)
                )
            write_table(places.results, places.reference, against)
            try:
                record.summarise(run.name, failed=run.name in broken)
            except Exception as fault:  # the files are there; the next call writes it
                failed.append(f"{run.label}: its summary did not reach MLflow: {fault}")
    except BaseException:
        with contextlib.suppress(Exception):  # what interrupted says more than a store that is gone, too
            record.interrupted()
        raise
    try:
        record.close(failed=bool(failed))
    except Exception as fault:
        failed.append(f"the table did not reach MLflow: {fault}")
    return failed


def _run(
    settings: Settings,
    run: Planned,
    places: Places,
    maker: InputMaker,
    record: Record,
    data_sets: Callable[[], Mapping[str, str]],
    console: Console,
) -> None:
    tags = record.begin(run)
    inputs = maker.of(run.settings)
    mark = training_fingerprint(run.settings, inputs.backbone, inputs.groups)
    whole = digest(mark, run.settings.evaluate.model_dump(mode="json"))
    folder = places.results / run.name / f"seed-{run.seed}"
    before = _done(folder / DONE)
    if before.get("fingerprint") == whole:
        log.info("%s: done before", run.label)
        if before.get("train_run_id"):
            record.adopt(before["train_run_id"], tags)
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    # Its own, though an equal training may be there: the run in MLflow is remembered beside the checkpoints.
    checkpoints = places.checkpoints / "ablations" / run.name
    workspace = checkpoints / mark
    store = places.checkpoints / "beginnings"
    beginnings = Beginnings(store, run.settings, inputs.backbone, inputs.groups)
    if not workspace.is_dir():
        _give_those_of_the_pipeline(settings, places, store)
        beginnings.take(workspace)
    models = places.cache / "models" / f"{run.name}-{run.seed}"
    train(
        run.settings,
        backbone_dir=inputs.backbone,
        groups_dir=inputs.groups,
        models_dir=models,
        report_dir=folder / "train",
        checkpoints_dir=checkpoints,
        probe=None if run.settings.training.probe is None else Probe(run.settings.training.probe),
        validate=validation_of(run.settings, inputs.groups),
        run_name=f"{run.name} seed {run.seed}",
        run_tags=tags | inputs.tags(places.made),
    )
    beginnings.give(workspace)
    scores = evaluate(
        # Encoders that no override changes were scored by the stage evaluate.
        run.settings.evaluate.model_copy(update={"encoders": []}),
        run.seed,
        _models(run.settings, None if inputs.backbone == places.made.backbone else inputs.backbone, models),
        # The stages' documents the stage evaluate has compared with the benchmarks.
        None if inputs.documents == places.made.documents else inputs.training_texts(),
        folder / "evaluate",
        console,
        places.vectors,
    )
    run_id = recall_run(workspace)
    assert run_id is not None, "train remembers its run"
    rows = read_rows(workspace / "curve.csv")
    record.replay(run_id, rows[: steps_taken_over(workspace)])
    told(workspace)
    record.seed_done(run_id, scores, data_sets(), folder)
    done = {
        "name": run.name,
        "seed": run.seed,
        "fingerprint": whole,
        "wall_s": round(_seconds(rows), 1),
        "steps": len(rows),
        "tokens": sum(int(float(row["tokens"])) for row in rows),
        "train_run_id": run_id,
        "data_sets": dict(data_sets()),
    }
    write_json(folder / DONE, done)
    if before.get("train_run_id"):
        record.replace(before["train_run_id"], run_id)
    shutil.rmtree(models)


def _give_those_of_the_pipeline(settings: Settings, places: Places, store: Path) -> None:
    """Ablations may begin with what the stage train has finished."""
    made = places.made
    workspace = places.checkpoints / training_fingerprint(settings, made.backbone, made.groups)
    if workspace.is_dir():
        Beginnings(store, settings, made.backbone, made.groups).give(workspace)


def _seconds(rows: list[dict[str, str]]) -> float:
    """Seconds that the steps took, those before an interruption among them."""
    return sum(float(row["tokens"]) / float(row["tokens_per_second"]) for row in rows)


def _models(settings: Settings, backbone: Path | None, models: Path) -> dict[str, Path]:
    """What is evaluated; the stage evaluate has scored the settings' own backbone already."""
    found = {} if backbone is None else {"untrained": backbone / "retriever"}
    if settings.evaluate.every_phase and (models / "phases").is_dir():
        training = settings.training
        names = [*training.before_phases(), *(phase.name for phase in training.phases)]
        folders = [models / "phases" / name for name in names]
        found |= {f"after_{folder.name}": folder for folder in folders if folder.is_dir()}
    return {**found, "retriever": models / "retriever"}


def _done(path: Path) -> dict[str, Any]:
    """What the last finished run of an ablation and seed left; empty where none did."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
