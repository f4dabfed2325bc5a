"""Objectives of several groups: the mean over the groups of what each says by itself."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaConfig

from revela.modeling import load_lm
from revela.objectives import ContrastiveObjective, RevelaObjective
from revela.settings import ObjectiveSettings

GROUPS, SIZE = 3, 4
LENGTHS = (9, 4, 7, 2, 5, 9, 3, 3, 8, 6, 1, 4)


def unit(seed: int) -> Tensor:
    """(G, B, D) of unit length."""
    return F.normalize(torch.randn(GROUPS, SIZE, 6, generator=torch.Generator().manual_seed(seed)), dim=-1)


def means(found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {key: torch.stack([one[key].detach() for one in found]).mean() for key in found[0]}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].shape == (), key
        torch.testing.assert_close(found[key].detach(), value, rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.parametrize("symmetric", [False, True])
def test_info_nce_contrasts_every_group_by_itself(symmetric):
    objective = ContrastiveObjective(0.1, symmetric)
    apart, together = ([unit(seed).requires_grad_() for seed in (0, 1)] for _ in range(2))
    single = [objective(queries, passages) for queries, passages in zip(*apart, strict=True)]
    torch.stack([one["loss"] for one in single]).mean().backward()
    found = objective(*together)
    found["loss"].backward()
    assert_same(found, means(single))
    for ours, wanted in zip(together, apart, strict=True):
        torch.testing.assert_close(ours.grad, wanted.grad, rtol=1e-5, atol=1e-7)


def test_passages_of_another_group_are_no_negatives():
    queries, passages = unit(0)[:2], unit(0)[:2]
    before = ContrastiveObjective()(queries, passages)["loss"]
    nearer = passages.clone()
    nearer[1] = queries[0]  # the other group's passages, now what the first one's queries look for
    after = ContrastiveObjective()(queries[:1], nearer[:1])["loss"]
    both = ContrastiveObjective()(queries, nearer)["loss"]
    alone = ContrastiveObjective()(queries[1:], nearer[1:])["loss"]
    torch.testing.assert_close(both, (after + alone) / 2)
    torch.testing.assert_close(after, ContrastiveObjective()(queries[:1], passages[:1])["loss"])
    assert not torch.allclose(both, before)


@cache
def language_model():
    torch.manual_seed(0)
    return load_lm(
        LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, initializer_range=0.3,
        )
    )  # fmt: skip


def chunks() -> tuple[Tensor, Tensor, Tensor]:
    """(G B, L) ids, mask and labels."""
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(3, 61, mask.shape, generator=torch.Generator().manual_seed(2)) * mask
    return ids, mask.long(), ids.masked_fill(~mask, -100)


VARIANTS = {
    "joint": {"attention": "joint", "top_k": 2},
    "paper": {"attention": "paper", "min_weight": 0.05},
    "symmetric": {"symmetric": True},
    "spread": {"spread_penalty": 0.5, "uniform_share": 0.1},
    "dual": {"dual_loss": True, "renormalise": True},
    "gate": {"attention": "paper", "gate": True},
}


@pytest.mark.parametrize("lengths_given", [False, True], ids=["looked-at", "lengths-given"])
@pytest.mark.parametrize("measured", [False, True], ids=["loss", "gain"])
@pytest.mark.parametrize("name", VARIANTS)
def test_revela_of_several_groups_is_the_mean_of_each_by_itself(name, measured, lengths_given):
    objective = RevelaObjective(ObjectiveSettings(temperature=0.2, **VARIANTS[name]), layers=2)
    if objective.gates is not None:
        objective.gates.data.copy_(torch.tensor([0.7, -0.4]))
    lm, rows = language_model(), chunks()
    lengths = LENGTHS if lengths_given else None

    def gradients(loss: Tensor, embeddings: list[Tensor]) -> list[Tensor]:
        inputs = [*embeddings, lm.lm_head.weight, lm.model.layers[0].self_attn.v_proj.weight]
        return torch.autograd.grad(loss, inputs + ([] if objective.gates is None else [objective.gates]))

    apart, together = ([unit(seed).requires_grad_() for seed in (0, 1)] for _ in range(2))
    single = []
    for group in range(GROUPS):
        own = slice(group * SIZE, (group + 1) * SIZE)
        used = max(LENGTHS[own])
        single.append(
            objective(
                lm, *(row[own, :used] for row in rows), apart[0][group], apart[1][group],
                measure_gain=measured, lengths=lengths and lengths[own],
            )
        )  # fmt: skip
    wanted = gradients(torch.stack([one["loss"] for one in single]).mean(), apart)
    found = objective(
        lm, *rows, together[0].flatten(0, 1), together[1].flatten(0, 1), measure_gain=measured,
        groups=GROUPS, lengths=lengths,
    )  # fmt: skip
    assert ("gain" in found) == (measured or name == "dual")
    assert_same(found, means(single))
    for ours, value in zip(gradients(found["loss"], together), wanted, strict=True):
        assert float((ours - value).abs().max() / value.abs().max()) < 1e-5


def test_given_similarities_of_several_groups_take_the_place_of_the_embeddings():
    objective = RevelaObjective(ObjectiveSettings(temperature=0.2))
    queries, passages = unit(0), unit(1)
    rows = (language_model(), *chunks())
    found = objective(*rows, None, None, given=queries @ passages.transpose(1, 2), groups=GROUPS)
    wanted = objective(*rows, queries.flatten(0, 1), passages.flatten(0, 1), groups=GROUPS)
    assert_same(found, {key: value.detach() for key, value in wanted.items()})
