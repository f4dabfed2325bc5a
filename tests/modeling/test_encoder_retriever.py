"""Encoders that read in both directions serve as retrievers, too, with mean or cls pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel

from revela.errors import RevelaError
from revela.modeling.backbone import prepare_backbone
from revela.settings import (
    BackboneSettings,
    ModelSource,
    ObjectiveSettings,
    RetrieverSource,
    TrainingSettings,
)
from revela.training.model import JointModel

PHASE = {
    "name": "both", "train": ["retriever", "lm"], "terms": {"revela": 1.0, "contrastive": 1.0}, "steps": 1,
    "learning_rate": {"retriever": 1e-3, "lm": 1e-3},
}  # fmt: skip
SIZES = {
    "vocab_size": 500,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
}
ENCODERS = {
    "bert": lambda: BertModel(BertConfig(**SIZES, num_attention_heads=4)),
    "modernbert": lambda: ModernBertModel(ModernBertConfig(**SIZES, num_attention_heads=4)),
}


@pytest.fixture(params=ENCODERS)
def encoder_folder(request, tmp_path, tokenizer):
    torch.manual_seed(0)
    ENCODERS[request.param]().save_pretrained(tmp_path / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def prepared(encoder_folder, causal_lm_folder, out, pooling="mean", layers=None):
    settings = BackboneSettings(
        retriever=RetrieverSource(
            kind="folder", name=str(encoder_folder), pooling=pooling, max_tokens=64, layers=layers
        ),
        lm=ModelSource(kind="folder", name=str(causal_lm_folder)),
    )
    prepare_backbone(settings, out)
    return out


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_encoder_trains_under_the_objective_and_loads_as_it_was_trained(
    encoder_folder, causal_lm_folder, tmp_path, pooling
):
    backbone = prepared(encoder_folder, causal_lm_folder, tmp_path / "backbone", pooling)
    training = TrainingSettings(
        phases=[PHASE], lora={"rank": 4, "alpha": 8, "targets": "all-linear"}, gradient_checkpointing=True
    )
    model = JointModel(backbone, training, ObjectiveSettings(temperature=0.5), torch.float32)
    model.enter(training.phases[0])
    texts = ["def parse(text):", "import os, sys", "class Reader:"]
    lm = model.retriever.tokenize(texts, "document")
    model.train()(
        query=model.retriever.tokenize(texts, "query"),
        passage=lm,
        rest=lm,
        lm={**lm, "labels": lm["input_ids"]},
    )["loss"].backward()
    without = [
        name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None
    ]
    assert without == []

    with torch.no_grad():
        for name, weight in model.retriever.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    model.retriever.eval().save(tmp_path / "saved")
    wanted = model.retriever(**model.retriever.tokenize(texts, "query")).detach().numpy()
    found = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode_query(texts)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_an_encoder_can_be_cut(encoder_folder, causal_lm_folder, tmp_path):
    backbone = prepared(encoder_folder, causal_lm_folder, tmp_path / "backbone", layers=2)
    retriever = SentenceTransformer(str(backbone / "retriever"), device="cpu")
    assert retriever[0].model.config.num_hidden_layers == 2
    assert not any(".2." in name for name, _ in retriever.named_parameters() if "layer" in name)


def test_pooling_that_does_not_suit_the_model_is_refused(encoder_folder, causal_lm_folder, tmp_path):
    with pytest.raises(RevelaError, match=r"pooling is lasttoken.*encoder"):
        prepared(encoder_folder, causal_lm_folder, tmp_path / "backbone", "lasttoken")
    with pytest.raises(RevelaError, match=r"pooling is cls.*causal"):
        prepared(causal_lm_folder, causal_lm_folder, tmp_path / "backbone", "cls")


def test_adapter_targets_of_another_architecture_are_refused_with_the_way_out(
    encoder_folder, causal_lm_folder, tmp_path
):
    backbone = prepared(encoder_folder, causal_lm_folder, tmp_path / "backbone")
    with pytest.raises(RevelaError, match=r"(?s)targets.*do not fit.*all-linear"):
        JointModel(backbone, TrainingSettings(phases=[PHASE]), ObjectiveSettings(), torch.float32)
