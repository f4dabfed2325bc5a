"""FLOPs of a group follow what is computed for it, and nothing else."""

from __future__ import annotations

import pytest
import torch

from revela.settings import ObjectiveSettings, Phase, TrainingSettings
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
    return {"sizes": [CHUNKS], **{name: {"attention_mask": mask, "labels": mask} for name in names}}


def phase(*train: str, **terms: float) -> Phase:
    return Phase(name="x", train=train, terms=terms, steps=1, learning_rate=dict.fromkeys(train, 1e-3))


def test_a_training_retriever_costs_six_flops_a_weight_and_token_and_a_frozen_one_two(model):
    weights, tokens = matmul_weights(model.retriever), CHUNKS * TOKENS
    cost = GroupCost(model)
    found = cost(inputs("query"), phase("retriever", contrastive=1.0))
    assert (found.total(0), found.tokens) == (6.0 * weights * tokens, tokens)
    frozen = cost(inputs("query", "rest", "lm"), phase("lm", revela=1.0))
    without = cost(inputs("lm"), phase("lm", revela=1.0))
    assert frozen.flops - without.flops == pytest.approx(2.0 * weights * 2 * tokens)
    assert frozen.tokens == 3 * tokens


def test_the_language_model_is_charged_for_plain_streams_of_read_chunks_only(model):
    head = model.causal_lm.get_output_embeddings().weight.numel()
    body = matmul_weights(model.lm) - head
    tokens = CHUNKS * TOKENS
    cost = GroupCost(model)(inputs("lm"), phase("lm", revela=1.0))
    assert cost.total(1.0) == pytest.approx(6.0 * body * 1.25 * tokens + 4.0 * head * tokens)


def test_two_groups_cost_twice_one_and_reading_is_counted_a_group(model):
    one = GroupCost(model)(inputs("lm"), phase("lm", revela=1.0))
    mask = torch.ones(2 * CHUNKS, TOKENS)
    both = {"sizes": [CHUNKS, CHUNKS], "lm": {"attention_mask": mask, "labels": mask}}
    two = GroupCost(model)(both, phase("lm", revela=1.0))
    assert two.total(3.0) == pytest.approx(2 * one.total(3.0))
    assert two.tokens == 2 * one.tokens


def test_measuring_the_gain_adds_all_plain_streams_and_their_head(model):
    head = model.causal_lm.get_output_embeddings().weight.numel()
    body = matmul_weights(model.lm) - head
    tokens = CHUNKS * TOKENS
    cost = GroupCost(model)(inputs("lm"), phase("lm", revela=1.0), measured=True)
    assert cost.total(1.0) == pytest.approx(6.0 * body * 2 * tokens + 6.0 * head * tokens)


def test_replug_is_charged_for_one_reading_as_prefix_and_one_after_every_chunk_without_backward(model):
    head = model.causal_lm.get_output_embeddings().weight.numel()
    body = matmul_weights(model.lm) - head
    tokens = CHUNKS * TOKENS
    continuation = torch.full((CHUNKS, TOKENS), -100)
    continuation[:, 6:] = 1
    cost = GroupCost(model)({**inputs("lm"), "continuation": continuation}, phase("retriever", replug=1.0))
    expected = 2.0 * body * (1 + CHUNKS) * tokens + 2.0 * head * CHUNKS * CHUNKS * 4
    assert cost.total(0.0) == pytest.approx(expected)
