"""Moving the champion by hand on a real store, and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow import MlflowClient

from revela import tracking
from revela.errors import RevelaError
from revela.registry.aliases import by_alias, promote, rollback
from revela.settings import RegistrySettings

SETTINGS = RegistrySettings()
NAME = SETTINGS.model_name


@pytest.fixture
def client(tmp_path, monkeypatch) -> MlflowClient:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = tracking.connect(uri)
    client.create_registered_model(NAME)
    for number in range(3):
        client.create_model_version(NAME, source=str(tmp_path / str(number)))
    return client


def aliases(client: MlflowClient) -> dict[str, str]:
    found = {alias: by_alias(client, NAME, alias) for alias in ("champion", "previous")}
    return {alias: str(version.version) for alias, version in found.items() if version is not None}


def test_a_promotion_keeps_the_champion_until_now_as_previous(client):
    assert promote(SETTINGS, "1", "first") == f"{NAME} version 1 is champion: first"
    assert aliases(client) == {"champion": "1"}
    promote(SETTINGS, "3", "demo")
    assert aliases(client) == {"champion": "3", "previous": "1"}
    assert client.get_model_version(NAME, "3").tags["promoted"] == "demo"
    promote(SETTINGS, "3", "again")
    assert aliases(client) == {"champion": "3", "previous": "1"}, "it did not replace itself"


def test_a_version_may_be_promoted_by_an_alias(client):
    client.set_registered_model_alias(NAME, "challenger", "2")
    assert promote(SETTINGS, "@challenger", "looks good") == f"{NAME} version 2 is champion: looks good"
    assert aliases(client) == {"champion": "2"}
    with pytest.raises(RevelaError, match="has no @nobody"):
        promote(SETTINGS, "@nobody", "x")


def test_a_rollback_goes_one_champion_back_and_no_further(client):
    promote(SETTINGS, "1", "first")
    promote(SETTINGS, "2", "second")
    assert "version 1 is champion again in place of version 2" in rollback(SETTINGS)
    assert aliases(client) == {"champion": "1"}
    with pytest.raises(RevelaError, match="has no @previous"):
        rollback(SETTINGS)


def test_a_version_that_is_not_there_is_named_with_those_that_are(client):
    with pytest.raises(RevelaError, match=r"has no version 9 in .*; it has 1, 2, 3\."):
        promote(SETTINGS, "9", "x")
    assert aliases(client) == {}


def test_two_promotions_at_once_leave_one_champion_and_one_previous(client):
    promote(SETTINGS, "1", "first")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda version: promote(SETTINGS, version, "race"), ["2", "3"]))
    found = aliases(client)
    assert {found["champion"], found["previous"]} == {"2", "3"}, "the second saw what the first did"
