"""Several groups in one forward equal the same groups one at a time: the loss, and every gradient.

Drawn cases over families, both forms of attention and all options. Float32; everything agrees within 1e-5
of its largest entry.
"""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
import transformers as hf
from families import CAPPED, GROUPED, OLD_STYLE, SIZED, WINDOW
from torch import Tensor
from transformers import PreTrainedModel

from revela.modeling import conditioned_loss, load_lm
from revela.modeling.lm import probed
from revela.modeling.versions import checkpoint_activations

CONFIGS = {
    "llama": hf.LlamaConfig(**GROUPED),
    "qwen2": hf.Qwen2Config(**GROUPED),
    "gpt2": hf.GPT2Config(**OLD_STYLE),
    "capped": hf.Gemma2Config(**SIZED, **CAPPED, layer_types=["full_attention"] * 2),
    # Its layers read 4 tokens back: longer rows have a mask, and so padding.
    "window": hf.MistralConfig(**GROUPED, **WINDOW),
}
LONGEST = 9


@cache
def model(family: str, checkpointed: bool = False) -> PreTrainedModel:
    torch.manual_seed(1)
    lm = load_lm(deepcopy(CONFIGS[family]), dtype=torch.float32)
    with torch.no_grad():
        for weight in lm.parameters():  # biases and norms start at 0 and 1, where errors would not show
            weight.add_(torch.randn_like(weight), alpha=0.1)
    if checkpointed:
        checkpoint_activations(lm)
    return lm.train(checkpointed)


@dataclass
class Case:
    """Groups of one size: of each its ids, mask, labels (B, L), lengths and similarities (B, B)."""

    groups: list[dict[str, Any]]
    options: dict[str, Any]
    dual: bool
    gates: Tensor | None
    frozen: bool
    checkpointed: bool
    lengths_given: bool
    left: bool


def draw(seed: str, attention: str) -> Case:
    chosen = random.Random(seed)
    numbers = torch.Generator().manual_seed(chosen.randrange(2**31))
    count, size = chosen.randint(2, 4), chosen.randint(2, 5)
    left, unequal = chosen.random() < 0.25, chosen.random() < 0.85
    groups = []
    for _ in range(count):
        # Each group ends somewhere else (on the left it would begin at another position), and has a target.
        longest = chosen.randint(3, LONGEST) if unequal and not left else LONGEST
        lengths = [longest, *(chosen.randint(1, longest) if unequal else longest for _ in range(size - 1))]
        chosen.shuffle(lengths)
        mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
        mask = mask.flip(1) if left else mask
        ids = torch.randint(3, 61, mask.shape, generator=numbers) * mask
        # Not every token is a target. A first one is none, which under left padding follows padding.
        dropped = torch.rand(mask.shape, generator=numbers) < 0.2
        dropped[lengths.index(longest), 1] = False
        labels = ids.masked_fill(~mask | dropped, -100)
        groups.append(
            {
                "ids": ids, "mask": mask.long(), "labels": labels, "lengths": lengths,
                "similarities": torch.rand(size, size, generator=numbers) * 2 - 1,
            }
        )  # fmt: skip
    options = {
        "attention": attention,
        "temperature": chosen.choice([1.0, 0.3, 0.1]),
        "v_norm": chosen.random() < 0.7,
        "top_k": chosen.choice([None, None, 1, 2, 3]),
        "min_weight": chosen.choice([0.0, 1e-6, 0.1]),
        "uniform_share": chosen.choice([0.0, 0.2]),
        "renormalise": chosen.random() < 0.4,
        "return_plain_loss": chosen.random() < 0.5,
        "detach_plain_loss": chosen.random() < 0.4,
    }
    gates = torch.randn(2, generator=numbers) if chosen.random() < 0.4 else None
    return Case(
        groups, options, options["return_plain_loss"], gates, frozen=chosen.random() < 0.25,
        checkpointed=chosen.random() < 0.25, lengths_given=not left and chosen.random() < 0.5, left=left,
    )  # fmt: skip


def together(groups: list[dict[str, Any]], left: bool) -> dict[str, Any]:
    """All groups as the rows of one forward, padded to the longest."""
    length = max(group["ids"].shape[1] for group in groups)

    def stacked(key: str, padding: int) -> Tensor:
        rows = []
        for group in groups:
            extra = length - group[key].shape[1]
            sides = (extra, 0) if left else (0, extra)
            rows.append(torch.nn.functional.pad(group[key], sides, value=padding))
        return torch.cat(rows)

    return {
        "ids": stacked("ids", 0),
        "mask": stacked("mask", 0),
        "labels": stacked("labels", -100),
        "lengths": [length for group in groups for length in group["lengths"]],
        "similarities": torch.stack([group["similarities"] for group in groups]),
    }


def run(lm: PreTrainedModel, case: Case, rows: dict[str, Any], share: float = 1.0) -> dict[str, Any]:
    """One forward and its backward, of `share` of the loss: outputs and gradients."""
    lm.zero_grad()
    similarities = rows["similarities"].clone().requires_grad_()
    gates = None if case.gates is None else case.gates.clone().requires_grad_()
    output = conditioned_loss(
        lm, rows["ids"], rows["mask"], rows["labels"], similarities, gates=gates,
        lengths=rows["lengths"] if case.lengths_given else None, **case.options,
    )  # fmt: skip
    total = output.loss + (output.plain_loss if case.dual else 0.0)
    (share * total).backward()
    return {
        "output": output,
        "similarities": similarities.grad,
        "gates": None if gates is None else gates.grad,
        "lm": {
            name: weight.grad.clone() for name, weight in lm.named_parameters() if weight.grad is not None
        },
    }


def apart(found: Tensor, wanted: Tensor, floor: float = 1e-12) -> float:
    """The largest difference relative to the largest entry."""
    assert found.shape == wanted.shape
    found, wanted = found.detach(), wanted.detach()
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(floor))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("attention", ["paper", "joint"])
@pytest.mark.parametrize("family", CONFIGS)
def test_groups_of_one_forward_equal_the_same_groups_one_at_a_time(family, attention, seed):
    case = draw(f"{family} {attention} {seed}", attention)
    lm = model(family, case.checkpointed).requires_grad_(not case.frozen)

    single = [run(lm, case, group, share=1 / len(case.groups)) for group in case.groups]
    found = run(lm, case, together(case.groups, case.left))

    output, outputs = found["output"], [one["output"] for one in single]
    wanted = torch.stack([one.loss for one in outputs]).mean()
    assert apart(output.loss, wanted) < 1e-5
    if case.dual:
        assert apart(output.plain_loss, torch.stack([one.plain_loss for one in outputs]).mean()) < 1e-5
    assert apart(output.weights, torch.stack([one.weights for one in outputs])) < 1e-5
    assert output.pairs.equal(torch.stack([one.pairs for one in outputs]))
    assert int(output.chunks_read) == sum(int(one.chunks_read) for one in outputs)
    assert apart(output.skipped_weight, torch.stack([one.skipped_weight for one in outputs]).mean(), 1) < 1e-5
    # A group of two has one weight, 1, whatever its similarities are: that gradient is 0.
    floor = 1e-5 if output.pairs.shape[1] == 2 else 1e-12
    assert apart(found["similarities"], torch.stack([one["similarities"] for one in single]), floor) < 1e-5
    if case.gates is not None:
        assert apart(found["gates"], sum(one["gates"] for one in single), 1e-6) < 1e-5

    assert bool(found["lm"]) != case.frozen
    gradients = {name: sum(one["lm"][name] for one in single) for name in single[0]["lm"]}
    assert found["lm"].keys() == gradients.keys()
    # A key bias shifts all logits of a softmax alike: its gradient is rounding noise around 0.
    floor = max((1e-2 * float(gradient.abs().max()) for gradient in gradients.values()), default=0.0)
    for name, gradient in gradients.items():
        assert apart(found["lm"][name], gradient, floor) < 1e-5, name


def test_the_drawn_cases_have_every_option_both_ways():
    cases = [
        draw(f"{family} {attention} {seed}", attention)
        for family in CONFIGS for attention in ("paper", "joint") for seed in range(5)
    ]  # fmt: skip
    for name in ("dual", "frozen", "checkpointed", "lengths_given", "left"):
        assert {getattr(case, name) for case in cases} == {False, True}, name
    assert {case.gates is None for case in cases} == {False, True}
    values_of = {"top_k": 4, "min_weight": 3, "uniform_share": 2, "renormalise": 2, "v_norm": 2}
    for name, values in values_of.items():
        assert len({case.options[name] for case in cases}) == values, name
    assert any(case.dual and not case.options["detach_plain_loss"] and not case.frozen for case in cases)
    assert any(len({length for group in case.groups for length in group["lengths"]}) == 1 for case in cases)


@pytest.mark.parametrize("family", CONFIGS)
def test_rows_lie_one_after_the_other_where_the_model_reads_all_of_each(family):
    lm = model(family).requires_grad_(True)
    case = draw("shapes", "joint")
    case.options |= {"top_k": None, "min_weight": 0.0}
    rows = together(case.groups, case.left)
    assert not case.left and len(set(rows["lengths"])) > 1
    seen = []
    handle = lm.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape))
    )
    run(lm, case, rows)
    handle.remove()
    chunks, length = rows["ids"].shape
    # The plain streams and the conditioned ones: all tokens twice, or all rows with their padding.
    wanted = (2 * chunks, length) if family == "window" else (1, 2 * sum(rows["lengths"]))
    assert seen == [wanted]
    assert (probed(lm).packs >= length) == (family != "window")


def test_rows_within_the_window_lie_one_after_the_other_in_a_model_that_has_one():
    assert probed(model("window")).packs == WINDOW["sliding_window"]
    lm = model("window").requires_grad_(True)
    groups = [{key: value[:, :4] if key in ("ids", "mask", "labels") else value
               for key, value in group.items()} for group in draw("shapes", "paper").groups]  # fmt: skip
    for group in groups:
        group["lengths"] = [min(length, 4) for length in group["lengths"]]
    case = Case(
        groups, {"attention": "paper", "temperature": 0.3}, dual=False, gates=None, frozen=False,
        checkpointed=False, lengths_given=True, left=False,
    )  # fmt: skip
    found = run(lm, case, together(groups, left=False))
    single = [run(lm, case, group, share=1 / len(groups)) for group in groups]
    assert apart(found["output"].loss, torch.stack([one["output"].loss for one in single]).mean()) < 1e-5
    assert apart(found["similarities"], torch.stack([one["similarities"] for one in single])) < 1e-5


def test_similarities_of_several_groups_must_fit_the_chunks():
    case = draw("shapes", "joint")
    rows = together(case.groups, left=False)
    groups, size, _ = rows["similarities"].shape
    for wrong in (rows["similarities"][:, :, :-1], rows["similarities"][:-1]):
        with pytest.raises(ValueError, match=rf"similarities must be \({len(wrong)}, .*found"):
            conditioned_loss(
                model("llama"), rows["ids"], rows["mask"], rows["labels"], wrong, temperature=1.0
            )
    assert groups > 1 and size > 1


def test_a_group_without_any_target_is_not_hidden_by_the_others():
    case = draw("shapes", "joint")
    rows = together(case.groups, left=False)
    size = rows["similarities"].shape[1]
    rows["labels"][:size] = -100
    output = conditioned_loss(
        model("llama"), rows["ids"], rows["mask"], rows["labels"], rows["similarities"], temperature=1.0
    )
    assert not torch.isfinite(output.loss)
