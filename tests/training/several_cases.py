"""What `test_several_processes` trains, by two processes and by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from revela.settings import Settings

# Low rates: Adam makes whole steps of gradients that are nothing but rounding, and sums in another order
# differ by that.
PHASES = [
    {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
     "learning_rate": {"retriever": 1e-3}, "warmup_steps": 1},
    {"name": "adapt", "train": ["lm"], "terms": {"revela": 1.0}, "steps": 2, "learning_rate": {"lm": 1e-3}},
    {"name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0, "contrastive": 0.5}, "steps": 4,
     "learning_rate": {"retriever": 1e-3, "lm": 1e-3}, "decay": "cosine"},
]  # fmt: skip

# Two groups a process and step: gradients are accumulated and then averaged.
ADAPTERS = {"groups_per_step": 4, "gradient_checkpointing": True}
FULL = {
    "groups_per_step": 2, "lora": None,
    "phases": [PHASES[2] | {"learning_rate": {"retriever": 1e-4, "lm": 1e-4}, "steps": 3}],
}  # fmt: skip
HALF = {
    "groups_per_step": 2, "precision": "bf16", "gradient_checkpointing": True,
    "phases": [PHASES[2] | {"learning_rate": {"retriever": 1e-4, "lm": 1e-4}, "steps": 3}],
}  # fmt: skip

# A frozen language model: its plain streams are computed apart, without a gradient.
FROZEN = {
    "groups_per_step": 2, "gain_every": 2,
    "phases": [PHASES[2] | {"train": ["retriever"], "learning_rate": {"retriever": 1e-3}, "steps": 3}],
}  # fmt: skip
PROBE = {"benchmark": {"kind": "docstrings", "limit": 20}, "every": 2, "max_tokens": 32}
GATES = {"attention": "paper", "temperature": 0.1, "gate": True}

# A group over both processes, encoded in mini-batches; one process needs groups twice as large for the same.
GATHERED = {"groups_per_step": 2, "gather_group": True, "retriever_mini_batch": 3, "gain_every": 2}

# As few steps as show a difference: whose groups go through a forward together.
SHORT = [PHASES[0], PHASES[2] | {"steps": 2}]
SPANNING = {"groups_per_step": 4, "gather_group": True, "gain_every": 2, "phases": SHORT}
# All chunks of a step contrasted, over both processes, alone and after a phase that contrasts each group.
STEP = {"groups_per_step": 4, "gain_every": 2, "phases": [PHASES[2] | {"negatives": "step", "steps": 3}]}
STEP_AFTER_GROUP = {"groups_per_step": 4, "phases": [PHASES[0], SHORT[1] | {"negatives": "step"}]}
WEIGHED = STEP | {"phases": [STEP["phases"][0] | {"weigh": "gradients"}]}
STEP_SPANNING = SPANNING | {"phases": [SHORT[1] | {"negatives": "step"}]}

# Pairs, then groups, and the best state is kept.
KEPT = {
    "groups_per_step": 2, "validation": {"every": 2, "pairs": 10},
    "phases": [PHASES[0] | {"pairs": 8, "steps": 4}, PHASES[2] | {"steps": 2}],
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A training that both processes are asked for.

    Attributes:
        where: the folder that it reads from and writes to; cases that share one go on with each other's.
        settings: of each process, or of all.
        interrupt: end as if killed, after the third step of the last phase.
    """

    name: str
    where: str
    settings: list[Settings]
    interrupt: bool = False


def several_cases(settings_of: Callable[..., Settings]) -> list[Case]:
    """All trainings of two processes, in the order in which they are run."""

    def one(name: str, *arguments: dict, **changes: object) -> Case:
        return Case(name, name, [settings_of(*arguments, **changes)])

    return [
        one("ddp", ADAPTERS),
        # Interrupted with whole weights, continued with shares of them ...
        Case("interrupted", "moved", [settings_of(ADAPTERS)], interrupt=True),
        Case("continued", "moved", [settings_of(ADAPTERS, parallel="fsdp")]),
        # ... and the other way round, by one process, in a test.
        Case("interrupted_shares", "shared_out", [settings_of(ADAPTERS, parallel="fsdp")], interrupt=True),
        one("full_ddp", FULL),
        one("full_fsdp", FULL, parallel="fsdp"),
        one("gathered_ddp", GATHERED),
        one("gathered_fsdp", GATHERED, parallel="fsdp"),
        one("gates_ddp", FULL, GATES),
        one("gates_fsdp", FULL, GATES, parallel="fsdp"),
        one("frozen_fsdp", FROZEN, parallel="fsdp"),
        one("frozen_gathered_ddp", FROZEN, gather_group=True),
        one("frozen_gathered_fsdp", FROZEN, gather_group=True, parallel="fsdp"),
        one("watched", FROZEN, probe=PROBE),
        one("pairs_ddp", ADAPTERS, groups_per_forward=2),
        one("spanning_1_ddp", SPANNING, groups_per_forward=1),
        one("spanning_2_ddp", SPANNING, groups_per_forward=2),
        one("spanning_2_fsdp", SPANNING, groups_per_forward=2, parallel="fsdp"),
        one("step_ddp", STEP, retriever_mini_batch=3),
        one("weighed_ddp", WEIGHED),
        one("step_after_group_ddp", STEP_AFTER_GROUP),
        one("step_spanning_1_ddp", STEP_SPANNING, groups_per_forward=1),
        one("step_spanning_2_ddp", STEP_SPANNING, groups_per_forward=2),
        one("kept", KEPT),
        Case("odd", "refused", [settings_of(ADAPTERS, groups_per_step=3)]),
        Case("differ", "refused", [settings_of(ADAPTERS), settings_of(ADAPTERS, max_grad_norm=2.0)]),
    ]


def torchrun(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, as a user starts them."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments],
        cwd=cwd, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def run_together(
    cases: list[Case], places: dict[str, dict[str, Path]], folder: Path, cwd: Path
) -> tuple[dict[str, list[str]], subprocess.CompletedProcess[str]]:
    """Run the cases one after another in one start of two processes.

    Returns:
        How each case ended in each process, and the end of the processes themselves.
    """
    (folder / "cases.json").write_text(
        json.dumps(
            [
                {
                    "name": case.name,
                    "settings": [settings.model_dump(mode="json") for settings in case.settings],
                    "places": {key: str(path) for key, path in places[case.where].items()},
                    "interrupt": case.interrupt,
                }
                for case in cases
            ]
        )
    )
    script = Path(__file__).with_name("one_of_several.py")
    ended = torchrun(str(script), str(folder / "cases.json"), cwd=cwd)
    outcomes = {}
    for case in cases:
        files = [folder / f"{case.name}.{rank}.txt" for rank in range(2)]
        assert all(file.is_file() for file in files), f"{case.name} did not end:\n{ended.stderr[-5000:]}"
        outcomes[case.name] = [file.read_text() for file in files]
    return outcomes, ended
