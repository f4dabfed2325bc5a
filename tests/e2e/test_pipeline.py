"""The whole pipeline in a real DVC repository: the stages, idempotence, registration, a fresh load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
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


class Project:
    """A clone of this project's pipeline with settings that run in seconds."""

    def __init__(self, folder: Path, params: dict) -> None:
        self.folder = folder
        shutil.copytree(
            ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")

    def run(self, *command: str) -> str:
        environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        # The console scripts of the Python that runs the tests, wherever it is installed.
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        result = subprocess.run(
            command, cwd=self.folder, env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
        return result.stdout

    def lock(self) -> str:
        return (self.folder / "dvc.lock").read_text()

    def json(self, path: str) -> dict:
        return json.loads((self.folder / path).read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory, causal_lm_folder) -> Project:
    model = {"kind": "folder", "name": str(causal_lm_folder)}
    params = {
        "seed": 0,
        "backbone": {"retriever": {**model, "max_tokens": 64}, "lm": model},
        "corpus": {"sources": [{"kind": "distributions", "names": ["click"]}]},
        "batches": {"group_size": 4, "chunk_tokens": 48, "min_chunk_tokens": 16, "max_groups": 20},
        "objective": {"attention": "joint", "temperature": 0.1},
        "training": {
            "lora": {"rank": 2},
            "phases": [
                {"name": "contrastive", "train": ["retriever"], "terms": {"contrastive": 1.0}, "steps": 2,
                 "learning_rate": {"retriever": 1e-3}},
                {"name": "revela", "train": ["retriever", "lm"], "terms": {"revela": 1.0}, "steps": 2,
                 "learning_rate": {"retriever": 1e-3, "lm": 1e-3}},
            ],
        },
        "evaluate": {"benchmarks": [{"kind": "docstrings", "limit": 30}], "max_tokens": 64, "resamples": 100},
        "registry": {},
    }  # fmt: skip
    made = Project(tmp_path_factory.mktemp("project"), params)
    made.output = made.run("dvc", "repro")
    return made


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
