"""From a registered version to everything that it was made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from revela import tracking
from revela.champion import by_alias
from revela.errors import RevelaError
from revela.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_COMMIT, _DIRTY = "mlflow.source.git.commit", "git.dirty"
_GATE, _DVC = "gate.", "dvc."


def lineage(settings: RegistrySettings, version: str) -> str:
    """Commit, hashes, settings and scores of a version, as lines to read.

    Args:
        version: a number, or an alias such as ``@champion``.

    Raises:
        RevelaError: there is no such version.
    """
    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    return "\n".join(_lines(client, settings.model_name, _find(client, settings.model_name, version, uri)))


def _find(client: MlflowClient, name: str, version: str, uri: str) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    if version.startswith("@"):
        found = by_alias(client, name, version.removeprefix("@"))
        if found is None:
            raise RevelaError(f"{name} has no {version} in {uri}.")
        return client.get_model_version(name, found.version)
    try:
        return client.get_model_version(name, version)
    except MlflowException as fault:
        raise RevelaError(f"{name} has no version {version} in {uri}.") from fault


def _lines(client: MlflowClient, name: str, version: ModelVersion) -> Iterator[str]:
    run = client.get_run(version.run_id)
    tags = run.data.tags
    aliases = ", ".join(f"@{alias}" for alias in sorted(version.aliases))
    yield f"{name} version {version.version}{f' ({aliases})' if aliases else ''}"
    yield f"  {version.description}"
    for key in sorted(key for key in version.tags if key.startswith(_GATE)):
        yield f"  {key}: {version.tags[key]}"
    yield "made by"
    changed = {"true": ", with changes that were not committed", "false": ""}
    yield f"  commit    {tags.get(_COMMIT, 'unknown')}{changed.get(tags.get(_DIRTY, ''), '')}"
    yield f"  MLflow    run {version.run_id}"
    yield f"  model     sha256 {version.tags.get('model.sha256', 'unknown')}"
    yield "from, as in dvc.lock"
    hashes = {key.removeprefix(_DVC): value for key, value in tags.items() if key.startswith(_DVC)}
    for path in sorted(path for path in hashes if not path.startswith("src/")):
        yield f"  {hashes[path]}  {path}"
    yield "scores"
    for benchmark, metrics in json.loads(version.tags.get("scores", "{}")).items():
        yield f"  {benchmark}: " + ", ".join(f"{key} {value:.4f}" for key, value in metrics.items())
    yield "settings"
    for key, value in sorted(run.data.params.items()):
        yield f"  {key}: {value}"
