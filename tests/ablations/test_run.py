"""Real trainings of tiny models, side by side: shared inputs, skipping, failures, one table, MLflow."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient
from rich.console import Console

from revela.ablations.plan import plan
from revela.ablations.run import Places, run_ablations
from revela.settings import Settings

PHASE = {
    "name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 3,
    "learning_rate": {"retriever": 1e-2},
}  # fmt: skip
REPLUG = {**PHASE, "name": "replug", "terms": {"replug": 1.0}}


@pytest.fixture(scope="module")
def settings(causal_lm_folder) -> Settings:
    folder = {"kind": "folder", "name": str(causal_lm_folder)}
    batches = {"group_size": 4, "chunk_tokens": 40, "min_chunk_tokens": 16, "max_groups": 40}
    return Settings.model_validate(
        {
            "backbone": {"retriever": {**folder, "max_tokens": 64}, "lm": folder},
            "corpus": {"sources": [{"kind": "folder", "path": "unused"}]},
            "batches": batches,
            "objective": {},
            "training": {"phases": [PHASE], "lora": {"rank": 4, "alpha": 8}, "precision": "fp32"},
            "evaluate": {
                "benchmarks": [{"kind": "docstrings", "limit": 20}],
                "max_tokens": 48, "precision": "fp32", "resamples": 100,
            },
            "ablations": [
                {"name": "warm", "overrides": {"objective.contrastive_temperature": 0.5}, "seeds": [0, 1]},
                {"name": "broken", "overrides": {"training.lora.targets": ["query_key_value"]}},
                {"name": "mean", "overrides": {"backbone.retriever.pooling": "mean",
                                               "training.whitening": {"chunks": 8}}},
                {"name": "replug", "overrides": {"training.phases": [REPLUG]}},
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield uri


@pytest.fixture(scope="module")
def places(tmp_path_factory, backbone_folder, groups_folder) -> Places:
    root = tmp_path_factory.mktemp("ablations")
    return Places(
        backbone=backbone_folder,
        documents=groups_folder.with_name("documents"),
        groups=groups_folder,
        checkpoints=root / "checkpoints",
        cache=root / "cache",
        results=root / "results",
        reference=root / "per_query.parquet",
    )


@pytest.fixture(scope="module")
def failed(settings, store, places) -> list[str]:
    return run_ablations(settings, plan(settings), places, Console(quiet=True))


def test_one_failing_does_not_stop_the_others(failed, places):
    (line,) = failed
    assert line.startswith("broken, seed 0: training.lora.targets")
    finished = {
        path.parent.relative_to(places.results).as_posix() for path in places.results.rglob("done.json")
    }
    assert finished == {"warm/seed-0", "warm/seed-1", "mean/seed-0", "replug/seed-0"}


def test_the_table_has_a_row_for_every_model_of_every_finished_run(failed, places):
    rows = json.loads((places.results / "table.json").read_text())
    assert set(rows[0]) == {
        "name", "seed", "benchmark", "model", "ndcg_at_10", "wall_s", "tokens", "steps",
    }  # fmt: skip
    for row in rows:
        folder = places.results / row["name"] / f"seed-{row['seed']}"
        scores = json.loads((folder / "evaluate" / "metrics.json").read_text())
        assert row["ndcg_at_10"] == scores[row["benchmark"]][row["model"]]["ndcg_at_10"]
        assert row["steps"] == 3 and row["tokens"] > 100 and row["wall_s"] > 0
    models = {row["model"] for row in rows if row["name"] == "mean"}
    assert models == {"bm25", "bm25_identifiers", "untrained", "after_whitened", "retriever", "hybrid"}
    warm = [row["ndcg_at_10"] for row in rows if row["name"] == "warm" and row["model"] == "retriever"]
    table = (places.results / "table.md").read_text()
    assert f"| warm | 2 | {sum(warm) / 2:.4f} ± " in table


def test_only_what_the_overrides_change_is_made_anew_and_models_are_not_kept(failed, places):
    made = sorted(path.name.split("-")[0] for path in places.cache.iterdir() if "report" not in path.name)
    # Another seed and another retriever draw other groups; another objective does not.
    assert made == ["backbone", "groups", "groups", "models"]
    assert list((places.cache / "models").iterdir()) == []


def test_mlflow_has_a_child_a_training_with_the_scores_under_their_usual_names(failed, store):
    client = MlflowClient(store)
    (experiment,) = [one for one in client.search_experiments() if one.name == "revela"]
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if run.info.run_name == "ablations"]
    children = {
        run.info.run_name: run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        and "docstrings/retriever/ndcg_at_10" in run.data.metrics
    }
    assert set(children) == {"warm seed 0", "warm seed 1", "mean seed 0", "replug seed 0"}
    warm = children["warm seed 1"]
    assert (warm.data.tags["ablation"], warm.data.tags["seed"]) == ("warm", "1")
    assert warm.data.params["objective.contrastive_temperature"] == "0.5"
    assert warm.info.status == "FINISHED"


def test_what_is_finished_is_skipped_until_its_settings_change(failed, settings, store, places):
    done = places.results / "warm" / "seed-0" / "done.json"
    before = done.stat().st_mtime_ns
    assert run_ablations(settings, plan(settings, ["warm"]), places, Console(quiet=True)) == []
    assert done.stat().st_mtime_ns == before
    changed = settings.model_copy(
        update={"evaluate": settings.evaluate.model_copy(update={"max_tokens": 32})}
    )
    assert run_ablations(changed, plan(changed, ["warm"], [0]), places, Console(quiet=True)) == []
    assert done.stat().st_mtime_ns != before
