"""How many groups go through the models at once: as many as a GPU's memory takes."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import send_to_device

from revela.errors import RevelaError
from revela.settings import Phase, TrainingSettings
from revela.training.collator import GroupCollator
from revela.training.group_slice import GroupSlice
from revela.training.model import JointModel
from revela.training.pair_slice import PairSlice
from revela.training.processes import groups_per_process, least

log = logging.getLogger(__name__)

_LOOKED_AT = 64
"""Groups among which the longest are measured."""

_USED_SHARE = 0.8
"""Of the free memory. Longer groups come, and what is freed is not always of use to what follows."""


def choose_groups_per_forward(
    training: TrainingSettings,
    phase: Phase,
    model: JointModel,
    dataset: GroupSlice | PairSlice,
    collate: GroupCollator,
    device: torch.device,
    dtype: torch.dtype,
) -> int:
    """Groups of this process that a forward of the phase takes; a divisor of those of a step.

    Raises:
        RevelaError: the number in the settings does not divide them.
    """
    groups = groups_per_process(training.groups_per_step)
    wanted = training.groups_per_forward
    if wanted != "auto":
        if groups % wanted:
            raise RevelaError(
                f"training.groups_per_forward is {wanted}, which does not divide the {groups} groups that a "
                "process takes in a step (training.groups_per_step over the processes). "
                f"Set one of {', '.join(map(str, _divisors(groups)))}, or `auto`."
            )
        return wanted
    # On a CPU several are no faster (bench/README.md). Sharded weights are not there yet to be measured with.
    if device.type != "cuda" or groups == 1 or training.parallel == "fsdp":
        return 1
    longest = _longest(dataset, groups)
    model.to(device)
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    free -= torch.cuda.memory_allocated(device)

    def peak(count: int) -> int:
        return _peak_bytes(model, collate(longest[:count]), device, dtype)

    chosen = least(largest_that_fits(peak, groups, _USED_SHARE * free), device)
    log.info("phase '%s': %d of %d groups a forward", phase.name, chosen, groups)
    return chosen


def largest_that_fits(peak: Callable[[int], float], groups: int, room: float) -> int:
    """The largest divisor of `groups` whose forward and backward stay within `room`; 1 at least.

    Args:
        peak: bytes that a number of groups takes. Asked for one and two; what they differ by is what each
            further one takes.
        room: bytes.
    """
    divisors = _divisors(groups)
    if len(divisors) == 1:
        return 1
    one, two = peak(1), peak(2)
    each = max(two - one, 1.0)
    return max((count for count in divisors if one + (count - 1) * each <= room), default=1)


def _divisors(number: int) -> list[int]:
    return [count for count in range(1, number + 1) if number % count == 0]


def _longest(dataset: GroupSlice | PairSlice, count: int) -> list[Any]:
    """The groups with most text among the first ones."""
    first = [dataset[index] for index in range(min(_LOOKED_AT, len(dataset)))]
    by_length = sorted(first, key=lambda step: -sum(len(chunk.text) for chunk in step.chunks))
    return by_length[: max(count, 2)]


def _peak_bytes(model: JointModel, batch: dict[str, Any], device: torch.device, dtype: torch.dtype) -> int:
    """Of one forward and backward above what is there before; leaves no gradient behind."""
    told = ("documents", "figures")
    inputs = send_to_device({key: value for key, value in batch.items() if key not in told}, device)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    model.train()
    with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        loss = model(**inputs)["loss"]
    loss.backward()
    del loss
    model.zero_grad(set_to_none=True)
    return torch.cuda.max_memory_allocated(device) - before
