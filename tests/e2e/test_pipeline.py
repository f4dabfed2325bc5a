"""The whole pipeline in a real DVC repository: the stages, idempotence, registration, a fresh load."""

from __future__ import annotations

import sys

import pandas as pd

STAGES = ["prepare_backbone", "filter_corpus", "build_batches", "train", "evaluate", "report"]

LOAD_CHAMPION = """
import json, sys
import mlflow, numpy
from sentence_transformers import SentenceTransformer
mlflow.set_tracking_uri(sys.argv[1])
champion = mlflow.sentence_transformers.load_model("models:/revela-retriever@champion")
folder = SentenceTransformer(sys.argv[2])
texts = ["open a file", "def f(x):\\n    return x"]
print(max(
    float(numpy.abs(getattr(champion, verb)(texts) - getattr(folder, verb)(texts)).max())
    for verb in ("encode_query", "encode_document")
))
"""


def test_repro_runs_every_stage_and_shows_the_comparison(project):
    for stage in STAGES:
        assert f"Running stage '{stage}'" in project.output
    scores = project.json("results/evaluate/metrics.json")["docstrings"]
    assert {
        "bm25",
        "bm25_identifiers",
        "untrained",
        "after_contrastive",
        "retriever",
        "hybrid",
    } == set(scores)
    assert set(scores["retriever"]) == {"ndcg_at_10", "mrr_at_10", "recall_at_10", "recall_at_100"}
    per_query = pd.read_parquet(project.folder / "results/evaluate/per_query.parquet")
    assert len(per_query) == 30 * len(scores)
    assert "bm25" in project.output and "retriever" in project.output


def test_a_second_repro_does_nothing(project):
    before = project.lock()
    output = project.run("dvc", "repro")
    assert "Running stage" not in output
    assert "Data and pipelines are up to date." in output
    assert project.lock() == before


def test_registering_names_the_version_and_a_second_time_changes_nothing(project):
    first = project.run("revela", "register")
    assert "revela-retriever version 1" in first and "champion" in first and "mlflow.db" in first
    second = project.run("revela", "register")
    assert "version 1" in second and "version 2" not in second


def test_the_champion_loads_in_a_fresh_process(project):
    output = project.run(
        sys.executable, "-c", LOAD_CHAMPION, f"sqlite:///{project.folder}/mlflow.db", "models/retriever"
    )
    assert float(output.splitlines()[-1]) < 1e-6


def test_a_forced_repro_gives_the_same_hashes(project):
    before = project.lock()
    project.run("dvc", "repro", "--force")
    assert project.lock() == before


def test_outputs_stay_out_of_git_and_small_results_go_in(project):
    status = project.run("git", "status", "--porcelain", "--untracked-files=all").split()
    assert "dvc.lock" in status
    assert "results/evaluate/metrics.json" in status
    assert not [path for path in status if path.startswith(("data/", "models/", "checkpoints/", "mlflow"))]
