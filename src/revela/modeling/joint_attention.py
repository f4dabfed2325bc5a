"""Joint attention: a chunk's own past and the other chunks under one softmax, log w their prior."""

from __future__ import annotations

import torch
from torch import Tensor

from revela.modeling.attend import attend, causal_mask, fold_heads, unfold_heads
from revela.modeling.group import InBatch


def joint_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    plain_key: Tensor,
    plain_value: Tensor,
    own_mask: Tensor | None,
    scaling: float,
    group: InBatch,
    softcap: float | None = None,
    gate: Tensor | None = None,
) -> Tensor:
    """One softmax over own keys (causal) and the k read chunks' keys (all of them).

    Logits over own keys are ``Q_i K_i^T scaling``, over chunk j's keys
    ``Q_i K_j^T scaling + log w_ij``. The prior enters as more key columns against query columns of
    ones: a fused kernel computes it, and the gradient reaches w through the keys.

    Args:
        query, key, value: (B, H or Hkv, L, d or dv) of the conditioned rows.
        plain_key, plain_value: (M, Hkv, L, d or dv) of the rows that can be read.
        own_mask: (B, 1, L, L) bool of the conditioned rows, or None for purely causal.
        gate: () added to every log w_ij; None adds nothing.

    Returns:
        (B, H, L, dv).
    """
    size, heads, length, _ = query.shape
    kv_heads = key.shape[1]
    device = query.device.type
    # Under autocast the kernel rounds keys and mask to this, whatever they are here.
    computed_in = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    chunks = group.read[group.slots]
    slots = chunks.shape[1]

    def gathered(rows: Tensor) -> Tensor:
        """The read chunks' rows one after the other, (B, Hkv, k L, d)."""
        return rows[chunks].transpose(1, 2).flatten(2, 3)

    keys = torch.cat([key, gathered(plain_key)], dim=2)
    values = torch.cat([value, gathered(plain_value)], dim=2)
    mask = _mask(own_mask, chunks, length, heads // kv_heads, group, computed_in)
    log_prior = group.log_weights[group.slots]
    if gate is not None:
        log_prior = log_prior + gate.to(log_prior.dtype)
    if softcap is not None:
        # The cap belongs to the query-key logits alone: the prior is added after it.
        prior = log_prior[:, :, None].expand(size, slots, length).flatten(1)
        prior = torch.cat([prior.new_zeros(size, length), prior], dim=1)[:, None, None, :]
        output = attend(fold_heads(query, kv_heads), keys, values, mask, scaling, softcap, prior)
        return unfold_heads(output, heads)
    columns = _prior_columns(log_prior / scaling, computed_in)
    columns = columns[:, None, :, None, :].expand(size, kv_heads, slots, length, 2).flatten(2, 3)
    columns = torch.cat([columns.new_zeros(size, kv_heads, length, 2), columns], dim=2)
    queries = torch.cat([query, query.new_ones(size, heads, length, 2)], dim=-1)
    output = attend(fold_heads(queries, kv_heads), torch.cat([keys, columns], dim=-1), values, mask, scaling)
    return unfold_heads(output, heads)


def _prior_columns(prior: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, k) to (B, k, 2) that sum to the prior: two columns of a half-precision key still carry a
    logit to float32 accuracy. The gradient goes through the first."""
    coarse = prior.to(dtype)
    rest = (prior - coarse.to(prior.dtype)).detach().to(dtype)
    return torch.stack([coarse, rest], dim=-1)


def _mask(
    own_mask: Tensor | None, chunks: Tensor, length: int, folds: int, group: InBatch, dtype: torch.dtype
) -> Tensor:
    """(B or 1, 1, folds L, (1 + k) L), additive; the causal one is the same in all layers and kept."""
    kept = group.joint_mask
    # Layers may differ in how many query heads share a key head.
    if own_mask is None and kept is not None and kept.dtype == dtype and kept.shape[2] == folds * length:
        return kept
    slots = chunks.shape[1]
    own = causal_mask(length, chunks.device) if own_mask is None else own_mask
    other = torch.ones(1, 1, length, slots * length, dtype=torch.bool, device=own.device)
    if group.key_mask is not None:
        other = other & group.key_mask[chunks].flatten(1)[:, None, None, :]
    if group.filled is not None:
        other = other & group.filled.repeat_interleave(length, dim=1)[:, None, None, :]
    both = max(own.shape[0], other.shape[0])
    allowed = torch.cat([own.expand(both, -1, -1, -1), other.expand(both, -1, -1, -1)], dim=-1)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=own.device)
    mask = mask.masked_fill_(~allowed, torch.finfo(dtype).min).repeat(1, 1, folds, 1)
    if own_mask is None:
        group.joint_mask = mask
    return mask
