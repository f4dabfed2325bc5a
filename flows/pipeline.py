"""The DVC pipeline as a flow: a task a stage, then register, with what came out on the run's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from flows._commands import CommandFailedError, run
from flows._params import overridden
from revela import paths

HOURS = 3600.0
STAGE_TIMEOUT_S = 12 * HOURS
RETRY_AFTER_S = [30, 120]


def _may_pass(_: Task, __: TaskRun, state: State) -> bool:
    """Try again only where another try can help: a faulty corpus stays faulty."""
    try:
        state.result()
    except CommandFailedError as fault:
        return fault.transient
    except Exception:
        return False
    return False


@task(
    task_run_name="{stage}",
    retries=len(RETRY_AFTER_S),
    retry_delay_seconds=RETRY_AFTER_S,
    retry_condition_fn=_may_pass,
)
def run_stage(stage: str, force: bool = False, timeout_s: float = STAGE_TIMEOUT_S) -> None:
    """Bring one stage up to date; DVC decides whether there is anything to do.

    Args:
        force: run it even when DVC sees no change, as for sources that DVC does not know.
    """
    command = ["dvc", "--wait-for-lock", "repro", "--single-item", stage]
    run([*command, "--force"] if force else command, get_run_logger().info, timeout_s=timeout_s)


@task(retries=len(RETRY_AFTER_S), retry_delay_seconds=RETRY_AFTER_S, retry_condition_fn=_may_pass)
def register(promote: bool) -> list[str]:
    """Register the retriever; `revela register` compares it with the champion."""
    command = ["revela", "register"] if promote else ["revela", "register", "--no-promote"]
    said = run(command, get_run_logger().info, timeout_s=HOURS)
    return [line for line in said if line and "%|" not in line]  # without progress bars


@flow(name="pipeline", retries=0)
def pipeline(
    overrides: dict[str, Any] | None = None,
    targets: list[str] | None = None,
    promote: bool = True,
    new_data: bool = False,
) -> str:
    """Everything from the corpus to a registered retriever; what is up to date is left alone.

    Runs in the project's folder. DVC's cache is the only cache: a stage that changes nothing takes seconds.

    Args:
        overrides: dotted keys of params.yaml and their values, for this run only.
        targets: stages, in the order of dvc.yaml; none are all of them and `register`.
        promote: let the retriever become champion if it is better.
        new_data: read the sources again although params.yaml is the same.

    Returns:
        What was registered, or which stages ran.
    """
    with overridden(paths.PARAMS, overrides or {}):
        stages = list(yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"])
        unknown = [target for target in targets or [] if target not in stages]
        if unknown:
            raise ValueError(f"no stage {', '.join(unknown)}; dvc.yaml has {', '.join(stages)}")
        for stage in stages:
            if not targets or stage in targets:
                run_stage(stage, force=new_data and stage == "filter_corpus")
        if targets:
            return f"stages: {', '.join(targets)}"
        said = register(promote)
    _show(said)
    return "\n".join(said)


def _show(said: list[str]) -> None:
    """The tables on the run's page in Prefect's UI."""
    table = paths.EVALUATE_REPORT / "table.md"
    summary = (paths.REPORT / "report.md").read_text(encoding="utf-8").split("## Training")[0]
    lines = "\n".join(f"    {line}" for line in said)
    create_markdown_artifact(key="registered", markdown=f"# Registered\n\n{lines}\n")
    create_markdown_artifact(key="scores", markdown=table.read_text(encoding="utf-8"))
    # Pictures are files beside the report: here they would be broken links.
    kept = [line for line in summary.splitlines() if not line.startswith("![")]
    create_markdown_artifact(key="report", markdown="\n".join(kept))
