"""Registrations that fail: what they say, what they leave, and how they are made good."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from registering import SETTINGS, register_here
from registrable import write_results

from revela import tracking
from revela.errors import RevelaError
from revela.registry.register import register


def test_faults_name_the_file_and_the_remedy(project: Path, model_dir: Path) -> None:
    with pytest.raises(RevelaError, match=r"evaluate.metrics\.json: no such file.*dvc repro evaluate"):
        register(SETTINGS, model_dir=model_dir, results_dir=project / "none", params={}, data_sets=dict)
    results = write_results(project, float("nan"))
    with pytest.raises(RevelaError, match="no finite ndcg_at_10 of 'retriever' on 'docstrings'"):
        register(SETTINGS, model_dir=model_dir, results_dir=results, params={}, data_sets=dict)
    with pytest.raises(RevelaError, match=r"no modules\.json"):
        register(
            SETTINGS, model_dir=project, results_dir=write_results(project, 0.5), params={}, data_sets=dict
        )
    client = MlflowClient(tracking.tracking_uri())
    assert client.get_experiment_by_name("revela") is None, "a faulty registration leaves no trace"


def test_a_store_that_refuses_half_way(
    project: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "create_model_version", refuse)
        with pytest.raises(RevelaError, match=r"disk full(.|\n)*revela register"):
            register_here(project, model_dir, 0.5)
    client = MlflowClient(tracking.tracking_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("revela").experiment_id])
    assert run.info.status == "FAILED"
    assert register_here(project, model_dir, 0.5).version == "1"


@pytest.mark.usefixtures("first")
def test_what_a_cut_off_registration_lacked_is_made_good(
    project: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("connection lost")

    with monkeypatch.context() as broken:
        broken.setattr(MlflowClient, "set_registered_model_alias", refuse)
        with pytest.raises(RevelaError, match="connection lost"):
            register_here(project, model_dir, 0.6)
    again = register_here(project, model_dir, 0.6)
    assert (again.version, again.aliases) == ("2", ("challenger", "champion"))
    assert "made champion, its registration had been cut off" in again.verdict
    assert "nothing was changed" in register_here(project, model_dir, 0.6).verdict
