import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from revela.errors import RevelaError
from revela.evaluation import dense
from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.scoring import METRICS, mean_scores, score


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
    for batch_size, piece in [(1, 64), (7, 20), (64, 64)]:
        monkeypatch.setattr(dense, "SLICE", piece)  # also: several slices instead of one
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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_are_float32_of_unit_length_in_the_order_given(encoder_dir: Path, precision: str):
    model = dense.load_encoder(encoder_dir, max_tokens=128, precision=precision, device="cpu")
    assert model.transformers_model.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
    texts = ["red house", "the green river and the large planet", "window"]
    vectors = dense.encode(model, texts, "document", 2, "toy")
    assert vectors.dtype == np.float32 and vectors.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    alone = dense.encode(model, texts[2:], "document", 2, "toy")
    np.testing.assert_allclose(vectors[2], alone[0], atol=1e-5 if precision == "fp32" else 0.05)


def test_queries_and_documents_get_their_own_prompts(encoder_dir: Path):
    model = dense.load_encoder(encoder_dir, max_tokens=128, precision="fp32", device="cpu")
    query, document = (
        dense.encode(model, ["red house"], role, 1, "toy")[0] for role in ("query", "document")
    )
    assert query @ document < 0.999


def test_max_tokens_cuts_texts_and_keeps_the_end_token(encoder_dir: Path):
    model = dense.load_encoder(encoder_dir, max_tokens=12, precision="fp32", device="cpu")
    long = " ".join(["red house"] * 30)
    ids = model.preprocess([long], prompt="passage: ")["input_ids"][0]
    assert len(ids) == 12
    assert ids[-1].item() == model.tokenizer.eos_token_id
    one, other = dense.encode(model, [long, long + " blue planet"], "document", 2, "toy")
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_more_tokens_than_positions_is_refused(encoder_dir: Path):
    with pytest.raises(RevelaError, match=r"evaluate\.max_tokens is 129, but .* has only 128 positions"):
        dense.load_encoder(encoder_dir, max_tokens=129, device="cpu")


def test_a_folder_that_is_no_sentence_transformer_is_refused(encoder_dir: Path, tmp_path: Path):
    bare = tmp_path / "bare"
    shutil.copytree(encoder_dir, bare)
    (bare / "modules.json").unlink()
    with pytest.raises(RevelaError, match=r"bare: not a saved SentenceTransformer"):
        dense.load_encoder(bare, max_tokens=16)
    broken = tmp_path / "broken"
    shutil.copytree(encoder_dir, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(RevelaError, match="broken: cannot be loaded"):
        dense.load_encoder(broken, max_tokens=16)


def test_vectors_that_are_not_finite_are_refused(encoder_dir: Path):
    model = dense.load_encoder(encoder_dir, max_tokens=128, precision="fp32", device="cpu")
    with torch.no_grad():
        model.transformers_model.norm.weight.fill_(float("nan"))
    with pytest.raises(RevelaError, match="toy: the model gives vectors that are not finite"):
        dense.encode(model, ["red house"], "query", 1, "toy")


def test_precision_by_hardware(monkeypatch: pytest.MonkeyPatch):
    assert dense.inference_dtype("bf16", "cpu") == torch.bfloat16
    assert dense.inference_dtype("fp32", "cuda") == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert dense.inference_dtype("auto", "cpu") == torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert dense.inference_dtype("auto", "cpu") == torch.bfloat16
