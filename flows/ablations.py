"""The named ablations as a flow: a task a run, few at a time, a summary at the end."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows._alone import alone
from flows._commands import CommandFailedError, run
from revela import paths
from revela.ablations.plan import plan
from revela.settings import load_settings

AT_ONCE = 1
"""Two trainings on one machine would share its cores, and the second one its memory."""
RUN_TIMEOUT_S = 12 * 3600.0
# Prefect asks for a runner of any futures, and types its own as one of a certain kind.
_RUNNER: Any = ThreadPoolTaskRunner(max_workers=AT_ONCE)


@task(task_run_name="{name} seed {seed}")
def run_ablation(name: str, seed: int, timeout_s: float = RUN_TIMEOUT_S) -> None:
    """Train and evaluate one ablation with one seed; what is finished is skipped."""
    command = ["revela", "ablate", name, "--seeds", str(seed)]
    run(command, get_run_logger().info, timeout_s=timeout_s)


@flow(name="ablations", task_runner=_RUNNER)
def ablations(
    names: list[str] | None = None, seeds: list[int] | None = None, run_timeout_s: float = RUN_TIMEOUT_S
) -> State:
    """Every ablation that is asked for, one after another; one that fails does not stop the others.

    Args:
        names: of ablations.yaml or params.yaml; none are all that fit the settings.
        seeds: instead of those that the ablations give.
        run_timeout_s: seconds that one training with its evaluation may take.

    Returns:
        Completed if all are; Failed with the names of those that are not.
    """
    log = get_run_logger()
    runs = plan(load_settings(paths.PARAMS), names or (), seeds or (), log.warning)
    with alone(log.info):
        futures = {one.label: run_ablation.submit(one.name, one.seed, run_timeout_s) for one in runs}
        wait(list(futures.values()))
    faults = {label: fault for label, future in futures.items() if (fault := _fault(future)) is not None}
    create_markdown_artifact(key="ablations", markdown=summary(list(futures), faults))
    if faults:
        return Failed(message=f"{len(faults)} of {len(runs)} failed: {', '.join(faults)}")
    return Completed(message=f"{len(runs)} runs are finished")


def _fault(future: PrefectFuture) -> str | None:
    """Why a run has failed, in a line; None if it has not."""
    if future.state.is_completed():
        return None
    fault = future.state.result(raise_on_failure=False)
    lines = fault.tail if isinstance(fault, CommandFailedError) else str(fault).splitlines()
    return next((line for line in reversed(lines) if line.strip()), future.state.name)


def summary(labels: list[str], faults: dict[str, str]) -> str:
    """Which runs are finished and why others are not, then the table of results/ablations, as Markdown."""
    lines = [f"# {len(labels) - len(faults)} of {len(labels)} finished", "", "| run | |", "|---|---|"]
    lines += [f"| {label} | {faults.get(label, 'finished').replace('|', ' ')} |" for label in labels]
    table = paths.ABLATIONS / "table.md"
    if table.is_file():
        lines += ["", table.read_text(encoding="utf-8")]
    return "\n".join(lines) + "\n"
