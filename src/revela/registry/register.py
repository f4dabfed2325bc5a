"""The model registry: one version a trained retriever, with all that it was made from and scored.

`@challenger` is the version registered last, `@champion` the one that passed the gate last
(:mod:`revela.registry.gate`), `@previous` the champion before it. Every decision is written where the next
person looks: into the version's description and tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revela import tracking
from revela.errors import RevelaError
from revela.registry import origin
from revela.registry.aliases import CHALLENGER, CHAMPION, by_alias, crown
from revela.registry.candidate import (
    AGAINST,
    DATA_SETS,
    HELD_BACK,
    NOBODY,
    PASSED,
    Candidate,
    candidate,
    checks_of,
)
from revela.registry.lock import promotion_lock
from revela.registry.registered_run import log_files, log_model, log_scores, numbers
from revela.settings import RegistrySettings
from revela.tracking import provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_COMPLETE = "registered"  # the tag that a registration leaves last


@dataclass(frozen=True)
class Registered:
    """What `register` did, or found done.

    Attributes:
        verdict: what happened now.
        reason: why the version is champion or not, as it was decided when it was registered.
        checks: name -> verdict of the gate's checks at that time; none where there was nothing to compare.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    experiment_id: str
    run_id: str
    model_uri: str
    tracking_uri: str
    verdict: str
    reason: str
    checks: Mapping[str, str]


def register(
    settings: RegistrySettings,
    *,
    model_dir: Path,
    results_dir: Path,
    params: dict[str, Any],
    data_sets: Callable[[], Mapping[str, str]],
    params_file: Path | None = None,
    dvc_lock: Path | None = None,
    train_run: Callable[[], str | None] = lambda: None,
    extra_reports: list[Path] | None = None,
    promote: bool = True,
) -> Registered:
    """Log a trained retriever with its provenance and scores, register it, and decide on `@champion`.

    The same model with the same scores is registered once; a second call finds that version and says so. One
    that was held back (`promote` false) goes through the gate again when it may be promoted, against the
    champion of then.

    Args:
        model_dir: a saved SentenceTransformer.
        results_dir: has filter_corpus/, build_batches/ and evaluate/, each with a metrics.json, and
            evaluate/per_query.parquet.
        params: the whole of params.yaml.
        data_sets: gives benchmark -> digest of its content; asked only when there is something to register.
        params_file: kept with the version, to reproduce it.
        dvc_lock: hashes of data and models are taken from it; kept as well.
        train_run: gives the training's run, to be gone on with unless another version has it; None opens a
            new run. Asked only when there is something to register: the answer may need torch.
        extra_reports: further files to keep with the run.
        promote: let it become champion if it is better; else it is the challenger whatever it scores.

    Raises:
        RevelaError: a file is missing or without the primary score, or the store cannot be reached.
    """
    evaluation = _read_json(results_dir / "evaluate" / "metrics.json", "dvc repro evaluate")
    challenger = candidate(settings, model_dir, evaluation, params)
    statistics = {
        f"{name}/{key}": value
        for name, stage in (("corpus", "filter_corpus"), ("batches", "build_batches"))
        for key, value in numbers(_read_json(results_dir / stage / "metrics.json", f"dvc repro {stage}"))
    }
    per_query = results_dir / "evaluate" / "per_query.parquet"
    if not per_query.is_file():
        raise RevelaError(f"{per_query}: no such file. Run `dvc repro evaluate` first.")
    for file in extra_reports or []:
        if not file.is_file():
            raise RevelaError(f"{file}: no such file, so it cannot be kept as a report")

    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    tracking.send_unsent(client, uri)
    name = settings.model_name
    with _explained(uri), promotion_lock(client, name) as held:
        champion = by_alias(client, name, CHAMPION)
        twin = _twin(client, name, challenger)
        held_back = twin is not None and twin.tags.get(HELD_BACK) == "true"
        if twin is not None and not (promote and held_back):
            return _already_there(client, name, twin, champion, uri, promote)
        # Here, and not above: scipy and pandas take seconds, and most often there is nothing to decide.
        from revela.registry.decision import decide, settle

        digests = {benchmark: data_sets()[benchmark] for benchmark in challenger.scores}
        if twin is not None:
            assert twin.source is not None  # as _create_version made it
            decision = decide(settings, client, challenger, digests, champion, per_query, twin.source, uri)
            held.confirm()
            settle(client, twin, decision)
            verdict = f"already registered as version {twin.version}; now {decision.verdict}"
            return _registered(client, name, twin.version, uri, verdict)
        files = origin.origin_files(params_file, dvc_lock, per_query)
        tags = provenance.dvc_tags(dvc_lock) if dvc_lock else {}
        train_run_id = train_run()
        if train_run_id is not None and client.search_model_versions(f"run_id = '{train_run_id}'"):
            # What is kept with that version must not be written over.
            tags |= {"trained_in": train_run_id}
            train_run_id = None
        if train_run_id is None:
            tags |= {"stage": "register"}
        with tracking.start_run(
            settings.experiment, f"register {model_dir.name}", tags, params, run_id=train_run_id, uri=uri
        ) as run:
            run.log(statistics, step=0)
            model_id = log_model(model_dir, run.run_id, uri)
            log_scores(client, run.run_id, model_id, evaluation, digests)
            log_files(client, run.run_id, results_dir, extra_reports or [])
            origin.log_origin(client, run.run_id, files)
            decision = decide(
                settings, client, challenger, digests, champion, per_query, f"models:/{model_id}", uri
            )
            verdict, kept_back = decision.verdict, {}
            if decision.passed and not promote:
                verdict = f"challenger only, as asked for; it would be {verdict}"
                kept_back = {HELD_BACK: "true"}
            tags = {
                **challenger.tags(),
                DATA_SETS: json.dumps(digests, sort_keys=True),
                **origin.origin_tags(tracking.project_root(), files),
                **decision.tags(),
                **kept_back,
                "verdict": verdict,
            }
            held.confirm()
            version = _create_version(client, name, run.run_id, model_id, tags)
            client.set_registered_model_alias(name, CHALLENGER, version.version)
            if decision.passed and promote:
                crown(client, name, version.version)
            client.set_model_version_tag(name, version.version, _COMPLETE, "true")
        return _registered(client, name, version.version, uri, verdict)


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


def _read_json(path: Path, command: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RevelaError(f"{path}: no such file. Run `{command}` first.") from None
    except ValueError as fault:
        raise RevelaError(f"{path}: not valid JSON: {fault}. Run `{command}` again.") from None


def _twin(client: MlflowClient, name: str, challenger: Candidate) -> ModelVersion | None:
    """The version with the same bytes and scores, if there is one."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if challenger.tags().items() <= version.tags.items():
            return version
    return None


def _already_there(
    client: MlflowClient,
    name: str,
    twin: ModelVersion,
    champion: ModelVersion | None,
    uri: str,
    promote: bool,
) -> Registered:
    """Nothing to do, but for what a first registration was kept from doing, or an alias that is gone.

    Only a version that passed the gate is crowned, and only while the champion that it beat is still there.
    """
    said = f"already registered as version {twin.version}"
    verdict = f"{said}; nothing was changed"
    complete = _COMPLETE in twin.tags
    if not complete:
        client.set_registered_model_alias(name, CHALLENGER, twin.version)
    now = NOBODY if champion is None else str(champion.version)
    unopposed = champion is None or (not complete and twin.tags.get(AGAINST) == now)
    if promote and unopposed and twin.tags.get(PASSED) == "true":
        crown(client, name, twin.version)
        lost = "there was none" if champion is None else "its registration had been cut off"
        verdict = f"{said}; made champion, {lost}"
    if not complete:
        client.set_model_version_tag(name, twin.version, _COMPLETE, "true")
    return _registered(client, name, twin.version, uri, verdict)


def _create_version(
    client: MlflowClient, name: str, run_id: str, model_id: str, tags: dict[str, str]
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
        tags=tags,
        description=tags["verdict"],
        model_id=model_id,
    )


def _registered(client: MlflowClient, name: str, version: str, uri: str, verdict: str) -> Registered:
    found = client.get_model_version(name, version)
    run_id = origin.run_id_of(found)
    return Registered(
        name=name,
        version=str(found.version),
        aliases=tuple(sorted(found.aliases)),
        experiment_id=client.get_run(run_id).info.experiment_id,
        run_id=run_id,
        model_uri=f"models:/{name}/{found.version}",
        tracking_uri=uri,
        verdict=verdict,
        reason=found.tags.get("verdict", verdict),
        checks=checks_of(found.tags),
    )
