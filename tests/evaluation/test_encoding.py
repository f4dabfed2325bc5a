"""Texts to vectors: alone, several encoders together, and with a cache before them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

from revela.errors import RevelaError
from revela.evaluation import encoding
from revela.evaluation.encoding import encode, encode_together, encode_with_cache
from revela.evaluation.loading import load_encoder
from revela.evaluation.vector_cache import VectorCache


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_vectors_are_float32_of_unit_length_in_the_order_given(encoder_dir: Path, precision: str):
    model = load_encoder(encoder_dir, max_tokens=128, precision=precision, device="cpu")
    assert model.transformers_model.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
    texts = ["red house", "the green river and the large planet", "window"]
    vectors = encode(model, texts, "document", 2, "toy")
    assert vectors.dtype == np.float32 and vectors.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    alone = encode(model, texts[2:], "document", 2, "toy")
    np.testing.assert_allclose(vectors[2], alone[0], atol=1e-5 if precision == "fp32" else 0.05)


def test_queries_and_documents_get_their_own_prompts(encoder_dir: Path):
    model = load_encoder(encoder_dir, max_tokens=128, precision="fp32", device="cpu")
    query, document = (encode(model, ["red house"], role, 1, "toy")[0] for role in ("query", "document"))
    assert query @ document < 0.999


def test_max_tokens_cuts_texts_and_keeps_the_end_token(encoder_dir: Path):
    model = load_encoder(encoder_dir, max_tokens=12, precision="fp32", device="cpu")
    long = " ".join(["red house"] * 30)
    ids = model.preprocess([long], prompt="passage: ")["input_ids"][0]
    assert len(ids) == 12
    assert ids[-1].item() == model.tokenizer.eos_token_id
    one, other = encode(model, [long, long + " blue planet"], "document", 2, "toy")
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_vectors_that_are_not_finite_are_refused(encoder_dir: Path):
    model = load_encoder(encoder_dir, max_tokens=128, precision="fp32", device="cpu")
    with torch.no_grad():
        model.transformers_model.norm.weight.fill_(float("nan"))
    with pytest.raises(RevelaError, match="toy: the model gives vectors that are not finite"):
        encode(model, ["red house"], "query", 1, "toy")


@pytest.fixture
def two(encoder_dir: Path) -> list[SentenceTransformer]:
    """An encoder, and one of the same transformer with another pooling, which writes into its tokens."""
    first, second = (load_encoder(encoder_dir, max_tokens=64, precision="fp32", device="cpu") for _ in "ab")
    second[1] = Pooling(32, pooling_mode="max")
    second.insert(2, Dense(32, 16))
    return [first, second]


TEXTS = ["red house", "the green river and the large planet", "window", "red house"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_together_they_give_what_each_gives_alone(two: list[SentenceTransformer], order: tuple[int, int]):
    alone = [encode(model, TEXTS, "document", 3, "toy") for model in two]
    chosen = [two[index] for index in order]
    chosen[1][0] = chosen[0][0]
    for index, vectors in zip(order, encode_together(chosen, TEXTS, "document", 3, "toy"), strict=True):
        np.testing.assert_allclose(vectors, alone[index], atol=1e-6)


def test_it_is_what_sentence_transformers_gives(encoder_dir: Path):
    theirs = SentenceTransformer(str(encoder_dir), device="cpu")
    ours = load_encoder(encoder_dir, max_tokens=128, precision="fp32", device="cpu")
    for role, method in (("query", theirs.encode_query), ("document", theirs.encode_document)):
        np.testing.assert_allclose(encode(ours, TEXTS, role, 2, "toy"), method(TEXTS), atol=1e-6)
    ours.truncate_dim = 8
    cut = encode(ours, TEXTS, "query", 2, "toy")
    wanted = theirs.encode_query(TEXTS, truncate_dim=8, normalize_embeddings=True)
    np.testing.assert_allclose(cut, wanted, atol=1e-6)


def test_only_what_the_cache_lacks_is_encoded(
    two: list[SentenceTransformer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[list[str]] = []

    def watched(models, texts, *arguments):
        seen.append(list(texts))
        return encode_together(models, texts, *arguments)

    monkeypatch.setattr(encoding, "encode_together", watched)
    monkeypatch.setattr(encoding, "PIECE", 2)
    cache, keys = VectorCache(tmp_path / "vectors"), ["a", "b"]
    fresh = encode_with_cache(cache, keys, two, TEXTS[:3], "document", 2, "toy")
    assert seen == [TEXTS[:2], TEXTS[2:3]]
    again = encode_with_cache(cache, keys, two, [*TEXTS, "new"], "document", 2, "toy")
    assert seen[2:] == [["new"]]
    for before, after in zip(fresh, again, strict=True):
        assert after[:3].tobytes() == before.tobytes()
        assert after[3].tobytes() == before[0].tobytes()
    encode_with_cache(cache, keys, two, ["window"], "query", 2, "toy")
    assert seen[3:] == [["window"]], "a query is no document"
