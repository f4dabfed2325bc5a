"""transformers.Trainer for a model that may be spread over processes: its place, means and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Trainer

from revela.training.checkpoints import STATE_FILE
from revela.training.model import JointModel
from revela.training.processes import world_size
from revela.training.sharding import shard, whole_state


class ShardedTrainer(Trainer):
    """Trains a :class:`JointModel` in one process, by replicas in several or by shares in several.

    Args:
        sharded: spread the model's weights over all processes; it is of no use to others afterwards.
    """

    model: JointModel
    optimizer: torch.optim.Optimizer  # the Trainer's own None lasts until create_optimizer

    def __init__(self, *, model: JointModel, sharded: bool, **kwargs: Any) -> None:
        # Before the Trainer's own, which moves the model to its device.
        self._sharded = sharded
        super().__init__(model=model, **kwargs)

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        # A sharded model goes there share by share: the whole may be more than a device holds.
        if not self._sharded:
            super()._move_model_to_device(model, device)

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> tuple[nn.Module, Any]:
        # Here and not earlier, for a checkpoint has just been read into whole weights; and not later, for
        # the optimizer is now made of what this process keeps.
        if self._sharded:
            shard(self.model, self.args.device)
            self.accelerator.prepare_model(self.model, device_placement=False, evaluation_mode=True)
            # Autocast is all that it needed of accelerate, which would now wrap it in DDP.
            self.model._is_accelerate_prepared = True  # type: ignore[assignment]
        return super()._prepare_for_training(*args, **kwargs)

    def _over_processes(self, figures: dict[str, float]) -> dict[str, float]:
        """Means over all processes, which saw different groups; tokens are summed."""
        if world_size() == 1:
            return figures
        values = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.args.device)
        means = dict(zip(figures, self.accelerator.reduce(values, "mean").tolist(), strict=True))
        return means | {key: means[key] * world_size() for key in ("tokens", "tokens_per_second")}

    # --- checkpoints ----------------------------------------------------------------------------------

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """Only what training changes: the frozen base weights are a DVC output already."""
        state = whole_state(self.model.trained_state())
        if self.args.should_save:
            target = output_dir or self.args.output_dir
            assert target is not None  # the Trainer names it
            folder = Path(target)
            folder.mkdir(parents=True, exist_ok=True)
            save_file({name: weight.cpu() for name, weight in state.items()}, folder / STATE_FILE)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self._sharded and not self.args.should_save:
            # The first process asks for the state, to write it; putting it together takes all of them.
            self.optimizer.state_dict()
        super()._save_optimizer_and_scheduler(output_dir)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The first process now marks the checkpoint as complete, so the others' files must be there.
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.model.load_trained_state(load_file(Path(resume_from_checkpoint) / STATE_FILE))
