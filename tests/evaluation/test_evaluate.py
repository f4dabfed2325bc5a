import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from test_benchmark_beir import write

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.pipeline import evaluate
from revela.settings import DocstringsBenchmark, EvaluateSettings


@pytest.fixture
def settings(tmp_path: Path, toy_benchmark: Benchmark) -> EvaluateSettings:
    (tmp_path / "toy").mkdir()
    toy = write(
        tmp_path / "toy",
        corpus=[{"_id": key, "title": "", "text": text} for key, text in toy_benchmark.corpus.items()],
        queries=[{"_id": key, "text": text} for key, text in toy_benchmark.queries.items()],
        qrels=["query-id\tcorpus-id\tscore"] + [f"q{index:02}\td{index:02}\t1" for index in range(20)],
    )
    return EvaluateSettings(
        benchmarks=[toy, DocstringsBenchmark(kind="docstrings", limit=20)],
        max_tokens=64,
        precision="fp32",
        resamples=500,
    )


def test_every_model_on_every_benchmark(
    settings: EvaluateSettings, encoder_dir: Path, other_encoder_dir: Path, tmp_path: Path
):
    models = {"untrained": encoder_dir, "after_warm": encoder_dir, "retriever": other_encoder_dir}
    console = Console(file=io.StringIO(), width=200)
    metrics = evaluate(settings, 0, models, ["harmless"], tmp_path / "out", console)
    assert list(metrics["toy"]) == ["bm25", "untrained", "after_warm", "retriever", "hybrid"]
    assert list(metrics["docstrings"]) == [
        "bm25",
        "bm25_identifiers",
        "untrained",
        "after_warm",
        "retriever",
        "hybrid",
    ]
    assert metrics["toy"]["untrained"] == metrics["toy"]["after_warm"] != metrics["toy"]["retriever"]
    assert all(0 < values["recall_at_100"] <= 1 for models in metrics.values() for values in models.values())
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == metrics
    against = [
        row["against"] for row in json.loads((tmp_path / "out/comparisons.json").read_text())["comparisons"]
    ]
    assert against == [
        "bm25",
        "untrained",
        "after_warm",
        "hybrid",
        "bm25",
        "bm25_identifiers",
        "untrained",
        "after_warm",
        "hybrid",
    ]
    assert "docstrings: first sentence of the docstring" in console.file.getvalue()


def test_contaminated_training_texts_stop_it_before_any_model_is_loaded(
    settings: EvaluateSettings, toy_benchmark: Benchmark, tmp_path: Path
):
    longest = max((toy_benchmark.corpus[key.replace("q", "d")] for key in toy_benchmark.queries), key=len)
    models = {"retriever": tmp_path / "no such folder"}
    with pytest.raises(RevelaError, match="1 training text"):
        evaluate(settings, 0, models, [longest], tmp_path / "out", Console(file=io.StringIO()))
    assert not (tmp_path / "out").exists()
    with pytest.raises(RevelaError, match="no such folder: not a saved SentenceTransformer"):
        evaluate(settings, 0, models, None, tmp_path / "out", Console(file=io.StringIO()))


def test_the_retriever_must_be_among_the_models(
    settings: EvaluateSettings, encoder_dir: Path, tmp_path: Path
):
    with pytest.raises(ValueError, match="must have 'retriever', found untrained"):
        evaluate(settings, 0, {"untrained": encoder_dir}, None, tmp_path / "out", Console(file=io.StringIO()))
