"""The method written out plainly, as the paper's public code computes it: what ours is measured against.

Two passes of the language model, the second one reading what the first one recorded; every pair of
chunks materialised as (B, B, heads, L, L); the LM head at every position of both passes; queries and
passages padded to the maximum length. Nothing of `revela.modeling` is used, so that neither a speed-up
nor an error of it can reach this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModel,
    AutoModelForCausalLM,
    PreTrainedModel,
)
from transformers.masking_utils import eager_mask

from revela.settings import LoraSettings

NAME = "revela_bench_plain"
"""The name under which transformers knows this attention (``attn_implementation=NAME``)."""


Exposed = dict[int, tuple[Tensor, Tensor]]
"""Layer index to the plain pass's keys (after the rotary embedding) and values, (B, Hkv, L, d) each."""


@dataclass(frozen=True)
class Others:
    """What the conditioned pass reads.

    Attributes:
        exposed: what the plain pass recorded.
        weights: (B, B) the in-batch weights, 0 on the diagonal.
        key_bias: (1, B, 1, 1, L), 0 at unpadded tokens and the least finite number at padding.
        v_norm: divide by the weighted value norm.
    """

    exposed: Exposed
    weights: Tensor
    key_bias: Tensor
    v_norm: bool


def plain_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    dropout: float = 0.0,
    record: Exposed | None = None,
    others: Others | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """Causal self-attention; records keys and values, or adds what is read from the other chunks.

    Args:
        query: (B, H, L, d).
        key, value: (B, Hkv, L, d).
        attention_mask: (B, 1, L, L), added to the logits.
        record: the plain pass's keys and values go in here.
        others: what the conditioned pass reads.

    Returns:
        (B, L, H, d) and None.
    """
    heads = query.shape[1]
    keys, values = _every_head(key, heads), _every_head(value, heads)
    logits = query @ keys.transpose(-1, -2) * scaling + attention_mask
    attended = _softmax(logits) @ values
    if record is not None:
        # The first time only: under gradient checkpointing the backward pass comes here again.
        record.setdefault(module.layer_idx, (key, value))
    if others is not None:
        attended = attended + _read_others(query, *others.exposed[module.layer_idx], scaling, others)
    return attended.transpose(1, 2).contiguous(), None


def _read_others(query: Tensor, key: Tensor, value: Tensor, scaling: float, others: Others) -> Tensor:
    """sum_j w_ij x_ij / (n_ij + 1e-6), every pair (i, j) computed, the diagonal's weight being 0.

    Returns:
        (B, H, L, d).
    """
    keys, values = _every_head(key, query.shape[1]), _every_head(value, query.shape[1])
    logits = query[:, None] @ keys[None].transpose(-1, -2) * scaling + others.key_bias
    shares = _softmax(logits)  # (B, B, H, L, L)
    read = shares @ values[None]  # (B, B, H, L, d)
    if others.v_norm:
        norms = values.norm(dim=-1, keepdim=True)
        read = read / (shares @ norms[None] + 1e-6)
    # The weights are float32, and with them the products.
    return (others.weights[:, :, None, None, None] * read).sum(dim=1).to(query.dtype)


def _every_head(rows: Tensor, heads: int) -> Tensor:
    return rows.repeat_interleave(heads // rows.shape[1], dim=1)


def _softmax(logits: Tensor) -> Tensor:
    """In float32 at least, the result in the precision of the logits."""
    return torch.softmax(logits, dim=-1, dtype=_at_least_float32(logits)).to(logits.dtype)


def _at_least_float32(rows: Tensor) -> torch.dtype:
    return torch.promote_types(rows.dtype, torch.float32)


def plain_conditioned_loss(
    lm: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    *,
    temperature: float,
    v_norm: bool = True,
) -> tuple[Tensor, Tensor]:
    """Mean next-token cross-entropy of the conditioned pass, in nats, and that of the plain pass.

    The plain pass computes its loss although nothing trains on it, and its logits live as long as the
    second pass: so it is in the public code.

    Args:
        lm: a causal LM loaded with ``attn_implementation=NAME``.
        input_ids, attention_mask, labels: (B, L); -100 in the labels where there is no target.
        similarities: (B, B) with gradient.

    Returns:
        () with gradient, and () without.
    """
    exposed: Exposed = {}
    plain_loss, plain_logits = _pass(lm, input_ids, attention_mask, labels, record=exposed)
    padding = attention_mask[None, :, None, None, :] == 0
    others = Others(
        exposed=exposed,
        weights=_in_batch_weights(similarities, temperature),
        key_bias=torch.zeros_like(padding, dtype=lm.dtype).masked_fill(padding, torch.finfo(lm.dtype).min),
        v_norm=v_norm,
    )
    loss, _ = _pass(lm, input_ids, attention_mask, labels, others=others)
    del plain_logits
    return loss, plain_loss.detach()


def _pass(
    lm: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor,
    **attention: Exposed | Others,
) -> tuple[Tensor, Tensor]:
    """Loss () and logits (B, L, V), both in float32 at least."""
    logits = lm(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **attention).logits
    logits = logits.to(_at_least_float32(logits))
    shifted = logits[:, :-1].contiguous().flatten(0, 1)
    return F.cross_entropy(shifted, labels[:, 1:].flatten(), ignore_index=-100), logits


def _in_batch_weights(similarities: Tensor, temperature: float) -> Tensor:
    own = torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
    return torch.softmax((similarities / temperature).masked_fill(own, float("-inf")), dim=-1)


class PlainReference(nn.Module):
    """Retriever and language model with adapters, taking a step as the public code does.

    Args:
        lm_dir: a causal LM's folder; both models start from it.
        lora: adapters of both models.
        dtype: of the frozen weights; the adapters are float32.
        max_tokens: queries and passages are padded to this length.
        temperature: of the softmax over similarities.
        checkpointed: recompute every layer in the backward pass.
    """

    def __init__(
        self,
        lm_dir: Path,
        lora: LoraSettings,
        dtype: torch.dtype,
        *,
        max_tokens: int,
        temperature: float,
        checkpointed: bool = False,
    ) -> None:
        super().__init__()
        config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets)
        encoder = AutoModel.from_pretrained(lm_dir, dtype=dtype)
        lm = AutoModelForCausalLM.from_pretrained(lm_dir, dtype=dtype, attn_implementation=NAME)
        if checkpointed:
            for model in (encoder, lm):
                model.gradient_checkpointing_enable({"use_reentrant": False})
        self.encoder = get_peft_model(encoder, config)
        self.lm = get_peft_model(lm, config)
        self.max_tokens = max_tokens
        self.temperature = temperature

    def forward(
        self, query: dict[str, Tensor], passage: dict[str, Tensor], lm: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """One group's ``loss`` and ``plain_loss``; the arguments are those of :meth:`JointModel.forward`."""
        queries, passages = self._encode(**query), self._encode(**passage)
        # In bfloat16 one rounding step of a cosine is 39 logits at the paper's temperature.
        with torch.autocast(queries.device.type, enabled=False):
            similarities = queries @ passages.T
        loss, plain_loss = plain_conditioned_loss(
            self.lm.get_base_model(), **lm, similarities=similarities, temperature=self.temperature
        )
        return {"loss": loss, "plain_loss": plain_loss}

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) ids and mask, padded to the maximum, to (B, D) float32 of unit length."""
        missing = self.max_tokens - input_ids.shape[1]
        ids, mask = (F.pad(rows, (0, missing)) for rows in (input_ids, attention_mask))
        hidden = self.encoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = mask.sum(dim=1) - 1
        return F.normalize(hidden[torch.arange(len(hidden)), last].float(), dim=-1)


AttentionInterface.register(NAME, plain_attention)
AttentionMaskInterface.register(NAME, eager_mask)
