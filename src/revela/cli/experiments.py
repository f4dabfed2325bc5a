"""Comparisons beside the stages: ablations, mteb's benchmarks, time and memory of a step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from revela import paths
from revela.cli.allocator import keep_freed_memory
from revela.cli.app import LOG_WIDTH, ParamsOption, project_root
from revela.errors import RevelaError
from revela.settings import load_settings


def ablate(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Ablations of ablations.yaml or params.yaml; none are all that fit."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Instead of the ablations' own: 0,1,2.")] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Train and evaluate ablations, write results/ablations. Resumes after a kill."""
    settings = load_settings(params)
    try:
        chosen = [int(seed) for seed in seeds.split(",")] if seeds else []
    except ValueError:
        raise RevelaError(f"--seeds {seeds}: expected whole numbers and commas, such as 0,1,2") from None
    from revela.ablations.plan import plan

    runs = plan(settings, names or (), chosen)
    keep_freed_memory()
    from revela.ablations.inputs import Inputs
    from revela.ablations.run import Places, run_ablations
    from revela.evaluation.vector_cache import VectorCache

    places = Places(
        made=Inputs(paths.BACKBONE, paths.DOCUMENTS, paths.GROUPS),
        checkpoints=project_root() / paths.CHECKPOINTS,
        cache=project_root() / paths.CACHE / "ablations",
        results=paths.ABLATIONS,
        reference=paths.EVALUATE_REPORT / "per_query.parquet",
        vectors=VectorCache(project_root() / paths.VECTORS),
    )
    width = None if sys.stdout.isatty() else LOG_WIDTH
    failed = run_ablations(settings, runs, places, Console(width=width))
    typer.echo((paths.ABLATIONS / "table.md").read_text(encoding="utf-8"))
    if failed:
        raise RevelaError(f"{len(failed)} of {len(runs)} runs failed\n" + "\n".join(failed))


def mteb(
    names: Annotated[
        list[str], typer.Argument(help="Tasks or benchmarks: SciFact, NanoBEIR, BEIR, CoIR, ...")
    ],
    model: Annotated[Path, typer.Option(help="A sentence-transformers folder.")] = paths.MODELS / "retriever",
    name: Annotated[str | None, typer.Option(help="The model's name in the results.")] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Run mteb's own evaluation, write results/mteb in its format (for its leaderboard)."""
    settings = load_settings(params)
    from revela.evaluation.leaderboard import run_mteb

    scores = run_mteb(
        names,
        model,
        name or settings.registry.model_name,
        paths.MTEB,
        max_tokens=settings.evaluate.max_tokens,
        batch_size=settings.evaluate.batch_size,
        precision=settings.evaluate.precision,
    )
    for task, score in scores.items():
        typer.echo(f"{task}: {score:.4f}")
    typer.echo(f"results: {paths.MTEB}")


def bench(context: typer.Context) -> None:
    """Measure time and memory of a step against a plain reference; `revela bench --help` for options."""
    if not paths.BENCH.is_file():
        raise RevelaError(
            f"{paths.BENCH}: no such file. The benchmark is part of the repository, not of the installed "
            "package: clone the repository and run `revela bench` in its root."
        )
    module = ".".join(paths.BENCH.with_suffix("").parts)
    # Spinning threads make a step several times slower where cores are shared with other work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    done = subprocess.run([sys.executable, "-m", module, *context.args], check=False, env=environment)
    raise typer.Exit(done.returncode)
