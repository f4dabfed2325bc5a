"""A run on a GPU in the small: its job, its steps, and what became of them."""

from __future__ import annotations

from pathlib import Path

from bench.gpu.budget import Budget
from bench.gpu.job import Job
from bench.gpu.materials import Materials
from bench.gpu.plan import Step
from bench.gpu.store import RESULTS, Store, read_lines

ABOUT = {"card": "CPU", "torch": "2", "transformers": "5"}
TIMES = {
    "step": "calibrate bare", "kind": "time", "experiment": "bare", "mini_batch": None, "evaluation_s": 0.01,
    "groups_a_step": 2, "step_s": {"contrastive": 0.1, "revela": 0.2},
    "overhead_s": {"contrastive": 1.0, "revela": 1.0},
}  # fmt: skip


def make_job(folder: Path, out: Path, minutes: float = 5.0, tiny: bool = True) -> Job:
    said: list[str] = []
    return Job(Materials(folder, out, tiny), Store(out, ABOUT), Budget(minutes, reserve=0), tiny, said.append)


def calibrated(store: Store) -> None:
    """As if the steps of the experiment `bare` had been timed already."""
    store.add(**TIMES)
    store.add(step="calibrate bare", kind="step", status="done")


def statuses(out: Path) -> list[tuple[str, str]]:
    """(step, what its last row says), in the order in which they were reached."""
    rows = [row for row in read_lines(out / RESULTS) if row["kind"] == "step"]
    return list({row["step"]: row["status"] for row in rows}.items())


def step(name: str, work=lambda job: None, seconds: float = 0.0) -> Step:
    return Step(name, work, seconds)
