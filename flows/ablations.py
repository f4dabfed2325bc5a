"""The named ablations as a flow: a task a run, few at a time, a table at the end."""

from __future__ import annotations

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.futures import wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows._commands import run
from revela import paths
from revela.ablations.plan import plan
from revela.settings import load_settings


@task(task_run_name="{name} seed {seed}")
def run_ablation(name: str, seed: int) -> None:
    """Train and evaluate one ablation with one seed; what is finished is skipped."""
    run(["revela", "ablate", name, "--seeds", str(seed)], get_run_logger().info)


# Two trainings on one machine share its cores: raise max_workers where there are several GPUs.
@flow(name="ablations", task_runner=ThreadPoolTaskRunner(max_workers=1))
def ablations(names: list[str] | None = None, seeds: list[int] | None = None) -> State:
    """Every ablation that is asked for; one that fails does not stop the others.

    Args:
        names: of params.yaml; none are all.
        seeds: instead of those that the ablations give.

    Returns:
        Completed if all are; Failed with the names of those that are not.
    """
    runs = plan(load_settings(paths.PARAMS), names or (), seeds or ())
    futures = {f"{one.name}, seed {one.seed}": run_ablation.submit(one.name, one.seed) for one in runs}
    wait(list(futures.values()))
    failed = [label for label, future in futures.items() if not future.state.is_completed()]
    table = paths.ABLATIONS / "table.md"
    if table.is_file():
        create_markdown_artifact(key="ablations", markdown=table.read_text(encoding="utf-8"))
    if failed:
        return Failed(message=f"{len(failed)} of {len(runs)} failed: {', '.join(failed)}")
    return Completed(message=f"{len(runs)} runs are finished")
