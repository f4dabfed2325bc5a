"""Somebody who types what a page says."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import yaml


class Reader:
    """Somebody in the root of a project who types what a page says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        self.environment = {
            **{key: value for key, value in kept.items() if not key.startswith(("MAKE", "MFLAGS", "REVELA"))},
            # As after `source .venv/bin/activate`, which pages that say `revela` and `dvc` take for granted.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "true",
            "HF_HUB_OFFLINE": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def types(self, command: str) -> str:
        """Run one shell command; what it exports holds for the next ones. Returns what was printed."""
        script = f"{command}\nenv -0 > .environment"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}"
        exported = (self.folder / ".environment").read_text().split("\0")
        self.environment = dict(entry.split("=", 1) for entry in exported if "=" in entry)
        return done.stdout

    def executes(self, source: str, where: str) -> dict:
        """Run a Python example in the project's root, in a namespace of its own, which is returned.

        In this process, for torch takes seconds to import. What MLflow leaves in the environment is undone.
        """
        import mlflow

        namespace = {"__name__": "__main__"}
        with contextlib.chdir(self.folder), mock.patch.dict(os.environ):
            os.environ.pop("MLFLOW_TRACKING_URI", None)
            try:
                exec(compile(source, where, "exec"), namespace)
            finally:
                mlflow.set_tracking_uri(None)
        return namespace

    def sets(self, *changes: dict) -> None:
        """Merge settings into params.yaml; lists are replaced as a whole."""
        path = self.folder / "params.yaml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        for change in changes:
            settings = merged(settings, change)
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def merged(whole: dict, part: dict) -> dict:
    """`whole` with the values of `part`; lists are replaced."""
    mixed = dict(whole)
    for key, value in part.items():
        nested = isinstance(value, dict) and isinstance(mixed.get(key), dict)
        mixed[key] = merged(mixed[key], value) if nested else value
    return mixed
