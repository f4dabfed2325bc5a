"""Joint models whose gradients can be compared, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from revela.settings import Settings
from revela.training.model import JointModel


def stirred_model(backbone: Path, settings: Settings) -> JointModel:
    """Adapters that are not zero: those that start at zero keep the gradient from the others."""
    torch.manual_seed(0)
    model = JointModel(backbone, settings.training, settings.objective, torch.float32)
    with torch.no_grad():
        for value in model.trained_state().values():
            value.add_(torch.randn_like(value), alpha=0.1)
    return model.train()


def take_gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients of all weights that have one; none is left behind."""
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    return found


def assert_same_gradients(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """No entry is off by more than 1e-5 of its weight's largest, or of a hundredth of the largest of all."""
    assert found.keys() == wanted.keys()
    floor = 1e-2 * max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        apart = (found[name] - gradient).abs().max() / gradient.abs().max().clamp_min(floor)
        assert float(apart) < 1e-5, name
