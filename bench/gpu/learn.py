"""One run of a comparison: its trainings one after another, watched, then scored query by query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.gpu.calibrate import PROBING, expected_seconds, step_and_overhead, steps_of, times
from bench.gpu.experiments import BARE, LEGS, Experiment
from bench.gpu.job import figures_of, slug
from bench.gpu.recipes import LM_RATE

if TYPE_CHECKING:
    from bench.gpu.job import Job

MOST_PROBES = 8

ADAPTING_SHARE = 0.12
"""Of the time left, for adapting the language model once; 3 000 groups were enough in the laboratory."""

_MOST_ADAPTING = 94


def adapt(job: Job) -> None:
    """Train the language model alone, on BM25's weights, for every later run that reads other chunks."""
    row = times(job, BARE)
    # Without the retriever's forward and backward it is faster than what was timed; the rest is slack.
    step_s = row["step_s"]["revela"]
    steps = job.store.last(kind="size", experiment="adapt")
    if steps is None:
        affordable = int(ADAPTING_SHARE * job.left() / step_s)
        count = 2 if job.tiny else max(4, min(_MOST_ADAPTING, affordable))
        steps = job.store.add(step="adapt", kind="size", experiment="adapt", steps=count)
    job.train(
        "adapt", "adapt", lm=job.materials.bare / "lm", retriever=job.materials.bare / "retriever",
        groups=job.materials.groups(BARE.groups, seed=0), steps=steps["steps"], seed=0, rate=LM_RATE,
        step_s=step_s,
    )  # fmt: skip
    job.store.add(
        step="adapt", kind="adapted", groups=steps["steps"] * job.shape.groups,
        figures=figures_of(job.out / "reports" / "adapt"),
    )  # fmt: skip
    job.forget("adapt", models=False)


def expected_of_adapting(job: Job) -> float:
    """Seconds."""
    row = times(job, BARE)
    share = min(ADAPTING_SHARE * job.left(), _MOST_ADAPTING * row["step_s"]["revela"])
    return row["overhead_s"]["revela"] + share


def learn(job: Job, experiment: Experiment, method: str, seed: int) -> None:
    """Train from the experiment's start, by one method; rows of kind probe on the way, score at the end.

    Raises:
        RuntimeError: the experiment has not been calibrated.
    """
    from bench.gpu.watch import Watch, evaluate, means, taken

    legs, steps = LEGS[method], steps_of(job, experiment)
    run = experiment.run_name(method, seed)
    about = {"experiment": experiment.name, "method": method, "seed": seed, "run": run}
    lm = job.adapted_lm if experiment.reads_adapted(method) else job.materials.bare / "lm"
    benchmarks = job.materials.benchmark_names(experiment.code)
    retriever, done, seconds = job.materials.start(experiment.start), 0, 0.0
    figures: dict[str, object] = {}
    watch = None

    def note(step: int, spent: float, ndcg: dict[str, float]) -> None:
        job.store.add(step=run, kind="probe", **about, groups=step * job.shape.groups,
                      training_s=round(spent, 2), ndcg=ndcg)  # fmt: skip
        job.say(f"  {run}: {step * job.shape.groups} groups, {spent:.0f} s: {ndcg}")

    trainings = [f"{run} {number}" for number in range(1, len(legs) + 1)]
    for training, (kind, share) in zip(trainings, legs, strict=True):
        count = max(1, round(share * steps))
        if not job.models(training).is_dir():
            watch = Watch(
                job.materials, benchmarks, every=_probe_every(job, experiment, method, count),
                curve=lambda training=training: job.curve(training), before=(done, seconds), note=note,
            )  # fmt: skip
            job.train(
                training, kind, lm=lm, retriever=retriever, watch=watch,
                groups=job.materials.groups(experiment.groups, seed, start=done * job.shape.groups),
                steps=count, seed=seed, rate=experiment.rate, mini_batch=times(job, experiment)["mini_batch"],
                step_s=step_and_overhead(job, experiment)[0][method],
            )  # fmt: skip
        took = taken(job.curve(training))
        done, seconds = done + took[0], seconds + took[1]
        retriever = job.models(training) / "retriever"
        figures |= figures_of(job.out / "reports" / slug(training))
    scores = watch.last if watch is not None else None
    if scores is None:
        # Its last training had ended before an earlier `run` was cut off.
        from revela.evaluation.loading import load_encoder

        scores = evaluate(load_encoder(retriever, max_tokens=128), job.materials, benchmarks)
    for name, values in scores.items():
        job.store.add_per_query(run, name, values)
    job.store.add(step=run, kind="score", **about, groups=done * job.shape.groups,
                  training_s=round(seconds, 2), ndcg=means(scores), figures=figures)  # fmt: skip
    for training in trainings:
        job.forget(training)


def _probe_every(job: Job, experiment: Experiment, method: str, steps: int) -> int:
    """Steps between two probes: at most so many, and so that they take no more than their share."""
    step_s, _ = step_and_overhead(job, experiment)
    evaluation_s = float(times(job, experiment)["evaluation_s"])
    paid = int(PROBING * steps * step_s[method] / max(evaluation_s, 1e-6))
    return max(1, -(-steps // max(1, min(MOST_PROBES, paid))))


def expected_of_learning(job: Job, experiment: Experiment, method: str, seed: int) -> float:
    """Seconds that are still to be spent on this run; an earlier `run` may have done a part of it."""
    from bench.gpu.watch import taken

    steps = steps_of(job, experiment)
    run = experiment.run_name(method, seed)
    begun = sum(taken(job.curve(f"{run} {number}"))[1] for number in range(1, len(LEGS[method]) + 1))
    return max(0.0, expected_seconds(job, experiment, method, steps) - begun)
