"""Runs on a real SQLite store, and what happens when a store does not answer."""

import logging
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revela import tracking
from revela.errors import RevelaError
from revela.tracking import MetricBuffer


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables, to be copied: creating them takes a second or two."""
    folder = tmp_path_factory.mktemp("store")
    tracking.prepare_store(f"sqlite:///{folder / 'mlflow.db'}")
    return folder / "mlflow.db"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working directory."""
    (tmp_path / "dvc.yaml").touch()
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stored(project: Path, prepared: Path) -> Path:
    """A project whose store has its tables."""
    shutil.copy(prepared, project / "mlflow.db")
    return project


# --- where ----------------------------------------------------------------------------------------


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


# --- logging --------------------------------------------------------------------------------------


class Store:
    """Stands for a server that can be switched off."""

    def __init__(self) -> None:
        self.up = True
        self.calls: list[int] = []

    def write(self, points: list) -> None:
        if not self.up:
            raise ConnectionError("refused")
        self.calls.append(len(points))


def test_buffer_writes_by_count_and_by_age() -> None:
    store, now = Store(), [0.0]
    buffer = MetricBuffer(store.write, every_points=3, every_seconds=10, clock=lambda: now[0])
    for step in range(4):
        buffer.add("loss", 1.0, step)
    assert (store.calls, len(buffer)) == ([3], 1)
    now[0] = 11
    buffer.add("loss", 1.0, 4)
    assert (store.calls, len(buffer)) == ([3, 2], 0)


def test_buffer_keeps_points_while_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    store, now = Store(), [0.0]
    buffer = MetricBuffer(store.write, every_points=2, every_seconds=10, clock=lambda: now[0])
    store.up = False
    with caplog.at_level(logging.WARNING, "revela.tracking"):
        for step in range(2500):
            now[0] += 1
            buffer.add("loss", 1.0, step)
        assert len(buffer) == 2500
        assert len(caplog.records) == 1, "warned once, not at every attempt"
        store.up = True
        assert buffer.flush()
    assert store.calls == [1000, 1000, 500]
    assert "again" in caplog.records[-1].message


def test_a_store_that_hangs_is_asked_more_rarely() -> None:
    now, attempts = [0.0], []

    def hang(_: list) -> None:
        attempts.append(now[0])
        now[0] += 40
        raise TimeoutError("no answer")

    buffer = MetricBuffer(hang, every_points=1, every_seconds=10, clock=lambda: now[0])
    for step in range(2000):
        now[0] += 1
        buffer.add("loss", 1.0, step)
    assert attempts == [1, 841, 1681]
    assert len(buffer) == 2000


@pytest.mark.parametrize("key", ["", "loss@k", "a" * 251, "häufig", "loss\n"])
def test_a_key_mlflow_refuses_is_found_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="metric key"):
        MetricBuffer(Store().write).add(key, 1.0, 0)


def test_a_run_keeps_params_tags_and_points(stored: Path) -> None:
    with tracking.start_run("revela", "train", {"kind": "test"}, {"seed": 0}, every_points=10) as run:
        for step in range(25):
            run.log({"train/loss": 1.0 / (step + 1), "lr": float("nan")}, step)
    client = MlflowClient(run.uri)
    found = client.get_run(run.run_id)
    assert found.info.run_name == "train"
    assert found.data.params == {"seed": "0"}
    assert found.data.tags["kind"] == "test"
    history = client.get_metric_history(run.run_id, "train/loss")
    assert [point.step for point in history] == list(range(25))


@pytest.mark.parametrize(("fault", "status"), [(ZeroDivisionError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_points_survive_a_crash(stored: Path, fault: type[BaseException], status: str) -> None:
    with pytest.raises(fault), tracking.start_run("revela", "x", {}, {}) as run:
        run.log({"loss": 3.0}, 7)
        raise fault
    found = MlflowClient(run.uri).get_run(run.run_id)
    assert (found.info.status, found.data.metrics) == (status, {"loss": 3.0})


def test_a_run_is_gone_on_with(stored: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tracking.start_run("revela", "x", {}, {"seed": 0, "lr": 1}) as run:
        run.log({"loss": 3.0}, 0)
    with caplog.at_level(logging.WARNING, "revela.tracking"):
        again = tracking.start_run("revela", "x", {}, {"seed": 0, "lr": 2, "new": 1}, run_id=run.run_id)
    assert again.run_id == run.run_id
    assert "other values of lr" in caplog.text
    again.log({"loss": 2.0}, 1)
    client = MlflowClient(run.uri)
    assert client.get_run(run.run_id).info.status == "RUNNING"
    again.close()
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"seed": "0", "lr": "1", "new": "1"}
    assert len(client.get_metric_history(run.run_id, "loss")) == 2

    unknown = tracking.start_run("revela", "x", {}, {}, run_id="0" * 32)
    unknown.close()
    assert unknown.run_id not in ("0" * 32, run.run_id)


def test_training_outlives_its_store(
    stored: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    with tracking.start_run("revela", "x", {}, {}, every_points=1) as run:
        run.log({"loss": 3.0}, 0)
        monkeypatch.setattr(MlflowClient, "log_batch", refuse)
        monkeypatch.setattr(MlflowClient, "set_terminated", refuse)
        run.log({"loss": 2.0}, 1)
        run.set_tags({"late": "1"})
    assert "1 points could not be written" in caplog.text
