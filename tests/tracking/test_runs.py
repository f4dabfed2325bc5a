"""Runs on a real SQLite store, whatever happens to the process or the store."""

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

from revela import tracking


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
