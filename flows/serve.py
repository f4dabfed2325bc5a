"""Prefect server, worker and MLflow UI on this machine, all at once and gone together.

``python -m flows.serve``, or ``make serve``. Everything listens on loopback only and has no password.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flows._artifacts import MLFLOW_UI
from flows._commands import end
from revela.errors import RevelaError
from revela.tracking import prepare_store, tracking_uri

POOL = "revela"
HOST = "127.0.0.1"
_START_S = 90.0
_GRACE_S = 8.0
"""For servers, which have nothing to finish: uvicorn waits for its open connections without end."""


def main(
    prefect_port: Annotated[int, typer.Option(help="Of Prefect's server and UI.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Of MLflow's UI.")] = 5000,
    logs: Annotated[Path, typer.Option(help="Folder of the logs.")] = Path(".prefect/logs"),
) -> None:
    """Serve until interrupted."""
    api = f"http://{HOST}:{prefect_port}/api"
    # A home of its own: the user's other Prefect profiles stay as they are.
    os.environ.setdefault("PREFECT_HOME", str(Path(".prefect").resolve()))
    # Prefect's own 10 s are meant for many workers of one distant server.
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "2")
    os.environ.update(
        PREFECT_API_URL=api,
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
    )
    store = tracking_uri()
    prepare_store(store)
    page = store if store.startswith("http") else f"http://{HOST}:{mlflow_port}"
    os.environ[MLFLOW_UI] = page  # for the links that flows show
    # SIGINT too: a shell starts what runs in the background with it ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    logs.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as running:
        server = ["prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)]
        running.enter_context(_process(server, logs / "server.log"))
        _wait_for(f"{api}/health", logs / "server.log")
        _do(["prefect", "work-pool", "create", POOL, "--type", "process", "--overwrite"])
        _do(["prefect", "--no-prompt", "deploy", "--all"])
        work = ["prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        worker = running.enter_context(_process(work, logs / "worker.log"))
        if page != store:
            ui = ["mlflow", "ui", "--host", HOST, "--port", str(mlflow_port), "--workers", "1"]
            running.enter_context(_process([*ui, "--backend-store-uri", store], logs / "mlflow.log"))
            _wait_for(f"{page}/health", logs / "mlflow.log")
        typer.echo(f"runs, schedules, deployments: http://{HOST}:{prefect_port}")
        typer.echo(f"scores and models:            {page}")
        typer.echo(f"logs:                         {logs}")
        typer.echo("Start a run: prefect deployment run 'pipeline/on-demand'   Stop everything: Ctrl-C")
        sys.stdout.flush()
        worker.wait()
        raise RevelaError(f"the worker ended by itself; {logs / 'worker.log'} says why")
    typer.echo("stopped")


@contextlib.contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen]:
    """A command in a session of its own that ends with this block, and with this process."""
    guard = Path(__file__).with_name("_guard.py")
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, str(guard), *command],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, _GRACE_S)


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RevelaError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


def _wait_for(url: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.3)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise RevelaError(f"{url} does not answer after {_START_S:.0f} s. The end of {log}:\n{tail}")


def _interrupt(*_: object) -> None:
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        typer.run(main)
    except RevelaError as fault:
        sys.exit(f"error: {fault}")
