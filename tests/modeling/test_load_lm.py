"""Every model is probed at load: it answers in all its layers, or it is refused by name."""

from __future__ import annotations

import pytest
import torch
from transformers import BloomConfig, GPT2Config, GptOssConfig, MistralConfig, Qwen3Config, StableLmConfig

from revela.errors import RevelaError
from revela.modeling import conditioned_loss, load_lm

SMALL = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        Qwen3Config(**SMALL),
        MistralConfig(**SMALL, sliding_window=None),
        GPT2Config(
            vocab_size=61, n_embd=32, n_layer=2, n_head=4, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1
        ),
    ],
    ids=lambda config: config.model_type,
)
def test_other_architectures_answer_and_give_the_retriever_a_gradient(config):
    lm = load_lm(config)
    ids = torch.randint(3, 61, (4, 9), generator=torch.Generator().manual_seed(0))
    similarities = torch.rand(4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    for attention in ("paper", "joint"):
        similarities.grad = None
        conditioned_loss(
            lm, ids, torch.ones_like(ids), ids, similarities, temperature=0.5, attention=attention
        ).loss.backward()
        off_diagonal = ~torch.eye(4, dtype=torch.bool)
        assert (similarities.grad[off_diagonal] != 0).all()


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_dropout_is_switched_off_since_the_method_has_none(attention):
    sizes = {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 1}
    lm = load_lm(GPT2Config(**sizes, attn_pdrop=0.5, resid_pdrop=0.5)).train()
    ids = torch.randint(3, 61, (3, 9), generator=torch.Generator().manual_seed(0))
    inputs = (lm, ids, torch.ones_like(ids), ids, torch.zeros(3, 3))
    once, again = (conditioned_loss(*inputs, temperature=1.0, attention=attention).loss for _ in range(2))
    assert once.item() == again.item()


def test_a_model_that_ignores_the_attention_interface_is_refused():
    config = StableLmConfig(**{key: value for key, value in SMALL.items() if key != "head_dim"})
    with pytest.raises(RevelaError, match="'stablelm' is not supported: 0 of its 2 layers"):
        load_lm(config)


def test_bloom_is_refused_by_name():
    with pytest.raises(RevelaError, match="bloom"):
        load_lm(BloomConfig(vocab_size=61, hidden_size=32, n_layer=2, n_head=4))


def test_attention_sinks_are_refused_with_the_reason():
    config = GptOssConfig(**SMALL, num_local_experts=2, num_experts_per_tok=1)
    with pytest.raises(RevelaError, match=r"'gpt_oss' is not supported: .*attention sinks"):
        load_lm(config)


def test_a_folder_without_a_model_says_what_was_expected(tmp_path):
    with pytest.raises(RevelaError, match=r"config\.json and safetensors"):
        load_lm(tmp_path)


def test_an_unreachable_hub_id_says_so():
    with pytest.raises(RevelaError, match="no-such-owner/no-such-model: cannot be loaded"):
        load_lm("no-such-owner/no-such-model")
