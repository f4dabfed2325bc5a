"""From a registered version to everything that it was made of, and from files and hashes back to versions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from revela import tracking
from revela.errors import RevelaError
from revela.files import sha256_tree
from revela.registry import origin
from revela.registry.aliases import find_version
from revela.registry.candidate import DATA_SETS
from revela.settings import RegistrySettings
from revela.tracking import provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

_GATE, _DVC, _CODE = "gate.", "dvc.", "src/"
# Shorter ones would be taken for the number of a version, and meet by chance.
_HASH = re.compile(r"[0-9a-f]{7,64}")
_HASHES = ("model.sha256", origin.CORPUS, origin.COMMIT, "sha256.dvc.lock", "sha256.params.yaml")


def lineage(settings: RegistrySettings, asked: str) -> str:
    """Commit, hashes, settings and scores of a version, as lines to read.

    Args:
        asked: a number, or an alias such as ``@champion``; or what a version was made of: the folder of a
            model, the beginning (seven digits or more) of a hash of model, corpus, dvc.lock, params.yaml or
            commit.

    Raises:
        RevelaError: there is no such version, or it belongs to no run.
    """
    uri = tracking.tracking_uri()
    client = tracking.connect(uri)
    name = settings.model_name
    if Path(asked).is_dir():
        versions = _with_hash(client, name, sha256_tree(Path(asked)))
        what = f"the model in {asked}"
    elif _HASH.fullmatch(asked):
        versions = _with_hash(client, name, asked)
        what = f"the hash {asked}"
    else:
        versions = [find_version(client, name, asked, uri)]
        what = asked
    if not versions:
        raise RevelaError(f"{name} has no version with {what} in {uri}.")
    return "\n\n".join("\n".join(_lines(client, name, version, uri)) for version in versions)


def _with_hash(client: MlflowClient, name: str, beginning: str) -> list[ModelVersion]:
    """The versions of which some hash begins so, the newest first."""
    return [
        client.get_model_version(name, version.version)  # a search leaves the aliases out
        for version in client.search_model_versions(f"name = '{name}'")
        if any(version.tags.get(key, "").startswith(beginning) for key in _HASHES)
    ]


def _lines(client: MlflowClient, name: str, version: ModelVersion, uri: str) -> Iterator[str]:
    run = client.get_run(origin.run_id_of(version))
    aliases = ", ".join(f"@{alias}" for alias in sorted(version.aliases))
    yield f"{name} version {version.version}{f' ({aliases})' if aliases else ''}"
    yield f"  {version.description}"
    for key in sorted(key for key in version.tags if key.startswith(_GATE)):
        yield f"  {key}: {version.tags[key]}"
    if "promoted" in version.tags:
        yield f"  promoted: {version.tags['promoted']}"
    yield "made by"
    yield f"  commit    {_commit(version, run)}"
    yield f"  MLflow    {_run_link(run.info.experiment_id, run.info.run_id, uri)}"
    yield "hashes"
    for label, key, method in (
        ("model", "model.sha256", "sha256"),
        ("corpus", origin.CORPUS, "md5"),
        ("dvc.lock", "sha256.dvc.lock", "sha256"),
        ("params", "sha256.params.yaml", "sha256"),
    ):
        yield f"  {label:<9} {method} {version.tags.get(key, provenance.UNKNOWN)}"
    for benchmark, digest in json.loads(version.tags.get(DATA_SETS, "{}")).items():
        yield f"  data set  {digest} {benchmark}"
    yield "from, as in dvc.lock"
    tags = run.data.tags
    hashes = {key.removeprefix(_DVC): value for key, value in tags.items() if key.startswith(_DVC)}
    for path in sorted(path for path in hashes if not path.startswith(_CODE)):
        yield f"  {hashes[path]}  {path}"
    yield "scores"
    for benchmark, metrics in json.loads(version.tags.get("scores", "{}")).items():
        yield f"  {benchmark}: " + ", ".join(f"{key} {value:.4f}" for key, value in metrics.items())
    yield "settings"
    for key, value in sorted(run.data.params.items()):
        yield f"  {key}: {value}"
    yield "back"
    yield f"  revela reproduce {version.version}"


def _commit(version: ModelVersion, run: Run) -> str:
    # Of a version that was registered before it had tags of its own, the run knows.
    commit = version.tags.get(origin.COMMIT) or run.data.tags.get(provenance.COMMIT, provenance.UNKNOWN)
    if version.tags.get(provenance.DIRTY) != "true":
        return commit
    return f"{commit}, with changes that were not committed: {version.tags[provenance.CHANGED]}"


def _run_link(experiment: str, run: str, uri: str) -> str:
    """Where a browser finds the run; a local store's address is that of `make ui`."""
    base = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{base}/#/experiments/{experiment}/runs/{run}"
