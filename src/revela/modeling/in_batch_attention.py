"""In-batch attention: the chunks of a group read each other, weighted by the retriever.

Every layer calls :func:`attention_forward` through transformers' AttentionInterface, so that no
modelling code is forked or copied. The plain rows' keys and values of that very call are what the
conditioned rows read (:class:`revela.modeling.group.InBatch` says who reads whom), so one forward
does for both streams, and nothing of the size B x B x heads x L x L ever exists.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from revela.modeling.attend import attend, causal_mask, fold_heads, unfold_heads
from revela.modeling.group import InBatch, PlainKeys
from revela.modeling.joint_attention import joint_attention
from revela.modeling.paper_attention import paper_reading
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
    in_batch: InBatch | PlainKeys | None = None,
    softcap: float | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """The function registered with transformers; ordinary attention when there is no group.

    Args:
        module: the calling attention layer.
        query: (R + B, H, L, d), the plain rows first.
        key: (R + B, Hkv, L, d), after the rotary embedding.
        value: (R + B, Hkv, L, dv).
        attention_mask: (R + B, 1, L, L) bool, or None for purely causal.
        scaling: logit scale; None is 1 / sqrt(d).
        dropout: must be 0 with a group.
        in_batch: the group; None computes ordinary attention, as does :class:`PlainKeys`, which also keeps
            the keys and values.
        softcap: c of ``c tanh(logits / c)``, applied to every query-key logit; None is no cap.

    Returns:
        (R + B, L, H, dv) and None.

    Raises:
        UnsupportedAttentionError: attention sinks, biases by position, a mask with values of its own,
            dropout, or any argument that is not known to be harmless.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling

    def own(rows: slice) -> Tensor:
        """Ordinary self-attention of some rows, (rows, L, H, dv)."""
        mask = None if attention_mask is None else attention_mask[rows]
        if softcap is not None:
            return _soft_capped_self_attention(query[rows], key[rows], value[rows], mask, scaling, softcap)
        return sdpa_attention_forward(
            module, query[rows], key[rows], value[rows], mask, scaling=scaling, dropout=dropout, **kwargs
        )[0]

    unread = unread_rows(module)
    if in_batch is not None:
        _refuse_unsupported(module, attention_mask, dropout, kwargs)
    if not isinstance(in_batch, InBatch):
        if unread is not None:
            unread.leave_out(0, len(query))
        if in_batch is not None:
            in_batch[module] = key, value
        return own(slice(None)), None
    in_batch.answered.append(module)
    plain, conditioned = slice(0, in_batch.plain_rows), slice(in_batch.plain_rows, None)
    readable = (key[plain], value[plain]) if in_batch.plain_keys is None else in_batch.plain_keys[module]
    if in_batch.exchange is not None:
        readable = in_batch.exchange(*readable)
    if in_batch.attention == "joint" and not in_batch.reads_nothing:
        own_mask = None if attention_mask is None else attention_mask[conditioned]
        answer = joint_attention(
            query[conditioned], key[conditioned], value[conditioned], *readable,
            own_mask, scaling, in_batch, softcap, _gate(module, in_batch),
        ).transpose(1, 2)  # fmt: skip
    else:
        answer = own(conditioned)
        if not in_batch.reads_nothing:
            reading = paper_reading(query[conditioned], *readable, scaling, in_batch, softcap)
            if in_batch.gates is not None:
                reading = reading * torch.tanh(_gate(module, in_batch)).to(reading.dtype)
            answer = answer + reading.transpose(1, 2)
        else:
            # Adds 0, but keeps weights and readable rows in the graph: the loss still has a gradient, and
            # other processes that do read find this one taking part in the way back.
            gate = [] if in_batch.gates is None else [in_batch.gates]
            nothing = sum(rows.sum() for rows in (in_batch.log_weights, *readable, *gate)) * 0.0
            answer = answer + nothing.to(answer.dtype)
    if in_batch.plain_rows and (unread is None or in_batch.keep_plain):
        plain_answer = own(plain)
    else:
        plain_answer = answer.new_zeros(in_batch.plain_rows, *answer.shape[1:])
    if unread is not None:
        unread.leave_out(0 if in_batch.keep_plain else in_batch.plain_rows, len(query))
    return torch.cat([plain_answer, answer]), None


def _gate(module: nn.Module, in_batch: InBatch) -> Tensor | None:
    """() this layer's gate; None without gates."""
    return None if in_batch.gates is None else in_batch.gates[module.layer_idx]


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
        "output_hidden_states", "output_router_logits", "return_dict", "num_items_in_batch",
    }
)  # fmt: skip
"""What layers tell their attention that the mask already contains, or that concerns other modules."""

_MEANINGS = {
    "s_aux": "attention sinks",
    "sinks": "attention sinks",
    "position_bias": "a bias by position",
    "indices": "a sparse choice of keys",
}


def _refuse_unsupported(module: nn.Module, mask: Tensor | None, dropout: float, kwargs: dict) -> None:
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


AttentionInterface.register(NAME, attention_forward)
AttentionMaskInterface.register(NAME, sdpa_mask)
