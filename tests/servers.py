"""Programs that tests talk to over loopback: started, waited for, killed, started again on the same port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A program with a port. Its output is in `log`; it ends with its whole process group."""

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        port: int,
        environment: Mapping[str, str] | None = None,
        health: str | None = None,
        seconds: float = 120,
    ) -> None:
        self.command = command
        self.log = log
        self.port = port
        self._environment = {**os.environ, **(environment or {})}
        self._health = health
        self._seconds = seconds
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as file:
            self._process = subprocess.Popen(
                self.command, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + self._seconds
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(f"{' '.join(self.command)} does not answer:\n{self.log.read_text()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to end, and wait until it and what it started have."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            finally:
                self.kill()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            if self._health is None:
                socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            else:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self._health}", timeout=5).close()
        except OSError:
            return False
        return True


def mlflow_server(folder: Path, database: str, *options: str, **environment: str) -> Server:
    """An MLflow tracking server, not started yet."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1", "--backend-store-uri", database, *options]  # fmt: skip
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Server(
        command, log=folder / "mlflow.log", port=port, environment=settings | environment, health="/health"
    )
