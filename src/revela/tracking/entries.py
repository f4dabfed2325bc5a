"""Points, parameters and tags as MLflow takes them: so many a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from revela.tracking.buffer import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PARAMS_A_CALL = 100


def log_points(client: MlflowClient, run_id: str, points: Sequence[Point]) -> None:
    """Write at most `MAX_METRICS_A_CALL` points."""
    from mlflow.entities import Metric

    metrics = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
    client.log_batch(run_id, metrics=metrics)


def log_texts(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write any number of parameters and tags."""
    from mlflow.entities import Param, RunTag

    entries = [Param(*item) for item in (params or {}).items()]
    labels = [RunTag(key, str(value)) for key, value in (tags or {}).items()]
    for start in range(0, max(len(entries), len(labels)), MAX_PARAMS_A_CALL):
        end = start + MAX_PARAMS_A_CALL
        client.log_batch(run_id, params=entries[start:end], tags=labels[start:end])
