"""A version that somebody made in the MLflow UI, of files and without a run."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from revela import tracking
from revela.errors import RevelaError
from revela.registry.decision import scores_of
from revela.registry.lineage import lineage
from revela.settings import RegistrySettings

SETTINGS = RegistrySettings()


@pytest.fixture
def client(tmp_path, monkeypatch) -> MlflowClient:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return tracking.connect(uri)


@pytest.fixture
def version(client, tmp_path) -> ModelVersion:
    client.create_registered_model(SETTINGS.model_name)
    return client.create_model_version(SETTINGS.model_name, source=str(tmp_path / "model"))


def test_as_champion_it_has_no_scores_to_compare_with(client, version):
    assert scores_of(client, version) is None


def test_its_lineage_is_refused_in_words(version):
    with pytest.raises(RevelaError, match="version 1 belongs to no MLflow run"):
        lineage(SETTINGS, "1")
