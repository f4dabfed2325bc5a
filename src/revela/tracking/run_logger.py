"""One run being written, by a training that must not depend on the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from revela.tracking.buffer import MetricBuffer, Point
from revela.tracking.store import first_line, impatient

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

MAX_PARAMS_A_CALL = 100


class RunLogger:
    """One MLflow run being written. A context manager: flushes, and marks the run by how the block ended."""

    def __init__(self, client: MlflowClient, *, run_id: str, uri: str, **buffer: Any) -> None:
        self.run_id = run_id
        self.uri = uri
        self._client = client
        self._buffer = MetricBuffer(self._send, **buffer)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep the values of one step, to be written soon. Raises ValueError on a key MLflow refuses."""
        for key, value in metrics.items():
            self._buffer.add(key, value, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Write tags now; a store that does not answer costs a warning, not the training."""
        try:
            with impatient():
                log_texts(self._client, self.run_id, tags=tags)
        except Exception as fault:
            logger.warning("MLflow does not take the tags %s: %s", ", ".join(tags), first_line(fault))

    def flush(self) -> bool:
        """Write what is kept. Returns whether nothing is left."""
        return self._buffer.flush()

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """Flush and set the run's final status; what cannot be written any more is warned about."""
        if not self.flush():
            left = len(self._buffer)
            logger.warning(
                "run %s: %d points could not be written to %s and are lost", self.run_id, left, self.uri
            )
        try:
            with impatient():
                self._client.set_terminated(self.run_id, status)
        except Exception as fault:
            logger.warning("run %s could not be marked as %s: %s", self.run_id, status, first_line(fault))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("FINISHED")
        else:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    def _send(self, points: list[Point]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
        with impatient():
            self._client.log_batch(self.run_id, metrics=metrics)


def log_texts(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    from mlflow.entities import Param, RunTag

    entries = [Param(*item) for item in (params or {}).items()]
    labels = [RunTag(key, str(value)) for key, value in (tags or {}).items()]
    for start in range(0, max(len(entries), len(labels)), MAX_PARAMS_A_CALL):
        end = start + MAX_PARAMS_A_CALL
        client.log_batch(run_id, params=entries[start:end], tags=labels[start:end])
