"""Norms by the fused kernel give what the models' own code gives."""

from __future__ import annotations

import copy

import pytest
import torch
from gradients import assert_gradients, gradients_of
from transformers import Gemma2Config, LlamaConfig, Qwen3Config

from revela.modeling import load_lm, norms

SIZES = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip
IDS = torch.arange(3, 23).view(2, 10)


@pytest.fixture
def everywhere(monkeypatch):
    monkeypatch.setattr(norms, "FUSED_ON", {"cuda", "cpu"})


@pytest.mark.parametrize("config_class", [LlamaConfig, Qwen3Config], ids=["llama", "qwen3"])
def test_logits_and_gradients_stay_what_they_are(config_class, everywhere):
    torch.manual_seed(0)
    lm = load_lm(config_class(**SIZES))
    with torch.no_grad():
        for name, weight in lm.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    twin = copy.deepcopy(lm)
    count = norms.fuse_norms(twin)
    assert count == sum("norm" in name for name, _ in lm.named_parameters())
    assert norms.fuse_norms(twin) == 0, "none is fused twice"
    for model in (lm, copy.deepcopy(twin)):
        logits = model(input_ids=IDS).logits
        logits.pow(2).mean().backward()
        if model is lm:
            wanted, gradients = logits, gradients_of(model)
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
    assert_gradients(model, gradients, 1e-4)


def test_under_autocast_the_outcome_is_in_the_precision_that_is_computed_in(everywhere):
    lm = load_lm(LlamaConfig(**SIZES))
    norms.fuse_norms(lm)
    hidden = torch.randn(2, 3, 32)
    norm = lm.model.norm
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(hidden).dtype == torch.bfloat16
    assert norm(hidden).dtype == torch.float32


def test_a_norm_of_another_kind_keeps_its_own_code():
    torch.manual_seed(0)
    lm = load_lm(Gemma2Config(**SIZES, head_dim=8))
    with torch.no_grad():
        for name, weight in lm.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
    assert norms.fuse_norms(lm) == 0


def test_on_a_cpu_the_models_own_code_runs():
    lm = load_lm(LlamaConfig(**SIZES))
    before = lm(input_ids=IDS).logits
    norms.fuse_norms(lm)
    assert torch.equal(lm(input_ids=IDS).logits, before)
