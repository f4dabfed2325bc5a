"""Token weights: the formula, and mean pooling that uses them, saved with the model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from revela.modeling.encoder import load_encoder
from revela.modeling.retriever import Retriever
from revela.modeling.token_weights import inverse_document_frequencies
from revela.modeling.untrained import build_retriever
from revela.settings import RetrieverSource

TEXTS = ["def read(path): ...", "close it", "def close(path): ..."]


@pytest.fixture
def mean_retriever(causal_lm_folder, tmp_path) -> Retriever:
    source = RetrieverSource(kind="folder", name=str(causal_lm_folder), max_tokens=64, pooling="mean")
    build_retriever(causal_lm_folder, source).save(str(tmp_path / "retriever"))
    return Retriever(tmp_path / "retriever")


def test_a_token_weighs_less_the_more_texts_have_it(mean_retriever):
    tokenizer = mean_retriever.encoder[0].tokenizer
    # More texts than are tokenised at a time, and tokens that occur twice in one.
    texts = ["read read the file", *["close the file"] * 1500]
    weights = inverse_document_frequencies(tokenizer, texts)
    sets = [set(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
    for token in range(len(tokenizer)):
        # Special ones the tokenizer adds to each: that they stand in none of the texts says nothing.
        everywhere = token in tokenizer.all_special_ids
        having = len(texts) if everywhere else sum(token in found for found in sets)
        assert weights[token] == pytest.approx(math.log(1 + (1501 - having + 0.5) / (having + 0.5)))
    assert len(np.unique(weights)) == 4  # in all texts, in all but one, in one, in none
    with pytest.raises(ValueError, match="at least one text"):
        inverse_document_frequencies(tokenizer, [])


def test_pooling_is_the_weighted_mean_written_out(mean_retriever):
    inputs = mean_retriever.tokenize(TEXTS, "query")
    with torch.no_grad():
        hidden = mean_retriever.encoder[0](dict(inputs))["token_embeddings"]
    weights = np.random.default_rng(0).uniform(0.1, 3, len(mean_retriever.encoder[0].tokenizer))
    mean_retriever.weigh_tokens(weights)
    with torch.no_grad():
        found = mean_retriever.pooled(**inputs)
    for row, text in enumerate(inputs["input_ids"]):
        read = inputs["attention_mask"][row].bool()
        w = torch.as_tensor(weights)[text[read]].float()
        expected = (hidden[row, read] * w[:, None]).sum(dim=0) / w.sum()
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-4)


def test_a_saved_retriever_carries_its_weights_without_our_code_and_they_do_not_train(
    mean_retriever, tmp_path
):
    weights = inverse_document_frequencies(mean_retriever.encoder[0].tokenizer, TEXTS)
    mean_retriever.weigh_tokens(weights)
    width = mean_retriever.encoder.get_embedding_dimension()
    mean_retriever.insert_after_pooling(torch.zeros(width), 2 * torch.eye(width))
    mean_retriever.save(tmp_path / "saved")
    with torch.no_grad():
        trained = mean_retriever(**mean_retriever.tokenize(TEXTS, "query"))
        loaded = Retriever(tmp_path / "saved")
        again = loaded(**loaded.tokenize(TEXTS, "query"))
    torch.testing.assert_close(again, trained)
    library = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    found = torch.as_tensor(library.encode_query(TEXTS))
    torch.testing.assert_close(found, trained, atol=1e-5, rtol=0)
    assert {name.split(".")[1] for name, w in loaded.named_parameters() if w.requires_grad} == {"0"}
    half = load_encoder(tmp_path / "saved", torch.bfloat16)
    assert half[1].emb_layer.weight.dtype == torch.float32


def test_weights_are_for_a_mean_in_which_all_tokens_count_alike(mean_retriever, backbone_folder):
    assert not Retriever(backbone_folder / "retriever").averages_evenly, "it reads the last token"
    assert mean_retriever.averages_evenly
    mean_retriever.weigh_tokens(np.ones(len(mean_retriever.encoder[0].tokenizer)))
    assert not mean_retriever.averages_evenly


def test_a_text_of_nothing_has_a_vector(mean_retriever):
    tokenizer = mean_retriever.encoder[0].tokenizer
    # So many texts that a token of all of them weighs nothing in six digits.
    mean_retriever.weigh_tokens(np.full(len(tokenizer), 1e-9))
    with torch.no_grad():
        assert torch.isfinite(mean_retriever(**mean_retriever.tokenize(["", "close"], "query"))).all()
