"""Where nothing of the language model trains, its plain streams need no gradient, and have none."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, LlamaConfig

from revela.modeling import conditioned_loss, load_lm

SIZE, LENGTH = 5, 9
CONFIGS = {
    "llama": LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3,
    ),
    "gpt2": GPT2Config(vocab_size=61, n_embd=32, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=1),
}  # fmt: skip


def group(padded: bool):
    torch.manual_seed(1)
    ids = torch.randint(3, 61, (SIZE, LENGTH))
    mask = torch.ones_like(ids)
    if padded:
        mask[0, 6:] = 0
    return ids, mask, ids.masked_fill(mask == 0, -100)


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("measured", [False, True], ids=["loss", "gain"])
@pytest.mark.parametrize("attention", ["paper", "joint"])
@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_the_weights_gradient_are_those_of_a_model_that_trains(name, attention, measured, padded):
    torch.manual_seed(0)
    lm = load_lm(CONFIGS[name])
    similarities = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(2)) * 0.2
    found = []
    for frozen in (False, True):
        lm.requires_grad_(not frozen)
        given = similarities.clone().requires_grad_()
        output = conditioned_loss(
            lm, *group(padded), given, temperature=0.1, attention=attention, top_k=2,
            return_plain_loss=measured, detach_plain_loss=True,
        )  # fmt: skip
        output.loss.backward()
        found.append((output, given.grad))
    (training, wanted), (frozen, gradient) = found
    torch.testing.assert_close(frozen.loss, training.loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-7)
    assert gradient.abs().sum() > 0
    if measured:
        torch.testing.assert_close(frozen.plain_loss, training.plain_loss, rtol=1e-5, atol=1e-6)


def test_the_plain_streams_keep_no_activations():
    lm = load_lm(CONFIGS["llama"]).requires_grad_(False)
    seen = []
    lm.model.layers[0].mlp.register_forward_hook(
        lambda _, inputs, output: seen.append((len(inputs[0]), output.requires_grad))
    )
    similarities = torch.zeros(SIZE, SIZE, requires_grad=True)
    conditioned_loss(lm, *group(False), similarities, temperature=1.0)
    assert seen == [(SIZE, False), (SIZE, True)]


def test_a_group_whose_chunks_read_nothing_has_its_plain_loss():
    lm = load_lm(CONFIGS["llama"]).requires_grad_(False)
    similarities = torch.zeros(SIZE, SIZE, requires_grad=True)
    output = conditioned_loss(lm, *group(False), similarities, temperature=1.0, min_weight=0.9)
    plain = lm(input_ids=group(False)[0], labels=group(False)[2]).loss
    torch.testing.assert_close(output.loss, plain)
    output.loss.backward()
