"""Every family of models computes the method and nothing else, or is refused by name.

`conditioned_loss` is compared with the formulas written out (`plain_attention`): logits at unpadded
positions, loss, and the gradients of the similarities and of every parameter. The written-out
attention is itself compared with each family's own eager attention.

Float32; logits and loss agree within 1e-5 of their largest entry, gradients within 1e-4.
"""

from __future__ import annotations

from copy import deepcopy
from functools import cache

import pytest
import torch
from families import REFUSED, SUPPORTED
from plain_attention import NAME, plain_logits, plain_losses, same_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from revela.errors import RevelaError
from revela.modeling import conditioned_loss, load_lm

LENGTHS = (9, 6, 9, 3, 7)
TEMPERATURE = 0.3
SETTINGS = {
    "paper": {"attention": "paper"},
    "paper-no-v-norm": {"attention": "paper", "v_norm": False},
    "joint": {"attention": "joint", "top_k": 2},
}
DUAL = {"paper-dual": {"attention": "paper", "top_k": 1}, "joint-dual": {"attention": "joint", "top_k": 1}}
"""One chunk read each, so that some are read by nobody, and the plain streams' loss as well."""


def group(padding: str = "right") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids, mask and labels (B, L) and similarities (B, B): rows neither one-hot nor flat."""
    generator = torch.Generator().manual_seed(0)
    size, length = len(LENGTHS), max(LENGTHS)
    ids = torch.randint(3, 61, (size, length), generator=generator)
    similarities = torch.rand(size, size, generator=generator) * 2 - 1
    mask = torch.arange(length)[None] < torch.tensor(LENGTHS)[:, None]
    if padding == "left":
        mask = mask.flip(1)
    if padding == "none":
        mask = torch.ones_like(mask)
    # The first token of a chunk is no target: under left padding it would be predicted from padding.
    first = mask & (mask.cumsum(1) == 1)
    return ids * mask, mask.long(), ids.masked_fill(~mask | first, -100), similarities


@cache
def models(family: str):
    """The family with its own eager attention and with the written-out one, with the same weights."""
    config = SUPPORTED[family]
    torch.manual_seed(1)
    own = AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        for weight in own.parameters():  # biases and norms start at 0 and 1, where errors would not show
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return own.eval(), same_model(own, config, NAME)


@cache
def ours(family: str):
    """The same weights again, as a user loads them."""
    lm = load_lm(deepcopy(SUPPORTED[family]), dtype=torch.float32)
    lm.load_state_dict(models(family)[0].state_dict())
    return lm


@cache
def wanted(family: str, setting: str, padding: str):
    """Logits, losses and gradients by the written-out formulas."""
    _, written_out = models(family)
    ids, mask, labels, similarities = group(padding)
    similarities.requires_grad_()
    written_out.zero_grad()
    expected = plain_losses(
        written_out, ids, mask, labels, similarities,
        temperature=TEMPERATURE, **(SETTINGS | DUAL)[setting],
    )  # fmt: skip
    (expected.loss + (expected.plain_loss if setting in DUAL else 0)).backward()
    return expected, similarities.grad, gradients_of(written_out)


def gradients_of(lm: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad.clone() for name, weight in lm.named_parameters() if weight.grad is not None}


def apart(found: Tensor, expected: Tensor, floor: float = 0.0) -> float:
    """The largest difference relative to the largest entry."""
    return ((found - expected).abs().max() / expected.abs().max().clamp_min(floor)).item()


def check(family: str, setting: str, padding: str = "right", checkpointed: bool = False) -> None:
    lm = ours(family)
    ids, mask, labels, similarities = group(padding)
    similarities.requires_grad_()
    lm.zero_grad()
    lm.train(checkpointed)
    if checkpointed:
        lm.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        lm.gradient_checkpointing_disable()
    arguments = {"temperature": TEMPERATURE, **(SETTINGS | DUAL)[setting]}
    dual = setting in DUAL
    output = conditioned_loss(lm, ids, mask, labels, similarities, return_plain_loss=dual, **arguments)
    (output.loss + (output.plain_loss if dual else 0)).backward()
    with torch.no_grad():
        read_out = conditioned_loss(lm, ids, mask, labels, similarities, return_logits=True, **arguments)

    expected, similarities_gradient, gradients = wanted(family, setting, padding)
    unpadded = mask.bool()
    assert apart(read_out.logits[unpadded], expected.logits[unpadded]) < 1e-5
    assert read_out.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    assert output.loss.item() == pytest.approx(expected.loss.item(), rel=1e-5)
    if dual:
        assert output.plain_loss.item() == pytest.approx(expected.plain_loss.item(), rel=1e-5)
    assert apart(similarities.grad, similarities_gradient) < 1e-4
    found = gradients_of(lm)
    assert found.keys() == gradients.keys()
    # A key bias shifts all logits of a softmax alike: its gradient is rounding noise around 0.
    floor = 1e-2 * max(gradient.abs().max().item() for gradient in gradients.values())
    for name, gradient in gradients.items():
        assert apart(found[name], gradient, floor) < 1e-4, name


@pytest.mark.parametrize("family", SUPPORTED)
def test_the_written_out_plain_pass_is_the_family_s_own_attention(family):
    own, written_out = models(family)
    ids, mask, _, _ = group()
    with torch.no_grad():
        expected = own(input_ids=ids, attention_mask=mask, use_cache=False).logits
        found = plain_logits(written_out, ids, mask)
    assert apart(found[mask.bool()], expected[mask.bool()]) < 1e-6


@pytest.mark.parametrize("checkpointed", [False, True], ids=["evaluating", "training-checkpointed"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("family", SUPPORTED)
def test_a_family_equals_the_written_out_method(family, setting, checkpointed):
    check(family, setting, checkpointed=checkpointed)


@pytest.mark.parametrize("family", SUPPORTED)
def test_a_group_without_padding_takes_the_path_without_a_mask(family):
    check(family, "joint", padding="none")


@pytest.mark.parametrize("setting", DUAL)
@pytest.mark.parametrize("family", SUPPORTED)
def test_the_plain_streams_loss_trains_too_and_reaches_chunks_that_nobody_reads(family, setting):
    check(family, setting)


@pytest.mark.parametrize("family", SUPPORTED)
def test_chunks_may_be_padded_on_the_left(family):
    check(family, "joint", padding="left")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_left_padding_and_checkpointing_go_together(family, setting):
    check(family, setting, padding="left", checkpointed=True)


@pytest.mark.parametrize("family", REFUSED)
def test_what_is_not_computed_is_refused_by_name(family):
    config, reason = REFUSED[family]
    with pytest.raises(RevelaError, match=f"^language model of type '{family}' is not supported: .*{reason}"):
        load_lm(deepcopy(config))
