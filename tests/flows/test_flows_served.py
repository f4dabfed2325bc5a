"""The deployments for real: a schedule that fires, runs by hand, a cancel, and going on."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from bench import flow_overhead
from revela.training.checkpoints import last_checkpoint

pytestmark = pytest.mark.timeout(420)


def wait_for(condition, seconds: float, what: str):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.5)
    pytest.fail(f"{what} did not happen within {seconds} s")


def store(project) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{project.folder}/mlflow.db")


def champion(project) -> str:
    return str(store(project).get_model_version_by_alias("revela-retriever", "champion").version)


def completed(project, flow: str) -> list[dict[str, Any]]:
    wanted = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    return project.ask("flow_runs/filter", {**wanted, "sort": "START_TIME_ASC"})


def artifacts(project, run: str) -> dict[str, Any]:
    """What is on the page of a flow run, by key."""
    found = project.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    return {one["key"]: one["data"] for one in found}


def logged(project, run: str) -> str:
    pages = (
        project.ask(
            "logs/filter",
            {
                "logs": {"flow_run_id": {"any_": [run]}},
                "limit": 200,
                "offset": start,
                "sort": "TIMESTAMP_ASC",
            },
        )
        for start in range(0, 1000, 200)
    )
    return "\n".join(line["message"] for page in pages for line in page)


def trainings(project) -> str:
    """Processes of the project that train."""
    found = subprocess.run(["pgrep", "-af", "revela train"], capture_output=True, text=True).stdout
    mine = [line for line in found.splitlines() if "pgrep" not in line]
    return "\n".join(line for line in mine if _cwd(line.split()[0]) == project.folder)


def _cwd(pid: str) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True)
    except OSError:
        return None


@pytest.fixture(scope="module")
def deployed(served):
    """Deployed with the schedule of `nightly` every 15 seconds instead of every night."""
    path = served.folder / "prefect.yaml"
    content = yaml.safe_load(path.read_text())
    (nightly,) = [one for one in content["deployments"] if one["name"] == "nightly"]
    assert nightly["schedules"] == [{"cron": "0 2 * * *", "timezone": "UTC"}]
    nightly["schedules"] = [{"interval": 15}]
    path.write_text(yaml.safe_dump(content))
    served.run("prefect", "--no-prompt", "deploy", "--all")
    return served


def test_the_schedule_fires_and_a_first_night_ends_with_a_champion(deployed):
    wait_for(lambda: completed(deployed, "watch_corpus"), 240, "a scheduled run")
    assert champion(deployed) == "1"
    assert (deployed.folder / "results" / "report" / "report.html").is_file()
    # The next nights have nothing new to read, and say so.
    wait_for(lambda: len(completed(deployed, "watch_corpus")) >= 2, 90, "a second night")
    first, second, *_ = completed(deployed, "watch_corpus")
    assert first["auto_scheduled"] and second["auto_scheduled"]
    assert second["state"]["message"] == "nothing new in 1 sources"
    nightly = deployed.ask("deployments/name/watch_corpus/nightly")["id"]
    (schedule,) = deployed.ask(f"deployments/{nightly}/schedules")
    assert schedule["schedule"]["interval"] == 15
    deployed.run("prefect", "deployment", "schedule", "pause", "watch_corpus/nightly", schedule["id"])


def test_the_page_of_a_run_has_decision_scores_plots_and_report(deployed):
    (run,) = completed(deployed, "pipeline")
    shown = artifacts(deployed, run["id"])
    assert set(shown) == {"decision", "results", "plots", "report"}
    assert "no champion before it" in shown["decision"] and "| loads | passed |" in shown["decision"]
    version = store(deployed).get_model_version("revela-retriever", "1")
    assert f"(http://127.0.0.1:5000/#/experiments/1/runs/{version.run_id})" in shown["decision"]
    assert "(http://127.0.0.1:5000/#/models/revela-retriever/versions/1)" in shown["decision"]
    scores = json.loads((deployed.folder / "results" / "evaluate" / "metrics.json").read_text())
    row = {"benchmark": "docstrings", "model": "retriever", **scores["docstrings"]["retriever"]}
    rows = shown["results"] if isinstance(shown["results"], list) else json.loads(shown["results"])
    assert row in rows
    for key in ("plots", "report"):
        assert "](data:image/png;base64," in shown[key] and ".png)" not in shown[key]


def test_a_run_that_has_nothing_to_do_starts_no_stage(deployed):
    measured = flow_overhead.measure(deployed, 1)
    run = completed(deployed, "pipeline")[-1]
    tasks = deployed.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    states = {task["name"]: task["state"]["name"] for task in tasks}
    stages = yaml.safe_load((deployed.folder / "dvc.yaml").read_text())["stages"]
    assert states == {"dvc status": "Completed", **dict.fromkeys(stages, "UpToDate"), "register": "Completed"}
    assert "already registered as version 1" in artifacts(deployed, run["id"])["decision"]
    # The figures are for a machine that does nothing else: bench/README.md.
    assert measured["inside_s"][0] < measured["flow_s"][0]
    assert "| difference | " in flow_overhead.table(measured)


def test_a_run_by_hand_has_its_overrides_and_leaves_params_yaml_as_it_was(deployed):
    before = (deployed.folder / "params.yaml").read_bytes()
    overrides = {"training.phases.0.steps": 3}
    deployed.run(
        "prefect", "deployment", "run", "pipeline/on-demand", "--watch", "--watch-timeout", "200",
        "--params", json.dumps({"overrides": overrides, "promote": False}),
    )  # fmt: skip
    assert (deployed.folder / "params.yaml").read_bytes() == before
    curve = (deployed.folder / "results" / "train" / "curve.csv").read_text().splitlines()
    assert len(curve) == 1 + 3
    assert champion(deployed) == "1"
    run = completed(deployed, "pipeline")[-1]
    assert "| primary |" in artifacts(deployed, run["id"])["decision"], "compared with version 1"
    # What the change does not concern was not run again.
    tasks = deployed.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    states = {task["name"]: task["state"]["name"] for task in tasks}
    assert states["build_batches"] == "UpToDate" and states["train"] == "Completed"


def test_a_version_is_made_champion_by_hand_and_the_one_before_it_again(deployed):
    run = deployed.ended(deployed.start_run("promote/promote", version="2", reason="demo"))
    assert (run["state_type"], champion(deployed)) == ("COMPLETED", "2")
    assert deployed.ended(deployed.start_run("rollback/rollback"))["state_type"] == "COMPLETED"
    assert champion(deployed) == "1"
    run = deployed.ended(deployed.start_run("promote/promote", version="7"))
    assert run["state_type"] == "FAILED" and "has no version 7" in run["state"]["message"]


def test_a_cancel_during_training_ends_it_all_and_the_next_run_goes_on(deployed):
    options = {"overrides": {"training.phases.0.steps": 400}, "promote": False, "targets": ["train"]}
    first = deployed.start_run("pipeline/on-demand", **options)

    def checkpoints() -> list[Path]:
        phases = deployed.folder.glob("checkpoints/*/0-contrastive")
        return [checkpoint for phase in phases if (checkpoint := last_checkpoint(phase))]

    wait_for(checkpoints, 240, "a checkpoint")
    deployed.run("prefect", "flow-run", "cancel", first)
    assert deployed.ended(first, 90)["state_type"] == "CANCELLED"
    wait_for(lambda: not trainings(deployed), 60, "the end of all processes")

    assert not (deployed.folder / "params.yaml.before-run").exists()
    settings = yaml.safe_load((deployed.folder / "params.yaml").read_text())
    assert settings["training"]["phases"][0]["steps"] == 2
    held = json.loads((deployed.folder / ".dvc" / "tmp" / "rwlock").read_text())
    assert not any(held.values()), "DVC has given its locks back"
    (last,) = checkpoints()
    reached, workspace = int(last.name.split("-")[1]), last.parents[1]
    training = json.loads((workspace / "run.json").read_text())["run_id"]
    assert store(deployed).get_run(training).info.status == "KILLED"

    second = deployed.start_run("pipeline/on-demand", **options)
    assert deployed.ended(second)["state_type"] == "COMPLETED"
    assert f"continuing phase 'contrastive' at checkpoint-{reached}" in logged(deployed, second)
    assert store(deployed).get_run(training).info.status == "FINISHED"
    points = store(deployed).get_metric_history(training, "train/loss")
    assert {point.step for point in points} == set(range(400))


def test_a_stage_that_takes_too_long_is_ended_and_not_tried_again(deployed):
    overrides = {"training.phases.0.steps": 100_000}
    options = {"overrides": overrides, "targets": ["train"], "stage_timeout_s": 4}
    run = deployed.ended(deployed.start_run("pipeline/on-demand", **options), 90)
    assert run["state_type"] == "FAILED" and "took longer than 4 s" in run["state"]["message"]
    assert not trainings(deployed)
    assert not (deployed.folder / "params.yaml.before-run").exists()


def test_an_ablation_that_fails_does_not_stop_the_others(deployed):
    run = deployed.ended(deployed.start_run("ablations/weekly-ablations"))
    assert run["state_type"] == "FAILED"
    assert run["state"]["message"] == "1 of 2 failed: broken, seed 0"
    table = (deployed.folder / "results" / "ablations" / "table.md").read_text()
    assert "| hotter | 1 |" in table
    shown = artifacts(deployed, run["id"])["ablations"]
    assert shown.startswith("# 1 of 2 finished") and "| hotter, seed 0 | finished |" in shown
    assert "| broken, seed 0 | " in shown and table in shown
