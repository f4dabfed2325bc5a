"""The method written out plainly, two passes and every pair materialised: what the fast path must equal.

Llama only, float32, no fused kernel, no shared code with `revela.modeling`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb


def reference_loss(
    lm: LlamaForCausalLM,
    input_ids: Tensor,
    mask: Tensor,
    labels: Tensor,
    similarities: Tensor,
    *,
    temperature: float,
    attention: str,
    v_norm: bool = True,
    top_k: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Conditioned loss and logits by the formulas, chunk by chunk."""
    size = len(input_ids)
    weights = torch.zeros(size, size)
    for i in range(size):
        others = [j for j in range(size) if j != i]
        weights[i, others] = torch.softmax(similarities[i, others] / temperature, dim=0)
    exposed = _plain_pass(lm, input_ids, mask)
    logits = torch.stack(
        [
            _conditioned_pass(lm, i, input_ids, mask, exposed, weights, attention, v_norm, top_k)
            for i in range(size)
        ]
    )
    shifted, targets = logits[:, :-1].reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1)
    return torch.nn.functional.cross_entropy(shifted, targets, ignore_index=-100), logits


def _projections(layer, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    attn, config = layer.self_attn, layer.self_attn.config
    shape = (*hidden.shape[:-1], -1, attn.head_dim)
    query, key, value = (
        projection(hidden).view(shape).transpose(1, 2)
        for projection in (attn.q_proj, attn.k_proj, attn.v_proj)
    )
    query, key = apply_rotary_pos_emb(query, key, *rotary)
    repeats = config.num_attention_heads // config.num_key_value_heads
    return query, key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)


def _own_logits(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    length = query.shape[-2]
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return logits.masked_fill(~(causal & mask.bool()[:, None, None, :]), float("-inf"))


def _finish_layer(layer, hidden: Tensor, attended: Tensor) -> Tensor:
    attended = attended.transpose(1, 2).flatten(-2)
    hidden = hidden + layer.self_attn.o_proj(attended)
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def _plain_pass(lm: LlamaForCausalLM, input_ids: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Keys (after RoPE) and values of every layer, (B, H, L, d) each."""
    hidden = lm.model.embed_tokens(input_ids)
    rotary = lm.model.rotary_emb(hidden, torch.arange(input_ids.shape[1])[None])
    exposed = []
    for layer in lm.model.layers:
        query, key, value = _projections(layer, layer.input_layernorm(hidden), rotary)
        exposed.append((key, value))
        hidden = _finish_layer(layer, hidden, _own_logits(query, key, mask).softmax(-1) @ value)
    return exposed


def _conditioned_pass(lm, i, input_ids, mask, exposed, weights, attention, v_norm, top_k) -> Tensor:
    """Logits (L, V) of chunk i reading the others."""
    others = [j for j in range(len(input_ids)) if j != i]
    if top_k is not None:
        others = sorted(others, key=lambda j: -float(weights[i, j]))[:top_k]
    hidden = lm.model.embed_tokens(input_ids[i : i + 1])
    rotary = lm.model.rotary_emb(hidden, torch.arange(input_ids.shape[1])[None])
    for layer, (keys, values) in zip(lm.model.layers, exposed, strict=True):
        query, key, value = _projections(layer, layer.input_layernorm(hidden), rotary)
        own = _own_logits(query, key, mask[i : i + 1])
        crossed = {}
        for j in others:
            logits = query @ keys[j : j + 1].transpose(-1, -2) / math.sqrt(query.shape[-1])
            crossed[j] = logits.masked_fill(~mask[j].bool(), float("-inf"))
        if attention == "paper":
            attended = own.softmax(-1) @ value
            for j in others:
                share = crossed[j].softmax(-1)
                read = share @ values[j : j + 1]
                if v_norm:
                    read = read / (share @ values[j : j + 1].norm(dim=-1, keepdim=True) + 1e-6)
                attended = attended + weights[i, j] * read
        else:
            together = torch.cat([own, *(crossed[j] + weights[i, j].log() for j in others)], dim=-1)
            attended = together.softmax(-1) @ torch.cat([value, *(values[j : j + 1] for j in others)], dim=2)
        hidden = _finish_layer(layer, hidden, attended)
    return lm.lm_head(lm.model.norm(hidden))[0]
