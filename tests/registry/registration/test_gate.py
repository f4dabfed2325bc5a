"""Who becomes champion: decided on a real SQLite store."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from registering import DATA_SETS, SETTINGS, TWO, register_here

from revela.registry.aliases import rollback
from revela.registry.register import Registered
from revela.settings import RegistrySettings


@pytest.mark.usefixtures("first")
def test_champion_changes_only_for_a_better_score(project: Path, model_dir: Path) -> None:
    worse = register_here(project, model_dir, 0.4)
    assert (worse.version, worse.aliases) == ("2", ("challenger",))
    assert "against version 1" in worse.verdict and "0.4000 against 0.5000" in worse.verdict
    better = register_here(project, model_dir, 0.6)
    assert (better.version, better.aliases) == ("3", ("challenger", "champion"))

    tags = MlflowClient(better.tracking_uri).get_model_version("revela-retriever", "3").tags
    assert tags["gate.primary"].startswith("passed: ndcg_at_10 on docstrings 0.6000 against 0.5000 (p = ")
    assert tags["gate.guarded"] == "passed: no other benchmark"
    assert tags["gate.loads"].startswith("passed: vectors of a fresh process differ by ")
    previous = MlflowClient(better.tracking_uri).get_model_version_by_alias("revela-retriever", "previous")
    assert str(previous.version) == "1"

    other = register_here(project, model_dir, 0.9, data_sets=lambda: {"docstrings": "easier"})
    assert other.aliases == ("challenger",)
    assert "other data of docstrings, so the scores do not compare" in other.verdict
    tags = MlflowClient(better.tracking_uri).get_model_version("revela-retriever", "4").tags
    assert tags["gate.primary"].startswith("failed: ") and tags["gate.loads"].startswith("not tried: ")


@pytest.mark.usefixtures("first")
def test_a_gain_that_the_queries_cannot_tell_from_chance_is_no_gain(project: Path, model_dir: Path) -> None:
    hardly = register_here(project, model_dir, 0.501)
    assert hardly.aliases == ("challenger",)
    assert "primary: ndcg_at_10 on docstrings 0.5010 against 0.5000 (p = " in hardly.verdict


@pytest.mark.usefixtures("first_of_two")
def test_better_there_and_worse_elsewhere_is_refused_unless_it_is_not_guarded(
    project: Path, model_dir: Path
) -> None:
    worse = register_here(project, model_dir, 0.6, {"classes": 0.4}, params=TWO)
    assert worse.aliases == ("challenger",)
    assert "guarded: significantly worse: classes -0.1" in worse.verdict
    unguarded = RegistrySettings(guarded=[])
    free = register_here(project, model_dir, 0.61, {"classes": 0.4}, params=TWO, settings=unguarded)
    assert "champion" in free.aliases


@pytest.mark.usefixtures("first_of_two")
def test_a_guarded_benchmark_scored_on_other_data_cannot_pass_unseen(project: Path, model_dir: Path) -> None:
    changed = {"params": TWO, "data_sets": lambda: DATA_SETS | {"classes": "c1"}}
    named = RegistrySettings(guarded=["classes"])
    refused = register_here(project, model_dir, 0.6, {"classes": 0.5}, settings=named, **changed)
    assert refused.aliases == ("challenger",)
    assert "guarded: not scored on the same data by both: classes" in refused.verdict
    # Guarded because all are, a benchmark that the champion never saw stops nobody, but is named.
    champion = register_here(project, model_dir, 0.61, {"classes": 0.5}, **changed)
    assert "champion" in champion.aliases
    assert "not scored on the same data by both: classes" in champion.verdict


def test_a_model_beyond_its_limits_is_refused(project: Path, model_dir: Path) -> None:
    tight = RegistrySettings(max_megabytes=0.001, min_texts_per_second=1e9)
    refused = register_here(project, model_dir, 0.5, settings=tight)
    assert refused.aliases == ("challenger",)
    assert (
        "size: 0 MB, at most 0.001" in refused.verdict and "texts a second, at least 1e+09" in refused.verdict
    )
    again = register_here(project, model_dir, 0.5, settings=tight)
    assert again.aliases == ("challenger",), "there is no champion, and still it may not be one"


def test_what_was_asked_to_stay_a_challenger_stays_one(project: Path, model_dir: Path) -> None:
    kept = register_here(project, model_dir, 0.5, promote=False)
    assert kept.aliases == ("challenger",)
    assert kept.verdict.startswith("challenger only, as asked for; it would be champion: the first")


def test_what_was_held_back_goes_through_the_gate_when_it_may(
    project: Path, model_dir: Path, first: Registered
) -> None:
    held = register_here(project, model_dir, 0.6, promote=False)
    assert held.aliases == ("challenger",)
    again = register_here(project, model_dir, 0.6)
    assert (again.version, again.aliases) == (held.version, ("challenger", "champion"))
    assert again.verdict.startswith(f"already registered as version {held.version}; now champion: against")
    assert again.checks["primary"].startswith("passed")
    # A rollback is not undone by registering the same retriever once more.
    rollback(SETTINGS)
    after = register_here(project, model_dir, 0.6)
    assert after.aliases == ("challenger",)
    client = MlflowClient(after.tracking_uri)
    champion = client.get_model_version_by_alias(SETTINGS.model_name, "champion")
    assert str(champion.version) == first.version
