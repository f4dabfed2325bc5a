"""Metric points on their way into the store: collected, written in batches, kept while it is away."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from revela.tracking.provenance import MAX_KEY_CHARACTERS
from revela.tracking.store import first_line

logger = logging.getLogger(__name__)

MAX_METRICS_A_CALL = 1000
_KEY = re.compile(r"[\w.\-/ :]+", re.ASCII)


@dataclass(frozen=True)
class Point:
    """One value of one metric, stamped when it was measured, so that writing it twice changes nothing."""

    key: str
    value: float
    step: int
    timestamp_ms: int


class MetricBuffer:
    """Collects points and hands them to `write` in batches; keeps them when `write` fails.

    A failure is reported once as a warning. The next attempt waits `every_seconds`, or as much longer as
    it takes to keep the time lost to a server that hangs below a twentieth of the training's.

    Args:
        write: takes at most 1000 points; raises when it could not keep them.
        every_points: points that trigger a write.
        every_seconds: age of the last attempt that triggers one.
        clock: seconds that never run backwards.
        told: called with False after each attempt that failed, with True after the first that did not again.
    """

    def __init__(
        self,
        write: Callable[[list[Point]], None],
        *,
        every_points: int = 500,
        every_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[bool], None] = lambda back: None,
    ) -> None:
        self._write = write
        self._every_points = every_points
        self._every_seconds = every_seconds
        self._clock = clock
        self._told = told
        self._points: list[Point] = []
        self._last_attempt = clock()
        self._pause = every_seconds
        self._failing = False

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> tuple[Point, ...]:
        """What is kept."""
        return tuple(self._points)

    def add(self, key: str, value: float, step: int) -> None:
        """Keep one point, and write when it is time to.

        Raises:
            ValueError: MLflow would refuse `key`; found here, not at a flush much later.
        """
        if not _KEY.fullmatch(key) or len(key) > MAX_KEY_CHARACTERS:
            raise ValueError(
                f"metric key {key!r}: MLflow takes 1 to {MAX_KEY_CHARACTERS} letters, digits, blanks, _-./:"
            )
        self._points.append(Point(key, float(value), int(step), int(time.time() * 1000)))
        due = self._clock() - self._last_attempt >= self._pause
        if due or (len(self._points) >= self._every_points and not self._failing):
            self.flush()

    def flush(self) -> bool:
        """Write what is kept. Returns whether nothing is left."""
        started = self._clock()
        try:
            while self._points:
                self._write(self._points[:MAX_METRICS_A_CALL])
                del self._points[:MAX_METRICS_A_CALL]
        except Exception as fault:  # whatever the store does, training goes on
            if not self._failing:
                logger.warning(
                    "MLflow takes no metrics, they are kept and tried again: %s", first_line(fault)
                )
            self._failing = True
            self._last_attempt = self._clock()
            self._pause = max(self._every_seconds, 20 * (self._last_attempt - started))
            self._told(False)
            return False
        was_failing, self._failing = self._failing, False
        self._last_attempt = self._clock()
        self._pause = self._every_seconds
        if was_failing:
            logger.warning("MLflow takes metrics again; nothing was lost")
            self._told(True)
        return True
