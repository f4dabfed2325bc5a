"""FLOPs of a group follow what is computed for it, and nothing else."""

from __future__ import annotations

import pytest
import torch

from revela.settings import ObjectiveSettings, TrainingSettings
from revela.training.flops import matmul_weights
from revela.training.group_cost import GroupCost
from revela.training.model import JointModel

PHASE = {
    "name": "both", "train": ["retriever", "lm"], "terms": {"revela": 1.0}, "steps": 1,
    "learning_rate": {"retriever": 1e-3, "lm": 1e-3},
}  # fmt: skip
CHUNKS, TOKENS = 4, 10


@pytest.fixture(scope="module")
def model(backbone_folder):
    return JointModel(
        backbone_folder, TrainingSettings(phases=[PHASE], lora=None), ObjectiveSettings(), torch.float32
    )


def inputs(*names: str) -> dict:
    mask = torch.ones(CHUNKS, TOKENS)
    return {name: {"attention_mask": mask, "labels": mask} for name in names}


def test_a_training_retriever_costs_six_flops_a_weight_and_token_and_a_frozen_one_two(model):
    weights, tokens = matmul_weights(model.retriever), CHUNKS * TOKENS
    cost = GroupCost(model)
    assert cost(inputs("query"), {}, ["retriever"]) == (6.0 * weights * tokens, tokens)
    assert cost(inputs("query", "rest"), {}, []) == (2.0 * weights * 2 * tokens, 2 * tokens)


def test_the_language_model_is_charged_for_plain_streams_of_read_chunks_only(model):
    head = model.causal_lm.get_output_embeddings().weight.numel()
    body = matmul_weights(model.lm) - head
    tokens = CHUNKS * TOKENS
    flops, _ = GroupCost(model)(inputs("lm"), {"chunks_read": torch.tensor(1.0)}, ["lm"])
    assert flops == pytest.approx(6.0 * body * 1.25 * tokens + 4.0 * head * tokens)


def test_measuring_the_gain_adds_all_plain_streams_and_their_head(model):
    head = model.causal_lm.get_output_embeddings().weight.numel()
    body = matmul_weights(model.lm) - head
    tokens = CHUNKS * TOKENS
    figures = {"chunks_read": torch.tensor(1.0), "gain": torch.tensor(0.0)}
    flops, _ = GroupCost(model)(inputs("lm"), figures, ["lm"])
    assert flops == pytest.approx(6.0 * body * 2 * tokens + 6.0 * head * tokens)


def test_replug_is_charged_for_one_reading_as_prefix_and_one_after_every_chunk_without_backward(model):
    head = model.causal_lm.get_output_embeddings().weight.numel()
    body = matmul_weights(model.lm) - head
    tokens = CHUNKS * TOKENS
    continuation = torch.full((CHUNKS, TOKENS), -100)
    continuation[:, 6:] = 1
    flops, _ = GroupCost(model)({**inputs("lm"), "continuation": continuation}, {}, ["retriever"])
    assert flops == pytest.approx(2.0 * body * (1 + CHUNKS) * tokens + 2.0 * head * CHUNKS * CHUNKS * 4)
