"""How much a GPU would be asked to do for one group: operators, casts and waits of a training step.

``python -m bench.launches`` counts what PyTorch dispatches in one step of `revela train`'s module, by
phase, at 30 layers, and writes bench/results/launches.md. Counts do not depend on widths, so the models are
narrow; nor on the machine, but for what a device has fused kernels for (a GPU: norms; here they count as
eight). Operators that only make another view of the same memory launch nothing and are counted by themselves.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import set_seed

from bench.case import OBJECTIVES
from bench.inputs import make_unequal_batches, prepare_models, write_narrow_lm
from bench.tables import publish
from revela.modeling import retriever
from revela.settings import LoraSettings, Phase, TrainingSettings
from revela.training.figures import StepFigures
from revela.training.model import JointModel

WAITS = frozenset({"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"})
"""Operators whose outcome decides on the host what happens next, or how large something is."""

PHASES = ("retriever forward", "LM forward", "backward", "figures")


class DispatchCounter(TorchDispatchMode):
    """Counts operators by phase.

    Attributes:
        phase: what is counted under.
        counts: by (phase, kind); kinds are ``operators``, ``views``, ``casts`` and ``waits``.
        names: operators that are no views, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.phase = PHASES[0]
        self.counts: Counter[tuple[str, str]] = Counter()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None) -> Any:
        outcome = operator(*args, **(kwargs or {}))
        schema = operator._schema
        name = schema.name.removeprefix("aten::")
        aliases = [returned.alias_info for returned in schema.returns]
        if any(alias is not None and not alias.is_write for alias in aliases):
            self.counts[self.phase, "views"] += 1
            return outcome
        self.counts[self.phase, "operators"] += 1
        self.names[name] += 1
        if name == "_to_copy" and outcome.dtype != args[0].dtype:
            self.counts[self.phase, "casts"] += 1
        # An index of booleans is looked for on the host, too.
        masks = name == "index" and any(given is not None and given.dtype == torch.bool for given in args[1])
        if name in WAITS or masks:
            self.counts[self.phase, "waits"] += 1
        return outcome


@dataclass
class Count:
    """One step's counts.

    Attributes:
        groups: of the step, all in one forward.
        by_phase: phase to kind to number, of the whole step.
        names: operators by name, of the whole step.
    """

    groups: int
    by_phase: dict[str, dict[str, int]] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)

    def a_group(self, kind: str) -> float:
        """Of a kind, for each group."""
        return self.total(kind) / self.groups

    def total(self, kind: str) -> int:
        """Of a kind, in the step."""
        return sum(phase.get(kind, 0) for phase in self.by_phase.values())


def count_step(
    models: Path, attention: str, groups: int, *, size: int, whole_lm: bool, longest: int = 64
) -> Count:
    """Count a step of `groups` groups of `size` chunks of unequal length, in bfloat16 autocast as on a GPU.

    Args:
        models: folder with ``lm`` and ``retriever``.
        whole_lm: all weights of the language model train, instead of adapters on it.
        longest: tokens of the longest chunk; nothing that is counted depends on it.
    """
    lora = LoraSettings(rank=8, alpha=8)
    phase = Phase(name="count", train=["retriever", "lm"], terms={"revela": 1.0}, steps=1,
                  learning_rate={"retriever": 1e-4, "lm": 1e-4})  # fmt: skip
    training = TrainingSettings(phases=[phase], lora={"retriever": lora, "lm": None if whole_lm else lora})
    set_seed(0)
    model = JointModel(models, training, OBJECTIVES[attention], torch.bfloat16)
    model.enter(phase)
    model.train()
    batch = make_unequal_batches(
        models / "lm", size=size, groups=groups, longest=longest, shortest=longest // 4
    )
    counter, figures = DispatchCounter(), StepFigures()
    with _one_forward(), counter, torch.autocast("cpu", torch.bfloat16), _phase_of(counter, model):
        outputs = model(**batch)
    with counter:
        counter.phase = "backward"
        outputs["loss"].backward()
        counter.phase = "figures"
        figures.add(outputs, {})
        figures.read()
        # What `StepFigures.read` brings back is one list of numbers, which no operator of a CPU shows.
        counter.counts["figures", "waits"] += 1
    found = Count(groups, names=counter.names)
    for (name, kind), number in counter.counts.items():
        found.by_phase.setdefault(name, {})[kind] = number
    return found


def _one_forward() -> Any:
    """All texts of the step go through the retriever at once, as on a GPU; a CPU would take several turns."""
    return patch.object(retriever, "TOKENS_OF_A_FORWARD", 2**62)


@contextmanager
def _phase_of(counter: DispatchCounter, model: JointModel) -> Iterator[None]:
    """Count what the objective does as the language model's."""
    predict = model.predict

    def counted(*args, **kwargs):
        counter.phase = "LM forward"
        return predict(*args, **kwargs)

    model.predict = counted
    try:
        yield
    finally:
        model.predict = predict


BEFORE = {
    "joint": {
        "retriever forward": {"operators": 6572, "views": 3626, "casts": 1516, "waits": 2},
        "LM forward": {"operators": 4309, "views": 2470, "casts": 1058, "waits": 11},
        "backward": {"operators": 12924, "views": 12364, "casts": 2476},
    },
    "paper": {
        "retriever forward": {"operators": 6572, "views": 3626, "casts": 1516, "waits": 2},
        "LM forward": {"operators": 4447, "views": 2526, "casts": 1088, "waits": 11},
        "backward": {"operators": 13644, "views": 12214, "casts": 2626},
    },
}
"""One group a forward, adapters on both models, counted in the same way at commit cbc212c; the trainer waited
about ten times more in each forward. On an H100 such a step was 24 212 kernel launches and 5 178 casts."""


def main(
    layers: Annotated[int, typer.Option(help="Layers of both models.")] = 30,
    size: Annotated[int, typer.Option(help="Chunks a group.")] = 16,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Count a step's operators, casts and waits, with one and with sixteen groups a forward."""
    counts: dict[str, Count] = {}
    for attention, by_phase in BEFORE.items():
        counts[f"{attention}, before"] = Count(1, by_phase)
    with tempfile.TemporaryDirectory() as folder:
        narrow, models = Path(folder) / "narrow", Path(folder) / "models"
        write_narrow_lm(narrow, layers)
        prepare_models(models, layers, source=narrow)
        for attention in BEFORE:
            for whole_lm in (False, True):
                for groups in (1, 16):
                    name = f"{attention}{', LM whole' if whole_lm else ''}"
                    print(f"{name}, {groups} groups a forward", flush=True)
                    count = count_step(models, attention, groups, size=size, whole_lm=whole_lm)
                    counts[f"{name}, {groups} a forward"] = count
    publish(markdown(counts, layers, size), out, "launches")


def markdown(counts: Mapping[str, Count], layers: int, size: int) -> str:
    """The tables: for each group, and of the step by phase."""
    lines = [
        "# Operators of a training step",
        "",
        f"Groups of {size} rows of 16 to 64 tokens, both models of {layers} layers and training, adapters on "
        "both unless the LM trains whole, bfloat16 autocast, forward to gradients; "
        f"torch {torch.__version__}. Made by `python -m bench.launches`.",
        "",
        "## For each group",
        "",
        "| | operators | views | casts | waits a step |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, count in counts.items():
        figures = " | ".join(f"{count.a_group(kind):.0f}" for kind in ("operators", "views", "casts"))
        lines.append(f"| {name} | {figures} | {count.total('waits')} |")
    lines += ["", "## Operators of the whole step, by phase", "", f"| | {' | '.join(PHASES)} |"]
    lines.append(f"|---|{'---:|' * len(PHASES)}")
    for name, count in counts.items():
        figures = " | ".join(str(count.by_phase.get(phase, {}).get("operators", 0)) for phase in PHASES)
        lines.append(f"| {name} | {figures} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
