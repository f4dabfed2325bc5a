"""The subcommands `run` and `report` of `python -m bench.gpu`; they import what they need when called."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer


def run(
    folder: Annotated[Path, typer.Argument(help="what `prepare` made and join.sh put together")],
    minutes: Annotated[float, typer.Option(help="after these the run has ended, the table printed")] = 15.0,
    out: Annotated[Path, typer.Option(help="results as they come; a second run on it goes on")] = Path("out"),
    tiny: Annotated[bool, typer.Option(help="a rehearsal: a few steps, for a CPU")] = False,
    plan_only: Annotated[bool, typer.Option(help="say what each step is expected to take, and end")] = False,
    experiment: Annotated[
        list[str] | None, typer.Option(help="only this one of bare, long, minilm, paper; may be repeated")
    ] = None,
) -> None:
    """Measure parity, speed and learning on this machine's device, the most valuable first."""
    from bench.gpu import run as runner
    from bench.gpu.experiments import EXPERIMENTS
    from revela.errors import RevelaError

    known = {one.name for one in EXPERIMENTS}
    if unknown := sorted(set(experiment or ()) - known):
        raise RevelaError(f"--experiment {unknown[0]}: expected one of {', '.join(sorted(known))}.")
    began = time.monotonic()

    def say(line: str) -> None:
        typer.echo(line if plan_only else f"[{time.monotonic() - began:6.1f}] {line}")

    if plan_only:
        runner.plan_only(folder, out, minutes=minutes, say=say, only=experiment or ())
        return
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("revela.training").setLevel(logging.INFO)
    runner.run(folder, out, minutes=minutes, tiny=tiny, say=say, only=experiment or ())


def report(
    outs: Annotated[list[Path] | None, typer.Argument(help="folders that `run` wrote")] = None,
    into: Annotated[Path | None, typer.Option(help="default: bench/results/gpu")] = None,
) -> None:
    """Write results.json, report.md and learning.png, the laboratory's figures first."""
    from bench.gpu.report import RESULTS_DIR, write_report

    typer.echo(write_report(outs or [], into or RESULTS_DIR))
