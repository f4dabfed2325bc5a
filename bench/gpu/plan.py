"""What a run does, in order of value, and how long each step is expected to take."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.gpu.calibrate import calibrate
from bench.gpu.experiments import BARE, EXPERIMENTS, MINILM, Experiment
from bench.gpu.learn import ADAPTING_SHARE, adapt, expected_of_adapting, expected_of_learning, learn
from bench.gpu.shapes import AT_LAST, FIRST, LATER, Shape

if TYPE_CHECKING:
    from bench.gpu.job import Job


RESERVED_SHARE = 0.2


@dataclass(frozen=True)
class Step:
    """One entry of the plan.

    Attributes:
        name: differs from all others; by it a later `run` knows that the step is done.
        work: writes rows through the job, raises whatever goes wrong.
        fixed_s: seconds expected on an H100; None where the time that is left decides.
        share: of the time that the fixed steps leave, for --plan-only; 0 with `fixed_s`.
        expected: seconds, by what has been measured; None is `fixed_s`.
        kept: whether what the step left for others is still there: folders may be lost where rows are not.
        needs: steps without whose outcome this one cannot begin.
        after_learning: some time is kept for it.
        spare: it begins only if all else is done in less time than there was.
    """

    name: str
    work: Callable[[Job], None]
    fixed_s: float | None = None
    share: float = 0.0
    expected: Callable[[Job], float] | None = None
    kept: Callable[[Job], bool] = lambda job: True
    needs: tuple[str, ...] = ()
    after_learning: bool = False
    spare: bool = False

    def is_done(self, job: Job) -> bool:
        """Whether there is nothing left to do."""
        return job.store.is_done(self.name) and self.kept(job)

    def seconds(self, job: Job) -> float:
        """What the step will need. In a rehearsal of tiny models nothing is expected to need any time."""
        if job.tiny:
            return 0.0
        return self.expected(job) if self.expected is not None else self.fixed_s


def plan(possible: Callable[[Experiment], bool]) -> list[Step]:
    """All steps, the most valuable first.

    Args:
        possible: whether there is what an experiment needs; else it is no part of the plan.
    """
    steps = [
        Step("models", _models, 40, kept=lambda job: (job.materials.bare / "lm").is_dir()),
        Step("parity golden", _golden, 10),
        *map(_speed_of, FIRST),
    ]
    there = [experiment for experiment in EXPERIMENTS if possible(experiment)]
    # Adapting takes its part before the experiments share what is left.
    whole = sum(experiment.share for experiment in there) or 1.0
    for experiment in there:
        steps += _before(experiment, steps)
        steps += _runs(experiment, (1.0 - ADAPTING_SHARE) * experiment.share / whole)
    later = [
        Step("bm25", _bm25, 25),
        Step("parity restart", _restart, 75, needs=("models",)),
        *map(_speed_of, LATER),
    ]
    steps += [dataclasses.replace(step, after_learning=True) for step in later]
    return [*steps, *(dataclasses.replace(_speed_of(shape), spare=True) for shape in AT_LAST)]


def reserved(steps: list[Step], left: float) -> list[Step]:
    """The steps after learning for which time is kept: in order, what fits into a fifth of `left`."""
    kept: list[Step] = []
    for step in steps:
        if step.after_learning and sum(one.fixed_s for one in [*kept, step]) <= RESERVED_SHARE * left:
            kept.append(step)
    return kept


def _speed_of(shape: Shape) -> Step:
    return Step(f"speed: {shape.name}", partial(_speed, shape=shape), shape.seconds, needs=("models",))


def _before(experiment: Experiment, planned: list[Step]) -> list[Step]:
    """What an experiment needs that is not planned yet: timed steps, and the adapted language model."""
    adapts = any(experiment.reads_adapted(method) for method in experiment.methods)
    timed = [experiment.calibration, *([BARE.name] if adapts else [])]
    found = [
        Step(f"calibrate {one.name}", partial(calibrate, experiment=one), 45, needs=("models",))
        for one in EXPERIMENTS
        if one.name in timed
    ]
    if adapts:
        found.append(Step(
            "adapt", adapt, share=ADAPTING_SHARE, expected=expected_of_adapting,
            kept=lambda job: job.adapted_lm.is_dir(), needs=(f"calibrate {BARE.name}",),
        ))  # fmt: skip
    there = {step.name for step in planned}
    return [step for step in found if step.name not in there]


def _runs(experiment: Experiment, share: float) -> list[Step]:
    runs = experiment.runs()
    return [
        Step(
            experiment.run_name(method, seed),
            partial(learn, experiment=experiment, method=method, seed=seed),
            share=share / len(runs),
            expected=partial(expected_of_learning, experiment=experiment, method=method, seed=seed),
            needs=(
                f"calibrate {experiment.calibration}",
                *(["adapt"] if experiment.reads_adapted(method) else []),
            ),
        )
        for method, seed in runs
    ]


def expectations(steps: list[Step], minutes: float) -> list[tuple[str, float]]:
    """(step, seconds) for --plan-only: learning shares what the fixed steps leave of the minutes.

    Steps that are made only if time is left over are not there.
    """
    before = [step for step in steps if step.fixed_s is not None and not (step.after_learning or step.spare)]
    free = max(0.0, 60.0 * minutes - sum(step.fixed_s for step in before))
    kept = reserved(steps, free)
    for_learning = free - sum(step.fixed_s for step in kept)
    return [
        (step.name, step.share * for_learning if step.fixed_s is None else step.fixed_s)
        for step in steps
        if step.fixed_s is None or step in before or step in kept
    ]


# --- the steps that are no learning ---------------------------------------------------------------------


def _models(job: Job) -> None:
    job.materials.make_models()


def _golden(job: Job) -> None:
    from bench.gpu.parity import golden_rows
    from revela.training.processes import default_device

    for row in golden_rows(job.materials.golden, default_device()):
        job.store.add(step="parity golden", kind="parity", **row)


def _restart(job: Job) -> None:
    import shutil

    from bench.gpu.parity import embedding_row
    from bench.gpu.recipes import settings_for
    from bench.gpu.restart import restart_row
    from revela.groups.reading import Groups
    from revela.training.processes import default_device

    folder = job.out / "restart"
    shutil.rmtree(folder, ignore_errors=True)
    groups = job.materials.groups(BARE.groups, seed=0)
    # In float32, where a difference is a fault and not rounding, and small, for float32 is slow.
    shape = dataclasses.replace(job.shape, groups=2, precision="fp32")
    settings = settings_for("revela", shape, steps=6, seed=0, rate=BARE.rate)
    backbone = job.materials.backbone(
        "restart", lm=job.materials.bare / "lm", retriever=job.materials.bare / "retriever"
    )
    row = restart_row(settings, backbone, groups, folder)
    job.store.add(step="parity restart", kind="parity", **row)
    texts = [chunk.passage for chunk in Groups(groups)[0]]
    trained = folder / "undisturbed" / "models" / "retriever"
    row = embedding_row(trained, texts, default_device())
    job.store.add(step="parity restart", kind="parity", **row)
    shutil.rmtree(folder)


def _speed(job: Job, shape: Shape) -> None:
    from bench.gpu.speed import measure
    from revela.training.processes import default_device

    row = measure(job.materials.bare, shape, default_device(), job.tiny)
    job.store.add(step=f"speed: {shape.name}", kind="speed", **row)


def _bm25(job: Job) -> None:
    from bench.gpu.baseline import bm25_rows

    code = job.materials.benchmark_names(code=True)
    others = job.materials.benchmark_names(code=False) if job.materials.has(MINILM) else []
    for row, scores in bm25_rows([job.materials.benchmark(name) for name in [*code, *others]]):
        job.store.add(step="bm25", kind="bm25", **row)
        if scores:
            job.store.add_per_query("bm25", row["benchmark"], scores)
