"""What each process runs that `test_several_processes` starts by torchrun: one training after another.

Usage: one_of_several.py CASES.json. Every process leaves how each case ended in `<case>.<rank>.txt`
beside that file. The last thing done is the command line, in which process 1 alone fails.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from revela import cli
from revela.errors import RevelaError
from revela.evaluation.probe import Probe
from revela.evaluation.validation import validation_of
from revela.settings import Settings
from revela.training import processes
from revela.training.pipeline import train
from revela.training.trainer import PhaseTrainer

cases_file = Path(sys.argv[1])
rank = int(os.environ["RANK"])
log_of_a_step, loss_of_a_group = PhaseTrainer.log, PhaseTrainer.compute_loss


class InterruptionError(Exception):
    """Stands for a kill that all processes get after the same step."""


def interrupted_log(trainer: PhaseTrainer, logs: dict, start_time: float | None = None) -> None:
    log_of_a_step(trainer, logs, start_time)
    if trainer.args.output_dir.endswith("2-revela") and trainer.state.global_step == 3:
        raise InterruptionError


def failing_loss(trainer: PhaseTrainer, *args: object, **kwargs: object) -> object:
    if rank == 1 and trainer.state.global_step == 1:
        raise RevelaError("only process 1 fails")
    return loss_of_a_group(trainer, *args, **kwargs)


with processes.joined(torch.device("cpu")):
    for case in json.loads(cases_file.read_text()):
        settings = Settings.model_validate(case["settings"][min(rank, len(case["settings"]) - 1)])
        PhaseTrainer.log = interrupted_log if case["interrupt"] else log_of_a_step
        try:
            watched = settings.training.probe
            places = {key: Path(value) for key, value in case["places"].items()}
            train(
                settings,
                **places,
                probe=None if watched is None else Probe(watched),
                validate=validation_of(settings, places["groups_dir"]),
            )
            outcome = "done"
        except (InterruptionError, RevelaError) as fault:
            outcome = f"{type(fault).__name__}: {fault}"
        cases_file.with_name(f"{case['name']}.{rank}.txt").write_text(outcome)

    PhaseTrainer.compute_loss = failing_loss
    sys.argv = ["revela", "train"]
    cli.main()
