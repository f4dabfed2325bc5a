"""What a store did not take is kept in a file of the project, and sent once it is back."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient
from servers import Server

from revela import tracking
from revela.errors import RevelaError


def files(project: Path) -> list[Path]:
    return sorted((project / "cache" / "mlflow-unsent").glob("[!.]*"))


def history(client: MlflowClient, run_id: str, key: str = "loss") -> list[tuple[int, float]]:
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, key))


class Switch:
    """Takes the store away from every client of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def off(self) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise ConnectionError("refused")

        for name in ("log_batch", "set_terminated"):
            self._monkeypatch.setattr(MlflowClient, name, refuse)

    def on(self) -> None:
        self._monkeypatch.undo()


@pytest.fixture
def switch(stored: Path) -> Switch:
    patch = pytest.MonkeyPatch()
    yield Switch(patch)
    patch.undo()


def test_a_server_goes_away_in_the_middle_of_training_and_comes_back(
    server: Server, served: str, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = tracking.start_run("revela", "goes on", {}, {}, every_points=10, every_seconds=0.5)
    ending = tracking.start_run("revela", "ends", {}, {})
    for step in range(10):
        training.log({"loss": float(step)}, step)
    server.kill()
    with caplog.at_level(logging.WARNING, "revela.tracking"):
        for step in range(10, 30):
            training.log({"loss": float(step)}, step)
        assert not training.flush()
        (kept,) = files(project)
        assert len(kept.read_text().splitlines()) == 1 + 20, "a kill would lose nothing, either"
        with pytest.raises(ZeroDivisionError), ending:
            ending.log({"loss": float("nan"), "accuracy": 0.5}, 7)
            ending.set_tags({"late": 1})
            raise ZeroDivisionError
    assert "2 points could not be written" in caplog.text and "revela send-unsent" in caplog.text
    assert len(files(project)) == 2
    with pytest.raises(RevelaError, match="cannot be used"):
        tracking.start_run("revela", "too early", {}, {})
    server.start()

    assert training.flush()
    training.log({"loss": 30.0}, 30)
    training.close()
    client = MlflowClient(served)
    assert history(client, training.run_id) == [(step, float(step)) for step in range(31)]
    (left,) = files(project)
    assert client.get_run(ending.run_id).info.status == "RUNNING"
    copy = left.read_bytes()

    with tracking.start_run("revela", "next", {}, {}):
        assert files(project) == []
    found = client.get_run(ending.run_id)
    assert (found.info.status, found.data.tags["late"]) == ("FAILED", "1")
    head = json.loads(copy.splitlines()[0])
    assert found.info.end_time == head["ended_ms"], "when it ended, not when that could be told"
    assert history(client, ending.run_id, "accuracy") == [(7, 0.5)]
    assert len(client.get_metric_history(ending.run_id, "loss")) == 1

    left.write_bytes(copy)  # as if this process had been killed before it could remove the file
    assert tracking.send_unsent(client, served).points == 2
    assert history(client, ending.run_id, "accuracy") == [(7, 0.5)], "sent twice, there once"


def test_a_run_that_was_gone_on_with_is_not_ended_by_older_news(stored: Path, switch: Switch) -> None:
    first = tracking.start_run("revela", "x", {}, {})
    first.log({"loss": 1.0}, 0)
    switch.off()
    first.set_tags({"host": "old", "note": "kept"})
    first.close("KILLED")
    (kept,) = files(stored)
    aside = kept.rename(stored / "aside")  # as on another machine
    switch.on()
    with tracking.start_run("revela", "x", {"host": "new"}, {}, run_id=first.run_id) as second:
        second.log({"loss": 2.0}, 1)
    aside.rename(kept)
    client = MlflowClient(second.uri)
    assert tracking.send_unsent(client, second.uri).runs == 1
    found = client.get_run(first.run_id)
    assert (found.info.status, found.data.tags["host"]) == ("FINISHED", "new")
    assert found.data.tags["note"] == "kept"
    assert history(client, first.run_id) == [(0, 1.0), (1, 2.0)]


def test_going_on_with_a_run_sends_first_what_it_had_left(stored: Path, switch: Switch) -> None:
    first = tracking.start_run("revela", "x", {}, {})
    switch.off()
    first.log({"loss": 1.0}, 0)
    first.close("FAILED")
    switch.on()
    second = tracking.start_run("revela", "x", {}, {}, run_id=first.run_id)
    client = MlflowClient(second.uri)
    assert history(client, first.run_id) == [(0, 1.0)]
    assert client.get_run(first.run_id).info.status == "RUNNING"
    second.close()


def test_a_file_for_another_store_is_left_alone(stored: Path, switch: Switch) -> None:
    run = tracking.start_run("revela", "x", {}, {})
    switch.off()
    run.log({"loss": 1.0}, 0)
    run.close()
    switch.on()
    (kept,) = files(stored)
    content = kept.read_text().replace(run.uri, "http://team:5000")
    kept.write_text(content)
    done = tracking.send_unsent(MlflowClient(run.uri), run.uri)
    assert (done.runs, done.elsewhere) == (0, [f"{kept}: for http://team:5000"])
    assert kept.read_text() == content


def test_what_a_store_refuses_is_kept_and_stands_in_nobodys_way(
    stored: Path, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [tracking.start_run("revela", "x", {}, {}) for _ in range(2)]
    client = MlflowClient(runs[0].uri)
    switch.off()
    for run in runs:
        run.log({"loss": 1.0}, 0)
        run.close()
    switch.on()
    client.delete_run(runs[0].run_id)
    with caplog.at_level(logging.WARNING, "revela.tracking"):
        tracking.start_run("revela", "next", {}, {}).close()
    assert f"refuses what run {runs[0].run_id} had left" in caplog.text
    assert [path.suffix for path in files(stored)] == [".refused"]
    assert history(client, runs[1].run_id) == [(0, 1.0)]

    client.restore_run(runs[0].run_id)
    assert tracking.send_unsent(client, runs[0].uri).runs == 0, "by itself it asks once"
    assert tracking.send_unsent(client, runs[0].uri, refused=True).runs == 1
    assert history(client, runs[0].run_id) == [(0, 1.0)]
    assert files(stored) == []


def test_a_damaged_file_is_named_and_no_run_fails_for_it(
    stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = stored / "cache" / "mlflow-unsent"
    folder.mkdir(parents=True)
    (folder / "a-b.jsonl").write_text('{"store": "x"')
    with caplog.at_level(logging.WARNING, "revela.tracking"):
        tracking.start_run("revela", "x", {}, {}).close()
    assert f"{folder / 'a-b.jsonl'}: damaged" in caplog.text
    assert (folder / "a-b.jsonl").exists()


def test_passwords_are_not_kept(stored: Path) -> None:
    for uri, shown in [
        ("postgresql://me:secret@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("https://me:secret@team/mlflow", "https://team/mlflow"),
        ("http://team:5000", "http://team:5000"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
    ]:
        assert tracking.without_password(uri) == shown
