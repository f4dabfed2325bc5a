"""One run being written, by a training that must not depend on the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from revela.tracking.buffer import MetricBuffer, Point
from revela.tracking.entries import log_points, log_texts
from revela.tracking.store import first_line, impatient, without_password
from revela.tracking.unsent import Unsent, discard, keep, unsent_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


class RunLogger:
    """One MLflow run being written. A context manager: flushes, and marks the run by how the block ended.

    While the store is away, what it did not take is in a file, too (:mod:`revela.tracking.unsent`), so that
    neither the end of this process nor a kill loses it.

    Args:
        opening: value of the run's tag `revela.opening`.
        buffer: `every_points` and `every_seconds` of the `MetricBuffer`.
    """

    def __init__(self, client: MlflowClient, *, run_id: str, uri: str, opening: str, **buffer: Any) -> None:
        self.run_id = run_id
        self.uri = uri
        self._client = client
        self._opening = opening
        self._folder = unsent_folder()
        self._tags: dict[str, str] = {}  # not taken yet
        self._buffer = MetricBuffer(self._send, told=self._back_or_away, **buffer)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep the values of one step, to be written soon. Raises ValueError on a key MLflow refuses."""
        for key, value in metrics.items():
            self._buffer.add(key, value, step)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Write tags now; a store that does not answer gets them later."""
        self._tags |= {key: str(value) for key, value in tags.items()}
        if not self._send_tags():
            self._keep()

    def flush(self) -> bool:
        """Write what is kept. Returns whether nothing is left."""
        return self._buffer.flush() and self._send_tags()

    def close(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED") -> None:
        """Flush and set the run's final status; what the store does not take is kept and sent later."""
        ended_ms = int(time.time() * 1000)
        complete = self.flush()
        try:
            with impatient():
                self._client.set_terminated(self.run_id, status, ended_ms)
        except Exception as fault:
            complete = False
            logger.warning("run %s could not be marked as %s: %s", self.run_id, status, first_line(fault))
        if complete:
            discard(self._folder, self.run_id, self._opening)
        else:
            self._keep(status, ended_ms)

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
        with impatient():
            log_points(self._client, self.run_id, points)

    def _send_tags(self) -> bool:
        """Returns whether none is left."""
        try:
            if self._tags:
                with impatient():
                    log_texts(self._client, self.run_id, tags=self._tags)
        except Exception as fault:
            names = ", ".join(self._tags)
            logger.warning("MLflow does not take the tags %s, they are kept: %s", names, first_line(fault))
            return False
        self._tags = {}
        return True

    def _back_or_away(self, back: bool) -> None:
        if back and self._send_tags():
            discard(self._folder, self.run_id, self._opening)
        else:
            self._keep()

    def _keep(self, status: str | None = None, ended_ms: int | None = None) -> None:
        """Write to the file what the store did not take; with a final status, say so."""
        points = self._buffer.points
        store = without_password(self.uri)
        unsent = Unsent(store, self.run_id, self._opening, points, self._tags, status, ended_ms)
        try:
            path = keep(self._folder, unsent)
        except Exception as fault:  # training goes on, whatever the disk does
            logger.warning("run %s: %d points could be kept nowhere: %s", self.run_id, len(points), fault)
            return
        if status is not None:
            logger.warning(
                "run %s: %d points could not be written to %s. They are kept in %s and sent when the next "
                "run is opened on that store, or by `revela send-unsent`.",
                self.run_id, len(points), store, path,
            )  # fmt: skip
