"""The make targets that the README names and that no other test runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

needs_setup = pytest.mark.skipif(
    not (ROOT / ".venv" / ".installed").is_file(), reason="needs `make setup`: these targets would run it"
)


def outside_make() -> dict[str, str]:
    """The environment without a surrounding `make test`, which changes what make prints."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_help_lists_the_targets():
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=True
    ).stdout
    assert [line.split()[1] for line in listed.splitlines()] == [
        "help",
        "setup",
        "repro",
        "test",
        "lint",
        "serve",
        "ui",
    ]


@needs_setup
def test_setup_does_nothing_the_second_time():
    done = subprocess.run(
        ["make", "setup"], cwd=ROOT, env=outside_make(), capture_output=True, text=True, check=True
    ).stdout
    assert "pip" not in done


@needs_setup
def test_ui_serves_the_store_on_loopback_and_leaves_nothing_behind(tmp_path):
    port = free_port()
    environment = {**outside_make(), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    server = subprocess.Popen(
        ["make", "ui", f"PORT={port}"], cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    assert "MLflow" in page.read().decode()
                break
            except OSError:
                assert server.poll() is None, "the server ended by itself"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.5)
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(timeout=60)
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


@needs_setup
def test_serve_has_both_pages_and_all_deployments_and_ends_with_everything(tmp_path):
    prefect, mlflow = free_port(), free_port()
    environment = {
        **outside_make(),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    log = (tmp_path / "log").open("w+")
    served = subprocess.Popen(
        ["make", "serve", f"PREFECT_PORT={prefect}", f"PORT={mlflow}"], cwd=ROOT, env=environment,
        start_new_session=True, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        for _ in range(600):
            if "Stop everything: Ctrl-C" in (tmp_path / "log").read_text() or served.poll() is not None:
                break
            time.sleep(0.2)
        said = (tmp_path / "log").read_text()
        assert f"http://127.0.0.1:{prefect}" in said and f"http://127.0.0.1:{mlflow}" in said
        for port in (prefect, mlflow):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
                assert b"<html" in page.read().lower()
        listed = subprocess.run(
            [ROOT / ".venv/bin/prefect", "deployment", "ls"], check=True, capture_output=True, text=True,
            env={**environment, "PREFECT_API_URL": f"http://127.0.0.1:{prefect}/api"},
        ).stdout  # fmt: skip
        for name in ("nightly", "weekly-ablations", "on-demand", "promote", "rollback"):
            assert f"/{name}" in listed
    finally:
        os.killpg(served.pid, signal.SIGINT)
        served.wait(60)
    for port in (prefect, mlflow):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, "somebody still listens"
