"""Work through the plan until it is done or the time is over; the table comes last in any case."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bench.gpu.budget import Budget
from bench.gpu.job import Job
from bench.gpu.materials import Materials
from bench.gpu.plan import Step, expectations, plan, reserved
from bench.gpu.stop import Stopped, stoppable
from bench.gpu.store import Store, machine

Say = Callable[[str], None]

_RESERVE_S = 5.0

_MESSAGE, _TRACE = 500, 4000
"""Characters that are kept: of an error its beginning, of its traceback the end."""


def run(folder: Path, out: Path, *, minutes: float, tiny: bool, say: Say, only: Collection[str] = ()) -> Job:
    """Do what of the plan is not done yet, within `minutes`; results are below `out` at once.

    Args:
        folder: as :mod:`bench.gpu.prepare` makes it.
        out: of this and earlier runs: results.jsonl, per_query.jsonl, checkpoints, models.
        tiny: a rehearsal on a CPU: few steps, small benchmarks.
        only: the experiments to make; none is all of them.
    """
    budget = Budget(minutes, reserve=0.0 if tiny else _RESERVE_S)
    materials = Materials(folder, out, tiny, only)
    # Before torch and the hub's library are imported, which read the environment once.
    _environment(materials)
    from transformers.utils.logging import disable_progress_bar

    store = Store(materials.out, machine())
    job = Job(materials, store, budget, tiny, say)
    disable_progress_bar()
    try:
        work_through(plan(materials.has), job)
    finally:
        say(closing_table(store))
    return job


def plan_only(folder: Path, out: Path, *, minutes: float, say: Say, only: Collection[str] = ()) -> None:
    """Say how many seconds each step is expected to take."""
    seconds = expectations(plan(Materials(folder, out, tiny=False, only=only).has), minutes)
    for name, expected in seconds:
        say(f"{expected:6.0f} s  {name}")
    say(f"{sum(expected for _, expected in seconds):6.0f} s  of {60 * minutes:.0f} s")


def work_through(steps: Sequence[Step], job: Job) -> None:
    """The steps in their order; a row tells how each went. Ends quietly when it is stopped."""
    waiting = [step for step in steps if not step.is_done(job)]
    for step in steps:
        if step not in waiting:
            job.say(f"{step.name}: done by an earlier run")
    job.reserved_s = sum(step.fixed_s for step in reserved(waiting, job.budget.left()))
    try:
        with stoppable(job.budget.left()):
            while waiting:
                _take(waiting.pop(0), job)
    except Stopped as stopped:
        job.say(f"stopped: {stopped}")
        for step in waiting:
            job.store.add(step=step.name, kind="step", status="left out", reason=str(stopped))


def _take(step: Step, job: Job) -> None:
    store, began = job.store, time.perf_counter()
    try:
        missing = [name for name in step.needs if not store.is_done(name)]
        if missing:
            reason = f"'{missing[0]}' is not done"
            store.add(step=step.name, kind="step", status="left out", reason=reason)
            job.say(f"{step.name}: left out, {reason}")
            return
        expected = step.seconds(job)
        if not job.budget.allows(expected):
            left = max(0.0, job.budget.left())
            store.add(step=step.name, kind="step", status="left out", expected_s=round(expected, 1),
                      left_s=round(left, 1))  # fmt: skip
            job.say(f"{step.name}: left out, {expected:.0f} s expected and {left:.0f} s left")
            return
        store.add(step=step.name, kind="step", status="begun", expected_s=round(expected, 1))
        job.say(f"{step.name}: begins, {expected:.0f} s expected, {job.budget.left():.0f} s left")
        step.work(job)
    except Stopped as stopped:
        store.add(step=step.name, kind="step", status="stopped", reason=str(stopped))
        raise
    except Exception as fault:
        trace = "".join(traceback.format_exception(fault))[-_TRACE:]
        error = f"{type(fault).__name__}: {fault}"[:_MESSAGE]
        store.add(step=step.name, kind="step", status="failed", error=error, traceback=trace,
                  seconds=round(time.perf_counter() - began, 2))  # fmt: skip
        job.say(f"{step.name}: failed: {error}")
    else:
        seconds = round(time.perf_counter() - began, 2)
        store.add(step=step.name, kind="step", status="done", seconds=seconds, **_free_memory())
        job.say(f"{step.name}: done in {seconds:.1f} s")
        return
    _free_memory()  # here, where the exception with all that its frames hold is gone


def closing_table(store: Store) -> str:
    """All tables that the rows so far allow."""
    from bench.gpu.tables import markdown

    return markdown(store.rows)


def _environment(materials: Materials) -> None:
    """No network, and a tracking store of this run's own."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    materials.out.mkdir(parents=True, exist_ok=True)
    # Creating MLflow's tables takes longer than many a step: they came with the folder.
    database = materials.out / "mlflow.db"
    if not database.exists() and (materials.folder / "mlflow.db").is_file():
        shutil.copy(materials.folder / "mlflow.db", database)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def _free_memory() -> dict[str, float]:
    """What is not needed any more is given back: a failed step's tensors may hang in reference cycles.

    Returns:
        GB of a GPU that are taken all the same, and that torch knows of: on an H100, after fifteen trainings
        in one process, 60 GB were not torch's, and a step that needs 31 failed.
    """
    import gc

    import torch

    gc.collect()
    if not torch.cuda.is_available():
        return {}
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return {
        "taken_gb": round((total - free) / 1e9, 2),
        "taken_by_torch_gb": round(torch.cuda.memory_reserved() / 1e9, 2),
    }
