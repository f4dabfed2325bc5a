"""Output head and cross-entropy in one, a slice of tokens at a time: no logits of all tokens at once.

For N tokens and V entries of the vocabulary the float32 logits alone are 4 N V bytes: 4 GB for
128 chunks of 160 tokens and V = 49 152. Here a slice's logits are turned into its part of the
gradient at once and dropped, so that the backward pass needs no second product with the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from revela.modeling.autograd import Function

_SLICE_BYTES = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""Size of a slice's float32 logits: near the last-level cache of a CPU, enough to fill a GPU."""


@dataclass(frozen=True)
class LogitTransform:
    """What a model does to its head's output: ``c tanh(scale x / c)``, or ``scale x`` without a cap.

    Granite and Cohere scale, Gemma 2 caps; most models do neither.
    """

    scale: float = 1.0
    softcap: float | None = None

    def apply_(self, head_output: Tensor) -> Tensor:
        """The model's logits, in place."""
        if self.scale != 1.0:
            head_output *= self.scale
        if self.softcap is not None:
            head_output.div_(self.softcap).tanh_().mul_(self.softcap)
        return head_output


def linear_cross_entropy(
    hidden: Tensor,
    head: nn.Linear,
    targets: Tensor,
    transform: LogitTransform = LogitTransform(),
    weights: Tensor | None = None,
) -> Tensor:
    """Weighted sum, or mean, of the cross-entropy of ``transform(head(hidden))`` and `targets`, in nats.

    Args:
        hidden: (N, D), the head's inputs at the positions that have a target.
        head: D -> V, with or without bias.
        targets: (N,) ids from 0 to V - 1.
        weights: (N,) float32; None is 1 / N each.

    Returns:
        () float32 (float64 for float64 inputs).
    """
    weight: Tensor = head.weight
    bias: Tensor | None = head.bias
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    hidden = hidden.to(weight.dtype)
    with torch.autocast(hidden.device.type, enabled=False):
        if weights is None:
            weights = torch.full((len(hidden),), 1 / len(hidden), device=hidden.device)
        return _SlicedCrossEntropy.apply(
            hidden, weight, bias, targets, weights, transform, torch.is_grad_enabled()
        )


class _SlicedCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        weights: Tensor,
        transform: LogitTransform,
        differentiate: bool,
    ) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        wanted = [differentiate and needed for needed in ctx.needs_input_grad[:3]]
        d_hidden = torch.empty_like(hidden) if wanted[0] else None
        d_weight = torch.zeros_like(weight, dtype=wide) if wanted[1] else None
        d_bias = torch.zeros_like(bias, dtype=wide) if bias is not None and wanted[2] else None
        total = torch.zeros((), dtype=wide, device=hidden.device)
        # Buffers of one slice, used again: fresh pages for every slice would cost as much as the arithmetic.
        vocabulary = len(weight)
        step = _slice_rows(vocabulary, hidden.device)
        shape = (min(step, len(hidden)), vocabulary)
        narrow = torch.empty(shape, dtype=hidden.dtype, device=hidden.device)
        buffers = [torch.empty(shape, dtype=wide, device=hidden.device) for _ in range(2)]
        for start in range(0, len(hidden), step):
            rows = slice(start, start + step)
            inputs, goal, counts = hidden[rows], targets[rows, None], weights[rows, None].to(wide)
            produced, logits, log_p = (buffer[: len(inputs)] for buffer in (narrow, *buffers))
            torch.mm(inputs, weight.T, out=produced)
            if bias is not None:
                produced += bias
            logits.copy_(produced)
            transform.apply_(logits)
            torch.log_softmax(logits, dim=-1, out=log_p)
            total -= (counts * log_p.gather(1, goal)).sum()
            if not any(wanted):
                continue
            gradient = _logit_gradient(logits, log_p, goal, transform, out=produced)
            # Weights go where D columns are multiplied by them, not V.
            factor = (counts * transform.scale).to(hidden.dtype)
            if d_hidden is not None:
                torch.mm(gradient, weight, out=d_hidden[rows]).mul_(factor)
            if d_weight is not None:
                d_weight += gradient.T @ (inputs * factor)
            if d_bias is not None:
                d_bias += (factor.T @ gradient).squeeze(0)
        ctx.save_for_backward(
            d_hidden,
            None if d_weight is None else d_weight.to(weight.dtype),
            None if bias is None or d_bias is None else d_bias.to(bias.dtype),
        )
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if saved is None else saved * gradient.to(saved.dtype) for saved in ctx.saved_tensors]
        return *scaled, None, None, None, None


def _slice_rows(vocabulary: int, device: torch.device) -> int:
    budget = _SLICE_BYTES.get(device.type, _SLICE_BYTES["cuda"])
    return max(16, budget // (4 * vocabulary))


def _logit_gradient(
    logits: Tensor, log_p: Tensor, goal: Tensor, transform: LogitTransform, out: Tensor
) -> Tensor:
    """``(softmax - one-hot) (1 - (logits / c)^2)`` into `out`; `log_p` is used up."""
    if transform.softcap is None:
        # p - 1 of the target before it is rounded: near 1 a half-precision p would leave nothing of it.
        target = torch.expm1(log_p.gather(1, goal)).to(out.dtype)
        torch.exp(log_p, out=out)
        return out.scatter_(1, goal, target)
    gradient = log_p.exp_().scatter_add_(1, goal, log_p.new_full(goal.shape, -1.0))
    gradient *= 1 - (logits / transform.softcap) ** 2
    return out.copy_(gradient)


def find_transform(head_output: Tensor, logits: Tensor, softcap: float | None) -> LogitTransform | None:
    """What turns a probe's head output into the model's logits, or None when it is something else.

    Args:
        head_output: any shape; what the output embedding returned.
        logits: the same shape; what the model returned.
        softcap: the model's ``final_logit_softcapping``, if it has one.
    """
    produced, wanted = head_output.double().flatten(), logits.double().flatten()
    scale = float(produced @ wanted / (produced @ produced)) if softcap is None else 1.0
    # A probe in half precision knows the scale to three digits: recover the exact 1 of most models.
    scale = 1.0 if abs(scale - 1.0) < 1e-4 else scale
    found = LogitTransform(scale, softcap)
    tolerance = 4 * torch.finfo(logits.dtype).eps * float(wanted.abs().max())
    return found if torch.allclose(found.apply_(produced), wanted, rtol=0, atol=tolerance) else None
