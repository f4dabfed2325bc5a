"""An empty PostgreSQL database that several processes use first, with no server between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.timeout(420)

OPEN = """
from revela import tracking
with tracking.start_run("revela", "race", {}, {}) as run:
    run.log({"loss": 1.0}, 0)
"""


def test_three_processes_meet_an_empty_postgresql(
    postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.admin("psql", "-qc", "CREATE ROLE first LOGIN PASSWORD 'secret'")
    postgres.admin("createdb", "--owner", "first", "first")
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    uri = f"postgresql://first:secret@127.0.0.1:{postgres.port}/first"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started = [subprocess.Popen([sys.executable, "-c", OPEN]) for _ in range(3)]
    assert [process.wait(timeout=280) for process in started] == [0, 0, 0]
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("revela")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
