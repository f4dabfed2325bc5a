"""One attention call for every form: the fused kernel, or written out where logits are soft-capped."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_HEAD_MULTIPLE = 8
"""Fused kernels want head sizes in multiples of 8; extra columns are zeros and change nothing."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float,
    softcap: float | None = None,
    prior: Tensor | None = None,
) -> Tensor:
    """``softmax(cap(Q K^T scaling) + prior + mask) V``.

    Args:
        query: (N, H, Q, d).
        key: (N, H, K, d).
        value: (N, H, K, dv).
        mask: broadcastable to (N, H, Q, K), bool (true is read) or additive; None reads everything.
        scaling: of the logits.
        softcap: c of ``cap(x) = c tanh(x / c)`` (Gemma 2, arXiv 2408.00118, section 2). No fused
            kernel of torch computes it, so it is written out, and computed again in the backward
            pass instead of being kept.
        prior: (N, 1, 1, K) added to the logits after the cap; only with `softcap`.

    Returns:
        (N, H, Q, dv) in the dtype of `query`, or autocast's.
    """
    if softcap is not None:
        capped: Tensor = checkpoint(
            _soft_capped, query, key, value, mask, scaling, softcap, prior, use_reentrant=False
        )
        return capped
    width = value.shape[-1]
    # The kernels want queries, keys and values of one size; the scale is given, so zeros change nothing.
    padded = round_up(max(query.shape[-1], width))
    output = F.scaled_dot_product_attention(
        widen(query, padded), widen(key, padded), widen(value, padded), attn_mask=mask, scale=scaling
    )
    return output[..., :width]


def _soft_capped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float,
    softcap: float,
    prior: Tensor | None,
) -> Tensor:
    wide = torch.promote_types(query.dtype, torch.float32)
    logits = (query @ key.transpose(-1, -2)).to(wide) * scaling
    logits = softcap * torch.tanh(logits / softcap)
    if prior is not None:
        logits = logits + prior
    if mask is not None:
        logits = (
            logits.masked_fill(~mask, torch.finfo(wide).min) if mask.dtype == torch.bool else logits + mask
        )
    return torch.softmax(logits, dim=-1).to(query.dtype) @ value


def causal_mask(length: int, device: torch.device) -> Tensor:
    """(1, 1, L, L) bool, true on and below the diagonal."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def fold_heads(query: Tensor, kv_heads: int) -> Tensor:
    """(N, H, L, d) to (N, Hkv, H / Hkv * L, d): grouped-query attention without repeating keys.

    Without a causal mask the query heads of one key head can stand one under the other as more
    query positions of it.
    """
    rows, heads, length, width = query.shape
    return query.reshape(rows, kv_heads, heads // kv_heads * length, width)


def unfold_heads(output: Tensor, heads: int) -> Tensor:
    """The inverse of :func:`fold_heads` for an output (N, Hkv, H / Hkv * L, dv)."""
    rows, kv_heads, queries, width = output.shape
    return output.reshape(rows, heads, queries * kv_heads // heads, width)


def widen(rows: Tensor, width: int) -> Tensor:
    """Zero columns up to `width`: they change neither logits nor the columns read back."""
    return F.pad(rows, (0, width - rows.shape[-1])) if rows.shape[-1] < width else rows


def round_up(width: int) -> int:
    """The next head size that fused kernels take."""
    return math.ceil(width / _HEAD_MULTIPLE) * _HEAD_MULTIPLE
