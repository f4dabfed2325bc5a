"""How well a language model predicts each chunk's second part after each other chunk."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from revela.modeling.head import head_only_at


@torch.no_grad()
def continuation_log_likelihoods(
    lm: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, labels: Tensor
) -> Tensor:
    """log p(second part of i | chunk j, first part of i) for all pairs, as REPLUG scores documents.

    Every chunk is read once as a prefix, and its keys and values serve all B chunks that follow it; the head
    runs at targets only. So a group costs 1 + B forwards of B rows of L tokens, in place of B of 2 L.

    Args:
        lm: a causal LM of transformers with key-value cache.
        input_ids: (B, L) token ids, padded on the right.
        attention_mask: (B, L), 1 at tokens and 0 at padding.
        labels: (B, L) token ids in the second part, -100 elsewhere; shifted inside, as in transformers.

    Returns:
        (B, B) float32, without gradient: in row i and column j nats a token, never above 0; a row without
        a target is 0. The diagonal reads a chunk after itself and means nothing.

    Raises:
        ValueError: padding that is not on the right.
    """
    mask = attention_mask.bool()
    if not bool((mask[:, :-1] >= mask[:, 1:]).all()):
        raise ValueError("attention_mask must be padded on the right")
    size, length = input_ids.shape
    targets = F.pad(labels[:, 1:], (0, 1), value=-100)
    at = (targets != -100).flatten().nonzero().squeeze(1)
    wanted, rows = targets.flatten()[at], at // length
    counts = torch.bincount(rows, minlength=size).clamp(min=1)
    scores = torch.zeros(size, size, device=input_ids.device)
    training = lm.training
    # Under gradient checkpointing a model in training mode keeps no cache; dropout is off either way.
    lm.eval()
    try:
        prefixes = DynamicCache()
        with head_only_at(lm, at[:0]):
            lm(input_ids=input_ids, past_key_values=prefixes, use_cache=True)
        for column, end in enumerate(mask.sum(dim=1).tolist()):
            with head_only_at(lm, at):
                logits = lm(
                    input_ids=input_ids, past_key_values=_one(prefixes, column, end, size), use_cache=True
                ).logits
            losses = F.cross_entropy(logits.float(), wanted, reduction="none")
            scores[:, column] = -torch.zeros_like(scores[:, 0]).index_add_(0, rows, losses) / counts
    finally:
        lm.train(training)
    return scores


def _one(prefixes: DynamicCache, row: int, end: int, size: int) -> DynamicCache:
    """The first `end` keys and values of one row, for `size` rows."""
    cache = DynamicCache()
    for number, layer in enumerate(prefixes.layers):
        # A cache made without a configuration has layers of no other kind, and the forward filled them.
        assert isinstance(layer, CacheLayerMixin) and layer.keys is not None and layer.values is not None
        keys, values = (
            states[row : row + 1, :, :end].expand(size, -1, -1, -1) for states in (layer.keys, layer.values)
        )
        cache.update(keys, values, number)
    return cache
