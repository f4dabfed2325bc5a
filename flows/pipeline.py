"""The DVC pipeline as a flow: a task a stage, then register, with what came out on the run's page."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from prefect import flow, get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import Task

from flows._alone import alone
from flows._artifacts import show
from flows._commands import CommandFailedError, run
from flows._params import overridden
from revela import paths

HOURS = 3600.0
STAGE_TIMEOUT_S = 12 * HOURS
RETRY_AFTER_S: list[float] = [30, 120]
DVC = [sys.executable, str(Path(__file__).with_name("_dvc.py")), "--wait-for-lock"]


def _may_pass(_: Task, __: TaskRun, state: State) -> bool:
    """Try again only where another try can help: a faulty corpus stays faulty."""
    try:
        state.result()
    except CommandFailedError as fault:
        return fault.transient
    except Exception:
        return False
    return False


_RETRIED: dict[str, Any] = {
    "retries": len(RETRY_AFTER_S),
    "retry_delay_seconds": RETRY_AFTER_S,
    "retry_condition_fn": _may_pass,
}


@task(task_run_name="dvc status", **_RETRIED)
def outdated() -> list[str]:
    """The stages that DVC sees a change for, by one process instead of one a stage."""
    said = run([*DVC, "status", "--json"], get_run_logger().debug, timeout_s=HOURS)
    return list(json.loads(next(line for line in reversed(said) if line.startswith("{"))))


@task(task_run_name="{stage}", **_RETRIED)
def run_stage(
    stage: str, up_to_date: bool = False, force: bool = False, timeout_s: float = STAGE_TIMEOUT_S
) -> State | None:
    """Bring one stage up to date; DVC decides whether there is anything to do.

    Args:
        up_to_date: DVC has been asked already, and no stage before this one runs.
        force: run it even when DVC sees no change, as for sources that DVC does not know.
        timeout_s: after which the stage and all its processes are ended, and the run has failed.
    """
    if up_to_date:
        get_run_logger().info("Stage '%s' didn't change", stage)
        return Completed(name="UpToDate", message="nothing it depends on has changed")
    command = [*DVC, "repro", "--single-item", stage]
    run([*command, "--force"] if force else command, get_run_logger().info, timeout_s=timeout_s)
    return None


@task(task_run_name="register", **_RETRIED)
def register(promote: bool, timeout_s: float = HOURS) -> dict[str, Any]:
    """Register the retriever, compared with the champion query by query; what `revela register` did."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "registered.json"
        command = ["revela", "register", "--json", str(told)]
        run(command if promote else [*command, "--no-promote"], get_run_logger().info, timeout_s=timeout_s)
        return json.loads(told.read_text(encoding="utf-8"))


@flow(name="pipeline", retries=0)
def pipeline(
    overrides: dict[str, Any] | None = None,
    targets: list[str] | None = None,
    promote: bool = True,
    new_data: bool = False,
    stage_timeout_s: float = STAGE_TIMEOUT_S,
) -> str:
    """Everything from the corpus to a registered retriever; what is up to date is left alone.

    Runs in the project's folder. DVC's cache is the only cache: a run that changes nothing takes seconds.

    Args:
        overrides: dotted keys of params.yaml and their values, for this run only.
        targets: stages, in the order of dvc.yaml; none are all of them and `register`.
        promote: let the retriever become champion if it is better.
        new_data: read the sources again although params.yaml is the same.
        stage_timeout_s: seconds that a stage may take.

    Returns:
        What was registered, or which stages ran.
    """
    with alone(get_run_logger().info), overridden(paths.PARAMS, overrides or {}):
        stages = list(yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"])
        unknown = [target for target in targets or [] if target not in stages]
        if unknown:
            raise ValueError(f"no stage {', '.join(unknown)}; dvc.yaml has {', '.join(stages)}")
        changed = {*outdated(), *(["filter_corpus"] if new_data else [])}
        seen = False
        for stage in stages:
            # What comes after a stage that runs may change with it: DVC is asked again, when it is its turn.
            seen = seen or stage in changed
            if not targets or stage in targets:
                force = new_data and stage == "filter_corpus"
                run_stage(stage, up_to_date=not seen, force=force, timeout_s=stage_timeout_s)
        if targets:
            return f"stages: {', '.join(targets)}"
        registered = register(promote, timeout_s=stage_timeout_s)
    show(registered, paths.RESULTS)
    return f"{registered['name']} version {registered['version']}: {registered['verdict']}"
