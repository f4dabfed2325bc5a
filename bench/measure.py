"""Seconds and bytes of a training step."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from revela.errors import RevelaError

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one training step's parts."""

    forward_s: float
    backward_s: float
    optimizer_s: float

    @property
    def step_s(self) -> float:
        return self.forward_s + self.backward_s + self.optimizer_s


def timed_step(
    forward: Callable[[], Tensor], optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[StepTimes, float]:
    """Forward, backward and optimizer step, each timed until the device has finished it.

    Args:
        forward: computes the loss, a () tensor with gradient.

    Returns:
        The times and the loss. No gradient is left behind.
    """
    marks = [_now(device)]
    loss = forward()
    marks.append(_now(device))
    loss.backward()
    marks.append(_now(device))
    optimizer.step()
    marks.append(_now(device))
    optimizer.zero_grad(set_to_none=True)
    return StepTimes(*np.diff(marks).tolist()), loss.item()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@dataclass
class Peak:
    """Filled in when the block of :func:`peak_memory` ends: bytes above those held before it."""

    bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """The most memory that a block of code takes above what was held before.

    On a GPU it is what torch allocated; on the CPU the process's resident set, whose high-water mark
    Linux resets when 5 is written to /proc/self/clear_refs (proc_pid_clear_refs(5)).

    Raises:
        RevelaError: on a CPU without Linux's /proc.
    """
    gc.collect()
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    if not (sys.platform == "linux" and _CLEAR_REFS.exists()):
        raise RevelaError(
            f"{_CLEAR_REFS}: not there, and without it peak memory cannot be measured. "
            "Run the benchmark on Linux, or on a GPU."
        )
    # What earlier steps freed must go back to the system, or the next one would take it unseen.
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR_REFS.write_text("5")
    before = _status_bytes("VmRSS")
    yield peak
    peak.bytes = _status_bytes("VmHWM") - before


def _status_bytes(key: str) -> int:
    return int(re.search(rf"^{key}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)[1]) * 1024


def growth_exponent(sizes: list[int], values: list[float]) -> float:
    """The p of values ~ sizes^p: the least-squares slope of their logarithms.

    >>> round(growth_exponent([2, 4, 8], [3.0, 12.0, 48.0]), 6)
    2.0
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"an exponent needs at least two different sizes, found {sizes}")
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
