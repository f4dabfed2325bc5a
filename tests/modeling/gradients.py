"""Gradients of two models compared, weight by weight."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def gradients_of(model: nn.Module) -> dict[str, Tensor]:
    """The gradient of every weight, by its name."""
    return {name: weight.grad for name, weight in model.named_parameters()}


def assert_gradients(model: nn.Module, wanted: Mapping[str, Tensor], tolerance: float) -> None:
    """No entry is off by more than `tolerance` of its weight's largest wanted one."""
    for name, found in gradients_of(model).items():
        scale = wanted[name].abs().max()
        torch.testing.assert_close(found / scale, wanted[name] / scale, rtol=0, atol=tolerance)
