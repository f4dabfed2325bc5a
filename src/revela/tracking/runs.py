"""Opening a run, new or one to be gone on with, under its experiment."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from revela.errors import RevelaError
from revela.tracking.entries import log_texts
from revela.tracking.provenance import dvc_tags, flatten, git_tags, safe_key
from revela.tracking.run_logger import RunLogger
from revela.tracking.store import (
    artifact_root,
    connect,
    project_root,
    tracking_uri,
    without_password,
)
from revela.tracking.unsent import OPENING, send_unsent

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def start_run(
    experiment: str,
    run_name: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    *,
    run_id: str | None = None,
    uri: str | None = None,
    **buffer: Any,
) -> RunLogger:
    """Open a run, with the git commit and the DVC hashes of what it reads as tags.

    Before that, what earlier runs could not write to this store is sent.

    Args:
        params: nested settings; flattened to ``training.phases.0.steps``.
        run_id: a run to go on with; a new one is opened when the store does not have it. Parameters
            that the run has keep their first value, for MLflow never changes one.
        uri: the store; by default `tracking_uri()`.
        buffer: `every_points` and `every_seconds` of the `MetricBuffer`.

    Raises:
        RevelaError: the store cannot be reached, or the experiment was deleted in it.
    """
    uri = uri or tracking_uri()
    client = connect(uri)
    # Before the run is opened: it may be one of theirs, and what ended it then is no news now.
    send_unsent(client, uri)
    root, opening = project_root(), secrets.token_hex(4)
    all_tags = git_tags(root) | dvc_tags(root / "dvc.lock", os.environ.get("DVC_STAGE")) | dict(tags)
    all_tags[OPENING] = opening
    known = {} if run_id is None else _known_params(client, run_id)
    if run_id is None or known is None:
        run = client.create_run(experiment_id(client, uri, experiment), run_name=run_name)
        run_id, known = run.info.run_id, {}
    else:
        client.update_run(run_id, status="RUNNING")
    flat = flatten(params)
    changed = sorted(key for key in known if key in flat and known[key] != flat[key])
    if changed:
        names = ", ".join(changed)
        logger.warning("run %s goes on with other values of %s; MLflow keeps the first ones", run_id, names)
    fresh = {key: value for key, value in flat.items() if key not in known}
    log_texts(client, run_id, params=fresh, tags=all_tags)
    return RunLogger(client, run_id=run_id, uri=uri, opening=opening, **buffer)


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment's id; it is created, with its artifacts beside a local store, when it is new.

    Raises:
        RevelaError: an experiment of that name was deleted and not restored.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        root = artifact_root(uri)
        location = None if root is None else (root / safe_key(name).replace("/", "_")).as_uri()
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was quicker
            assert found is not None
    if found.lifecycle_stage != "active":
        raise RevelaError(
            f"MLflow experiment '{name}' was deleted in {without_password(uri)}. Restore it "
            f"(`mlflow experiments restore -x {found.experiment_id}`) or change registry.experiment."
        )
    return found.experiment_id


def _known_params(client: MlflowClient, run_id: str) -> dict[str, str] | None:
    """The parameters of an existing run; None when there is no such run."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as fault:
        if fault.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run.data.params if run.info.lifecycle_stage == "active" else None
