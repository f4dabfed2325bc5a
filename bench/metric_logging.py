"""Metric points in MLflow: collected and written in batches, against a call a point.

``python -m bench.metric_logging`` prints both times and writes bench/results/metric_logging.md. Both write
into the same SQLite store, each time a run of its own, taking turns in one process. What is timed is what
training waits for: every call, and the last flush.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.machine import describe_machine, machine_line
from bench.tables import publish
from revela.tracking import RunLogger, connect, start_run

Method = Callable[[RunLogger, int], None]
KEYS = ("train/loss", "train/accuracy", "train/gain", "learning_rate")


def in_batches(run: RunLogger, steps: int) -> None:
    for step in range(steps):
        run.log({key: math.cos(step) for key in KEYS}, step)
    assert run.flush()


def one_by_one(run: RunLogger, steps: int) -> None:
    client = connect(run.uri)
    for step in range(steps):
        for key in KEYS:
            client.log_metric(run.run_id, key, math.cos(step), step=step)


def timed(method: Method, name: str, uri: str, points: int) -> tuple[float, float]:
    """Seconds, and seconds of the processor, a thousand points; checks that they arrived."""
    steps = points // len(KEYS)
    with start_run("bench", name, {}, {}, uri=uri) as run:
        started, worked = time.perf_counter(), time.process_time()
        method(run, steps)
        took = time.perf_counter() - started, time.process_time() - worked
    for key in KEYS:
        found = connect(uri).get_metric_history(run.run_id, key)
        assert sorted(point.step for point in found) == list(range(steps)), (name, key)
    return took[0] * 1000 / points, took[1] * 1000 / points


def main(
    points: Annotated[int, typer.Option(help="Points of each run.")] = 1000,
    reference_points: Annotated[int, typer.Option(help="Of each run with a call a point.")] = 1000,
    repeats: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Measure the time that logging takes from a training."""
    methods = {"a call a point": (one_by_one, reference_points), "revela": (in_batches, points)}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        for method, _ in methods.values():
            timed(method, "warm up", uri, len(KEYS))
        for _ in range(repeats):
            for name, (method, count) in methods.items():
                seconds[name].append(timed(method, name, uri, count))
    wall, worked = (
        {name: statistics.median(took[kind] for took in seconds[name]) for name in methods} for kind in (0, 1)
    )
    rows = "".join(f"| {name} | {wall[name]:.3f} | {worked[name]:.3f} |\n" for name in methods)
    ratios = [one["revela"] / one["a call a point"] for one in (wall, worked)]
    text = (
        "# Logging metrics\n\n"
        f"Points of {len(KEYS)} metrics into an SQLite store, {points} a run by revela, {reference_points} "
        f"a run by a call each; median of {repeats} runs, taking turns.\n\n"
        "| | seconds a 1000 points | of these the processor's |\n|---|---:|---:|\n"
        f"{rows}| ratio | {ratios[0]:.4f} | {ratios[1]:.4f} |\n\n"
        f"{machine_line(describe_machine(torch.device('cpu'), torch.float32))}\n"
    )
    publish(text, out, "metric_logging")


if __name__ == "__main__":
    typer.run(main)
