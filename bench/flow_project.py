"""A small project with flows in a folder of its own, and Prefect's environment for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
_START_S = 120.0


def free_port() -> int:
    """A port of loopback that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def small_params(lm: Path, texts: Path) -> dict[str, Any]:
    """Settings with which the whole pipeline runs in seconds.

    Args:
        lm: folder of a small causal LM with its tokenizer.
        texts: folder of the corpus.
    """
    model = {"kind": "folder", "name": str(lm)}
    return {
        "seed": 0,
        "backbone": {"retriever": {**model, "max_tokens": 64}, "lm": model},
        "corpus": {"sources": [{"kind": "folder", "path": str(texts)}]},
        "batches": {"group_size": 4, "chunk_tokens": 48, "min_chunk_tokens": 16, "max_groups": 20},
        "objective": {"attention": "joint", "temperature": 0.1},
        "training": {
            "lora": {"rank": 2}, "save_every": 5,
            "phases": [{"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0},
                        "steps": 2, "learning_rate": {"retriever": 1e-3}}],
        },
        "evaluate": {"benchmarks": [{"kind": "docstrings", "limit": 30}], "max_tokens": 64, "resamples": 100},
        "registry": {},
    }  # fmt: skip


class FlowProject:
    """A copy of this project's code with other settings, in a git repository of its own.

    Attributes:
        running: ``server`` and ``worker`` while it is served.
    """

    def __init__(self, folder: Path, params: dict[str, Any]) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("src", "flows"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        for name in ("dvc.yaml", ".dvcignore", ".gitignore", "prefect.yaml"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
        self.write_params(params)
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        self.environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_HOME": str(folder / ".prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_LEVEL": "INFO",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "true",
            "HF_HUB_OFFLINE": "1",
        }
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")

    def write_params(self, params: dict[str, Any]) -> None:
        """Replace params.yaml."""
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the project. Returns its output, stderr included."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with code {done.returncode}\n{done.stdout}")
        return done.stdout

    @contextmanager
    def served(self) -> Iterator[None]:
        """A Prefect server and a worker for the block; MLflow's page is only named, for the links to it."""
        port = free_port()
        api = f"http://127.0.0.1:{port}/api"
        self.environment |= {"PREFECT_API_URL": api, "REVELA_MLFLOW_UI": "http://127.0.0.1:5000"}
        serve = ("prefect", "server", "start", "--no-ui", "--port", str(port))
        self.running["server"] = self._start(*serve)
        try:
            _wait_for(f"{api}/health")
            self.run("prefect", "work-pool", "create", "revela", "--type", "process")
            work = ("prefect", "worker", "start", "--pool", "revela", "--type", "process")
            self.running["worker"] = self._start(*work)
            yield
        finally:
            # The worker first and alone: without a server it would wait for one.
            for _, process in reversed(self.running.items()):
                process.terminate()
                process.wait(60)
            self.running.clear()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What Prefect's API answers: to a POST where there is a body, else to a GET."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.environment['PREFECT_API_URL']}/{path}", data, {"Content-Type": "application/json"}
        )
        for pause in (1, 2, 4, 8, None):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as fault:
                # The server's database is busy; Prefect's own client asks again, too.
                if fault.code != 503 or pause is None:
                    raise
            time.sleep(pause)

    def start_run(self, deployment: str, **parameters: Any) -> str:
        """Start a deployment such as ``pipeline/on-demand``. Returns the flow run's id."""
        found = self.ask(f"deployments/name/{deployment}")["id"]
        return self.ask(f"deployments/{found}/create_flow_run", {"parameters": parameters})["id"]

    def ended(self, run: str, seconds: float = 240) -> dict[str, Any]:
        """Wait until a flow run is over. Returns it as the API gives it.

        Raises:
            AssertionError: it goes on for longer.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = self.ask(f"flow_runs/{run}")
            if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return found
            time.sleep(0.5)
        raise AssertionError(f"flow run {run} is {found['state_type']} after {seconds:.0f} s")

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[1]}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip


def _wait_for(url: str) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{url} does not answer after {_START_S:.0f} s")
