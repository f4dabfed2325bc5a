"""Texts in the retriever's tokens, and batches of them that share a forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor


class Batch(TypedDict):
    """Texts in the retriever's tokens: ids and mask, (N, L) each; lengths where padding is on the right."""

    input_ids: Tensor
    attention_mask: Tensor
    lengths: NotRequired[list[int]]


_WORTH_A_FORWARD = 256
"""Tokens of padding that cost about as much as one forward more. Measured on two cores (2 layers of
SmolLM2-135M, all weights training, forward and backward): sharing took 0.61 to 0.86 of the time without
padding, 0.94 with 64 tokens of it, 1.1 with 1024."""

TOKENS_OF_A_FORWARD = 2048
"""On a CPU. Measured on two cores (MiniLM of 6 layers, 128 pairs, 14 122 tokens, all weights training):
6.8 s a step with 1000 or 2000 tokens a forward, 7.0 with 4000, 7.2 with 500, 9.3 with all of them at once."""


def sizes_within(counts: Sequence[int], tokens: int) -> list[int]:
    """How many consecutive texts each forward takes, so that none has more than so many tokens.

    Args:
        counts: tokens of every text, longest first: each forward is as wide as its first text.
        tokens: padding counted; a longer text has a forward of its own.
    """
    sizes: list[int] = []
    start = 0
    while start < len(counts):
        size = min(max(1, tokens // max(1, counts[start])), len(counts) - start)
        sizes.append(size)
        start += size
    return sizes


def of_nearly_one_length(batches: Mapping[str, Batch]) -> list[list[str]]:
    """Names of batches that may share a forward, longest first."""
    shapes = {name: tuple(batch["input_ids"].shape) for name, batch in batches.items()}
    shared: list[list[str]] = []
    for name in sorted(shapes, key=lambda name: -shapes[name][1]):
        rows, length = shapes[name]
        if shared and rows * (shapes[shared[-1][0]][1] - length) <= _WORTH_A_FORWARD:
            shared[-1].append(name)
        else:
            shared.append([name])
    return shared


def stacked(batches: list[Batch]) -> Batch:
    """One batch of all rows, padded on the right to the longest."""
    length = max(batch["input_ids"].shape[1] for batch in batches)

    def padded(key: Literal["input_ids", "attention_mask"]) -> Tensor:
        return torch.cat([F.pad(batch[key], (0, length - batch[key].shape[1])) for batch in batches])

    stacked: Batch = {"input_ids": padded("input_ids"), "attention_mask": padded("attention_mask")}
    if all("lengths" in batch for batch in batches):
        stacked["lengths"] = [length for batch in batches for length in batch["lengths"]]
    return stacked
