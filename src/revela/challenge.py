"""The candidate that asks to be champion, and the decision on it."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from revela import gate, origin
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.registered_run import RETRIEVER, numbers
from revela.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DATA_SETS = "data_sets"
PASSED, AGAINST = "gate.passed", "gate.against"
NOBODY = "nobody"

Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Candidate:
    """A trained retriever with what tells it from another: its bytes, its scores, what they were taken on."""

    model_dir: Path
    sha256: str
    scores: Scores
    benchmarks: Mapping[str, str]
    """Digest of each benchmark's settings: cheap, and enough to know the same candidate again."""

    def tags(self) -> dict[str, str]:
        """The candidate as tags of its model version, from which the next registration knows it again."""
        return {
            "model.sha256": self.sha256,
            "scores": json.dumps(self.scores, sort_keys=True),
            "benchmarks": json.dumps(self.benchmarks, sort_keys=True),
        }


@dataclass(frozen=True)
class Decision:
    """What the gate decided.

    Attributes:
        against: the champion's version at that time, or :data:`NOBODY`.
        verdict: the reason, in a sentence for people.
    """

    checks: list[gate.Check]
    passed: bool
    against: str
    verdict: str

    def tags(self) -> dict[str, str]:
        return {
            **{f"gate.{one.name}": str(one) for one in self.checks},
            PASSED: str(self.passed).lower(),
            AGAINST: self.against,
        }


def candidate(
    settings: RegistrySettings, model_dir: Path, evaluation: Mapping[str, Any], params: Mapping[str, Any]
) -> Candidate:
    """What stands to be registered.

    Raises:
        RevelaError: there is no model, or it has no finite primary score.
    """
    if not (model_dir / "modules.json").is_file():
        raise RevelaError(
            f"{model_dir}: not a saved SentenceTransformer (no modules.json). Run `dvc repro train`."
        )
    scores = {
        benchmark: dict(numbers(models[RETRIEVER]))
        for benchmark, models in evaluation.items()
        if isinstance(models, Mapping) and RETRIEVER in models
    }
    wanted = (settings.primary_benchmark, settings.primary_metric)
    value = scores.get(wanted[0], {}).get(wanted[1])
    if value is None or not math.isfinite(value):
        found = ", ".join(f"{name}: {' '.join(metrics)}" for name, metrics in scores.items()) or "none"
        raise RevelaError(
            f"evaluate/metrics.json has no finite {wanted[1]} of '{RETRIEVER}' on '{wanted[0]}' "
            f"(found {found}). Correct registry.primary_benchmark or registry.primary_metric in "
            "params.yaml, or run `dvc repro evaluate`."
        )
    listed = params.get("evaluate", {}).get("benchmarks", [])
    by_name = {entry.get("name", entry.get("kind")): _digest(entry) for entry in listed}
    benchmarks = {name: by_name.get(name, _digest(name)) for name in scores}
    return Candidate(model_dir, sha256_tree(model_dir), scores, benchmarks)


def _digest(settings: Any) -> str:
    return hashlib.md5(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def decide(
    settings: RegistrySettings,
    client: MlflowClient,
    challenger: Candidate,
    data_sets: Mapping[str, str],
    champion: ModelVersion | None,
    per_query: Path,
    model_uri: str,
    uri: str,
) -> Decision:
    """May the candidate become champion?

    Args:
        data_sets: benchmark -> digest of the data it was scored on.
        per_query: its scores, of the stage evaluate.
        model_uri: of the logged model.
        uri: of the tracking store.
    """
    if champion is None:
        benchmark, metric = settings.primary_benchmark, settings.primary_metric
        value = challenger.scores[benchmark][metric]
        checks: list[gate.Check] = []
        lead = f"the first with {metric} on {benchmark} {value:.4f}, no champion before it"
    else:
        lead = f"against version {champion.version}"
        checks = _scored(settings, client, data_sets, champion, per_query)
    if all(check.passed for check in checks):
        # Seconds in another process: only where the scores leave the question open.
        checks += gate.load_elsewhere(settings, model_uri, challenger.model_dir, uri)
    else:
        checks.append(gate.Check("loads", None, "the scores have decided"))
    passed, why = gate.verdict(checks)
    against = NOBODY if champion is None else str(champion.version)
    verdict = f"{'champion' if passed else 'challenger only'}: {lead}; {why}"
    return Decision(checks, passed, against, verdict)


def _scored(
    settings: RegistrySettings,
    client: MlflowClient,
    data_sets: Mapping[str, str],
    champion: ModelVersion,
    per_query: Path,
) -> list[gate.Check]:
    theirs = scores_of(client, champion)
    if theirs is None:
        said = "the champion has no per-query scores to compare with; `revela promote` decides by hand"
        return [gate.Check("primary", False, said)]
    if DATA_SETS not in champion.tags:
        said = "it is not known on which data the champion was scored; `revela promote` decides by hand"
        return [gate.Check("primary", False, said)]
    known = json.loads(champion.tags[DATA_SETS])
    same = [name for name, digest in data_sets.items() if known.get(name) == digest]
    return gate.compare_scores(settings, pd.read_parquet(per_query), theirs, same)


def scores_of(client: MlflowClient, version: ModelVersion) -> pd.DataFrame | None:
    """The per-query scores that were kept with a version's run, or None."""
    folder, _, name = origin.PER_QUERY.rpartition("/")
    if not any(file.path.endswith(name) for file in client.list_artifacts(version.run_id, folder)):
        return None
    with tempfile.TemporaryDirectory() as target:
        return pd.read_parquet(client.download_artifacts(version.run_id, origin.PER_QUERY, target))
