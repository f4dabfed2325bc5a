"""One phase of training: transformers.Trainer with a learning rate and a gradient limit a model."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sized
from typing import Any, Protocol

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback

from revela.errors import RevelaError
from revela.modeling.layers import as_they_are
from revela.settings import Phase, TemperatureSchedule
from revela.training.figures import StepFigures
from revela.training.group_cost import Cost, GroupCost
from revela.training.group_slice import spanned_order
from revela.training.keeping import Keeper
from revela.training.model import JointModel
from revela.training.processes import is_first, world_size
from revela.training.sharded_trainer import ShardedTrainer
from revela.training.sharding import store_optimizer_whole, whole
from revela.training.whole_step import run_whole_step

log = logging.getLogger(__name__)

_GAINS = 3
"""Measurements that `until_gain` averages: one group's gain is off by as much as there is to gain."""


class Measure(Protocol):
    """What watches the retriever during training."""

    every: int

    def __call__(self, encoder: SentenceTransformer) -> float: ...


class PhaseTrainer(ShardedTrainer):
    """Trains a :class:`JointModel` through one phase.

    Args:
        phase: the phase.
        record: called after every optimizer step with its number in the phase and its figures.
        peak_flops: this process's measured matmul limit in FLOP/s.
        gain_every: steps from one measurement of the plain loss to the next.
        groups_per_forward: that go through the language model together with ``negatives: step``.
        probe: measures the retriever every so many steps and after the last; None measures nothing.
        keeper: measures it likewise, and keeps the best; None keeps nothing.
        start: steps that earlier phases took.
        sharded: spread the model's weights over all processes; it is of no use to others afterwards.
    """

    def __init__(
        self,
        *,
        model: JointModel,
        phase: Phase,
        record: Callable[[int, dict[str, float]], None],
        peak_flops: float,
        gain_every: int,
        groups_per_forward: int = 1,
        probe: Measure | None = None,
        keeper: Keeper | None = None,
        start: int = 0,
        sharded: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, sharded=sharded, **kwargs)
        self.remove_callback(PrinterCallback)
        self._phase = phase
        self._record = record
        self._peak = peak_flops
        self._gain_every = gain_every
        self._probe = probe
        self._keeper = keeper
        self._start = start
        self._groups_per_forward = groups_per_forward
        self._seen = StepFigures()
        self._figures: dict[str, float] = {}
        self._gains: list[float] = []
        self._cost = Cost()
        self._clock = time.perf_counter()
        self._group_cost = GroupCost(model)

    # --- data and optimizer -----------------------------------------------------------------------

    def _get_train_sampler(  # type: ignore[override]  # a DataLoader takes any iterable as its sampler
        self, train_dataset: Dataset | None = None
    ) -> list[int]:
        # build_batches shuffled the groups already, reproducibly.
        spanned = world_size() if self.model.span is not None else 1
        assert isinstance(self.train_dataset, Sized)
        return spanned_order(len(self.train_dataset), spanned, self.args.per_device_train_batch_size)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW with a parameter group a model, so that each has its own learning rate."""
        if self.optimizer is None:
            groups = [
                {
                    "params": list(self.model.parameters_of(part)),
                    "lr": self._phase.learning_rate[part],
                    "weight_decay": self.args.weight_decay,
                    "part": part,
                }
                for part in self._phase.train
            ]
            # One kernel for all weights, on a GPU.
            fused = True if self.args.device.type == "cuda" and not self._sharded else None
            self.optimizer = torch.optim.AdamW(groups, lr=groups[0]["lr"], fused=fused)
            if self._sharded:
                store_optimizer_whole(self.optimizer)
        return self.optimizer

    # --- one step -----------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of the groups of a forward."""
        documents, numbers = inputs.pop("documents"), inputs.pop("figures")
        options = self._options()
        outputs = model(**inputs, **options)
        self._seen.add(outputs, numbers, documents)
        self._cost.add(self._group_cost(inputs, self._phase, options["measure_gain"]))
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """A forward with its backward; with ``negatives: step`` all of the step's."""
        if self._phase.negatives != "step":
            return super().training_step(model, inputs, num_items_in_batch)
        self.model.train()
        inputs = self._prepare_inputs(inputs)
        options = self._options()
        with self.accelerator.autocast():
            found = run_whole_step(
                self.model, inputs, self._groups_per_forward, self.accelerator.backward,
                weigh_gradients=self._phase.weigh == "gradients", **options,
            )  # fmt: skip
        contrasted, predicted = found[0], found[1:]
        loss = contrasted["loss"].detach()
        if predicted:
            loss = loss + torch.stack([piece["loss"].detach() for piece in predicted]).mean()
        self._seen.add({**contrasted, "loss": loss}, inputs["figures"], inputs["documents"])
        for piece in predicted:
            self._seen.add({key: value for key, value in piece.items() if key != "loss"}, {})
        self._cost.add(self._group_cost(inputs, self._phase, options["measure_gain"]))
        return loss

    def _options(self) -> dict[str, Any]:
        """What holds for all groups of this step."""
        return {
            "measure_gain": self.state.global_step % self._gain_every == 0,
            "temperature": self._temperature(),
        }

    def _temperature(self) -> float | None:
        """The phase's own for the term `revela` at this step; None leaves it to the objective."""
        wanted = self._phase.temperature
        if isinstance(wanted, TemperatureSchedule):
            return wanted.at(self.state.global_step / max(self._phase.steps - 1, 1))
        return wanted

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        """Clip each model's gradient by itself: the LM's must not shrink the retriever's step.

        The one place of a step where the host waits for the device, before weights are changed.
        """
        norms = {}
        for part in self._phase.train:
            norms[f"grad_norm_{part}"] = whole(
                self.accelerator.clip_grad_norm_(
                    list(self.model.parameters_of(part)), self.args.max_grad_norm
                )
            )
        self._figures, read = self._seen.read(**norms)
        self._check_loss(self._figures["loss"])
        self._figures |= read
        return torch.as_tensor(math.hypot(*read.values()))

    def _check_loss(self, loss: float) -> None:
        """Refuse to learn from a loss that is not finite.

        Raises:
            RevelaError: with the step, the documents of its groups and advice.
        """
        documents, self._seen.documents = self._seen.documents, []
        if math.isfinite(loss):
            return
        names = ", ".join(dict.fromkeys(name for group in documents for name in group))
        raise RevelaError(
            f"phase '{self._phase.name}', step {self.state.global_step + 1}: the loss is {loss}.\n"
            f"Documents of its groups: {names}\n"
            "Try a lower learning_rate or more warmup_steps for this phase, a higher "
            "objective.temperature, or training.precision: fp32; look at these documents for text "
            "that no filter caught."
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Turn the Trainer's per-step log into one record; its summaries at the end are dropped."""
        if "loss" not in logs:
            return
        elapsed = time.perf_counter() - self._clock
        figures = dict(self._figures)
        for group in self.optimizer.param_groups:
            figures[f"learning_rate_{group['part']}"] = group["lr"]
        figures["tokens"] = self._cost.tokens
        figures["tokens_per_second"] = self._cost.tokens / elapsed
        flops = self._cost.total(figures.get("chunks_read", 0.0))
        figures["model_flops_utilisation"] = flops / elapsed / self._peak
        figures = self._over_processes(figures)
        self._stop_when_gained(figures)
        if "retriever" in self._phase.train and is_first():
            with as_they_are():
                figures |= self._watched(self.state.global_step)
        self._record(self.state.global_step - 1, figures)
        self._cost = Cost()
        self._clock = time.perf_counter()

    def _watched(self, step: int) -> dict[str, float]:
        """What probe and validation say of the retriever, where it is their turn."""
        found = {}
        last = step == self._phase.steps or self.control.should_training_stop
        if self._probe is not None and (last or step % self._probe.every == 0):
            found["probe_ndcg_at_10"] = self._probe(self.model.retriever.encoder)
        if self._keeper is not None and (last or step % self._keeper.every == 0):
            found["validation_ndcg_at_10"] = self._keeper.measure(self._phase.name, self._start + step).mean
        return found

    def _stop_when_gained(self, figures: dict[str, float]) -> None:
        """End the phase at its `until_gain`, reached by the mean of the last measurements."""
        goal = self._phase.until_gain
        if goal is None or "gain" not in figures:
            return
        self._gains = [*self._gains, figures["gain"]][-_GAINS:]
        mean = sum(self._gains) / len(self._gains)
        if len(self._gains) == _GAINS and mean >= goal:
            log.info("phase '%s' ends: it gains %.3f nats a token", self._phase.name, mean)
            self.control.should_training_stop = True
