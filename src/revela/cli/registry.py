"""The way from a trained retriever to the champion, and back from a version to what made it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from revela import paths
from revela.cli.app import LOG_WIDTH, ParamsOption, project_root
from revela.settings import load_settings


def register(
    promote: Annotated[bool, typer.Option(help="Let it become champion if it is better.")] = True,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write there what was done, for other programs.")
    ] = None,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Put the trained retriever with its scores and origins into MLflow's registry."""
    settings = load_settings(params)
    from revela.files import write_json
    from revela.registry.register import register as run

    # Each imports what takes seconds, and is asked only when there is something to register.
    def data_sets() -> Mapping[str, str]:
        from revela.registry.data_sets import content_digests

        return content_digests(settings.evaluate)

    def train_run() -> str | None:
        from revela.training.checkpoints import recall_run
        from revela.training.pipeline import training_fingerprint

        mark = training_fingerprint(settings, paths.BACKBONE, paths.GROUPS)
        return recall_run(project_root() / paths.CHECKPOINTS / mark)

    registered = run(
        settings.registry,
        model_dir=paths.MODELS / "retriever",
        results_dir=paths.RESULTS,
        params=settings.model_dump(mode="json", exclude={"ablations"}),
        data_sets=data_sets,
        params_file=params,
        dvc_lock=paths.DVC_LOCK,
        train_run=train_run,
        promote=promote,
    )
    if json_file is not None:
        write_json(json_file, dataclasses.asdict(registered))
    console = Console()
    console.print(
        f"[bold]{settings.registry.model_name}[/] version {registered.version}: {registered.verdict}"
    )
    console.print(f"aliases:  {', '.join(registered.aliases) or 'none'}")
    console.print(f"load as:  {registered.model_uri}")
    console.print(f"store:    {registered.tracking_uri}  (look at it with `make ui`)", soft_wrap=True)


def promote(
    version: Annotated[str, typer.Argument(help="Of the registered model.")],
    reason: Annotated[str, typer.Option(help="Kept with the version.")] = "by hand",
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Make a version champion by hand; the one until now becomes @previous."""
    from revela.registry.aliases import promote as run

    typer.echo(run(load_settings(params).registry, version, reason))


def lineage(
    version: Annotated[
        str,
        typer.Argument(help="A number or an alias; or a model's folder or a hash, to find its versions."),
    ] = "@champion",
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Print what a registered version was made of: commit, hashes, settings, scores."""
    from revela.registry.lineage import lineage as run

    typer.echo(run(load_settings(params).registry, version))


def reproduce(
    version: Annotated[str, typer.Argument(help="A number, or an alias: @champion.")] = "@champion",
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Although its code was not committed, or is another one.")
    ] = False,
    params: ParamsOption = paths.PARAMS,
) -> None:
    """Check a version out into cache/reproduce, verify its hashes, evaluate it again, compare the scores.

    Ends with exit code 1 where the scores do not agree.
    """
    settings = load_settings(params)
    from revela.registry.reproduction.reproduce import reproduce as run
    from revela.registry.reproduction.table import agreement, table

    rows = run(settings.registry, version, typer.echo, allow_dirty=allow_dirty)
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH).print(table(rows))
    typer.echo(agreement(rows))
    raise typer.Exit(int(any(row.differs for row in rows)))


def rollback(params: ParamsOption = paths.PARAMS) -> None:
    """Make the previous champion champion again."""
    from revela.registry.aliases import rollback as run

    typer.echo(run(load_settings(params).registry))
