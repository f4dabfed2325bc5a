"""Methods compared by turns in one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from bench.measure import peak_memory

Given = TypeVar("Given")
Method = Callable[[], tuple[float, Given]]
"""One turn: its seconds, and what it gave."""


@dataclass(frozen=True)
class Turns(Generic[Given]):
    """What came out for one method.

    Attributes:
        seconds: the median turn.
        memory: bytes above those held before the turn that measured them.
        given: what that turn gave, to be compared with the other methods'.
    """

    seconds: float
    memory: int
    given: Given


def by_turns(
    methods: Mapping[str, Method[Given]], repeats: int, device: torch.device, *, warm_up: int = 0
) -> dict[str, Turns[Given]]:
    """Let each method take a turn after the other: some to warm up, one for the memory, `repeats` timed.

    Args:
        device: whose memory counts.
        warm_up: turns before the one that measures memory, which is never timed either.
    """
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    memory: dict[str, int] = {}
    given: dict[str, Given] = {}
    for turn in range(warm_up + 1 + repeats):
        for name, method in methods.items():
            if turn == warm_up:
                with peak_memory(device) as peak:
                    _, given[name] = method()
                memory[name] = peak.bytes
                continue
            took, _ = method()
            if turn > warm_up:
                seconds[name].append(took)
    return {name: Turns(statistics.median(seconds[name]), memory[name], given[name]) for name in methods}


def clocked(work: Callable[[], Given]) -> Method[Given]:
    """`work` as a method whose seconds are the clock's."""

    def method() -> tuple[float, Given]:
        started = time.perf_counter()
        given = work()
        return time.perf_counter() - started, given

    return method
