"""The deployments for real: a schedule that fires, a run by hand with overrides, a cancel, and going on."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.timeout(420)


def runs(project, *options: str) -> list[dict]:
    found = project.run("prefect", "flow-run", "ls", "--limit", "50", "-o", "json", *options)
    return json.loads(found[found.index("[") :])


def wait_for(condition, seconds: float, what: str):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(1)
    pytest.fail(f"{what} did not happen within {seconds} s")


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
    done = wait_for(
        lambda: [run for run in runs(deployed, "--state", "COMPLETED") if run["name"]], 240, "a scheduled run"
    )
    assert done
    models = deployed.run(
        "python", "-c",
        "from revela.tracking import connect, tracking_uri; "
        "print('champion', connect(tracking_uri()).get_model_version_by_alias("
        "'revela-retriever', 'champion').version)",
    )  # fmt: skip
    assert "champion 1" in models
    assert (deployed.folder / "results" / "report" / "report.html").is_file()
    # The next nights have nothing new to read, and say so.
    wait_for(lambda: len(runs(deployed, "--state", "COMPLETED")) >= 2, 90, "a second night")
    schedules = deployed.run("prefect", "deployment", "schedule", "ls", "watch_corpus/nightly")
    assert "15" in schedules
    identifier = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", schedules)[0]
    deployed.run("prefect", "deployment", "schedule", "pause", "watch_corpus/nightly", identifier)


def test_a_run_by_hand_has_its_overrides_and_leaves_params_yaml_as_it_was(deployed):
    before = (deployed.folder / "params.yaml").read_bytes()
    deployed.run(
        "prefect", "deployment", "run", "pipeline/on-demand", "--watch", "--watch-timeout", "200",
        "--params", json.dumps({"overrides": {"training.phases.0.steps": 3}, "promote": False}),
    )  # fmt: skip
    assert (deployed.folder / "params.yaml").read_bytes() == before
    curve = (deployed.folder / "results" / "train" / "curve.csv").read_text().splitlines()
    assert len(curve) == 1 + 3


def test_a_cancel_during_training_ends_it_all_and_the_next_run_goes_on(deployed):
    steps = {"overrides": {"training.phases.0.steps": 400}, "promote": False, "targets": ["train"]}
    deployed.run("prefect", "deployment", "run", "pipeline/on-demand", "--params", json.dumps(steps))

    def checkpoint() -> list[Path]:
        return [
            path.parent
            for path in deployed.folder.glob("checkpoints/*/0-contrastive/checkpoint-*/trainer_state.json")
        ]

    wait_for(checkpoint, 120, "a checkpoint")
    (running,) = runs(deployed, "--state", "RUNNING")
    deployed.run("prefect", "flow-run", "cancel", running["id"])
    wait_for(lambda: runs(deployed, "--state", "CANCELLED"), 90, "the cancellation")

    def training() -> str:
        found = subprocess.run(["pgrep", "-af", "revela train"], capture_output=True, text=True).stdout
        return "".join(line for line in found.splitlines() if "pgrep" not in line)

    wait_for(lambda: not training(), 60, "the end of all processes")
    assert (deployed.folder / "params.yaml.before-run").exists() is False
    assert (
        yaml.safe_load((deployed.folder / "params.yaml").read_text())["training"]["phases"][0]["steps"] == 2
    )

    reached = max(int(path.name.split("-")[1]) for path in checkpoint())
    log = deployed.run(
        "python", "-c",
        "from flows._params import overridden; from pathlib import Path; import subprocess\n"
        f"with overridden(Path('params.yaml'), {steps['overrides']!r}):\n"
        "    subprocess.run(['revela', 'train'], check=True)",
    )  # fmt: skip
    assert f"continuing phase 'contrastive' at checkpoint-{reached}" in log


def test_the_ablations_flow_ends_with_a_table(deployed):
    deployed.run(
        "prefect", "deployment", "run", "ablations/weekly-ablations", "--watch", "--watch-timeout", "200"
    )
    table = (deployed.folder / "results" / "ablations" / "table.md").read_text()
    assert "| hotter | 1 |" in table
