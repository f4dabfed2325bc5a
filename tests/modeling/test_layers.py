"""Compiled layers compute what layers compute, and are compiled once."""

from __future__ import annotations

import copy

import pytest
import torch
from gradients import assert_gradients, gradients_of
from torch._dynamo.utils import counters
from transformers import LlamaConfig

from revela.modeling import conditioned_loss, load_lm
from revela.modeling.layers import as_they_are, compile_layers, layers_of
from revela.modeling.versions import checkpoint_activations

BACKEND = "aot_eager"  # traces all, and writes no kernels, which takes a minute; `bench.gpu --tiny` does that


def llama(layers: int):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, pad_token_id=0,
    )  # fmt: skip
    return load_lm(config).train()


def loss_of(lm, lengths: list[int], attention: str = "joint") -> torch.Tensor:
    """Two groups of chunks of these lengths."""
    longest = max(lengths)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(3, 61, mask.shape, generator=torch.Generator().manual_seed(longest)) * mask
    size = len(lengths) // 2
    similarities = torch.randn(2, size, size, generator=torch.Generator().manual_seed(size))
    return conditioned_loss(
        lm, ids, mask, ids.masked_fill(mask == 0, -100), similarities, temperature=0.3, attention=attention,
        top_k=2, lengths=lengths,
    ).loss  # fmt: skip


LENGTHS = ([9, 4, 7, 12, 3, 8], [20, 5, 6, 7], [11, 2, 16, 4, 9, 10, 13, 5])


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("attention", ["joint", "paper"])
@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
def test_losses_and_gradients_stay_what_they_are(attention, checkpointed):
    lm = llama(layers=3)
    if checkpointed:
        checkpoint_activations(lm)
    compiled = copy.deepcopy(lm)
    assert compile_layers(compiled, BACKEND) == 3
    for lengths in LENGTHS:
        for model in (lm, compiled):
            model.zero_grad()
            loss = loss_of(model, lengths, attention)
            loss.backward()
            if model is lm:
                wanted, gradients = loss, gradients_of(model)
        torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-6)
        assert_gradients(compiled, gradients, 1e-5)
    assert counters["stats"]["unique_graphs"] > 0, "nothing was compiled"


def test_neither_more_layers_nor_other_lengths_are_compiled_anew():
    graphs = []
    for layers in (2, 6):
        torch._dynamo.reset()
        counters.clear()
        lm = llama(layers)
        compile_layers(lm, BACKEND)
        for lengths in LENGTHS:
            loss_of(lm, lengths).backward()
            graphs.append(counters["stats"]["unique_graphs"])
    assert len(set(graphs)) == 1, graphs


def test_a_second_model_of_the_same_shape_uses_the_first_ones_code():
    for _ in range(2):
        lm = llama(layers=2)
        compile_layers(lm, BACKEND)
        loss_of(lm, LENGTHS[0]).backward()
        first = counters["stats"].setdefault("first", counters["stats"]["unique_graphs"])
    assert counters["stats"]["unique_graphs"] == first


def test_measuring_compiles_nothing():
    lm = llama(layers=2)
    compile_layers(lm, BACKEND)
    with as_they_are(), torch.no_grad():
        loss_of(lm, LENGTHS[0])
    assert counters["stats"]["unique_graphs"] == 0


def test_a_model_whose_layers_transformers_does_not_name_has_none():
    lm = llama(layers=2)
    assert len(layers_of(lm)) == 2
    lm._no_split_modules = None
    assert layers_of(lm) == [] and compile_layers(lm, BACKEND) == 0
