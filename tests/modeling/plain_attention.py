"""In-batch attention written out for any architecture: what the fast path must equal in every family.

No code is shared with `revela.modeling`. A model gets this attention under a name of its own and is
run twice as the formulas read: a plain pass over the group that records every layer's keys and
values, then one pass a chunk that reads them. Everything is materialised, nothing is fused, and the
state travels beside the model instead of through its keyword arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
)

NAME = "written_out"
EPSILON = 1e-6
WITHOUT_MEANING_HERE = {"sliding_window", "position_ids", "use_cache", "output_router_logits"}
"""What layers tell their attention and the mask or the keys already contain, or concerns others."""


@dataclass
class Recording:
    """The plain pass: keys and values (B, H, L, d) of each layer, in the order of the calls."""

    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)


@dataclass
class Reading:
    """The pass of one chunk: what it reads in each layer.

    Attributes:
        layers: of each layer, of each read chunk, its unpadded keys and values (H, L_j, d).
        weights: of each read chunk, w_ij ().
        attention: ``paper`` or ``joint``.
        v_norm: the paper's V-normalisation.
        calls: layers that have called so far.
    """

    layers: list[list[tuple[Tensor, Tensor]]]
    weights: list[Tensor]
    attention: str
    v_norm: bool
    calls: int = 0


@dataclass
class PlainLosses:
    """Losses () of the conditioned and of the plain stream, logits (B, L, V) of the conditioned one."""

    loss: Tensor
    plain_loss: Tensor
    logits: Tensor


_current: Recording | Reading | None = None


@contextmanager
def _during(state: Recording | Reading) -> Iterator[None]:
    global _current
    _current = state
    try:
        yield
    finally:
        _current = None


def same_model(lm: PreTrainedModel, config: PreTrainedConfig, implementation: str) -> PreTrainedModel:
    """A copy of `lm` with the same weights and another attention, without dropout."""
    copy = AutoModelForCausalLM.from_config(
        deepcopy(config), attn_implementation=implementation, dtype=lm.dtype
    )
    copy.load_state_dict(lm.state_dict())
    return copy.eval()


def plain_logits(lm: PreTrainedModel, input_ids: Tensor, mask: Tensor) -> Tensor:
    """(B, L, V) logits of chunks that read nothing but themselves."""
    with _during(Recording()):
        return lm(input_ids=input_ids, attention_mask=mask, use_cache=False).logits


def plain_losses(
    lm: PreTrainedModel,
    input_ids: Tensor,
    mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    *,
    temperature: float,
    attention: str,
    v_norm: bool = True,
    top_k: int | None = None,
) -> PlainLosses:
    """The conditioned stream by the formulas, chunk by chunk.

    Args:
        lm: a model whose attention is :data:`NAME`, see :func:`same_model`.
        input_ids, mask, labels: (B, L).
        similarities: (B, B) with gradient.
    """
    recording = Recording()
    with _during(recording):
        alone = lm(input_ids=input_ids, attention_mask=mask, use_cache=False).logits
    logits = []
    for i in range(len(input_ids)):
        others = [j for j in range(len(input_ids)) if j != i]
        weights = dict(
            zip(others, torch.softmax(similarities[i, others].float() / temperature, 0), strict=True)
        )
        read = sorted(others, key=lambda j, weights=weights: -weights[j].item())[:top_k]
        reading = Reading(
            layers=[
                [(keys[j][:, mask[j].bool()], values[j][:, mask[j].bool()]) for j in read]
                for keys, values in recording.layers
            ],
            weights=[weights[j] for j in read],
            attention=attention,
            v_norm=v_norm,
        )
        with _during(reading):
            output = lm(input_ids=input_ids[i : i + 1], attention_mask=mask[i : i + 1], use_cache=False)
        assert reading.calls == len(recording.layers)
        logits.append(output.logits[0])
    logits = torch.stack(logits)
    return PlainLosses(_next_token_loss(logits, labels), _next_token_loss(alone, labels), logits)


def _next_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    losses = [
        -torch.log_softmax(logits[i, t], dim=0)[labels[i, t + 1]]
        for i, t in (labels[:, 1:] != -100).nonzero().tolist()
    ]
    return torch.stack(losses).mean()


def _attention(
    module, query, key, value, attention_mask, scaling=None, dropout=0.0, softcap=None, **others
) -> tuple[Tensor, None]:
    """(B, L, H, d) of one layer, by the kind of pass that is under way."""
    assert dropout == 0.0 and attention_mask.dtype == torch.bool
    assert {name for name, given in others.items() if given is not None} <= WITHOUT_MEANING_HERE
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)

    def logits_over(keys: Tensor) -> Tensor:
        logits = query @ keys.transpose(-1, -2) * scaling
        return logits if softcap is None else softcap * torch.tanh(logits / softcap)

    # The smallest number instead of -inf: a padded position has nothing to read and must not be NaN.
    own = logits_over(key).masked_fill(~attention_mask, torch.finfo(query.dtype).min)
    attended = own.softmax(-1) @ value
    if isinstance(_current, Recording):
        _current.layers.append((key, value))
    else:
        chunks = _current.layers[_current.calls]
        _current.calls += 1
        logits = [logits_over(keys) for keys, _ in chunks]
        values = [values for _, values in chunks]
        if _current.attention == "paper":
            for w, logits_j, values_j in zip(_current.weights, logits, values, strict=True):
                share = logits_j.softmax(-1)
                read = share @ values_j
                if _current.v_norm:
                    read = read / (share @ values_j.norm(dim=-1, keepdim=True) + EPSILON)
                attended = attended + w * read
        else:
            weighted = [logits_j + w.log() for w, logits_j in zip(_current.weights, logits, strict=True)]
            shares = torch.cat([own, *weighted], dim=-1).softmax(-1)
            attended = shares @ torch.cat([value, *(values_j[None] for values_j in values)], dim=2)
    return attended.transpose(1, 2).contiguous(), None


def _mask(batch_size, q_length, kv_length, mask_function, attention_mask, device="cpu", **_) -> Tensor:
    """(B, 1, L, L) bool: what the architecture's own rule (causal, window) allows, less the padding."""
    rows, positions = torch.arange(batch_size), torch.arange(q_length)
    allowed = mask_function(
        rows[:, None, None, None],
        torch.zeros(1, 1, 1, 1, dtype=torch.long),
        positions[:, None],
        positions,
    )
    return allowed.expand(batch_size, 1, q_length, q_length) & attention_mask[:, None, None, :].bool()


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
