import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.report import Scores, compare_retriever, verdict, write_report
from revela.evaluation.scoring import METRICS
from revela.settings import DocstringsBenchmark, EvaluateSettings

SETTINGS = EvaluateSettings(benchmarks=[DocstringsBenchmark(kind="docstrings")], resamples=1000)
EXAMPLES = [{"benchmark": "first", "query_id": "q00"}]
FILES = ["comparisons.json", "examples.json", "metrics.json", "per_query.parquet", "scores.png", "table.md"]


def table(level: float, seed: int) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(0, 0.05, (60, len(METRICS)))
    frame = pd.DataFrame(np.clip(level + noise, 0, 1), columns=list(METRICS))
    frame.insert(0, "query_id", [f"q{index:02}" for index in range(60)])
    return frame


@pytest.fixture
def benchmarks() -> list[Benchmark]:
    return [
        Benchmark(name, {"d": "x"}, {"q": "x"}, {"q": {"d": 1}}, description=f"about {name}", code=False)
        for name in ("first", "second")
    ]


@pytest.fixture
def scores() -> Scores:
    first = {"bm25": table(0.6, 0), "untrained": table(0.1, 1), "retriever": table(0.4, 2)}
    second = {"bm25": table(0.4, 3), "untrained": table(0.4, 4), "retriever": table(0.4, 5)}
    return {"first": first, "second": second}


def write(folder: Path, benchmarks: list[Benchmark], scores: Scores) -> tuple[dict, str]:
    console = Console(file=io.StringIO(), width=200)
    metrics = write_report(folder, benchmarks, scores, EXAMPLES, SETTINGS, seed=0, console=console)
    return metrics, console.file.getvalue()


def test_files_and_their_content(tmp_path: Path, benchmarks: list[Benchmark], scores: Scores):
    metrics, printed = write(tmp_path / "out", benchmarks, scores)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics
    assert list(metrics) == ["first", "second"]
    assert list(metrics["first"]) == ["bm25", "untrained", "retriever"]
    assert metrics["first"]["bm25"]["ndcg_at_10"] == round(scores["first"]["bm25"]["ndcg_at_10"].mean(), 6)

    rows = pd.read_parquet(tmp_path / "out/per_query.parquet")
    assert list(rows.columns) == ["benchmark", "model", "query_id", *METRICS]
    assert len(rows) == 2 * 3 * 60
    kept = rows[(rows.benchmark == "second") & (rows.model == "untrained")]
    pd.testing.assert_frame_equal(
        kept[["query_id", *METRICS]].reset_index(drop=True), scores["second"]["untrained"], check_dtype=False
    )

    markdown = (tmp_path / "out/table.md").read_text()
    assert "## first\n\nabout first\n" in markdown
    assert f"| bm25 | {metrics['first']['bm25']['ndcg_at_10']:.4f} |" in markdown
    assert "worse (p = " in markdown and "better (p = " in markdown
    assert "first: about first" in printed and "not significant" in printed


def test_comparisons_and_their_verdicts(scores: Scores):
    content = compare_retriever(scores, resamples=1000, seed=0)
    rows = {(row["benchmark"], row["against"]): row for row in content["comparisons"]}
    assert {key: row["verdict"] for key, row in rows.items()} == {
        ("first", "bm25"): "worse",
        ("first", "untrained"): "better",
        ("second", "bm25"): "not significant",
        ("second", "untrained"): "not significant",
    }
    best = rows["first", "untrained"]
    assert best["difference"] == pytest.approx(best["mean"] - best["mean_against"], abs=2e-6)
    assert best["low"] < best["difference"] < best["high"]
    assert best["queries"] == 60
    assert best["p"] == pytest.approx(2 / 1001, rel=1e-5)
    assert best["p_holm"] == pytest.approx(4 * 2 / 1001, rel=1e-5)  # Holm over the four comparisons


def test_every_mean_has_an_interval_over_queries(scores: Scores):
    means = compare_retriever(scores, resamples=1000, seed=0)["means"]
    assert [(row["benchmark"], row["model"]) for row in means][:3] == [
        ("first", "bm25"), ("first", "untrained"), ("first", "retriever")
    ]  # fmt: skip
    values = scores["first"]["bm25"]["ndcg_at_10"]
    assert means[0]["mean"] == pytest.approx(values.mean(), abs=1e-6)
    spread = 1.96 * values.std() / len(values) ** 0.5
    assert means[0]["high"] - means[0]["low"] == pytest.approx(2 * spread, rel=0.15)


def test_the_t_test_is_named_where_it_is_chosen(scores: Scores):
    content = compare_retriever(scores, resamples=1000, seed=0, test="t")
    assert content["test"] == "paired t, two-sided"
    assert content["comparisons"][0]["p"] < 1e-10  # no resampling bounds it


def test_the_level_decides_the_verdict():
    assert verdict(0.1, 0.0499) == "better"
    assert verdict(-0.1, 0.0499) == "worse"
    assert verdict(0.1, 0.05) == "not significant"


def test_same_scores_same_bytes(tmp_path: Path, benchmarks: list[Benchmark], scores: Scores):
    write(tmp_path / "one", benchmarks, scores)
    write(tmp_path / "two", benchmarks, scores)
    for name in FILES:
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name
        assert str(tmp_path).encode() not in one, name
    assert b"Software" not in (tmp_path / "one/scores.png").read_bytes()


def test_phases_add_a_line_to_the_picture(tmp_path: Path, benchmarks: list[Benchmark], scores: Scores):
    def height(folder: Path) -> int:
        return int.from_bytes((folder / "scores.png").read_bytes()[20:24], "big")

    write(tmp_path / "plain", benchmarks, scores)
    scores["first"] = {"untrained": table(0.1, 1), "after_warm": table(0.3, 6), "retriever": table(0.4, 2)}
    write(tmp_path / "phases", benchmarks, scores)
    assert height(tmp_path / "phases") == 2 * height(tmp_path / "plain")


def test_an_older_report_is_replaced(tmp_path: Path, benchmarks: list[Benchmark], scores: Scores):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/stale.txt").write_text("old")
    write(tmp_path / "out", benchmarks, scores)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
