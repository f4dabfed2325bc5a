"""What several groups in one forward, rows without padding and short adapters give, each against without.

``python -m bench.groups_per_forward`` takes steps of the same groups by turns in one process and writes
bench/results/groups_per_forward.md. All variants compute the same losses, which is checked.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from peft.tuners import lora
from transformers import set_seed

from bench.case import OBJECTIVES
from bench.inputs import make_unequal_batches, prepare_models
from bench.machine import describe_machine, machine_line
from bench.measure import timed_step
from bench.tables import publish
from bench.turns import Method, by_turns
from revela.cli.allocator import keep_freed_memory
from revela.modeling.adapters import ShortLinear
from revela.modeling.lm import probed
from revela.modeling.precision import resolve_dtype
from revela.settings import LoraSettings, Phase, TrainingSettings
from revela.training.model import JointModel
from revela.training.processes import default_device

_PHASE = Phase(name="bench", train=["retriever", "lm"], terms={"revela": 1.0}, steps=1, rows="parts",
               learning_rate={"retriever": 1e-4, "lm": 1e-4})  # fmt: skip


def as_it_is(model: JointModel) -> None:
    """Nothing taken away."""


def padded(model: JointModel) -> None:
    """Rows padded to the longest, in both models."""
    model.retriever._packs = 0
    model.causal_lm._revela_probed = dataclasses.replace(probed(model.causal_lm), packs=0)


def with_pefts_adapters(model: JointModel) -> None:
    """peft's own forward of the LoRA layers."""
    for module in model.modules():
        if isinstance(module, ShortLinear):
            module.__class__ = lora.Linear


VARIANTS: dict[str, tuple[int, Callable[[JointModel], None]]] = {
    "one group a forward": (1, as_it_is),
    "... rows padded": (1, padded),
    "... peft's adapters": (1, with_pefts_adapters),
    "four groups a forward": (4, as_it_is),
}
"""Name -> groups of a forward, and what is undone."""


def main(
    layers: Annotated[int, typer.Option(help="Layers of both models.")] = 6,
    size: Annotated[int, typer.Option(help="Rows of a group.")] = 16,
    tokens: Annotated[int, typer.Option(help="Of the longest row; the shortest has a quarter.")] = 64,
    repeats: Annotated[int, typer.Option(help="Timed steps of each variant.")] = 5,
    random: Annotated[bool, typer.Option(help="Random weights.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Time a step of four groups of parts in four ways."""
    keep_freed_memory()
    device = default_device()
    dtype = resolve_dtype("auto", device)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        origin = prepare_models(models, layers, random=random)
        batch = make_unequal_batches(
            models / "lm", size=size, groups=4, longest=tokens, shortest=tokens // 4, parts=True
        )
        steps = {name: _step(models, batch, *how, device, dtype) for name, how in VARIANTS.items()}
    found = by_turns(steps, repeats, device, warm_up=1)
    losses = [one.given for one in found.values()]
    assert max(losses) - min(losses) < 1e-2, losses
    first = next(iter(found.values()))
    rows = "".join(
        f"| {name} | {one.seconds / 4:.3f} | {one.seconds / first.seconds:.2f} "
        f"| {one.memory / 2**20:.0f} | {one.memory / first.memory:.2f} |\n"
        for name, one in found.items()
    )
    text = (
        "# Groups in one forward\n\n"
        f"A step of 4 groups of {size} parts of {tokens // 4} to {tokens} tokens, joint attention, both "
        f"models of {layers} layers with adapters of rank 64 ({origin}), forward and backward; median of "
        f"{repeats}, taking turns.\n\n"
        "| | seconds a group | ratio | memory, MiB | ratio |\n|---|---:|---:|---:|---:|\n"
        f"{rows}\n{machine_line(describe_machine(device, dtype))}\n"
    )
    publish(text, out, "groups_per_forward")


def _step(
    models: Path,
    whole: dict[str, Any],
    together: int,
    undo: Callable[[JointModel], None],
    device: torch.device,
    dtype: torch.dtype,
) -> Method[float]:
    """A step of four groups, which gives their mean loss."""
    set_seed(0)
    lora_settings = LoraSettings(rank=64, alpha=64)
    model = JointModel(
        models, TrainingSettings(phases=[_PHASE], lora=lora_settings), OBJECTIVES["joint"], dtype
    )
    model.enter(_PHASE)
    undo(model)
    model.to(device).train()
    batches = [_part(whole, first, together, device) for first in range(0, 4, together)]

    def forward() -> torch.Tensor:
        total = torch.zeros((), device=device)
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                loss = model(**batch)["loss"] / len(batches)
            # All but the last are accumulated here, as a trainer does.
            if batch is not batches[-1]:
                loss.backward()
                loss = loss.detach()
            total = total + loss
        return total

    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], lr=0.0)

    def step() -> tuple[float, float]:
        times, loss = timed_step(forward, optimizer, device)
        return times.step_s, loss

    return step


def _part(whole: dict[str, Any], first: int, count: int, device: torch.device) -> dict[str, Any]:
    """`count` of the four groups."""

    def cut(rows: Any) -> Any:
        each = len(rows) // 4
        kept = rows[first * each : (first + count) * each]
        return kept.to(device) if isinstance(kept, torch.Tensor) else kept

    return {
        name: cut(value) if isinstance(value, list) else {key: cut(rows) for key, rows in value.items()}
        for name, value in whole.items()
    }


if __name__ == "__main__":
    typer.run(main)
