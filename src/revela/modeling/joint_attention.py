"""Joint attention: a chunk's own past and the other chunks under one softmax, log w their prior."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from revela.modeling.attend import attend, causal_mask, fold_heads, round_up, unfold_heads
from revela.modeling.group import InBatch, Slots

_PRIOR_COLUMNS = 2

HeadShape = tuple[int, float]
"""Size d of a layer's heads, and the scale of its logits."""


def joint_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
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
        query: (C, H, L, d) of the conditioned rows.
        key, value: (M + C, Hkv, L, d or dv) of the rows that can be read, then of the conditioned rows.
        own_mask: (C, 1, L, L) bool of the conditioned rows, or None for purely causal.
        gate: () added to every log w_ij; None adds nothing.

    Returns:
        (C, H, L, dv).
    """
    slots = group.plan
    assert isinstance(slots, Slots)
    size, heads, length, width = query.shape
    kv_heads = key.shape[1]
    device = query.device.type
    # Under autocast the kernel rounds keys and mask to this, whatever they are here.
    computed_in = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    rows = _kept(group, "rows", lambda: _rows_of(slots, len(key), size))

    def gathered(every: Tensor) -> Tensor:
        """Own row and the read ones, one after the other, (C, Hkv, (1 + k) L, ...)."""
        chosen = every.transpose(1, 2).index_select(0, rows)
        by_reader: Tensor = chosen.unflatten(0, (size, -1))
        return by_reader.flatten(1, 2).transpose(1, 2)

    keys, values = gathered(key), gathered(value)
    folds = heads // kv_heads
    if own_mask is None:
        # Layers may differ in how many query heads share a key head.
        mask = _kept(
            group, (folds, computed_in), lambda: _mask(None, slots, size, length, folds, computed_in)
        )
    else:
        mask = _mask(own_mask, slots, size, length, folds, computed_in)
    if softcap is not None:
        # The cap belongs to the query-key logits alone: the prior is added after it.
        log_prior = slots.log_weights if gate is None else slots.log_weights + gate.to(torch.float32)
        others = log_prior[:, :, None].expand(*log_prior.shape, length).flatten(1)
        added = torch.cat([others.new_zeros(size, length), others], dim=1)[:, None, None, :]
        output = attend(fold_heads(query, kv_heads), keys, values, mask, scaling, softcap, added)
        return unfold_heads(output, heads)

    group.heads.add((width, scaling))
    prior = group.kept.get((width, scaling, computed_in)) if gate is None else None
    if prior is None:
        log_prior = slots.log_weights if gate is None else slots.log_weights + gate.to(torch.float32)
        prior = _prior_columns(log_prior, length, width, scaling, computed_in)
    extra = prior.shape[-1]
    # Columns beyond the prior's are zeros among the keys, so ones do no harm.
    ones = _kept(group, ("ones", extra, query.dtype), lambda: query.new_ones(1, 1, 1, extra))
    queries = torch.cat([query, ones.expand(size, heads, length, extra)], dim=-1)
    keys = torch.cat([keys, prior.expand(-1, kv_heads, -1, -1)], dim=-1)
    output = attend(fold_heads(queries, kv_heads), keys, values, mask, scaling)
    return unfold_heads(output, heads)


def _kept(group: InBatch, name: object, make: Callable[[], Tensor]) -> Tensor:
    """What the first layer that needs it makes, and the others share."""
    if name not in group.kept:
        group.kept[name] = make()
    return group.kept[name]


def _rows_of(slots: Slots, every: int, size: int) -> Tensor:
    """(C (1 + k),) the row of own keys and of those in the slots, reader by reader."""
    own = torch.arange(every - size, every, device=slots.read.device)[:, None]
    return torch.cat([own, slots.read], dim=1).flatten()


def share_priors(group: InBatch, length: int, dtype: torch.dtype, heads: Iterable[HeadShape]) -> None:
    """Make the priors' columns once for all layers: before the forward, for what has a gradient must not be
    made in a layer that is run again when gradients are checkpointed.

    Args:
        length: L.
        dtype: that keys are computed in.
        heads: size and logit scale of the layers' heads.
    """
    for width, scaling in heads:
        group.kept[width, scaling, dtype] = _prior_columns(
            group.plan.log_weights, length, width, scaling, dtype
        )


def _prior_columns(
    log_weights: Tensor, length: int, width: int, scaling: float, dtype: torch.dtype
) -> Tensor:
    """(C, k) to (C, 1, (1 + k) L, columns) whose sum, scaled, is the prior; own keys have none.

    Two columns of a half-precision key still carry a logit to float32 accuracy. The gradient goes through
    the first. The rest are zeros, for kernels want certain widths.
    """
    prior = log_weights / scaling
    coarse = prior.to(dtype)
    rest = (prior - coarse.to(prior.dtype)).detach().to(dtype)
    columns = round_up(width + _PRIOR_COLUMNS) - width
    both = F.pad(torch.stack([coarse, rest], dim=-1), (0, columns - _PRIOR_COLUMNS, 1, 0))
    return both.repeat_interleave(length, dim=1)[:, None]


def _mask(
    own_mask: Tensor | None, slots: Slots, size: int, length: int, folds: int, dtype: torch.dtype
) -> Tensor:
    """(C or 1, 1, folds L, (1 + k) L), additive."""
    device = slots.read.device
    own = causal_mask(length, device) if own_mask is None else own_mask
    other = torch.ones(1, 1, 1, slots.read.shape[1] * length, dtype=torch.bool, device=device)
    if slots.key_mask is not None:
        other = slots.key_mask[slots.read].flatten(1)[:, None, None, :]
    if slots.filled is not None:
        other = other & slots.filled.repeat_interleave(length, dim=1)[:, None, None, :]
    both = max(own.shape[0], other.shape[0])
    allowed = torch.cat([own.expand(both, -1, -1, -1), other.expand(both, -1, length, -1)], dim=-1)
    mask = torch.zeros(allowed.shape, dtype=dtype, device=device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min).repeat(1, 1, folds, 1)
