from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from revela.evaluation import dense
from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.scoring import METRICS, mean_scores, score
from revela.modeling import many_texts


@pytest.fixture(scope="module")
def reference(encoder_dir: Path, toy_benchmark: Benchmark) -> np.ndarray:
    """(queries, documents) cosines, one text at a time, prompts written out by hand."""
    model = SentenceTransformer(str(encoder_dir), device="cpu")
    queries = np.stack([model.encode("query: " + text, prompt="") for text in toy_benchmark.queries.values()])
    documents = np.stack(
        [model.encode("passage: " + text, prompt="") for text in toy_benchmark.corpus.values()]
    )
    return queries @ documents.T


def test_run_equals_a_search_written_out(encoder_dir: Path, toy_benchmark: Benchmark, reference: np.ndarray):
    run = dense.dense_run(encoder_dir, toy_benchmark, max_tokens=128, batch_size=8, precision="fp32", k=10)
    documents = list(toy_benchmark.corpus)
    for row, (query, found) in zip(reference, run.items(), strict=True):
        best = np.argsort(-row)[:10]
        assert list(found) == [documents[index] for index in best], query
        assert list(found.values()) == pytest.approx(row[best].tolist(), abs=1e-5)


def test_result_does_not_depend_on_the_batch_size(
    encoder_dir: Path, toy_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
):
    scores = []
    for batch_size, tokens in [(1, 1280), (7, 40), (64, 1280)]:
        monkeypatch.setattr(many_texts, "CPU_TOKENS", tokens)
        run = dense.dense_run(
            encoder_dir, toy_benchmark, max_tokens=128, batch_size=batch_size, precision="fp32"
        )
        scores.append(score(toy_benchmark.qrels, run)[list(METRICS)].to_numpy())
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)
    np.testing.assert_allclose(scores[2], scores[0], atol=1e-6)


def test_scores_in_blocks_are_the_same(
    encoder_dir: Path, toy_benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
):
    options = {"max_tokens": 128, "batch_size": 16, "precision": "fp32"}
    whole = dense.dense_run(encoder_dir, toy_benchmark, **options)
    monkeypatch.setattr(dense, "MAX_SCORES", 3 * len(toy_benchmark.corpus))
    blocks = dense.dense_run(encoder_dir, toy_benchmark, **options)
    assert [list(found) for found in blocks.values()] == [list(found) for found in whole.values()]


def test_bf16_comes_close_to_fp32(encoder_dir: Path, toy_benchmark: Benchmark):
    means = []
    for precision in ("fp32", "bf16"):
        run = dense.dense_run(encoder_dir, toy_benchmark, max_tokens=128, batch_size=8, precision=precision)
        means.append(mean_scores(score(toy_benchmark.qrels, run))["ndcg_at_10"])
    assert means[0] == pytest.approx(means[1], abs=0.03)
    assert means[0] > 0.4


def test_without_max_tokens_each_model_reads_as_many_as_when_it_is_used(
    encoder_dir: Path, toy_benchmark: Benchmark, tmp_path: Path
):
    short = SentenceTransformer(str(encoder_dir), device="cpu")
    short.max_seq_length = 8
    short.save(str(tmp_path / "short"), create_model_card=False)
    options = {"batch_size": 8, "precision": "fp32"}
    models = {"long": encoder_dir, "short": tmp_path / "short"}
    found = dense.dense_runs(models, [toy_benchmark], max_tokens=None, **options).runs
    for name, tokens in (("long", 128), ("short", 8)):
        alone = dense.dense_run(encoder_dir, toy_benchmark, max_tokens=tokens, **options)
        assert found[name][toy_benchmark.name] == alone, name
    assert found["long"] != found["short"]
