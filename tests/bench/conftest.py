"""A folder with tiny models for runs on a GPU, and a store for their figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.gpu_folder import make_gpu_folder


@pytest.fixture(scope="session")
def gpu_folder(tmp_path_factory, backbone_folder, groups_folder) -> Path:
    return make_gpu_folder(tmp_path_factory.mktemp("gpu"), backbone_folder, groups_folder)


@pytest.fixture
def tracking(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.getbasetemp()}/gpu_mlflow.db")
