"""The model registry: one version a trained retriever, with all that it was made from and scored.

`@challenger` is the version registered last, `@champion` the one that passed the gate (:mod:`revela.gate`)
last, `@previous` the champion before it. Every decision is written where the next person looks: into the
version's description and tags.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from revela import gate, provenance, tracking
from revela.champion import CHAMPION, by_alias, crown
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.registered_run import RETRIEVER, log_files, log_model, log_scores, numbers
from revela.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PER_QUERY = "evaluate/per_query.parquet"

Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Registered:
    """What `register` did, or found done."""

    version: str
    aliases: tuple[str, ...]
    run_id: str
    model_uri: str
    tracking_uri: str
    verdict: str


@dataclass(frozen=True)
class Candidate:
    """A trained retriever with what tells it from another: its bytes, its scores, what they were taken on."""

    model_dir: Path
    sha256: str
    scores: Scores
    benchmarks: Mapping[str, str]
    """Digest of each benchmark's settings; scores compare only where these are equal."""

    def tags(self) -> dict[str, str]:
        """The candidate as tags of its model version, from which the next registration compares."""
        return {
            "model.sha256": self.sha256,
            "scores": json.dumps(self.scores, sort_keys=True),
            "benchmarks": json.dumps(self.benchmarks, sort_keys=True),
        }


def register(
    settings: RegistrySettings,
    *,
    model_dir: Path,
    results_dir: Path,
    params: dict[str, Any],
    dvc_lock: Path | None = None,
    train_run_id: str | None = None,
    extra_reports: list[Path] | None = None,
    promote: bool = True,
) -> Registered:
    """Log a trained retriever with its provenance and scores, register it, and decide on `@champion`.

    The same model with the same scores is registered once; a second call finds that version and says so.

    Args:
        model_dir: a saved SentenceTransformer.
        results_dir: has filter_corpus/, build_batches/ and evaluate/, each with a metrics.json, and
            evaluate/per_query.parquet.
        params: the whole of params.yaml.
        dvc_lock: hashes of data and models are taken from it.
        train_run_id: the training's run, to be gone on with; None opens a new run.
        extra_reports: further files to keep with the run.
        promote: let it become champion if it is better; else it is the challenger whatever it scores.

    Raises:
        RevelaError: a file is missing or without the primary score, or the store cannot be reached.
    """
    evaluation = _read_json(results_dir / "evaluate" / "metrics.json", "dvc repro evaluate")
    candidate = _candidate(settings, model_dir, evaluation, params)
    statistics = {
        f"{name}/{key}": value
        for name, stage in (("corpus", "filter_corpus"), ("batches", "build_batches"))
        for key, value in numbers(_read_json(results_dir / stage / "metrics.json", f"dvc repro {stage}"))
    }
    if not (results_dir / PER_QUERY).is_file():
        raise RevelaError(f"{results_dir / PER_QUERY}: no such file. Run `dvc repro evaluate` first.")
    for file in extra_reports or []:
        if not file.is_file():
            raise RevelaError(f"{file}: no such file, so it cannot be kept as a report")

    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    tracking.send_unsent(client, uri)
    with _explained(uri), tracking.promotion_lock(client, settings.model_name) as held:
        champion = by_alias(client, settings.model_name, CHAMPION)
        twin = _twin(client, settings.model_name, candidate)
        if twin is not None:
            return _already_there(client, settings, twin, champion, uri, promote)
        tags = provenance.dvc_tags(dvc_lock) if dvc_lock else {}
        with tracking.start_run(
            settings.experiment, f"register {model_dir.name}", tags, params, run_id=train_run_id, uri=uri
        ) as run:
            run.log(statistics, step=0)
            model_id = log_model(model_dir, run.run_id, uri)
            log_scores(client, run.run_id, model_id, evaluation, candidate.benchmarks)
            log_files(client, run.run_id, results_dir, extra_reports or [])
            checks, better, verdict = _decide(
                settings, client, candidate, champion, results_dir / PER_QUERY, f"models:/{model_id}", uri
            )
            if better and not promote:
                verdict = f"challenger only, as asked for; it would be {verdict}"
            held.confirm()
            version = _create_version(
                client, settings.model_name, candidate, run.run_id, model_id, verdict, checks
            )
            client.set_registered_model_alias(settings.model_name, "challenger", version.version)
            if better and promote:
                crown(client, settings.model_name, version.version)
        return _registered(client, settings.model_name, version.version, uri, verdict)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """A store that refuses or goes away half-way is a matter for the user, who can run `register` again."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as fault:
        raise RevelaError(
            f"MLflow store {uri} did not take the registration: {fault}\n"
            "Mend the store and run `revela register` again; what is complete is not registered twice."
        ) from fault


# --- what is registered ---------------------------------------------------------------------------


def _candidate(
    settings: RegistrySettings, model_dir: Path, evaluation: Mapping[str, Any], params: Mapping[str, Any]
) -> Candidate:
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


def _read_json(path: Path, command: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RevelaError(f"{path}: no such file. Run `{command}` first.") from None
    except ValueError as fault:
        raise RevelaError(f"{path}: not valid JSON: {fault}. Run `{command}` again.") from None


def _digest(settings: Any) -> str:
    return hashlib.md5(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


# --- deciding -------------------------------------------------------------------------------------


def _decide(
    settings: RegistrySettings,
    client: MlflowClient,
    candidate: Candidate,
    champion: ModelVersion | None,
    per_query: Path,
    model_uri: str,
    uri: str,
) -> tuple[list[gate.Check], bool, str]:
    """The gate's checks, whether the candidate becomes champion, and why, in a sentence for people."""
    benchmark, metric = settings.primary_benchmark, settings.primary_metric
    checks: list[gate.Check] = []
    if champion is None:
        value = candidate.scores[benchmark][metric]
        lead = f"the first with {metric} on {benchmark} {value:.4f}, no champion before it"
    else:
        version, digests = champion.version, json.loads(champion.tags.get("benchmarks", "{}"))
        lead, unclear = f"against version {version}", f"challenger only: the champion, version {version}, "
        if digests.get(benchmark) != candidate.benchmarks[benchmark]:
            unclear += f"was measured with other settings of {benchmark}, so the scores do not compare"
            return [], False, unclear
        theirs = _scores_of(client, champion)
        if theirs is None:
            unclear += "has no per-query scores to compare with; `revela promote` decides by hand"
            return [], False, unclear
        checks = gate.compare_scores(settings, pd.read_parquet(per_query), theirs)
    if all(check.passed for check in checks):
        # Seconds in another process: only where the scores leave the question open.
        checks += gate.load_elsewhere(settings, model_uri, candidate.model_dir, uri)
    passed, why = gate.verdict(checks)
    return checks, passed, f"{'champion' if passed else 'challenger only'}: {lead}; {why}"


def _scores_of(client: MlflowClient, version: ModelVersion) -> pd.DataFrame | None:
    """The per-query scores that were kept with a version's run, or None."""
    from mlflow.exceptions import MlflowException

    folder, _, name = f"results/{PER_QUERY}".rpartition("/")
    if not any(file.path.endswith(name) for file in client.list_artifacts(version.run_id, folder)):
        return None
    try:
        with tempfile.TemporaryDirectory() as target:
            return pd.read_parquet(client.download_artifacts(version.run_id, f"{folder}/{name}", target))
    except (MlflowException, OSError):
        return None


def _twin(client: MlflowClient, name: str, candidate: Candidate) -> ModelVersion | None:
    """The version with the same bytes and scores, if there is one."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if candidate.tags().items() <= version.tags.items():
            return version
    return None


def _already_there(
    client: MlflowClient,
    settings: RegistrySettings,
    twin: ModelVersion,
    champion: ModelVersion | None,
    uri: str,
    promote: bool,
) -> Registered:
    verdict = f"already registered as version {twin.version}; nothing was changed"
    # Its first registration was cut off before the alias, or the alias was taken away.
    if champion is None and promote:
        crown(client, settings.model_name, twin.version)
        verdict = f"already registered as version {twin.version}; made champion, there was none"
    return _registered(client, settings.model_name, twin.version, uri, verdict)


def _create_version(
    client: MlflowClient,
    name: str,
    candidate: Candidate,
    run_id: str,
    model_id: str,
    verdict: str,
    checks: list[gate.Check],
) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        tags=candidate.tags() | {"verdict": verdict} | {f"gate.{one.name}": str(one) for one in checks},
        description=verdict,
        model_id=model_id,
    )


def _registered(client: MlflowClient, name: str, version: str, uri: str, verdict: str) -> Registered:
    found = client.get_model_version(name, version)
    return Registered(
        version=str(found.version),
        aliases=tuple(sorted(found.aliases)),
        run_id=found.run_id,
        model_uri=f"models:/{name}/{found.version}",
        tracking_uri=uri,
        verdict=verdict,
    )
