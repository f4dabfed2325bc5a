"""In-batch attention: the chunks of a group read each other, weighted by the retriever.

The 2B rows of one forward are the *plain* streams of the group's B chunks followed by their
*conditioned* streams. Every layer calls :func:`attention_forward` through transformers'
AttentionInterface, so that no modelling code is forked or copied; the plain rows' keys and values
of that same call are what the conditioned rows read. No tensor of B x B x heads x L x L exists:
only the pairs in :attr:`InBatch.pairs` are computed, by the fused kernels behind
``scaled_dot_product_attention``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "revela_in_batch"
"""The name under which transformers knows this attention (``attn_implementation=NAME``)."""

Attention = Literal["paper", "joint"]

V_NORM_EPSILON = 1e-6
"""Added to the weighted value norm before dividing (the paper's public implementation)."""

_HEAD_MULTIPLE = 8
"""Fused kernels want head sizes in multiples of 8; extra columns are zeros and change nothing."""


@dataclass
class InBatch:
    """What every attention layer needs to know about the group; one object a forward.

    Attributes:
        log_weights: (B, B) float32 with gradient, -inf on the diagonal.
        pairs: (B, B) bool, the pairs (reader i, read j) that are computed.
        key_mask: (B, L) bool, true at unpadded tokens.
        attention: ``paper`` adds the weighted outputs to the self-attention output, ``joint`` puts
            all keys under one softmax with log w as a prior.
        v_norm: divide by the weighted value norm (``paper`` only).
        answered: the layers' indices that called; the probe at load reads it.
    """

    log_weights: Tensor
    pairs: Tensor
    key_mask: Tensor
    attention: Attention
    v_norm: bool
    answered: list[int] = field(default_factory=list)


class UnsupportedAttentionError(ValueError):
    """The model asks of its attention something that in-batch attention does not compute."""


def attention_forward(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    in_batch: InBatch | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """The function registered with transformers; ordinary attention when there is no group.

    Args:
        module: the calling attention layer.
        query: (2B, H, L, d), plain rows first.
        key: (2B, Hkv, L, d), after the rotary embedding.
        value: (2B, Hkv, L, d).
        attention_mask: (2B, 1, L, L) bool, or None for purely causal.
        scaling: logit scale; None is 1 / sqrt(d).
        dropout: must be 0 with a group.
        in_batch: the group; None computes ordinary attention.

    Returns:
        (2B, L, H, d) and None.

    Raises:
        UnsupportedAttentionError: soft-capping, attention sinks or biases by position.
    """
    if in_batch is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **kwargs
        )
    _refuse_unsupported(module, value, query, dropout, kwargs)
    in_batch.answered.append(getattr(module, "layer_idx", -1))
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    size = query.shape[0] // 2
    if in_batch.attention == "paper":
        own, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=0.0, **kwargs
        )
        read = _paper_reading(query[size:], key[:size], value[:size], scaling, in_batch)
        return torch.cat([own[:size], own[size:] + read.transpose(1, 2)]), None
    plain_mask = None if attention_mask is None else attention_mask[:size]
    plain, _ = sdpa_attention_forward(
        module, query[:size], key[:size], value[:size], plain_mask, scaling=scaling, dropout=0.0, **kwargs
    )
    own_mask = None if attention_mask is None else attention_mask[size:]
    conditioned = _joint_attention(query, key, value, own_mask, scaling, in_batch)
    return torch.cat([plain, conditioned.transpose(1, 2)]), None


def _paper_reading(query: Tensor, key: Tensor, value: Tensor, scaling: float, group: InBatch) -> Tensor:
    """sum_j w_ij x_ij / (n_ij + eps) over the selected pairs.

    ``x_ij = softmax(Q_i K_j^T scaling) V_j`` and ``n_ij`` the same softmax over the value rows'
    2-norms. The norm rides along as one more value column, so that one kernel call returns both.

    Args:
        query: (B, H, L, d) of the conditioned rows.
        key: (B, Hkv, L, d) of the plain rows.
        value: (B, Hkv, L, d) of the plain rows.

    Returns:
        (B, H, L, d) in the dtype of `query`.
    """
    size, heads, length, width = query.shape
    kv_heads = key.shape[1]
    readers, read = group.pairs.nonzero(as_tuple=True)
    if group.v_norm:
        norm = value.float().norm(dim=-1, keepdim=True).to(value.dtype)
        value = torch.cat([value, norm], dim=-1)
    padded = _round_up(value.shape[-1])
    # Without a causal mask the query heads of one key head can stand one under the other as more
    # query positions: grouped-query attention without repeating keys and values.
    folded = query[readers].reshape(len(readers), kv_heads, heads // kv_heads * length, width)
    mask = None if bool(group.key_mask.all()) else group.key_mask[read][:, None, None, :]
    output = F.scaled_dot_product_attention(
        _widen(folded, padded),
        _widen(key, padded)[read],
        _widen(value, padded)[read],
        attn_mask=mask,
        scale=scaling,
    ).reshape(len(readers), heads, length, padded)
    weights = group.log_weights[readers, read].exp()[:, None, None, None]
    contribution = output[..., :width].float() * weights
    if group.v_norm:
        contribution = contribution / (output[..., width : width + 1].float() + V_NORM_EPSILON)
    total = contribution.new_zeros(size, heads, length, width)
    return total.index_add(0, readers, contribution).to(query.dtype)


def _joint_attention(
    query: Tensor, key: Tensor, value: Tensor, own_mask: Tensor | None, scaling: float, group: InBatch
) -> Tensor:
    """One softmax over a chunk's own past and the selected chunks, log w_ij being their prior.

    Logits over own keys are ``Q_i K_i^T scaling`` (causal), over chunk j's keys
    ``Q_i K_j^T scaling + log w_ij``. The prior enters as one more key column against a query
    column of ones: a fused kernel computes it, and the gradient reaches w through the keys.

    Args:
        query, key, value: (2B, H or Hkv, L, d), plain rows first.
        own_mask: (B, 1, L, L) bool of the conditioned rows, or None for purely causal.

    Returns:
        (B, H, L, d).
    """
    size, heads, length, width = query.shape[0] // 2, *query.shape[1:]
    kv_heads, folds = key.shape[1], query.shape[1] // key.shape[1]
    chunks, chosen = _chosen_chunks(group)
    slots = chunks.shape[1]

    prior = group.log_weights.gather(1, chunks).masked_fill(~chosen, 0.0) / scaling
    # Two columns, so that a half-precision key still carries the prior to float32 accuracy.
    coarse = prior.to(key.dtype)
    rest = (prior - coarse.float()).detach().to(key.dtype)
    prior_columns = torch.stack([coarse, rest], dim=-1)[:, None, :, None, :]
    prior_columns = prior_columns.expand(size, kv_heads, slots, length, 2).flatten(2, 3)

    def gathered(rows: Tensor) -> Tensor:
        return rows[:size][chunks].transpose(1, 2).flatten(2, 3)

    padded = _round_up(width + 2)
    other_keys = torch.cat([gathered(key), prior_columns], dim=-1)
    keys = torch.cat([_widen(key[size:], padded), _widen(other_keys, padded)], dim=2)
    values = torch.cat([value[size:], gathered(value)], dim=2)
    ones = query.new_ones(size, heads, length, 2)
    queries = _widen(torch.cat([query[size:], ones], dim=-1), padded)

    if own_mask is None:
        own_mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        own_mask = own_mask.expand(size, 1, length, length)
    elif own_mask.dtype != torch.bool:
        own_mask = own_mask == 0
    other_mask = (group.key_mask[chunks] & chosen[:, :, None]).flatten(1)[:, None, None, :]
    mask = torch.cat([own_mask, other_mask.expand(size, 1, length, slots * length)], dim=-1)
    output = F.scaled_dot_product_attention(
        queries.reshape(size, kv_heads, folds * length, padded),
        keys,
        _widen(values, padded),
        attn_mask=mask.repeat(1, 1, folds, 1),
        scale=scaling,
    )
    return output[..., :width].reshape(size, heads, length, width)


def _chosen_chunks(group: InBatch) -> tuple[Tensor, Tensor]:
    """The chunks each row reads, as a rectangle.

    Returns:
        (B, k) indices of chunks, k being the most any row reads, and (B, k) bool: false where a
        row reads fewer and the slot is to be masked.
    """
    slots = int(group.pairs.sum(dim=1).max())
    chosen, chunks = group.pairs.to(torch.int8).topk(max(slots, 1), dim=1)
    return chunks, chosen.bool()


def _widen(rows: Tensor, width: int) -> Tensor:
    """Zero columns up to `width`: they change neither logits nor the columns read back."""
    return F.pad(rows, (0, width - rows.shape[-1])) if rows.shape[-1] < width else rows


def _round_up(width: int) -> int:
    return math.ceil(width / _HEAD_MULTIPLE) * _HEAD_MULTIPLE


def _refuse_unsupported(
    module: nn.Module, value: Tensor, query: Tensor, dropout: float, kwargs: dict
) -> None:
    """Name what this model's attention needs and ours lacks, instead of computing something else."""
    layer = type(module).__name__
    for key, meaning in (
        ("softcap", "soft-capped attention logits"),
        ("s_aux", "attention sinks"),
        ("position_bias", "a bias by position"),
    ):
        if kwargs.get(key) is not None:
            raise UnsupportedAttentionError(
                f"{layer} uses {meaning} (`{key}`), which in-batch attention lacks"
            )
    if value.shape[-1] != query.shape[-1]:
        raise UnsupportedAttentionError(
            f"{layer} has value heads of size {value.shape[-1]} and query heads of size {query.shape[-1]}"
        )
    if dropout:
        raise UnsupportedAttentionError(f"{layer} has attention dropout {dropout}; set it to 0")


AttentionInterface.register(NAME, attention_forward)
AttentionMaskInterface.register(NAME, sdpa_mask)
