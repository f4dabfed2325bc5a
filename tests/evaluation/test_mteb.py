"""mteb's own loaders and its own evaluation, on a data set in a local folder."""

from __future__ import annotations

import json

import pytest

from revela.errors import RevelaError
from revela.evaluation.benchmarks import load_benchmarks
from revela.evaluation.benchmarks.mteb_tasks import benchmarks_of, tasks_of
from revela.evaluation.dense import dense_run
from revela.evaluation.leaderboard import run_mteb
from revela.evaluation.scoring import mean_scores, score
from revela.settings import MtebBenchmark

mteb = pytest.importorskip("mteb")

README = """---
configs:
- config_name: default
  data_files: [{split: test, path: qrels.jsonl}]
- config_name: corpus
  data_files: [{split: test, path: corpus.jsonl}]
- config_name: queries
  data_files: [{split: test, path: queries.jsonl}]
---
"""


@pytest.fixture
def task(tmp_path, toy_benchmark):
    """The toy benchmark as a data set of mteb's layout."""
    folder = tmp_path / "toy-data"
    folder.mkdir()
    rows = {
        "corpus": [
            {"_id": key, "title": text.split()[1], "text": text.split(" ", 2)[2]}
            for key, text in toy_benchmark.corpus.items()
        ],
        "queries": [{"_id": key, "text": text} for key, text in toy_benchmark.queries.items()],
        "qrels": [
            {"query-id": query, "corpus-id": document, "score": grade}
            for query, grades in toy_benchmark.qrels.items()
            for document, grade in grades.items()
        ],
    }
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "README.md").write_text(README)

    class Toy(mteb.abstasks.AbsTaskRetrieval):
        metadata = mteb.TaskMetadata(
            name="ToyRetrieval",
            description="made of twenty-two words",
            dataset={"path": str(folder), "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

    return Toy()


def test_a_task_becomes_a_benchmark_with_titles_before_texts(task, toy_benchmark):
    (found,) = benchmarks_of(task)
    assert (found.name, found.code) == ("ToyRetrieval", False)
    assert found.queries == toy_benchmark.queries
    assert found.qrels == toy_benchmark.qrels
    assert found.corpus["d00"] == toy_benchmark.corpus["d00"].split(" ", 1)[1]
    assert found.check() is found


def test_a_subset_that_is_not_there_is_named_with_those_that_are(task):
    with pytest.raises(RevelaError, match="has no subset 'go', but default"):
        benchmarks_of(task, subset="go")


def test_mtebs_own_evaluation_gives_our_score_in_its_own_files(task, encoder_dir, tmp_path):
    out = tmp_path / "mteb"
    scores = run_mteb(
        [], encoder_dir, "someone/toy", out, max_tokens=64, batch_size=8, precision="fp32", tasks=[task]
    )
    (benchmark,) = benchmarks_of(task)
    run = dense_run(encoder_dir, benchmark, max_tokens=64, batch_size=8, precision="fp32")
    assert scores["ToyRetrieval"] == pytest.approx(
        mean_scores(score(benchmark.qrels, run))["ndcg_at_10"], abs=1e-4
    )
    (file,) = out.glob("results/someone__toy/*/ToyRetrieval.json")
    assert json.loads(file.read_text())["scores"]["test"][0]["main_score"] == pytest.approx(
        scores["ToyRetrieval"], abs=1e-4
    )
    assert list(out.glob("predictions/**/*ToyRetrieval*"))


def test_two_checkpoints_of_one_name_do_not_share_a_result(task, encoder_dir, other_encoder_dir, tmp_path):
    options = {"max_tokens": 64, "batch_size": 8, "precision": "fp32", "tasks": [task]}
    one, two = (
        run_mteb([], folder, "someone/toy", tmp_path / "mteb", **options)
        for folder in (encoder_dir, other_encoder_dir)
    )
    assert one != two
    assert len(list((tmp_path / "mteb").glob("results/someone__toy/*/ToyRetrieval.json"))) == 2


@pytest.mark.parametrize(("name", "size"), [("BEIR", 15), ("CoIR", 10), ("NanoBEIR", 13)])
def test_a_benchmark_of_mteb_is_all_its_tasks(name, size):
    assert len(tasks_of([name])) == size


def test_bright_has_its_twelve_subsets():
    assert sum(len(task.hf_subsets) for task in tasks_of(["BRIGHT"])) == 12


def test_unknown_names_and_tasks_of_another_kind_are_refused():
    with pytest.raises(RevelaError, match="no task and no benchmark 'NoSuchTask'"):
        tasks_of(["NoSuchTask"])
    with pytest.raises(RevelaError, match="is a Classification task"):
        tasks_of(["Banking77Classification"])


def test_data_that_is_not_there_is_asked_for_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    message = r"'NanoSciFactRetrieval': its data .* cannot be read.*\n.*with a network"
    with pytest.raises(RevelaError, match=message):
        load_benchmarks([MtebBenchmark(kind="mteb", name="NanoSciFactRetrieval")])
