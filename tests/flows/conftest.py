"""A small project with flows, and a Prefect server of its own on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import click
import pytest
import yaml

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class FlowProject:
    """A clone of this project with settings that run in seconds, and Prefect's environment for it."""

    def __init__(self, folder: Path, params: dict) -> None:
        self.folder = folder
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
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DVC_NO_ANALYTICS": "true",
            "HF_HUB_OFFLINE": "1",
        }
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")

    def write_params(self, params: dict) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")

    def start(self, *command: str) -> subprocess.Popen:
        log = (self.folder / f"{command[1]}.log").open("ab")
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="session")
def small_params(causal_lm_folder, tmp_path_factory) -> dict:
    texts = tmp_path_factory.mktemp("texts")
    for source in Path(click.__file__).parent.glob("*.py"):
        shutil.copy(source, texts)
    model = {"kind": "folder", "name": str(causal_lm_folder)}
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
        "ablations": [{"name": "hotter", "overrides": {"objective.contrastive_temperature": 0.5}}],
    }  # fmt: skip


@pytest.fixture(scope="session")
def served(tmp_path_factory, small_params):
    """The project with a running Prefect server, a work pool and a worker."""
    project = FlowProject(tmp_path_factory.mktemp("flows"), small_params)
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    processes = [project.start("prefect", "server", "start", "--no-ui", "--port", str(port))]
    project.environment["PREFECT_API_URL"] = api
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{api}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.25)
        project.run("prefect", "work-pool", "create", "revela", "--type", "process")
        processes.append(project.start("prefect", "worker", "start", "--pool", "revela", "--type", "process"))
        yield project
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(30)
