"""What a training is worth on other collections: the whole bench on a small one, and its tables."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench import adaptation
from bench.adaptation_table import over_seeds, read, table
from bench.flow_project import small_params
from revela.errors import RevelaError
from revela.settings import load_settings


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    """Functions of two modules with their names as titles; a question is a docstring's first line."""
    folder = tmp_path_factory.mktemp("collections") / "functions"
    (folder / "qrels").mkdir(parents=True)
    found = [
        (f"{module.__name__}.{name}", function)
        for module in (inspect, textwrap, shutil, subprocess)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and inspect.getdoc(function)
    ]
    documents = [{"_id": name, "title": name, "text": inspect.getdoc(function)} for name, function in found]
    queries = [{"_id": name, "text": inspect.getdoc(function).splitlines()[0]} for name, function in found]
    for name, rows in (("corpus", documents), ("queries", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    judged = "".join(f"{name}\t{name}\t1\n" for name, _ in found)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


@pytest.fixture(scope="module")
def params(tmp_path_factory, causal_lm_folder) -> Path:
    settings = small_params(causal_lm_folder, Path("unused"))
    settings["training"]["validation"] = {"every": 1}
    settings["batches"]["pairs"] = {"held_out": 0.2}
    path = tmp_path_factory.mktemp("settings") / "params.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_a_collections_own_documents_are_trained_on_and_searched_once(tmp_path, collection, params, caplog):
    work, out = tmp_path / "work", tmp_path / "results"
    asked = dict(work=work, params=params, out=out, tokens=64, seed=[3])
    adaptation.train_and_search([collection], **asked)

    project = work / "functions-64-seed-3"
    settings = load_settings(project / "params.yaml")
    assert settings.seed == 3 and settings.backbone.retriever.max_tokens == 64
    assert settings.corpus.sources[0].path == str(collection / "corpus.jsonl")
    scores = read(out / "adaptation")["own"]["default"]["functions"][3]
    assert list(scores["model"].unique()) == ["bm25", "untrained", "retriever", "hybrid"]
    assert scores.groupby("model")["ndcg_at_10"].mean()["bm25"] > 0.3
    kept = json.loads((out / "adaptation/own/default/seed-3/functions.json").read_text())
    assert kept["state"] and kept["because"]
    text = (out / "adaptation.md").read_text()
    assert "## Trained on its own documents: default" in text and "| functions |" in text

    model = project / "models" / "retriever" / "model.safetensors"
    trained = model.stat().st_mtime_ns
    with caplog.at_level("INFO", logger="bench"):
        adaptation.train_and_search([collection], **asked)
    assert model.stat().st_mtime_ns == trained and "searched" not in caplog.text
    assert (out / "adaptation.md").read_text() == text

    # What was trained before searches beside it, and the two are compared.
    given = [f"{name}/seed-3={project / 'models' / 'retriever'}" for name in ("default", "same")]
    again = dict(trained_on="packages", work=work, params=params, out=out, tokens=64)
    adaptation.search_with([collection], retriever=given, **again)
    text = (out / "adaptation.md").read_text()
    assert "## Trained on `packages`: the default against others" in text
    assert "| functions | same | 1 |" in text and "+0.0000 (+0.0000 to +0.0000)" in text


def test_other_text_is_trained_on_without_what_is_searched(collection):
    (job,) = adaptation._jobs([collection], Path("elsewhere/wiki.jsonl.gz"))
    assert (job.text, job.name, job.searched) == ("wiki", "wiki", ["functions"])
    assert job.settings["evaluate"]["benchmarks"][0]["path"] == str(collection)


def test_a_folder_without_documents_and_one_without_a_model_are_named(tmp_path, collection, params):
    with pytest.raises(RevelaError, match=r"no corpus\.jsonl"):
        adaptation._jobs([tmp_path], None)
    with pytest.raises(RevelaError, match=r"NAME/seed-N=FOLDER of a saved retriever"):
        adaptation.search_with([collection], [f"default/seed-0={tmp_path}"], "x", tmp_path, params=params)


def scores(**by_model: list[float]) -> pd.DataFrame:
    rows = [
        {"query_id": f"q{number}", "model": model, "ndcg_at_10": value}
        for model, values in by_model.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_querys_mean_over_seeds_is_compared(tmp_path):
    before = [0.2] * 12
    for seed, after in enumerate((0.5, 0.3)):
        file = tmp_path / "wiki" / "default" / f"seed-{seed}" / "prose.parquet"
        file.parent.mkdir(parents=True)
        scores(bm25=[0.1] * 12, untrained=before, retriever=[after] * 12, hybrid=[0.6] * 12).to_parquet(file)
    found = read(tmp_path)["wiki"]["default"]["prose"]
    assert over_seeds(found, "retriever")["ndcg_at_10"].tolist() == pytest.approx([0.4] * 12)
    text = table(tmp_path, 256)
    assert "| prose | 12 | 2 | 0.100 ± 0.000 | 0.200 ± 0.000 | 0.400 ± 0.141 | 0.600 ± 0.000 |" in text
    assert "| +0.2000 (+0.2000 to +0.2000) | 0.00049 | better |" in text
    assert "Mean lead of 1: +0.2000." in text
