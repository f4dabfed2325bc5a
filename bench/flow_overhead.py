"""What the flow costs over the commands that it runs, where there is nothing to do.

``python -m bench.flow_overhead`` prints the difference and writes bench/results/flow_overhead.md. A small
project is brought up to date; then ``dvc repro`` with ``revela register``, as `make repro` runs them, and the
deployment ``pipeline/on-demand`` of a real Prefect server on loopback take turns. Both find nothing to do,
so that what is timed is the way there.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import psutil
import torch
import typer

from bench.flow_project import FlowProject, small_params
from bench.inputs import source_files, write_random_lm
from bench.machine import describe_machine
from bench.tables import publish
from revela.errors import RevelaError

BARE = "dvc repro && revela register"
FLOW_LIMIT_S, OVERHEAD_LIMIT_S = 25.0, 10.0
"""What a run without work may take, and how much of that may be the flow's own, on two idle cores."""


def main(
    turns: Annotated[int, typer.Option(help="Measurements of each.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
    lm: Annotated[Path | None, typer.Option(help="A causal LM's folder instead of random weights.")] = None,
) -> None:
    """Measure a run of the flow that has nothing to do, beside the bare commands."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if lm is None:
            lm = folder / "lm"
            write_random_lm(lm, layers=1)
        (folder / "texts").mkdir()
        (folder / "project").mkdir()
        for file in source_files()[:20]:
            shutil.copy(file, folder / "texts")
        project = FlowProject(folder / "project", small_params(lm, folder / "texts"))
        project.run("dvc", "repro")
        project.run("revela", "register")
        with project.served():
            project.run("prefect", "--no-prompt", "deploy", "--all")
            measure(project, 1)  # warms up the file system's cache
            publish(table(measure(project, turns)), out, "flow_overhead")


def measure(project: FlowProject, turns: int) -> dict[str, list[float]]:
    """Seconds and bytes of every turn, by key; the project is served and up to date.

    Raises:
        RevelaError: a flow run did not complete.
    """
    found: dict[str, list[float]] = {
        key: [] for key in ("bare_s", "bare_bytes", "flow_s", "inside_s", "flow_bytes", "standing_bytes")
    }
    servers = [psutil.Process(process.pid) for process in project.running.values()]
    for _ in range(turns):
        with _peak_of_descendants(psutil.Process()) as bare:
            # The servers are children of this process, too, and there before and after.
            started = time.perf_counter()
            project.run("sh", "-c", BARE)
            seconds = time.perf_counter() - started
        with _peak_of_descendants(psutil.Process(project.running["worker"].pid)) as flow:
            done = project.ended(project.start_run("pipeline/on-demand"))
        if done["state_type"] != "COMPLETED":
            raise RevelaError(f"the flow run ended as {done['state_type']}: {done['state']['message']}")
        standing = sum(map(_with_descendants, servers))
        began, ended = _time(done["start_time"]), _time(done["end_time"])
        found["bare_s"].append(seconds)
        found["bare_bytes"].append(max(bare) - min(bare))
        found["flow_s"].append(ended - _time(done["expected_start_time"]))
        found["inside_s"].append(ended - began)
        found["flow_bytes"].append(max(flow))
        found["standing_bytes"].append(standing)
    return found


def _time(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


@contextmanager
def _peak_of_descendants(process: psutil.Process) -> Iterator[list[float]]:
    """Proportional set size, in bytes, of all that `process` has started, every quarter of a second."""
    sizes: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            sizes.append(sum(map(_size, process.children(recursive=True))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield sizes
    finally:
        done.set()
        watcher.join()


def _with_descendants(process: psutil.Process) -> float:
    return sum(map(_size, [process, *process.children(recursive=True)]))


def _size(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0.0  # it has ended meanwhile


def table(measured: dict[str, list[float]]) -> str:
    """What was measured, as Markdown."""
    middle = {key: statistics.median(values) for key, values in measured.items()}
    overhead = statistics.median(
        flow - bare for flow, bare in zip(measured["flow_s"], measured["bare_s"], strict=True)
    )
    machine = describe_machine(torch.device("cpu"), torch.float32)
    where = ", ".join(f"{key} {machine[key]}" for key in ("processor", "cores", "memory", "python", "system"))
    mib = {key: value / 2**20 for key, value in middle.items()}
    return (
        "# A run that has nothing to do\n\n"
        f"A small project whose stages are up to date; median of {len(measured['bare_s'])} turns each, "
        "taking turns. Memory is proportional set size.\n\n"
        "| | seconds | memory, MiB |\n|---|---:|---:|\n"
        f"| `{BARE}` | {middle['bare_s']:.1f} | {mib['bare_bytes']:.0f} |\n"
        f"| `pipeline/on-demand`, from asking to its end | {middle['flow_s']:.1f} "
        f"| {mib['flow_bytes']:.0f} |\n"
        f"| … of this within the flow | {middle['inside_s']:.1f} | |\n"
        f"| difference | {overhead:.1f} | {mib['flow_bytes'] - mib['bare_bytes']:.0f} |\n"
        f"| ratio | {middle['flow_s'] / middle['bare_s']:.2f} "
        f"| {middle['flow_bytes'] / middle['bare_bytes']:.2f} |\n\n"
        f"Aimed at: under {FLOW_LIMIT_S:.0f} s, of which under {OVERHEAD_LIMIT_S:.0f} s are the flow's own. "
        f"Server and worker take {mib['standing_bytes']:.0f} MiB as long as they run.\n\n"
        f"{where}, load of the last minute {psutil.getloadavg()[0]:.1f}\n"
    )


if __name__ == "__main__":
    typer.run(main)
