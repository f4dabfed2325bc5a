"""Model FLOPs by formula, and the machine's measured limit to hold them against."""

from __future__ import annotations

import functools
import time

import torch
from torch import nn


def matmul_weights(model: nn.Module) -> int:
    """Weights that take part in matrix products, adapters included, embeddings and norms not."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def step_flops(weights: int, tokens: float, *, backward: bool, frozen_share: float) -> float:
    """FLOPs of one pass of `tokens` through `weights` matrix weights.

    Forward 2 a weight and token (one multiplication, one addition); backward 2 for the inputs'
    gradient and 2 for the weights', the latter only where weights train (Kaplan et al. 2020,
    arXiv 2001.08361, section 2.1). Attention's own products are left out: below 200 tokens they
    are under 5 % of the total for the models this is used with.

    Args:
        frozen_share: share of the weights that do not train, between 0 and 1.
    """
    forward = 2.0 * weights * tokens
    return forward * (3.0 - frozen_share) if backward else forward


_SMALL = 256
_LONGEST_S = 2.0
"""What measuring the peak may take: half precision that a CPU emulates would take most of a minute."""


@functools.cache
def matmul_peak(device: torch.device, dtype: torch.dtype, size: int = 1536, repeats: int = 3) -> float:
    """FLOP/s of the best of `repeats` square matrix products: the limit to compare with.

    Measured once in a process and then remembered. Where products of 256 rows are so slow that larger ones
    would take more than two seconds, theirs is the limit.
    """
    rate = _best_rate(device, dtype, min(size, _SMALL), repeats)
    if size <= _SMALL or 2.0 * size**3 * (repeats + 1) / rate > _LONGEST_S:
        return rate
    return _best_rate(device, dtype, size, repeats)


def _best_rate(device: torch.device, dtype: torch.dtype, size: int, repeats: int) -> float:
    left = torch.randn(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(repeats + 1):  # the first one warms up
        _synchronise(device)
        start = time.perf_counter()
        left @ left
        _synchronise(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
