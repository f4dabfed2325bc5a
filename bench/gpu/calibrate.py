"""How long a step of each kind takes here, and so how many steps there will be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.gpu.budget import affordable_steps
from bench.gpu.experiments import EXPERIMENTS, LEAST_STEPS, LEGS, MOST_STEPS, Experiment
from bench.gpu.recipes import Kind

if TYPE_CHECKING:
    from bench.gpu.job import Job

PROBING = 0.2
"""Evaluation on the way may take this share of the steps' own time."""

_STEPS, _TINY_STEPS = 12, 4
"""Half of them warm up: on an H100 the third and fourth took twice as long as later ones."""
_MINI_BATCH = 128


def calibrate(job: Job, experiment: Experiment) -> None:
    """Measure the start on the benchmarks, then a few steps of each kind; rows of kind score and time."""
    import torch

    from bench.gpu.watch import evaluate, means, step_seconds
    from revela.evaluation.loading import load_encoder

    device = "cuda" if torch.cuda.is_available() else "cpu"
    start = job.materials.start(experiment.start)
    benchmarks = job.materials.benchmark_names(experiment.code)
    encoder = load_encoder(start, max_tokens=128, device=device)
    for name in benchmarks:
        job.materials.benchmark(name)  # read now, so that it is not timed
    began = time.perf_counter()
    scores = evaluate(encoder, job.materials, benchmarks)
    evaluation_s = time.perf_counter() - began
    run = f"{experiment.name}: start"
    for name, values in scores.items():
        job.store.add_per_query(run, name, values)
    job.store.add(
        step=f"calibrate {experiment.name}", kind="score", experiment=experiment.name, method="start",
        seed=0, run=run, groups=0, training_s=0.0, ndcg=means(scores),
    )  # fmt: skip
    del encoder

    step_s, overhead_s, mini_batch = {}, {}, None
    for kind in sorted({kind for method in experiment.methods for kind, _ in LEGS[method]}):
        began = time.perf_counter()
        training = f"calibrate {experiment.name} {kind}"
        mini_batch = _train_a_little(job, experiment, training, kind, mini_batch)
        seconds = time.perf_counter() - began
        step_s[kind] = step_seconds(job.curve(training), _steps(job) // 2)
        overhead_s[kind] = max(0.0, seconds - _steps(job) * step_s[kind])
        job.forget(training)
    job.store.add(
        step=f"calibrate {experiment.name}", kind="time", experiment=experiment.name,
        groups_a_step=job.shape.groups, mini_batch=mini_batch, evaluation_s=round(evaluation_s, 2),
        step_s={kind: round(value, 4) for kind, value in step_s.items()},
        overhead_s={kind: round(value, 2) for kind, value in overhead_s.items()},
    )  # fmt: skip


def _train_a_little(
    job: Job, experiment: Experiment, training: str, kind: Kind, mini_batch: int | None
) -> int | None:
    """Take a few steps; returns the mini-batch of texts that the memory allowed, None for all at once."""
    import torch

    try:
        job.train(
            training, kind, lm=job.materials.bare / "lm", retriever=job.materials.start(experiment.start),
            groups=job.materials.groups(experiment.groups, seed=0), steps=_steps(job), seed=0,
            rate=experiment.rate, mini_batch=mini_batch, step_s=1e-3,
        )  # fmt: skip
    except torch.OutOfMemoryError:
        if mini_batch is not None:
            raise
        job.forget(training)
        torch.cuda.empty_cache()
        return _train_a_little(job, experiment, training, kind, _MINI_BATCH)
    return mini_batch


def _steps(job: Job) -> int:
    return _TINY_STEPS if job.tiny else _STEPS


def times(job: Job, experiment: Experiment) -> Mapping[str, object]:
    """The row of kind time for this experiment.

    Raises:
        RuntimeError: it has not been calibrated.
    """
    row = job.store.last(kind="time", experiment=experiment.calibration)
    if row is None:
        raise RuntimeError(f"no step has been timed: 'calibrate {experiment.calibration}' has not succeeded")
    return row


def step_and_overhead(job: Job, experiment: Experiment) -> tuple[dict[str, float], dict[str, float]]:
    """Method -> seconds of a step, and seconds of a run beside its steps."""
    row = times(job, experiment)
    # The paper's form is not timed by itself. It trains two phases of that many steps, as joint's does one.
    step = {**row["step_s"], "paper": 2 * row["step_s"].get("revela", 0.0)}
    beside = {**row["overhead_s"], "paper": row["overhead_s"].get("revela", 0.0)}
    return (
        {m: sum(share * step[kind] for kind, share in LEGS[m]) for m in experiment.methods},
        {m: row["evaluation_s"] + sum(beside[kind] for kind, _ in LEGS[m]) for m in experiment.methods},
    )


def steps_of(job: Job, experiment: Experiment) -> int:
    """Training steps of each run of this experiment.

    Decided by the time that is left when its first run begins, and kept from then on: a run that is gone on
    with, and one of a later `run`, must have the same.

    Raises:
        RuntimeError: it has not been calibrated.
    """
    size = job.store.last(kind="size", experiment=experiment.name)
    if size is not None and _has_begun(job, experiment):
        return size["steps"]
    steps = _affordable(job, experiment)
    job.store.add(step=f"size {experiment.name}", kind="size", experiment=experiment.name, steps=steps,
                  groups=steps * job.shape.groups, left_s=round(job.budget.left(), 1))  # fmt: skip
    return steps


def _has_begun(job: Job, experiment: Experiment) -> bool:
    names = (experiment.run_name(method, seed) for method, seed in experiment.runs())
    return any(job.store.found(kind="step", step=name, status="begun") for name in names)


def _affordable(job: Job, experiment: Experiment) -> int:
    if job.tiny:
        times(job, experiment)
        return 2
    waiting = [
        other for other in EXPERIMENTS
        if not _has_begun(job, other) and job.materials.has(other)
    ]  # fmt: skip
    share = experiment.share / sum(other.share for other in waiting)
    step_s, overhead_s = step_and_overhead(job, experiment)
    return affordable_steps(
        share * job.left(), seeds=len(experiment.seeds), step_s=step_s, overhead_s=overhead_s,
        probing=PROBING, least=LEAST_STEPS, most=MOST_STEPS,
    )  # fmt: skip


def expected_seconds(job: Job, experiment: Experiment, method: str, steps: int) -> float:
    """Of a whole run of this method."""
    step_s, overhead_s = step_and_overhead(job, experiment)
    return overhead_s[method] + (1.0 + PROBING) * steps * step_s[method]
