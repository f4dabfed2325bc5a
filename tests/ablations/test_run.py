"""Real trainings of tiny models, side by side: shared inputs, skipping, failures, one table, MLflow."""

from __future__ import annotations

import dataclasses
import json
import statistics

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console
from stores import store_below

from revela.ablations.inputs import Inputs
from revela.ablations.plan import plan
from revela.ablations.run import Places, run_ablations
from revela.settings import Ablation, Settings
from revela.training.checkpoints import recall_run
from revela.training.pipeline import train, training_fingerprint

PHASE = {
    "name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 3,
    "learning_rate": {"retriever": 1e-2},
}  # fmt: skip
OTHER_CORPUS = {"kind": "distributions", "names": ["packaging"]}
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
                {"name": "elsewhere", "overrides": {"corpus.sources": [OTHER_CORPUS]}},
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with store_below(tmp_path_factory.mktemp("mlflow")) as uri:
        yield uri


@pytest.fixture(scope="module")
def places(tmp_path_factory, backbone_folder, groups_folder) -> Places:
    root = tmp_path_factory.mktemp("ablations")
    return Places(
        made=Inputs(backbone_folder, groups_folder.with_name("documents"), groups_folder),
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
    assert finished == {
        "warm/seed-0", "warm/seed-1", "mean/seed-0", "replug/seed-0", "elsewhere/seed-0"
    }  # fmt: skip


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
    folders = [path.name for path in places.cache.iterdir() if path.is_dir() and "report" not in path.name]
    made = sorted(name.split("-")[0] for name in folders if "parts" not in name)
    # Another seed, another retriever and another corpus draw other groups; another objective does not.
    assert made == ["backbone", "documents", "groups", "groups", "groups", "models"]
    assert list((places.cache / "models").iterdir()) == []


def runs_by(store, stage: str) -> dict[str, Run]:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("revela")
    runs = client.search_runs([experiment.experiment_id], f"tags.stage = '{stage}'")
    return {run.info.run_name: run for run in runs}


def parent_of(run: Run) -> str | None:
    return run.data.tags.get("mlflow.parentRunId")


def test_mlflow_has_a_run_for_all_one_an_ablation_and_one_a_seed(failed, store):
    (whole,) = runs_by(store, "ablations").values()
    ablations, seeds = runs_by(store, "ablation"), runs_by(store, "ablation-seed")
    assert set(ablations) == {"warm", "broken", "mean", "replug", "elsewhere"}
    assert {parent_of(run) for run in ablations.values()} == {whole.info.run_id}
    assert {"warm seed 0", "warm seed 1", "mean seed 0", "replug seed 0"} <= set(seeds)
    for name, run in seeds.items():
        assert parent_of(run) == ablations[name.split(" seed ")[0]].info.run_id
    warm = seeds["warm seed 1"]
    assert (warm.data.tags["ablation"], warm.data.tags["seed"]) == ("warm", "1")
    assert warm.data.tags["overrides"] == "objective.contrastive_temperature=0.5"
    assert "objective.contrastive_temperature: 0.5" in warm.data.tags["mlflow.note.content"]
    assert warm.data.params["objective.contrastive_temperature"] == "0.5"
    assert {run.info.status for run in (whole, ablations["broken"])} == {"FAILED"}
    assert {run.info.status for run in (warm, ablations["warm"])} == {"FINISHED"}
    assert ablations["replug"].data.tags["overrides"] == "training.phases=replug3"


def test_the_run_of_an_ablation_has_the_means_under_the_same_names_and_their_spread(failed, store):
    seeds = runs_by(store, "ablation-seed")
    scores = [seeds[f"warm seed {seed}"].data.metrics["docstrings/retriever/ndcg_at_10"] for seed in (0, 1)]
    warm = runs_by(store, "ablation")["warm"]
    assert warm.data.metrics["docstrings/retriever/ndcg_at_10"] == pytest.approx(statistics.fmean(scores))
    assert warm.data.metrics["docstrings/retriever/ndcg_at_10_sd"] == pytest.approx(statistics.stdev(scores))
    assert warm.data.metrics["seeds"] == 2
    assert "seed" not in warm.data.params and warm.data.params["objective.contrastive_temperature"] == "0.5"
    (data,) = warm.inputs.dataset_inputs
    assert data.dataset.name == "docstrings"
    assert data.dataset.digest == seeds["warm seed 0"].inputs.dataset_inputs[0].dataset.digest


def test_tables_and_pictures_are_kept_with_the_runs(failed, store):
    client = MlflowClient(store)
    (whole,) = runs_by(store, "ablations").values()
    assert {file.path for file in client.list_artifacts(whole.info.run_id)} >= {"table.md", "table.json"}
    seed = runs_by(store, "ablation-seed")["warm seed 0"].info.run_id
    assert [file.path for file in client.list_artifacts(seed, "results/train")] == ["results/train/curve.png"]
    other = runs_by(store, "ablation-seed")["elsewhere seed 0"].data.tags
    own = {key.rsplit("/", 1)[1]: value for key, value in other.items() if value.startswith("not read")}
    assert set(own) == {"documents", "groups"}, "what dvc.lock has of these is not what it was trained on"
    assert own["documents"].startswith("not read, but documents-")
    pictures = [file.path for file in client.list_artifacts(seed, "images")]
    assert any("curve" in path for path in pictures) and any("scores" in path for path in pictures)


def test_what_is_finished_is_skipped_until_its_settings_change(failed, settings, store, places):
    done = places.results / "warm" / "seed-0" / "done.json"
    before = done.stat().st_mtime_ns
    first = runs_by(store, "ablation")["warm"].info.run_id
    (places.cache / "runs.json").unlink()  # the cache may be deleted at any time
    assert run_ablations(settings, plan(settings, ["warm"]), places, Console(quiet=True)) == []
    assert done.stat().st_mtime_ns == before
    client = MlflowClient(store)
    warm = parent_of(runs_by(store, "ablation-seed")["warm seed 0"])
    assert warm != first and client.get_run(warm).data.metrics["seeds"] == 2, "the seeds have moved over"
    changed = settings.model_copy(
        update={"evaluate": settings.evaluate.model_copy(update={"max_tokens": 32})}
    )
    assert run_ablations(changed, plan(changed, ["warm"], [0]), places, Console(quiet=True)) == []
    assert done.stat().st_mtime_ns != before
    retried = runs_by(store, "ablation-seed")["warm seed 0"]
    assert client.get_run(warm).data.tags["superseded_by"] == parent_of(retried)
    assert parent_of(client.get_run(warm)) is None


def test_what_the_pipeline_has_trained_is_taken_over_and_its_run_left_alone(
    settings, store, places, tmp_path, backbone_folder, groups_folder
):
    checkpoints = tmp_path / "checkpoints"
    train(
        settings, backbone_dir=backbone_folder, groups_dir=groups_folder, models_dir=tmp_path / "models",
        report_dir=tmp_path / "report", checkpoints_dir=checkpoints,
    )  # fmt: skip
    mark = training_fingerprint(settings, backbone_folder, groups_folder)
    main = MlflowClient(store).get_run(recall_run(checkpoints / mark))
    same = settings.model_copy(
        update={
            "ablations": [
                Ablation(name="same", overrides={"evaluate.every_phase": False}),
                Ablation(name="more", overrides={"training.phases": [PHASE, REPLUG]}),
            ]
        }
    )
    own = dataclasses.replace(places, checkpoints=checkpoints, results=tmp_path / "r", cache=tmp_path / "c")
    assert run_ablations(same, plan(same), own, Console(quiet=True)) == []
    assert MlflowClient(store).get_run(main.info.run_id).data.tags == main.data.tags
    taken = runs_by(store, "ablation-seed")["same seed 0"]
    assert taken.info.run_id != main.info.run_id
    assert taken.data.metrics["train/loss"] == pytest.approx(main.data.metrics["train/loss"], rel=1e-4)
    more = runs_by(store, "ablation-seed")["more seed 0"]
    history = MlflowClient(store).get_metric_history(more.info.run_id, "train/loss")
    assert [point.step for point in sorted(history, key=lambda point: point.step)] == list(range(6))
    assert main.data.metrics["train/loss"] == pytest.approx(
        next(point.value for point in history if point.step == 2), rel=1e-4
    )
    # The steps' own times are in the curve that was taken over.
    assert json.loads((tmp_path / "r/same/seed-0/done.json").read_text())["wall_s"] > 0
