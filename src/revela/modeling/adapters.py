"""LoRA's own arithmetic without its detours: the same products, nothing cast back and forth.

peft keeps adapters in float32 and casts every input of theirs to float32; autocast casts it back to compute.
Forward and backward of one adapted layer are then some forty kernels, which on a GPU take longer to launch
than to run. Here they are three products forward and five backward, between copies of the adapters in the
precision that is computed in. peft stays the owner of the weights: it makes, merges and saves them.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners import lora
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from revela.modeling.autograd import Function


def shorten_adapters(model: nn.Module) -> int:
    """Give the layers with plain LoRA of a peft model the short forward; those with more keep theirs.

    Returns:
        How many layers have it.
    """
    count = 0
    for module in model.modules():
        if isinstance(module, lora.Linear) and _is_plain(module):
            # An attribute of the instance that a deep copy would bind to the original: so the class changes.
            module.__class__ = ShortLinear
            count += 1
    return count


def _is_plain(layer: lora.Linear) -> bool:
    (name, *others) = layer.lora_A
    return (
        not others
        and type(layer) is lora.Linear
        and type(layer.base_layer) is nn.Linear
        and not layer.lora_variant
        and not layer.fan_in_fan_out
        and isinstance(layer.lora_dropout[name], nn.Identity)
        and layer.lora_A[name].bias is None
        and layer.lora_B[name].bias is None
    )


class ShortLinear(lora.Linear):
    """peft's Linear layer with plain LoRA, computed by :class:`_AdaptedLinear`."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(..., in) to (..., out), as peft's: ``x W^T + b + scaling x A^T B^T``."""
        names = self.active_adapters
        alone = len(self.lora_A) == 1 and list(self.lora_A) == list(names)
        if self.disable_adapters or self.merged or not alone or args or kwargs:
            return super().forward(x, *args, **kwargs)
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        down, up = self.lora_A[names[0]].weight, self.lora_B[names[0]].weight
        base = self.base_layer
        with torch.autocast(kind, enabled=False):
            flat = x.reshape(-1, x.shape[-1]).to(dtype)
            bias = None if base.bias is None else base.bias.to(dtype)
            output = _AdaptedLinear.apply(
                flat, base.weight.to(dtype), bias, down.to(dtype), up.to(dtype), self.scaling[names[0]]
            )
        return output.view(*x.shape[:-1], -1)


class _AdaptedLinear(Function):
    """``x W^T + b + s x A^T B^T`` and its gradients, each term a product that adds to the one before.

    Hu et al., LoRA (ICLR 2022, arXiv 2106.09685), equation 3.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
    ) -> Tensor:
        """(N, in), (out, in), (out,), (r, in), (out, r) to (N, out)."""
        inner = x @ down.T
        output = x @ weight.T if bias is None else torch.addmm(bias, x, weight.T)
        output.addmm_(inner, up.T, alpha=scale)
        ctx.save_for_backward(x, weight, down, up, inner)
        ctx.scale = scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, inner = ctx.saved_tensors
        need_x, need_weight, need_bias, need_down, need_up, _ = ctx.needs_input_grad
        d_inner = torch.addmm(inner, gradient, up, beta=0, alpha=ctx.scale)
        d_x = (gradient @ weight).addmm_(d_inner, down) if need_x else None
        return (
            d_x,
            gradient.T @ x if need_weight else None,
            gradient.sum(dim=0) if need_bias else None,
            d_inner.T @ x if need_down else None,
            torch.addmm(up, gradient.T, inner, beta=0, alpha=ctx.scale) if need_up else None,
            None,
        )
