"""How much time is left, and how many training steps it pays for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class Budget:
    """Counts down from the minutes that were given.

    Args:
        minutes: from now on.
        reserve: seconds kept back for what comes last (the table).
        clock: seconds that only grow.
    """

    def __init__(
        self, minutes: float, *, reserve: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._deadline = clock() + 60.0 * minutes - reserve

    def left(self) -> float:
        """Seconds; below 0 when it is over."""
        return self._deadline - self._clock()

    def allows(self, seconds: float) -> bool:
        """Whether a step expected to take so long may start."""
        return seconds <= self.left()


def affordable_steps(
    seconds: float,
    *,
    seeds: int,
    step_s: Mapping[str, float],
    overhead_s: Mapping[str, float],
    probing: float,
    least: int,
    most: int,
) -> int:
    """Training steps that each run of an experiment gets, the same for every method: equal data.

    Args:
        seconds: for all runs of the experiment together.
        seeds: runs of each method.
        step_s: method -> measured seconds of a training step.
        overhead_s: method -> seconds of a run beside its steps (loading, the last evaluation).
        probing: seconds of evaluation on the way, as a share of the steps' own.
        least: below this a curve says nothing; runs that then do not fit are left out, the last seeds first.
        most: more is not wanted.

    >>> affordable_steps(100.0, seeds=2, step_s={"a": 1.0, "b": 3.0}, overhead_s={"a": 5.0, "b": 5.0},
    ...                  probing=0.0, least=1, most=1000)
    10
    """
    free = seconds - seeds * sum(overhead_s.values())
    step = seeds * (1.0 + probing) * sum(step_s.values())
    return max(least, min(most, int(free / step)))
