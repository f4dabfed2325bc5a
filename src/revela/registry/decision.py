"""The decision on a candidate: the gate, against the present champion."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from revela.registry import gate, origin
from revela.registry.aliases import crown
from revela.registry.candidate import AGAINST, DATA_SETS, GATE, HELD_BACK, NOBODY, PASSED, Candidate
from revela.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


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
            **{f"{GATE}{one.name}": str(one) for one in self.checks},
            PASSED: str(self.passed).lower(),
            AGAINST: self.against,
        }


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


def settle(client: MlflowClient, version: ModelVersion, decision: Decision) -> None:
    """Write a new decision on a version that was held back, and carry it out. Call with promotion locked."""
    for key, value in {**decision.tags(), "verdict": decision.verdict}.items():
        client.set_model_version_tag(version.name, version.version, key, value)
    client.update_model_version(version.name, version.version, decision.verdict)
    if decision.passed:
        crown(client, version.name, version.version)
        # A later rollback must not be undone by registering the same retriever again.
        client.delete_model_version_tag(version.name, version.version, HELD_BACK)


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
    if not version.run_id:  # made by hand
        return None
    folder, _, name = origin.PER_QUERY.rpartition("/")
    if not any(file.path.endswith(name) for file in client.list_artifacts(version.run_id, folder)):
        return None
    with tempfile.TemporaryDirectory() as target:
        return pd.read_parquet(client.download_artifacts(version.run_id, origin.PER_QUERY, target))
