"""Similarities of embeddings, always in full precision."""

from __future__ import annotations

import torch
from torch import Tensor


def cosines(queries: Tensor, passages: Tensor) -> Tensor:
    """Inner products of unit vectors in float32, also under autocast.

    One rounding step of a cosine in bfloat16 is 0.004: 39 logits at the paper's temperature of 1e-4.

    Args:
        queries: (..., B, D) of unit length.
        passages: (..., N, D) of unit length.

    Returns:
        (..., B, N) float32.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return queries.float() @ passages.float().transpose(-1, -2)
