"""Where runs are kept, and a first use by several processes at once."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revela import tracking
from revela.errors import RevelaError


def test_uri_is_absolute_and_prefers_what_the_user_said(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")
    assert tracking.tracking_uri() == f"sqlite:///{project}/mlflow.db"
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    assert tracking.tracking_uri() == "sqlite:////elsewhere/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs/own.db")
    assert tracking.tracking_uri() == "sqlite:////elsewhere/runs/own.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:5000")
    assert tracking.tracking_uri() == "http://team:5000"


OPEN = """
from revela import tracking
with tracking.start_run("revela", "race", {}, {}) as run:
    run.log({"loss": 1.0}, 0)
"""


def test_three_processes_meet_a_fresh_database(project: Path) -> None:
    started = [subprocess.Popen([sys.executable, "-c", OPEN]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0]
    client = MlflowClient(tracking.tracking_uri())
    experiment = client.get_experiment_by_name("revela")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert experiment.artifact_location == (project / "mlartifacts" / "revela").as_uri()
    assert not (project / "mlruns").exists()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_no_server_at_the_start_is_the_users_to_mend(project: Path) -> None:
    uri = f"http://127.0.0.1:{closed_port()}"
    with pytest.raises(RevelaError, match=uri) as fault:
        tracking.start_run("revela", "x", {}, {}, uri=uri)
    assert "MLFLOW_TRACKING_URI" in str(fault.value)


def test_a_file_that_is_no_database(project: Path) -> None:
    (project / "mlflow.db").write_text("not a database at all, but long enough to be read as a header " * 20)
    with pytest.raises(RevelaError, match=r"mlflow\.db cannot be used"):
        tracking.prepare_store(tracking.tracking_uri())


def test_a_deleted_experiment_is_named(stored: Path) -> None:
    client = tracking.connect(tracking.tracking_uri())
    client.delete_experiment(tracking.experiment_id(client, tracking.tracking_uri(), "revela"))
    with pytest.raises(RevelaError, match="'revela' was deleted"):
        tracking.start_run("revela", "x", {}, {})
