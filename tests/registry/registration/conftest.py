"""A retriever to register, and a project with an empty store of its own to register it in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from registrable import build_retriever


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_retriever(tmp_path_factory.mktemp("model"))


@pytest.fixture
def project(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with an empty store of its own, as the working directory."""
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(prepared, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    # mlflow.set_tracking_uri writes the variable too, so setting it here is also what takes it back.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
