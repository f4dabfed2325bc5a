"""A DVC project with settings that run in seconds, made of this one's sources."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from stores import move_store

ROOT = Path(__file__).parents[1]


def small_params(causal_lm_folder: Path) -> dict:
    """A tiny model in place of SmolLM2, one distribution as corpus, 30 questions, two steps a phase."""
    model = {"kind": "folder", "name": str(causal_lm_folder)}
    return {
        "seed": 0,
        "backbone": {"retriever": {**model, "max_tokens": 64}, "lm": model},
        "corpus": {"sources": [{"kind": "distributions", "names": ["click"]}]},
        "batches": {"group_size": 4, "chunk_tokens": 48, "min_chunk_tokens": 16, "max_groups": 20},
        "objective": {"attention": "joint", "temperature": 0.1},
        "training": {
            "lora": {"retriever": {"rank": 2}, "lm": {"rank": 2}},
            "phases": [
                {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
                 "learning_rate": {"retriever": 1e-3}},
                {"name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0}, "steps": 2,
                 "learning_rate": {"retriever": 1e-3, "lm": 1e-3}},
            ],
        },
        "evaluate": {"benchmarks": [{"kind": "docstrings", "limit": 30}], "max_tokens": 64, "resamples": 100},
        "registry": {},
    }  # fmt: skip


class Project:
    """A clone of this project's pipeline in a git repository of its own."""

    def __init__(self, folder: Path, params: dict) -> None:
        self.folder = folder
        shutil.copytree(
            ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")

    def run(self, *command: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        # The console scripts of the Python that runs the tests, wherever it is installed.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        result = subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
        return result.stdout

    def copy(self, folder: Path) -> Project:
        """The same project, as it is now, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        move_store(folder / "mlflow.db", self.folder, folder)
        other = copy.copy(self)
        other.folder = folder
        return other

    def lock(self) -> str:
        return (self.folder / "dvc.lock").read_text()

    def json(self, path: str) -> dict:
        return json.loads((self.folder / path).read_text())
