"""What the run of a registered retriever keeps: the model, its scores, pictures and reports."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revela import tracking
from revela.errors import RevelaError
from revela.tracking import provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RETRIEVER = "retriever"  # the name of the trained model in results/evaluate/metrics.json
# What a loaded model runs on. Pinned exactly, for a tokenizer or pooling that moved changes every vector.
REQUIRED = ["sentence-transformers", "transformers", "tokenizers", "safetensors", "torch", "numpy"]


def numbers(tree: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested mappings, as ``("dropped/too_short", 3.0)``; anything else is no metric."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from numbers(value, f"{prefix}/{key}" if prefix else str(key))
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield provenance.safe_key(prefix), float(tree)


def log_model(model_dir: Path, run_id: str, uri: str) -> str:
    """Log the model into the run. Returns its model id."""
    import mlflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(model_dir), device="cpu", local_files_only=True)
    width = model.get_embedding_dimension()
    assert width is not None  # which every pooling knows
    output = TensorSpec(np.dtype("float32"), (-1, width))
    # Served as a plain function the model sees queries; a caller who indexes passes prompt_name=document.
    prompt = ParamSpec("prompt_name", DataType.string, "query")
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.string)]), outputs=Schema([output]), params=ParamSchema([prompt])
    )
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id):
        info = mlflow.sentence_transformers.log_model(
            model, name=RETRIEVER, signature=signature, pip_requirements=requirements()
        )
    model_id: str = info.model_id
    return model_id


def requirements() -> list[str]:
    """Exact pins; a build label such as ``+cpu`` is dropped, for it names no release on PyPI."""
    return [f"{name}=={installed_version(name).partition('+')[0]}" for name in REQUIRED]


def fetch_model(version: ModelVersion, target: Path, uri: str) -> Path:
    """The SentenceTransformer folder of a version, downloaded; requirements.txt stands beside it.

    Raises:
        RevelaError: the store does not give it.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    target.mkdir()
    try:
        folder = mlflow.artifacts.download_artifacts(
            artifact_uri=f"models:/{version.name}/{version.version}", dst_path=str(target), tracking_uri=uri
        )
        return next(Path(folder).rglob("modules.json")).parent
    except (MlflowException, OSError, StopIteration) as fault:
        raise RevelaError(
            f"the model of {version.name} version {version.version} cannot be had from {uri}: {fault!r}"
        ) from fault


def log_scores(
    client: MlflowClient,
    run_id: str,
    model_id: str | None,
    evaluation: Mapping[str, Any],
    data_sets: Mapping[str, str],
) -> None:
    """Every score as ``<benchmark>/<model>/<metric>``, tied to its data set, the retriever's to its model.

    Args:
        model_id: of the logged model; None where the model was not logged.
        data_sets: benchmark -> digest of its content.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

    now = int(time.time() * 1000)
    metrics = []
    for benchmark, models in evaluation.items():
        for model, tree in models.items() if isinstance(models, Mapping) else []:
            tie: dict[str, Any] = {}
            if benchmark in data_sets:
                tie = {"dataset_name": benchmark, "dataset_digest": data_sets[benchmark]}
            if model == RETRIEVER and model_id is not None:
                tie["model_id"] = model_id
            prefix = provenance.safe_key(f"{benchmark}/{model}")
            metrics += [Metric(key, value, now, 0, **tie) for key, value in numbers(tree, prefix)]
    for start in range(0, len(metrics), tracking.MAX_METRICS_A_CALL):
        client.log_batch(run_id, metrics=metrics[start : start + tracking.MAX_METRICS_A_CALL])
    sets = [
        Dataset(name, digest, "local", json.dumps({"benchmark": name})) for name, digest in data_sets.items()
    ]
    context = [InputTag("mlflow.data.context", "evaluation")]
    client.log_inputs(run_id, [DatasetInput(dataset, context) for dataset in sets])


_KEPT = (".png", ".md", ".html", ".parquet")
_PICTURES = {"scores": "evaluate/scores.png", "curve": "train/curve.png"}


def log_files(client: MlflowClient, run_id: str, results_dir: Path, reports: list[Path]) -> None:
    """Tables, pictures and per-query scores as artifacts; two pictures also as images, which the UI compares.

    The folders of single ablations are left out: each has a run of its own.
    """
    from PIL import Image

    for file in sorted(path for path in results_dir.rglob("*") if path.suffix in _KEPT):
        place = file.parent.relative_to(results_dir)
        if place.parts[:1] == ("ablations",) and len(place.parts) > 1:
            continue
        folder = place.as_posix()
        client.log_artifact(run_id, str(file), "results" if folder == "." else f"results/{folder}")
    for key, name in _PICTURES.items():
        if (results_dir / name).is_file():
            with Image.open(results_dir / name) as picture:
                client.log_image(run_id, picture.convert("RGB"), key=key, step=0)
    for file in reports:
        client.log_artifact(run_id, str(file), "reports")
