"""Registration on a real SQLite store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from registering import PARAMS, register_here
from registrable import TEXTS, write_results
from sentence_transformers import SentenceTransformer

from revela import tracking
from revela.registry.register import Registered


def test_first_version_is_champion_with_all_its_provenance(project: Path, first: Registered) -> None:
    assert (first.version, first.aliases) == ("1", ("challenger", "champion"))
    assert first.model_uri == "models:/revela-retriever/1"
    assert "first" in first.verdict
    client = MlflowClient(first.tracking_uri)
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dvc.data/documents"] == "abc.dir"
    assert run.data.params["evaluate.benchmarks.0.kind"] == "docstrings"
    assert run.data.metrics["corpus/dropped/too_short"] == 3
    assert run.data.metrics["batches/groups"] == 7
    assert run.data.metrics["docstrings/bm25/ndcg_at_10"] == 0.49
    assert run.data.metrics["docstrings/retriever/ndcg_at_10"] == 0.5
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("docstrings", "d0")
    kept = [file.path for file in client.list_artifacts(first.run_id, "results/evaluate")]
    assert sorted(kept) == [
        "results/evaluate/per_query.parquet",
        "results/evaluate/report.md",
        "results/evaluate/scores.png",
    ]
    assert [file.path for file in client.list_artifacts(first.run_id, "reports")] == ["reports/ablation.md"]

    version = client.get_model_version("revela-retriever", "1")
    assert version.description == version.tags["verdict"] == first.verdict
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    tied = {
        metric.key: (metric.value, metric.dataset_name, metric.dataset_digest) for metric in logged.metrics
    }
    assert tied["docstrings/retriever/ndcg_at_10"] == (0.5, "docstrings", "d0")
    assert not any("bm25" in key for key in tied)
    (requirements,) = (project / "mlartifacts").rglob("requirements.txt")
    listed = requirements.read_text().splitlines()
    assert any(line.startswith("sentence-transformers==") for line in listed)
    assert all("==" in line and "+" not in line for line in listed)


def test_the_same_model_is_registered_once(project: Path, model_dir: Path, first: Registered) -> None:
    again = register_here(project, model_dir, 0.5)
    assert (again.version, again.run_id) == (first.version, first.run_id)
    assert "already registered as version 1" in again.verdict
    client = MlflowClient(first.tracking_uri)
    assert len(client.search_model_versions("name = 'revela-retriever'")) == 1
    client.delete_registered_model_alias("revela-retriever", "champion")
    assert "champion" in register_here(project, model_dir, 0.5).aliases


def test_goes_on_with_the_training_run(project: Path, model_dir: Path) -> None:
    with tracking.start_run("revela", "train", {}, PARAMS) as run:
        run.log({"train/loss": 2.0}, step=1)
    done = register_here(project, model_dir, 0.5, train_run=lambda: run.run_id)
    assert done.run_id == run.run_id
    metrics = MlflowClient(done.tracking_uri).get_run(run.run_id).data.metrics
    assert {"train/loss", "docstrings/retriever/ndcg_at_10"} <= set(metrics)


def test_a_training_run_that_a_version_has_is_left_to_it(project: Path, model_dir: Path) -> None:
    with tracking.start_run("revela", "train", {"stage": "train"}, PARAMS) as run:
        pass
    first = register_here(project, model_dir, 0.5, train_run=lambda: run.run_id)
    second = register_here(project, model_dir, 0.4, train_run=lambda: run.run_id)
    assert first.run_id == run.run_id != second.run_id
    client = MlflowClient(first.tracking_uri)
    tags = client.get_run(second.run_id).data.tags
    assert (tags["stage"], tags["trained_in"]) == ("register", run.run_id)
    kept = client.download_artifacts(first.run_id, "results/evaluate/per_query.parquet", str(project))
    assert pd.read_parquet(kept)["ndcg_at_10"].mean() == pytest.approx(0.5)


LOAD = """
import sys, numpy, mlflow
model = mlflow.sentence_transformers.load_model("models:/revela-retriever@champion")
texts = sys.argv[2:]
served = mlflow.pyfunc.load_model("models:/revela-retriever@champion")
numpy.savez(
    sys.argv[1],
    query=model.encode_query(texts),
    document=model.encode_document(texts),
    served=served.predict(texts),
    served_document=served.predict(texts, params={"prompt_name": "document"}),
)
"""


@pytest.mark.usefixtures("first")
def test_loads_elsewhere_with_the_same_vectors(project: Path, model_dir: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", LOAD, str(project / "vectors.npz"), *TEXTS], check=True, timeout=120
    )
    loaded = np.load(project / "vectors.npz")
    here = SentenceTransformer(str(model_dir), device="cpu")
    queries, documents = here.encode_query(TEXTS), here.encode_document(TEXTS)
    np.testing.assert_allclose(loaded["query"], queries, atol=1e-6)
    np.testing.assert_allclose(loaded["document"], documents, atol=1e-6)
    np.testing.assert_allclose(loaded["served"], queries, atol=1e-6)
    np.testing.assert_allclose(loaded["served_document"], documents, atol=1e-6)
    assert np.abs(queries - documents).max() > 1e-3, "prompts make no difference: the test proves nothing"


REGISTER = """
import sys, mlflow, sentence_transformers
from pathlib import Path
from revela.registry.register import register
from revela.settings import RegistrySettings
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
done = register(
    RegistrySettings(), model_dir=Path(sys.argv[1]), results_dir=Path(sys.argv[2]), params={},
    data_sets=lambda: {"docstrings": "d0"},
)
sys.stdout.write(done.version)
"""


def test_two_registrations_at_once(project: Path, model_dir: Path) -> None:
    there = write_results(project / "there", 0.6)
    (project / "mlflow.db").unlink()  # so that both also meet a store without tables
    command = [sys.executable, "-c", REGISTER, str(model_dir), str(there)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        here = register_here(project, model_dir, 0.4, params={})
        version, _ = other.communicate(timeout=120)
    assert other.returncode == 0
    assert sorted([version, here.version]) == ["1", "2"]
    client = MlflowClient(here.tracking_uri)
    champion = client.get_model_version_by_alias("revela-retriever", "champion")
    assert str(champion.version) == version
