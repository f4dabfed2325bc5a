"""Head and loss a slice at a time equal the plain two lines, in value and in every gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from revela.modeling import linear_cross_entropy as module
from revela.modeling.linear_cross_entropy import LogitTransform, find_transform, linear_cross_entropy

TRANSFORMS = [LogitTransform(), LogitTransform(scale=0.25), LogitTransform(scale=2.0, softcap=3.0)]


def written_out(transform: LogitTransform, head_output: torch.Tensor) -> torch.Tensor:
    logits = transform.scale * head_output
    return logits if transform.softcap is None else transform.softcap * (logits / transform.softcap).tanh()


def case(bias: bool, dtype=torch.float64):
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=bias, dtype=dtype)
    return torch.randn(70, 8, dtype=dtype, requires_grad=True), head, torch.randint(50, (70,))


@pytest.fixture(autouse=True)
def several_slices(monkeypatch):
    monkeypatch.setattr(module, "_SLICE_BYTES", {"cpu": 1, "cuda": 1})  # the least: 16 rows a slice


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_loss_and_gradients_equal_the_plain_formula(transform, bias):
    hidden, head, targets = case(bias)
    inputs = [hidden, *head.parameters()]
    plain = F.cross_entropy(written_out(transform, head(hidden)), targets)
    wanted = torch.autograd.grad(3 * plain, inputs)
    loss = linear_cross_entropy(hidden, head, targets, transform)
    found = torch.autograd.grad(3 * loss, inputs)
    torch.testing.assert_close(loss, plain)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_frozen_head_gets_no_gradient_and_the_hidden_states_still_do():
    hidden, head, targets = case(bias=False)
    head.requires_grad_(False)
    linear_cross_entropy(hidden, head, targets).backward()
    assert head.weight.grad is None and hidden.grad is not None


def test_without_gradients_only_the_loss_is_computed():
    hidden, head, targets = case(bias=True)
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, head, targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, F.cross_entropy(head(hidden), targets))


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_gives_a_float32_loss_near_the_exact_one(autocast):
    hidden, head, targets = case(bias=False, dtype=torch.float32)
    exact = F.cross_entropy(head(hidden), targets)
    if not autocast:
        hidden, head = hidden.detach().bfloat16().requires_grad_(), head.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = linear_cross_entropy(hidden, head, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)
    assert hidden.grad.isfinite().all()


@pytest.mark.parametrize("transform", [LogitTransform(), LogitTransform(0.25), LogitTransform(softcap=3.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_probe_finds_what_follows_the_head(transform, dtype):
    produced = torch.randn(4, 50, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = find_transform(produced, written_out(transform, produced), transform.softcap)
    assert found.softcap == transform.softcap
    assert found.scale == pytest.approx(transform.scale, rel=1e-3)


def test_a_probe_that_is_no_scaled_or_capped_map_is_left_to_the_model():
    produced = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    assert find_transform(produced, produced.sin(), None) is None


def test_a_confident_head_keeps_its_gradient_in_half_precision():
    """p - 1 of a target with p near 1 must not be what rounding leaves of it."""
    torch.manual_seed(0)
    head = torch.nn.Linear(8, 50, bias=False)
    targets = torch.arange(20)
    hidden = 2.0 * head.weight.detach()[targets] / head.weight.detach()[targets].square().sum(1, keepdim=True)
    hidden = (hidden * 4).bfloat16()
    head = head.bfloat16().requires_grad_(False)
    wanted = hidden.double().requires_grad_()
    F.cross_entropy(wanted @ head.weight.double().T, targets).backward()
    hidden.requires_grad_()
    linear_cross_entropy(hidden, head, targets).backward()
    scale = wanted.grad.abs().max()
    torch.testing.assert_close(hidden.grad.double() / scale, wanted.grad / scale, rtol=0, atol=0.02)
