"""What nobody reads is not computed, and leaving it out changes nothing that is wanted."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, LlamaConfig

from revela.modeling import conditioned_loss, load_lm

SIZE, LENGTH, READ = 6, 9, 2


def lm_of(config_class=LlamaConfig):
    torch.manual_seed(0)
    if config_class is GPT2Config:
        return load_lm(
            GPT2Config(vocab_size=61, n_embd=32, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=1)
        )
    return load_lm(
        LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, initializer_range=0.3,
        )
    )  # fmt: skip


def group_in_which_two_chunks_are_read():
    torch.manual_seed(1)
    ids = torch.randint(3, 61, (SIZE, LENGTH))
    similarities = torch.full((SIZE, SIZE), -1.0)
    similarities[:, 0], similarities[0, 1] = 1.0, 1.0
    return ids, torch.ones_like(ids), ids, similarities


def rows_seen(modules: dict[str, torch.nn.Module]) -> dict[str, int]:
    seen: dict[str, int] = {}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: seen.__setitem__(name, len(inputs[0]))
        )
    return seen


@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_plain_streams_exist_for_read_chunks_only_and_end_at_the_last_layers_keys(attention):
    lm = lm_of()
    first, last = lm.model.layers[0], lm.model.layers[-1]
    seen = rows_seen(
        {"embedding": lm.model.embed_tokens, "first mlp": first.mlp, "keys": last.self_attn.k_proj,
         "down": last.mlp.down_proj, "output": last.self_attn.o_proj}
    )  # fmt: skip
    group = group_in_which_two_chunks_are_read()
    output = conditioned_loss(lm, *group, temperature=0.01, attention=attention, min_weight=1e-6)
    assert output.chunks_read == READ
    every = READ + SIZE
    assert seen == {"embedding": every, "first mlp": every, "keys": every, "down": SIZE, "output": SIZE}

    conditioned_loss(
        lm, *group, temperature=0.01, attention=attention, min_weight=1e-6, return_plain_loss=True
    )
    assert set(seen.values()) == {2 * SIZE}


@pytest.mark.parametrize("config_class", [LlamaConfig, GPT2Config])
@pytest.mark.parametrize("attention", ["paper", "joint"])
def test_with_adapters_the_loss_and_every_gradient_stay_what_they_are_with_nothing_left_out(
    config_class, attention
):
    lm = lm_of(config_class)
    targets = ["c_attn", "c_proj", "c_fc"] if config_class is GPT2Config else "all-linear"
    adapted = get_peft_model(lm, LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    ids, mask, labels, similarities = group_in_which_two_chunks_are_read()
    found = []
    for keep in (False, True):
        adapted.zero_grad()
        given = similarities.clone().requires_grad_()
        output = conditioned_loss(
            adapted.get_base_model(), ids, mask, labels, given, temperature=0.5, attention=attention, top_k=2,
            return_plain_loss=keep,
        )  # fmt: skip
        output.loss.backward()
        gradients = [weight.grad for weight in adapted.parameters() if weight.requires_grad]
        found.append([output.loss.detach(), given.grad, *gradients])
    for skipped, whole in zip(*found, strict=True):
        torch.testing.assert_close(skipped, whole, rtol=1e-4, atol=1e-6)


def test_a_copied_model_leaves_out_its_own_rows_and_not_those_of_the_original():
    original = lm_of()
    twin = copy.deepcopy(original)
    group = group_in_which_two_chunks_are_read()
    wanted = conditioned_loss(twin, *group, temperature=0.5, return_plain_loss=True).plain_loss
    conditioned_loss(original, *group, temperature=0.01, min_weight=1e-6)
    found = conditioned_loss(twin, *group, temperature=0.5, return_plain_loss=True).plain_loss
    assert found.item() == wanted.item()


def test_without_a_group_the_model_is_an_ordinary_one_again():
    lm = lm_of()
    ids = group_in_which_two_chunks_are_read()[0]
    before = lm(input_ids=ids).logits
    conditioned_loss(lm, *group_in_which_two_chunks_are_read(), temperature=0.01, min_weight=1e-6)
    torch.testing.assert_close(lm(input_ids=ids[: READ + SIZE]).logits, before)
