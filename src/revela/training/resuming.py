"""Where an interrupted training goes on, and what must be as it was."""

from __future__ import annotations

from pathlib import Path

from revela.errors import RevelaError
from revela.settings import Phase
from revela.training import checkpoints, processes


def keep_group_size(workspace: Path) -> None:
    """With `gather_group` the number of processes decides what is learnt: it must not change midway.

    Raises:
        RevelaError: in every process, when the training was begun with another number.
    """
    size = processes.world_size()
    begun = checkpoints.recall_span(workspace)
    processes.agree({"number of processes that training was begun with": begun})
    if begun is None:
        if processes.is_first():
            checkpoints.remember_span(workspace, size)
    elif begun != size:
        raise RevelaError(
            f"training.gather_group is on, and this training was begun with groups over {begun} processes, "
            f"but now there are {size}. Start {begun}, or delete {workspace} to begin anew."
        )


def resume_position(phases: list[Phase], workspace: Path) -> int:
    """The first step, counted over all phases, that is still to be taken."""
    position = 0
    for index, phase in enumerate(phases):
        folder = workspace / f"{index}-{phase.name}"
        if (folder / checkpoints.STATE_FILE).is_file():
            position += phase.steps
            continue
        checkpoint = checkpoints.last_checkpoint(folder)
        return position + (int(checkpoint.name.split("-")[1]) if checkpoint else 0)
    return position
