"""Seconds before a verb begins: a process that imports what `revela evaluate` imports, as Python would and as
`revela` does it, and the benchmarks of the standard library, read and found again.

``python -m bench.start_up`` prints both and writes bench/results/start_up.md. Every turn is a process of its
own.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.machine import describe_machine, machine_line
from bench.tables import publish
from revela import cli

IMPORTS = "import mlflow, peft, revela.evaluation.pipeline"
# The very line of revela.cli.main, so that nothing else is measured than what it does.
_LINE = re.search(r"^ +(gc\.set_threshold\(.*\))$", Path(cli.__file__).read_text(encoding="utf-8"), re.M)
BENCHMARKS = """
from revela.evaluation.benchmarks import load_benchmarks
from revela.settings import EvaluateSettings
load_benchmarks(EvaluateSettings(benchmarks=[{"kind": kind} for kind in %r]).benchmarks)
"""


def turn(program: str, folder: Path) -> tuple[float, float]:
    """Seconds, and seconds of the processor, of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=os.environ, check=True)
    took = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(
    repeats: Annotated[int, typer.Option(help="Processes of each.")] = 5,
    imports: Annotated[str, typer.Option(help="What is imported.")] = IMPORTS,
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="Benchmarks; all three if none.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Measure what a user waits for before anything is computed."""
    assert _LINE is not None, "revela.cli.main sets no threshold of the garbage collector any more"
    benchmarks = BENCHMARKS % (kinds or ["docstrings", "classes", "errors"])
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        outside, project = Path(name) / "outside", Path(name) / "project"
        outside.mkdir()
        project.mkdir()
        (project / "params.yaml").touch()  # where the pairs are kept
        turn(imports + benchmarks, project)
        cases = {
            "imports, plain": (imports, outside),
            "imports, revela": (f"import gc; {_LINE[1]}; {imports}", outside),
            "benchmarks, plain": (benchmarks, outside),
            "benchmarks, revela, again": (benchmarks, project),
        }
        for _ in range(repeats):
            for case, (program, folder) in cases.items():
                found.setdefault(case, []).append(turn(program, folder))
    seconds = {
        case: [statistics.median(kind) for kind in zip(*took, strict=True)] for case, took in found.items()
    }
    plain = {case.split(",")[0]: wall for case, (wall, _) in seconds.items() if case.endswith("plain")}
    rows = "".join(
        f"| {case} | {wall:.2f} | {worked:.2f} | {wall / plain[case.split(',')[0]]:.2f} |\n"
        for case, (wall, worked) in seconds.items()
    )
    text = (
        f"# Before a verb begins\n\nMedian of {repeats} processes of each, by turns.\n\n"
        "| | seconds | of these the processor's | of plain |\n|---|---:|---:|---:|\n"
        f"{rows}\n{machine_line(describe_machine(torch.device('cpu'), torch.float32))}\n"
    )
    publish(text, out, "start_up")


if __name__ == "__main__":
    typer.run(main)
