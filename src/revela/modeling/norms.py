"""RMS norms by torch's fused kernel on a GPU, where models write them out as eight operators."""

from __future__ import annotations

from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FUSED_ON = {"cuda"}
"""Kinds of device that have the kernel; elsewhere the module's own code runs."""


def fuse_norms(model: nn.Module) -> int:
    """Let the RMS norms of a model use the fused kernel; a module that computes something else is left alone.

    Which modules these are is found out by their names and by what they do to a few numbers.

    Returns:
        How many there are.
    """
    count = 0
    for module in model.modules():
        if not type(module).__name__.endswith("RMSNorm") or isinstance(module, _Fused):
            continue
        epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        if isinstance(epsilon, float) and _is_plain(module, epsilon):
            # A class of its own, not a method of the instance: a deep copy would keep calling the original's.
            # mypy takes the __hash__ of the instances for that of the class itself.
            module.__class__ = _fused_class(type(module))  # type: ignore[arg-type]
            cast(_Fused, module)._epsilon = epsilon
            count += 1
    return count


class _Fused(nn.Module):
    weight: Tensor
    _epsilon: float

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(..., D) to (..., D), under autocast in the precision that is computed in."""
        kind = hidden_states.device.type
        if kind not in FUSED_ON:
            normed: Tensor = super().forward(hidden_states)
            return normed
        computed_in = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        with torch.autocast(kind, enabled=False):
            weight = self.weight.to(hidden_states.dtype)
            normed = F.rms_norm(hidden_states, weight.shape, weight, self._epsilon)
            # Once here, and not once in each of the projections that read it.
            return normed if computed_in is None else normed.to(computed_in)


@cache
def _fused_class(kind: type[nn.Module]) -> type[nn.Module]:
    """One for all modules of a kind: compiled code is made anew for every class that it meets."""
    return type(f"Fused{kind.__name__}", (_Fused, kind), {})


@torch.no_grad()
def _is_plain(module: nn.Module, epsilon: float) -> bool:
    """Whether it is ``x / sqrt(mean(x^2) + eps) * weight``; Gemma's, for one, multiplies by 1 + weight."""
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim != 1:
        return False
    numbers = torch.linspace(-2, 3, 2 * len(weight), device=weight.device, dtype=weight.dtype).view(2, -1)
    try:
        found = module(numbers)
    except Exception:  # other arguments, a gate for one
        return False
    wanted = F.rms_norm(numbers.float(), weight.shape, weight.float(), epsilon)
    return found.shape == wanted.shape and torch.allclose(found.float(), wanted, rtol=2e-2, atol=2e-2)
