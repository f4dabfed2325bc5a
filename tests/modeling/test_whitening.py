"""The whitening map, as a formula and as a part of a saved retriever."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer

from revela.modeling.encoder import load_encoder
from revela.modeling.retriever import Retriever
from revela.modeling.whitening import fit_whitening, whitening_module


@pytest.fixture
def narrow() -> torch.Tensor:
    """Vectors with a large common part, of unequal and correlated directions."""
    torch.manual_seed(0)
    return torch.randn(500, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64) + 40.0


def test_whitened_vectors_have_mean_zero_and_the_identity_for_a_covariance(narrow):
    mean, matrix = fit_whitening(narrow, floor=1e-12)
    whitened = (narrow - mean) @ matrix
    torch.testing.assert_close(whitened.mean(dim=0), torch.zeros(6, dtype=torch.float64), atol=1e-9, rtol=0)
    covariance = whitened.T @ whitened / len(whitened)
    torch.testing.assert_close(covariance, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_floor_keeps_directions_without_variance_small(narrow):
    flat = torch.cat([narrow, torch.full((500, 1), 3.0, dtype=torch.float64)], dim=1)
    mean, matrix = fit_whitening(flat, floor=0.01)
    assert torch.isfinite(matrix).all()
    assert ((flat - mean) @ matrix).var(dim=0).min() < 1e-9


def test_vectors_that_are_not_finite_are_refused(narrow):
    with pytest.raises(ValueError, match="finite"):
        fit_whitening(narrow.fill_diagonal_(torch.nan), floor=0.01)


def test_the_module_is_the_map(narrow):
    mean, matrix = fit_whitening(narrow, floor=0.01)
    found = whitening_module(mean, matrix)({"sentence_embedding": narrow.float()})["sentence_embedding"]
    torch.testing.assert_close(found.double(), (narrow - mean) @ matrix, atol=1e-4, rtol=1e-4)


@pytest.fixture
def whitened(backbone_folder) -> Retriever:
    retriever = Retriever(backbone_folder / "retriever")
    torch.manual_seed(0)
    width = retriever.encoder.get_embedding_dimension()
    retriever.insert_after_pooling(*fit_whitening(torch.randn(300, width) * 0.1 + 1.0, floor=0.01))
    return retriever


def test_a_saved_retriever_carries_its_whitening_without_our_code(whitened, tmp_path):
    whitened.save(tmp_path / "saved")
    texts = ["def read(path): ...", "close it"]
    with torch.no_grad():
        trained = whitened(**whitened.tokenize(texts, "query"))
        plain = Retriever(tmp_path / "saved")(**whitened.tokenize(texts, "query"))
    torch.testing.assert_close(plain, trained)
    library = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    found = torch.as_tensor(library.encode_query(texts))
    torch.testing.assert_close(found, trained, atol=1e-5, rtol=0)


def test_whitening_does_not_train(whitened, tmp_path):
    whitened.save(tmp_path / "saved")
    for retriever in (whitened, Retriever(tmp_path / "saved")):
        trainable = {name for name, weight in retriever.named_parameters() if weight.requires_grad}
        assert trainable and all(".0." in name for name in trainable)


def test_a_half_precision_transformer_leaves_the_map_in_full_precision(whitened, tmp_path):
    whitened.save(tmp_path / "saved")
    half = load_encoder(tmp_path / "saved", torch.bfloat16)
    assert half[0].model.dtype == torch.bfloat16
    assert torch.equal(half[2].linear.weight, whitened.encoder[2].linear.weight)
    found = half.encode_query(["def read(path): ..."], convert_to_tensor=True)
    assert found.dtype == torch.float32
