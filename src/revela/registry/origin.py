"""The files that a version is reproduced from, kept with its run: params.yaml, dvc.lock, per-query scores.

Their hashes are tags of the version: what a run holds may be written to again, a version's tags are not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from revela.errors import RevelaError
from revela.files import sha256_file
from revela.tracking import provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

FOLDER = "origin"
PARAMS, DVC_LOCK = "params.yaml", "dvc.lock"
PER_QUERY = "results/evaluate/per_query.parquet"
COMMIT, CORPUS = "git.commit", "corpus.md5"
_CORPUS_FOLDER = "dvc.data/documents"


def run_id_of(version: ModelVersion) -> str:
    """The MLflow run that a version belongs to, which holds all that it was made from.

    Raises:
        RevelaError: it has none, so it was not made by `revela register`.
    """
    if not version.run_id:
        raise RevelaError(
            f"{version.name} version {version.version} belongs to no MLflow run, so nothing is known of how "
            "it was made: it was not registered by `revela register`."
        )
    return version.run_id


def origin_tags(root: Path, files: Mapping[str, Path]) -> dict[str, str]:
    """Tags of a version: the commit, what differed from it, the corpus, and the hash of every kept file.

    Args:
        root: of the project.
        files: artifact path -> file, from :func:`origin_files`.
    """
    tags = provenance.git_tags(root)
    tags[COMMIT] = tags.pop(provenance.COMMIT)
    if f"{FOLDER}/{DVC_LOCK}" in files:
        hashes = provenance.dvc_tags(files[f"{FOLDER}/{DVC_LOCK}"])
        tags |= {CORPUS: hashes[_CORPUS_FOLDER]} if _CORPUS_FOLDER in hashes else {}
    return tags | {f"sha256.{Path(path).name}": sha256_file(file) for path, file in files.items()}


def origin_files(params: Path | None, dvc_lock: Path | None, per_query: Path) -> dict[str, Path]:
    """Artifact path -> file; of those that are there."""
    files = {f"{FOLDER}/{PARAMS}": params, f"{FOLDER}/{DVC_LOCK}": dvc_lock, PER_QUERY: per_query}
    return {path: file for path, file in files.items() if file is not None and file.is_file()}


def log_origin(client: MlflowClient, run_id: str, files: Mapping[str, Path]) -> None:
    """Keep the files with the run, each under its artifact path, whatever it is called here."""
    with tempfile.TemporaryDirectory() as scratch:
        for path, file in files.items():
            named = shutil.copyfile(file, Path(scratch) / Path(path).name)
            client.log_artifact(run_id, str(named), str(Path(path).parent))


def fetch_origin(client: MlflowClient, version: ModelVersion, target: Path) -> dict[str, Path]:
    """Name -> file of what was kept with a version, checked against the version's tags.

    Args:
        target: an existing folder to write to.

    Raises:
        RevelaError: a file was never kept, is gone, or is not what was registered.
    """
    from mlflow.exceptions import MlflowException

    found: dict[str, Path] = {}
    for path in (f"{FOLDER}/{PARAMS}", f"{FOLDER}/{DVC_LOCK}", PER_QUERY):
        name = Path(path).name
        wanted = version.tags.get(f"sha256.{name}")
        if wanted is None:
            raise RevelaError(
                f"{version.name} version {version.version} was registered without its {name}, so it cannot "
                f"be reproduced. Its commit is {version.tags.get(COMMIT, provenance.UNKNOWN)}."
            )
        try:
            file = Path(client.download_artifacts(run_id_of(version), path, str(target)))
        except (MlflowException, OSError) as fault:
            raise RevelaError(
                f"{path} of MLflow run {version.run_id}, kept for version {version.version}, cannot be "
                f"read: {fault}"
            ) from fault
        if sha256_file(file) != wanted:
            raise RevelaError(
                f"{path} of MLflow run {version.run_id} is not what was registered as version "
                f"{version.version}: its sha256 is not the version's tag sha256.{name}, {wanted}."
            )
        found[name] = file
    return found
