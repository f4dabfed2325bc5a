"""Several processes that train one model: how they meet, who is first, what they must agree on.

`torchrun` starts the processes and numbers them through the environment; without it there is one,
which is the first. Only the first writes files, MLflow runs and records.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from revela.errors import RevelaError

# The others wait while the first merges and saves a model or creates a tracking store.
PATIENCE = timedelta(minutes=60)


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Meet the other processes that torchrun started, if it did, and part from them at the end.

    Once in a process: with torch 2.13, processes that parted and meet again under the same torchrun
    hang. Inside, it may be entered again, to no effect.

    Args:
        device: where this process computes; NCCL serves a GPU's tensors, gloo the CPU's.
    """
    if dist.is_initialized() or not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    yield
    # Not after a fault: the others never reach this point then, and torchrun ends them.
    dist.barrier()
    dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together; 1 outside :func:`joined`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def local_rank() -> int:
    """This process's number on its machine, which is also that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def least(number: int, device: torch.device) -> int:
    """The smallest of what the processes say. All processes must call this."""
    if world_size() == 1:
        return number
    smallest = torch.tensor(number, device=device)
    dist.all_reduce(smallest, dist.ReduceOp.MIN)
    return int(smallest)


def wait() -> None:
    """Until every process is here. All processes must call this."""
    if world_size() > 1:
        dist.barrier()


def agree(facts: Mapping[str, object]) -> None:
    """Refuse to train together with processes that see something else. All processes must call this.

    Args:
        facts: what has to be equal everywhere, by name.

    Raises:
        RevelaError: in every process, with the first difference.
    """
    if world_size() == 1:
        return
    seen: list[Mapping[str, object]] = [{}] * world_size()
    dist.all_gather_object(seen, dict(facts))
    for rank, others in enumerate(seen):
        for name, value in others.items():
            if value != seen[0][name]:
                raise RevelaError(
                    f"process {rank} has another {name} than process 0: {value} instead of {seen[0][name]}.\n"
                    "All processes need the same params.yaml, code, data and library versions, and the "
                    "checkpoints folder must be one that all machines share."
                )


def groups_per_process(groups_per_step: int) -> int:
    """How many of a step's groups each process takes.

    Raises:
        RevelaError: they cannot be shared out evenly.
    """
    processes = world_size()
    if groups_per_step % processes:
        raise RevelaError(
            f"training.groups_per_step is {groups_per_step}: the groups of one optimizer step, over all "
            f"processes together, and {processes} processes cannot share them evenly. "
            f"Set a multiple of {processes}, or start another number of processes."
        )
    return groups_per_step // processes


def default_device() -> torch.device:
    """The GPU with this process's number, which is the first one without torchrun; else the CPU."""
    return torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
