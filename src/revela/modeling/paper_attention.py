"""The paper's form: what is read from other chunks is weighted and added to the self-attention output."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from revela.modeling.attend import attend, fold_heads, unfold_heads
from revela.modeling.autograd import Function
from revela.modeling.group import Pairs

V_NORM_EPSILON = 1e-6
"""Added to the weighted value norm before dividing (the paper's public implementation)."""


def paper_reading(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    pairs: Pairs,
    v_norm: bool,
    softcap: float | None = None,
) -> Tensor:
    """``sum_j w_ij x_ij / (n_ij + eps)`` over the computed pairs (Revela, arXiv 2506.16552).

    ``x_ij = softmax(Q_i K_j^T scaling) V_j`` and ``n_ij`` the same softmax over the value rows'
    2-norms. The norm rides along as one more value column, so that one kernel call returns both.

    Args:
        query: (C, H, L, d) of the conditioned rows.
        key: (M, Hkv, L, d) of the rows that can be read.
        value: (M, Hkv, L, dv) of the same.

    Returns:
        (C, H, L, dv) in the dtype of `query`.
    """
    heads, kv_heads, width = query.shape[1], key.shape[1], value.shape[-1]
    if v_norm:
        wide = torch.promote_types(value.dtype, torch.float32)
        norm = value.to(wide).norm(dim=-1, keepdim=True).to(value.dtype)
        value = torch.cat([value, norm], dim=-1)
    output = attend(
        fold_heads(query, kv_heads)[pairs.readers],
        key[pairs.read],
        value[pairs.read],
        pairs.key_mask,
        scaling,
        softcap,
    )
    output = unfold_heads(output, heads)
    return _WeightedSum.apply(output, pairs.log_weights.exp(), pairs.readers, len(query), width, v_norm)


class _WeightedSum(Function):
    """``sum over pairs p of reader i: w_p x_p / (n_p + eps)``, in float32, keeping only x and n.

    Written out as ordinary operations, autograd would keep three float32 copies of every pair's
    output; this keeps the attention kernel's own output, which its backward pass needs anyway.
    """

    @staticmethod
    def forward(
        ctx: Any, output: Tensor, weights: Tensor, readers: Tensor, size: int, width: int, v_norm: bool
    ) -> Tensor:
        """(P, H, L, dv + 1 or dv) outputs and (P,) weights to (size, H, L, dv)."""
        ctx.save_for_backward(output, weights, readers)
        ctx.width, ctx.v_norm = width, v_norm
        share = _per_pair(weights, output) * _inverse_norm(output, width, v_norm)
        total = share.new_zeros(size, *output.shape[1:3], width)
        return total.index_add_(0, readers, output[..., :width] * share).to(output.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        output, weights, readers = ctx.saved_tensors
        inverse = _inverse_norm(output, ctx.width, ctx.v_norm)
        share = _per_pair(weights, output) * inverse
        received = gradient[readers].to(share.dtype)
        d_share = (received * output[..., : ctx.width]).sum(dim=-1, keepdim=True)
        columns = [(received * share).to(output.dtype)]
        if ctx.v_norm:
            columns.append((-d_share * share * inverse).to(output.dtype))
        d_weights = (d_share * inverse).sum(dim=(1, 2, 3)).to(weights.dtype)
        return torch.cat(columns, dim=-1), d_weights, None, None, None, None


def _per_pair(weights: Tensor, output: Tensor) -> Tensor:
    """(P, 1, 1, 1), at least float32."""
    return weights.to(torch.promote_types(output.dtype, torch.float32))[:, None, None, None]


def _inverse_norm(output: Tensor, width: int, v_norm: bool) -> Tensor:
    """1 / (n + eps), (P, H, L, 1), at least float32; 1 without V-normalisation."""
    wide = torch.promote_types(output.dtype, torch.float32)
    if not v_norm:
        return torch.ones((), dtype=wide, device=output.device)
    return 1 / (output[..., width : width + 1].to(wide) + V_NORM_EPSILON)
