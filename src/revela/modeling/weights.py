"""In-batch weights: how much each chunk of a group reads from every other one."""

from __future__ import annotations

import torch
from torch import Tensor


def in_batch_log_weights(similarities: Tensor, temperature: float) -> Tensor:
    """Logarithm of the row-wise softmax of similarities over the *other* chunks.

    ``log w_ij = log softmax_{j != i}(S_ij / temperature)`` (Revela, arXiv 2506.16552, section 3).

    Args:
        similarities: (B, B) cosines of query i with passage j. Always computed in float32: in
            bfloat16 one rounding step of a cosine is 39 logits at the paper's temperature of 1e-4.
        temperature: softmax temperature, > 0.

    Returns:
        (B, B) float32; the diagonal is -inf.

    >>> in_batch_log_weights(torch.zeros(3, 3), 1.0).exp()
    tensor([[0.0000, 0.5000, 0.5000],
            [0.5000, 0.0000, 0.5000],
            [0.5000, 0.5000, 0.0000]])
    """
    group_size = similarities.shape[0]
    if similarities.ndim != 2 or similarities.shape[1] != group_size or group_size < 2:
        raise ValueError(f"similarities must be (B, B) with B >= 2, found shape {tuple(similarities.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0, found {temperature}")
    own = torch.eye(group_size, dtype=torch.bool, device=similarities.device)
    # Autocast would leave float32 alone here, but a caller's bfloat16 tensor must be widened first.
    logits = (similarities.float() / temperature).masked_fill(own, float("-inf"))
    return torch.log_softmax(logits, dim=-1)


def select_pairs(log_weights: Tensor, min_weight: float, top_k: int | None) -> Tensor:
    """Which pairs (i, j) are computed at all.

    Args:
        log_weights: (B, B) from :func:`in_batch_log_weights`.
        min_weight: pairs with a weight below it are skipped; 0 keeps all.
        top_k: at most this many chunks a row, those of the largest weights; None keeps all.

    Returns:
        (B, B) bool, never true on the diagonal.
    """
    scores = log_weights.detach()
    group_size = scores.shape[0]
    keep = ~torch.eye(group_size, dtype=torch.bool, device=scores.device)
    if min_weight > 0:
        keep &= scores.exp() >= min_weight
    if top_k is not None and top_k < group_size - 1:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None, found {top_k}")
        nearest = scores.topk(top_k, dim=-1).indices
        keep &= torch.zeros_like(keep).scatter(1, nearest, True)
    return keep


def effective_chunks(weights: Tensor) -> Tensor:
    """Mean over rows of exp(entropy of w): 1 is one-hot, B - 1 is an even spread.

    Args:
        weights: (B, B) float32, rows summing to 1.

    Returns:
        () float32.
    """
    entropy = -(torch.special.xlogy(weights, weights)).sum(dim=-1)
    return entropy.exp().mean()
