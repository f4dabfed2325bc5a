"""In-batch weights: how much each chunk of a group reads from every other one."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def in_batch_log_weights(
    similarities: Tensor, temperature: float, first: int = 0, uniform_share: float = 0.0
) -> Tensor:
    """Logarithm of the row-wise softmax of similarities over the *other* chunks.

    ``log w_ij = log softmax_{j != i}(S_ij / temperature)`` (Revela, arXiv 2506.16552, section 3). With a
    uniform share u it is ``log((1 - u) softmax + u / (N - 1))``: every chunk is read a little whatever
    the retriever says, so spreading the weights can gain the language model less.

    Args:
        similarities: (..., B, N) cosines of query i with passage j; N is B, or more where the group spans
            processes, and what stands before are groups. Always computed in float32: in bfloat16 one
            rounding step of a cosine is 39 logits at the paper's temperature of 1e-4.
        temperature: softmax temperature, > 0.
        first: the column of row 0's own chunk; row i's own is ``first + i``.
        uniform_share: u, from 0 to below 1.

    Returns:
        (..., B, N) float32; -inf at every row's own chunk.

    >>> in_batch_log_weights(torch.zeros(3, 3), 1.0).exp()
    tensor([[0.0000, 0.5000, 0.5000],
            [0.5000, 0.0000, 0.5000],
            [0.5000, 0.5000, 0.0000]])
    """
    if similarities.ndim < 2:
        raise ValueError(f"similarities must be (B, N), found shape {tuple(similarities.shape)}")
    rows, columns = similarities.shape[-2:]
    if columns < 2 or first + rows > columns:
        raise ValueError(
            f"similarities must have a column for every chunk of a group of at least 2, found {rows} rows "
            f"from chunk {first} on and {columns} columns"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be > 0, found {temperature}")
    if not 0 <= uniform_share < 1:
        raise ValueError(f"uniform_share must be from 0 to below 1, found {uniform_share}")
    own = torch.zeros(rows, columns, dtype=torch.bool, device=similarities.device)
    own.diagonal(first).fill_(True)
    # Autocast would leave float32 alone here, but a caller's bfloat16 tensor must be widened first.
    logits = (similarities.float() / temperature).masked_fill(own, float("-inf"))
    log_weights = torch.log_softmax(logits, dim=-1)
    if uniform_share:
        floor = log_weights.new_tensor(math.log(uniform_share / (columns - 1)))
        mixed = torch.logaddexp(log_weights.masked_fill(own, 0.0) + math.log1p(-uniform_share), floor)
        log_weights = mixed.masked_fill(own, float("-inf"))
    return log_weights


def select_pairs(log_weights: Tensor, min_weight: float, top_k: int | None) -> Tensor:
    """Which pairs (i, j) are computed at all.

    Args:
        log_weights: (..., B, N) from :func:`in_batch_log_weights`.
        min_weight: pairs with a weight below it are skipped; 0 keeps all.
        top_k: at most this many chunks a row, those of the largest weights; None keeps all.

    Returns:
        (..., B, N) bool, never true at a row's own chunk.
    """
    scores = log_weights.detach()
    keep = ~scores.isneginf()
    if min_weight > 0:
        keep &= scores.exp() >= min_weight
    if top_k is not None and top_k < scores.shape[-1] - 1:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None, found {top_k}")
        nearest = scores.topk(top_k, dim=-1).indices
        keep &= torch.zeros_like(keep).scatter(-1, nearest, True)
    return keep


def renormalised(log_weights: Tensor, pairs: Tensor) -> Tensor:
    """Logarithm of the weights of the chosen pairs, divided by their sum, row by row.

    Without it, a row that spreads its weight beyond the chosen pairs reads less of other chunks in all, which
    is the quickest way to hurt a language model less that other chunks disturb.

    Args:
        log_weights, pairs: (..., B, N), as :func:`in_batch_log_weights` and :func:`select_pairs` give them.

    Returns:
        (..., B, N) float32, -inf outside the pairs; a row without any is left as it is.
    """
    some = pairs.any(dim=-1, keepdim=True)
    chosen = log_weights.masked_fill(~pairs & some, float("-inf"))
    total = torch.where(some, chosen, torch.zeros_like(chosen)).logsumexp(dim=-1, keepdim=True)
    return chosen - torch.where(some, total, torch.zeros_like(total))


def entropies(weights: Tensor) -> Tensor:
    """Entropy in nats of every row of (..., B, N) weights: 0 is one-hot; (..., B) with gradient."""
    each: Tensor = torch.special.entr(weights)
    return each.sum(dim=-1)


def effective_chunks(weights: Tensor) -> Tensor:
    """Mean over rows of exp(entropy of w): 1 is one-hot, N - 1 is an even spread.

    Args:
        weights: (..., B, N) float32, rows summing to 1.

    Returns:
        () float32.
    """
    return entropies(weights).exp().mean()
