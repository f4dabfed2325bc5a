"""In-batch attention: the chunks of a group read each other, weighted by the retriever.

Every layer calls :func:`attention_forward` through transformers' AttentionInterface, so that no
modelling code is forked or copied. The plain rows' keys and values of that very call are what the
conditioned rows read (:class:`revela.modeling.group.InBatch` says who reads whom), so one forward
does for both streams, and nothing of the size B x B x heads x L x L ever exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from revela.modeling.attend import attend, causal_mask, fold_heads, unfold_heads
from revela.modeling.group import InBatch, Pairs, PlainKeys, Slots
from revela.modeling.joint_attention import joint_attention
from revela.modeling.paper_attention import paper_reading
from revela.modeling.rows import Rows
from revela.modeling.unread import unread_rows

NAME = "revela_in_batch"
"""The name under which transformers knows this attention (``attn_implementation=NAME``)."""


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
    in_batch: InBatch | PlainKeys | Rows | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function registered with transformers; ordinary attention when there is no group.

    Args:
        module: the calling attention layer.
        query: (R + C, H, L, d), the plain rows first; (1, H, T, d) where rows lie one after the other.
        key: (R + C, Hkv, L, d), after the rotary embedding; or (1, Hkv, T, d).
        value: (R + C, Hkv, L, dv), or (1, Hkv, T, dv).
        attention_mask: (R + C, 1, L, L) bool, or None for purely causal; not looked at with :class:`Rows`.
        scaling: logit scale; None is 1 / sqrt(d).
        dropout: must be 0 with a group.
        in_batch: the groups; None computes ordinary attention, as do :class:`PlainKeys`, which also keeps
            the keys and values, and :class:`Rows`, the rows of a model that reads no groups.
        softcap: c of ``c tanh(logits / c)``, applied to every query-key logit; None is no cap.

    Returns:
        (R + C, L, H, dv) or (1, T, H, dv), and None.

    Raises:
        UnsupportedAttentionError: attention sinks, biases by position, a mask with values of its own,
            dropout, or any argument that is not known to be harmless.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    group = in_batch if isinstance(in_batch, InBatch) else None
    if in_batch is not None:
        _refuse_unsupported(module, attention_mask, dropout, kwargs)
    rows = in_batch if isinstance(in_batch, Rows) else getattr(in_batch, "rows", None)
    if rows is not None:
        query, key, value = rows.spread(query), rows.spread(key), rows.spread(value)
        # Its rows are padded on the right, so a causal one needs no mask; an encoder's needs the keys'.
        causal = getattr(module, "is_causal", True)
        attention_mask = None if causal or rows.mask is None else rows.mask[:, None, None, :]

    def own(chosen: slice) -> Tensor:
        """Ordinary self-attention of some rows, (rows, L, H, dv)."""
        mask = None if attention_mask is None else attention_mask[chosen]
        if softcap is not None:
            return _soft_capped_self_attention(
                query[chosen], key[chosen], value[chosen], mask, scaling, softcap
            )
        return sdpa_attention_forward(
            module,
            query[chosen],
            key[chosen],
            value[chosen],
            mask,
            scaling=scaling,
            dropout=dropout,
            **kwargs,
        )[0]

    unread = unread_rows(module)
    if group is None:
        if unread is not None:
            unread.leave_out(0, len(query))
        if isinstance(in_batch, PlainKeys):
            in_batch[module] = key, value
        answer = own(slice(None))
        return (answer if rows is None else rows.pack(answer)), None
    group.answered.append(module)
    nothing_but_conditioned = unread is not None and not group.keep_plain
    answer = _of_both_streams(
        module, query, key, value, attention_mask, scaling, group, softcap, own, nothing_but_conditioned
    )
    if unread is not None:
        if group.keep_plain:
            unread.leave_out(0, len(query))
        elif rows is None or rows.mask is None:
            unread.leave_out(group.plain_rows, len(query))
        else:
            unread.leave_out(group.plain_tokens, rows.tokens, dim=1)
    return (answer if rows is None else rows.pack(answer)), None


def _of_both_streams(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    group: InBatch,
    softcap: float | None,
    own: Callable[[slice], Tensor],
    nothing_but_conditioned: bool,
) -> Tensor:
    """(R + C, L, H, dv): the plain rows' self-attention, and what the conditioned rows read."""
    plain, conditioned = slice(0, group.plain_rows), slice(group.plain_rows, None)
    readable = (key[plain], value[plain]) if group.plain_keys is None else group.plain_keys[module]
    if group.exchange is not None:
        readable = group.exchange(*readable)
    if isinstance(group.plan, Slots) and not group.reads_nothing:
        if group.plain_keys is None and group.exchange is None:
            pool_key, pool_value = key, value
        else:
            pool_key, pool_value = (
                torch.cat([theirs, ours[conditioned]])
                for theirs, ours in zip(readable, (key, value), strict=True)
            )
        own_mask = None if attention_mask is None else attention_mask[conditioned]
        answer = joint_attention(
            query[conditioned], pool_key, pool_value, own_mask, scaling, group, softcap, _gate(module, group)
        ).transpose(1, 2)
        if not group.plain_rows:
            return answer
        plain_answer = own(plain) if not nothing_but_conditioned else _zeros_before(answer, group)
        return torch.cat([plain_answer, answer])
    # Both streams attend to themselves in the same way, so they do it together.
    both = own(conditioned) if nothing_but_conditioned else own(slice(None))
    answer = both if nothing_but_conditioned else both[conditioned]
    if isinstance(group.plan, Pairs) and not group.reads_nothing:
        reading = paper_reading(query[conditioned], *readable, scaling, group.plan, group.v_norm, softcap)
        if (gate := _gate(module, group)) is not None:
            reading = reading * torch.tanh(gate).to(reading.dtype)
        answer = answer + reading.transpose(1, 2)
    else:
        # Adds 0, but keeps weights and readable rows in the graph: the loss still has a gradient, and
        # other processes that do read find this one taking part in the way back.
        gates = [] if group.gates is None else [group.gates]
        total = sum(tensor.sum() for tensor in (group.plan.log_weights, *readable, *gates))
        # Only the sum of no tensors at all would be an int.
        nothing = cast(Tensor, total) * 0.0
        answer = answer + nothing.to(answer.dtype)
    if not group.plain_rows:
        return answer
    return torch.cat([_zeros_before(answer, group) if nothing_but_conditioned else both[plain], answer])


def _zeros_before(answer: Tensor, group: InBatch) -> Tensor:
    """In place of the plain rows where nobody reads their outcome."""
    return answer.new_zeros(group.plain_rows, *answer.shape[1:])


def _gate(module: nn.Module, in_batch: InBatch) -> Tensor | None:
    """() this layer's gate; None without gates."""
    # nn.Module takes every attribute for a tensor or a module.
    return None if in_batch.gates is None else in_batch.gates[cast(int, module.layer_idx)]


def _soft_capped_self_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, softcap: float
) -> Tensor:
    heads, kv_heads = query.shape[1], key.shape[1]
    if mask is None:
        mask = causal_mask(query.shape[2], query.device)
    mask = mask.repeat(1, 1, heads // kv_heads, 1)
    output = attend(fold_heads(query, kv_heads), key, value, mask, scaling, softcap)
    return unfold_heads(output, heads).transpose(1, 2)


_HARMLESS = frozenset(
    {
        "sliding_window", "position_ids", "cache_position", "is_causal", "use_cache", "output_attentions",
        "output_hidden_states", "output_router_logits", "return_dict", "num_items_in_batch", "deterministic",
    }
)  # fmt: skip
"""What layers tell their attention that the mask already contains, or that concerns other modules."""

_MEANINGS = {
    "s_aux": "attention sinks",
    "sinks": "attention sinks",
    "position_bias": "a bias by position",
    "indices": "a sparse choice of keys",
}


def _refuse_unsupported(
    module: nn.Module, mask: Tensor | None, dropout: float, kwargs: dict[str, Any]
) -> None:
    """Name what this model's attention needs and ours lacks, instead of computing something else."""
    layer = type(module).__name__
    for key, given in kwargs.items():
        if given is not None and key not in _HARMLESS:
            meaning = _MEANINGS.get(key, "an argument unknown here")
            raise UnsupportedAttentionError(
                f"{layer} uses {meaning} (`{key}`), which in-batch attention lacks"
            )
    if mask is not None and mask.dtype != torch.bool:
        raise UnsupportedAttentionError(f"{layer} adds a mask with values of its own to its logits")
    if dropout:
        raise UnsupportedAttentionError(f"{layer} has attention dropout {dropout}; set it to 0")


# Compiled layers call it as it is: who reads whom differs from layer to layer and from step to step, and
# each difference would be compiled anew.
AttentionInterface.register(NAME, torch.compiler.disable(attention_forward))
AttentionMaskInterface.register(NAME, sdpa_mask)
