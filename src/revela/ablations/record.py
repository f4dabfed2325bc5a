"""Ablations in MLflow: a run for all, below it one an ablation (means over seeds), below that one a seed.

All have the same metric names, so that ticking any of them and pressing *Compare* shows what differs.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from revela import tracking
from revela.ablations.plan import Planned, digest
from revela.ablations.table import DONE
from revela.evaluation.report import SUBJECT
from revela.files import write_json
from revela.registry.registered_run import log_files, log_scores
from revela.reporting.figures import forest
from revela.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALL, ONE, SEED = "ablations", "ablation", "ablation-seed"
"""Values of the tag `stage`, from the top down."""

_PARENT = "mlflow.parentRunId"
_NOTE = "mlflow.note.content"
_MAX_TAG_CHARACTERS = 4000


class Record:
    """The runs of one project's ablations. Which they are is kept in `memory`, for the next call to go on.

    Args:
        settings: without overrides.
        memory: a JSON file, name -> run id; may be deleted: new runs then take over the children.
        results: folder of the ablations.
    """

    def __init__(self, settings: Settings, memory: Path, results: Path) -> None:
        self._settings, self._memory, self._results = settings, memory, results
        self._begun: set[str] = set()
        self._uri = tracking.tracking_uri()
        self._client: MlflowClient = tracking.connect(self._uri)
        note = "Each run below is an ablation, its scores the means over its seeds; below it, the seeds."
        self._all = self._open(ALL, {"stage": ALL, _NOTE: note}, {})

    def begin(self, run: Planned) -> dict[str, str]:
        """The tags with which a seed's training belongs to its ablation's run."""
        text = yaml.safe_dump(dict(run.overrides), sort_keys=False, width=100)
        note = f"What differs from params.yaml:\n\n```yaml\n{text[:_MAX_TAG_CHARACTERS]}```\n"
        tags = {"ablation": run.name, "overrides": differences(run.overrides), _NOTE: note}
        params = run.settings.model_dump(mode="json", exclude={"ablations", "seed"})
        parent = self._open(run.name, {**tags, "stage": ONE, _PARENT: self._all}, params)
        return {**tags, "stage": SEED, "seed": str(run.seed), _PARENT: parent}

    def adopt(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Put a seed that was finished before under its ablation, whose run may be a new one."""
        if self._stage(run_id) == SEED:
            for key in ("overrides", _NOTE, _PARENT):
                self._client.set_tag(run_id, key, tags[key])

    def replace(self, old: str, new: str) -> None:
        """Take a run whose settings or code have changed since from under its parent; it is kept."""
        if old != new and self._stage(old) in (ONE, SEED):
            self._client.set_tag(old, "superseded_by", new)
            if _PARENT in self._client.get_run(old).data.tags:
                self._client.delete_tag(old, _PARENT)

    def seed_done(
        self, run_id: str, scores: Mapping[str, Any], data_sets: Mapping[str, str], folder: Path
    ) -> None:
        """Scores, pictures and tables of one seed into its training's own run."""
        log_scores(self._client, run_id, None, scores, data_sets)
        log_files(self._client, run_id, folder, [])

    def replay(self, run_id: str, rows: Sequence[Mapping[str, str]]) -> None:
        """The curve's steps that were taken over, as if they had been this run's."""
        if not rows:
            return
        with tracking.start_run(
            self._settings.registry.experiment, "", {}, {}, run_id=run_id, uri=self._uri
        ) as run:
            for row in rows:
                figures = {key: value for key, value in row.items() if value and key not in ("step", "phase")}
                run.log({f"train/{key}": float(value) for key, value in figures.items()}, int(row["step"]))

    def summarise(self, name: str, failed: bool) -> None:
        """Means over the finished seeds into the ablation's run, and the spread where there are several.

        Args:
            failed: some seed of it did not finish.
        """
        finished = sorted((self._results / name).glob(f"seed-*/{DONE}"))
        seeds = [_json(done.parent / "evaluate" / "metrics.json") for done in finished]
        if name not in self._known():
            return  # the store did not take even its beginning
        run_id = self._known()[name]["run_id"]
        if seeds:
            means, spreads = statistics_over(seeds)
            log_scores(self._client, run_id, None, means, _json(finished[-1]).get("data_sets", {}))
            for key, value in {**spreads, "seeds": float(len(seeds))}.items():
                self._client.log_metric(run_id, key, value, step=0)
        self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    def close(self, failed: bool) -> None:
        """The table and the picture of all into the run above all, the leads into those below."""
        leads = _json(self._results / "leads.json")
        known = self._known()
        for row in leads:
            if row["name"] in known and row["against"] == SUBJECT:
                said = f"{row['lead']:+.4f}, {row['verdict']} (p = {row['p_holm']:.2g} after Holm)"
                self._client.set_tag(known[row["name"]]["run_id"], f"lead.{row['benchmark']}", said)
        for name in ("table.md", "table.json", "leads.json"):
            self._client.log_artifact(self._all, str(self._results / name))
        if leads:
            self._client.log_figure(self._all, forest(leads), "leads.png")
        self._client.set_terminated(self._all, "FAILED" if failed else "FINISHED")

    def interrupted(self) -> None:
        """Mark what this call began and did not finish; a later call goes on with it."""
        for run_id in self._begun:
            if self._client.get_run(run_id).info.status == "RUNNING":
                self._client.set_terminated(run_id, "KILLED")

    def _open(self, name: str, tags: dict[str, str], params: Mapping[str, Any]) -> str:
        """The run of this name and these settings, gone on with or begun.

        Processes that ask together get the same one. With other settings than before it is a new run, for
        MLflow never changes a parameter.
        """
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        mark = digest(params)
        with FileLock(self._memory.with_suffix(".lock")):
            known = self._known()
            before = known.get(name)
            run = tracking.start_run(
                self._settings.registry.experiment,
                run_name=name,
                tags=tags,
                params=params,
                run_id=before["run_id"] if before and before["settings"] == mark else None,
                uri=self._uri,
            )
            write_json(self._memory, {**known, name: {"run_id": run.run_id, "settings": mark}})
        if before is not None:
            self.replace(before["run_id"], run.run_id)
        self._begun.add(run.run_id)
        return run.run_id

    def _known(self) -> dict[str, dict[str, str]]:
        return _json(self._memory) if self._memory.is_file() else {}

    def _stage(self, run_id: str) -> str | None:
        """The tag `stage` of a run; None where there is no such run any more."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException as fault:
            if fault.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return run.data.tags.get("stage") if run.info.lifecycle_stage == "active" else None


def differences(overrides: Mapping[str, Any]) -> str:
    """Overrides in a line: ``objective.attention=paper, training.phases=contrastive60+revela20``."""
    line = ", ".join(f"{key}={_short(value)}" for key, value in overrides.items())
    return line[:_MAX_TAG_CHARACTERS]


def _short(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "name" in one for one in value):
        return "+".join(f"{one['name']}{one.get('steps', '')}" for one in value)
    return value if isinstance(value, str) else json.dumps(value)


def statistics_over(
    seeds: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, float]]:
    """Means as benchmark -> model -> metric; the retriever's standard deviations (n - 1) by metric name."""
    means: dict[str, dict[str, dict[str, float]]] = {}
    spreads: dict[str, float] = {}
    for benchmark, models in seeds[0].items():
        means[benchmark] = {}
        for model, metrics in models.items():
            # Seeds that were evaluated at other times may have other models beside the retriever.
            having = [seed[benchmark][model] for seed in seeds if model in seed.get(benchmark, {})]
            values = {key: [one[key] for one in having if key in one] for key in metrics}
            means[benchmark][model] = {key: statistics.fmean(of) for key, of in values.items()}
            if model == SUBJECT and len(having) > 1:
                spreads |= {
                    f"{benchmark}/{model}/{key}_sd": statistics.stdev(of)
                    for key, of in values.items()
                    if len(of) > 1
                }
    return means, spreads


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
