"""One case of the benchmark, in a process of its own: both implementations, taking turns.

``python -m bench.case '<Case as JSON>' rows.json`` writes the case's rows.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from transformers import set_seed
from transformers.utils.logging import disable_progress_bar

from bench.flops import our_work, reference_work, step_flops
from bench.inputs import Batch, make_batches
from bench.measure import StepTimes, peak_memory, timed_step
from bench.plain_reference import PlainReference
from revela.cli.allocator import keep_freed_memory, return_freed_memory
from revela.files import write_json
from revela.modeling.precision import Precision, resolve_dtype
from revela.settings import LoraSettings, ObjectiveSettings, Phase, TrainingSettings
from revela.training.model import JointModel
from revela.training.processes import default_device

log = logging.getLogger(__name__)

Impl = Literal["ours", "reference"]

OUT_OF_MEMORY = 12
"""Exit code of a case that could not allocate (ENOMEM)."""

LEARNING_RATE = 1e-4
OBJECTIVES = {
    "paper": ObjectiveSettings(attention="paper", temperature=1e-4, v_norm=True, min_weight=1e-6),
    "joint": ObjectiveSettings(attention="joint", temperature=0.02, top_k=4),
}
_WARM_UP_STEPS = 2  # the first makes the optimizer's state, the second measures memory


@dataclass(frozen=True)
class Case:
    """What is measured together.

    Attributes:
        attention: ``paper`` or ``joint``.
        size: B, chunks a group.
        layers: of both models.
        tokens: L, of a chunk.
        repeats: timed steps of each implementation.
        rank: of the adapters.
        impls: who takes turns; the reference knows ``paper`` only.
        checkpointed: both recompute every layer in the backward pass.
        keep_memory: whether each implementation keeps freed memory for the next step, as `revela train`
            does, or gives it back as glibc does by default; by the order of `impls`.
        models: folder with ``lm`` and ``retriever``.
    """

    attention: Literal["paper", "joint"]
    size: int
    layers: int
    tokens: int
    repeats: int
    rank: int
    impls: tuple[Impl, ...]
    checkpointed: bool
    keep_memory: tuple[bool, ...]
    models: str
    precision: Precision = "auto"

    def __str__(self) -> str:
        who = " and ".join(self.impls)
        how = ", gradients checkpointed" if self.checkpointed else ""
        return f"{self.attention}, B = {self.size}, {who}{how}"


@dataclass
class Runner:
    """An implementation, ready to take steps."""

    forward: Callable[[Batch], Tensor]
    optimizer: torch.optim.Optimizer
    losses: list[float] = dataclasses.field(default_factory=list)
    times: list[StepTimes] = dataclasses.field(default_factory=list)
    peak_bytes: int = 0


def measure_case(case: Case) -> list[dict[str, Any]]:
    """Rows of the result, one for each implementation; see bench/README.md for their keys."""
    device = default_device()
    dtype = resolve_dtype(case.precision, device)
    batches = send_to_device(
        make_batches(
            Path(case.models) / "lm", size=case.size, tokens=case.tokens, count=_WARM_UP_STEPS + case.repeats
        ),
        device,
    )
    set_seed(0)
    model = _joint_model(case, dtype).to(device).train()
    runners = {"ours": _runner(model, list(model.parameters()), dtype, device)}
    work = our_work(batches[0], *_count_pairs(model, batches[0], dtype))
    flops = {"ours": step_flops(model, work, checkpointed=case.checkpointed)}
    if "reference" in case.impls:
        reference = PlainReference(
            Path(case.models) / "lm",
            _lora(case),
            dtype,
            max_tokens=case.tokens,
            temperature=OBJECTIVES[case.attention].temperature,
            checkpointed=case.checkpointed,
        )
        reference = reference.to(device).train()
        runners["reference"] = _runner(reference, list(reference.parameters()), dtype, device)
        flops["reference"] = step_flops(model, reference_work(batches[0]), checkpointed=case.checkpointed)
    for index, batch in enumerate(batches):
        for (name, runner), keeps in zip(runners.items(), case.keep_memory, strict=True):
            keep_freed_memory() if keeps else return_freed_memory()
            _take_step(runner, index, batch, device)
            if index >= _WARM_UP_STEPS:
                done, seconds = index + 1 - _WARM_UP_STEPS, runner.times[-1].step_s
                log.info("  %s: step %d of %d, %.2f s", name, done, case.repeats, seconds)
    return [_row(case, name, runner, flops[name], dtype) for name, runner in runners.items()]


def _take_step(runner: Runner, index: int, batch: Batch, device: torch.device) -> None:
    def forward() -> Tensor:
        return runner.forward(batch)

    if index == 1:
        with peak_memory(device) as peak:
            _, loss = timed_step(forward, runner.optimizer, device)
        runner.peak_bytes = peak.bytes
    else:
        times, loss = timed_step(forward, runner.optimizer, device)
        if index >= _WARM_UP_STEPS:
            runner.times.append(times)
    runner.losses.append(loss)


def _joint_model(case: Case, dtype: torch.dtype) -> JointModel:
    """The module that `revela train` trains, in a phase that trains both models on next tokens."""
    phase = Phase(
        name="bench",
        train=["retriever", "lm"],
        terms={"revela": 1.0},
        steps=1,
        learning_rate={"retriever": LEARNING_RATE, "lm": LEARNING_RATE},
    )
    training = TrainingSettings(phases=[phase], lora=_lora(case), gradient_checkpointing=case.checkpointed)
    model = JointModel(Path(case.models), training, OBJECTIVES[case.attention], dtype)
    model.enter(phase)
    return model


def _lora(case: Case) -> LoraSettings:
    return LoraSettings(rank=case.rank, alpha=64)


def _runner(
    model: torch.nn.Module, parameters: list[torch.nn.Parameter], dtype: torch.dtype, device: torch.device
) -> Runner:
    def forward(batch: Batch) -> Tensor:
        # As transformers.Trainer does it with `bf16`.
        with _autocast(device, dtype):
            return model(**batch)["loss"]

    trained = [weight for weight in parameters if weight.requires_grad]
    return Runner(forward, torch.optim.AdamW(trained, lr=LEARNING_RATE))


def _autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


@torch.no_grad()
def _count_pairs(model: JointModel, batch: Batch, dtype: torch.dtype) -> tuple[int, int]:
    """How many pairs of a group are read at the start of training, and how many chunks."""
    with _autocast(batch["lm"]["input_ids"].device, dtype):
        figures = model(**batch)
    size = len(batch["lm"]["input_ids"])
    return round(float(figures["pairs_per_chunk"]) * size), int(figures["chunks_read"])


def _row(case: Case, impl: str, runner: Runner, flops: float, dtype: torch.dtype) -> dict[str, Any]:
    def median(part: str) -> float:
        return round(statistics.median(getattr(times, part) for times in runner.times), 4)

    return {
        "impl": impl,
        "attention": case.attention,
        "B": case.size,
        "L": case.tokens,
        "layers": case.layers,
        "step_s": median("step_s"),
        "peak_mb": round(runner.peak_bytes / 1e6, 1),
        "forward_s": median("forward_s"),
        "backward_s": median("backward_s"),
        "optimizer_s": median("optimizer_s"),
        "steps": [round(times.step_s, 4) for times in runner.times],
        "first_loss": round(runner.losses[0], 5),
        "flops": flops,
        "rank": case.rank,
        "dtype": str(dtype).removeprefix("torch."),
        "checkpointed": case.checkpointed,
        "freed_memory": "kept" if case.keep_memory[case.impls.index(impl)] else "returned",
        "alternating": len(case.impls) > 1,
    }


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    disable_progress_bar()
    keep_freed_memory()
    # Where memory runs out, the system shall end this process and nobody else's.
    killable = Path("/proc/self/oom_score_adj")
    if killable.exists():
        killable.write_text("1000")
    fields = json.loads(sys.argv[1])
    case = Case(**{**fields, "impls": tuple(fields["impls"]), "keep_memory": tuple(fields["keep_memory"])})
    try:
        write_json(Path(sys.argv[2]), measure_case(case))
    except (torch.OutOfMemoryError, RuntimeError) as fault:
        if isinstance(fault, torch.OutOfMemoryError) or "can't allocate memory" in str(fault):
            sys.exit(OUT_OF_MEMORY)
        raise


if __name__ == "__main__":
    # As __main__ its name would not tell whose log lines these are.
    log = logging.getLogger("bench.case")
    main()
