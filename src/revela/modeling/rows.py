"""Rows of a batch run without padding: one after the other, and spread out inside the attention alone.

Everything in a transformer but its attention treats tokens one by one. So a batch of R rows of unequal
length runs as one sequence of its T tokens and costs what T tokens cost; every layer's attention spreads it
out to (R, L). Position ids say where in its row a token stands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from transformers import PreTrainedConfig

from revela.modeling.autograd import Function


@dataclass(frozen=True)
class Rows:
    """R rows of at most L tokens, padded on the right where they are spread out.

    Made on the host from lengths that are known there, so that nothing is read back from a device. Rows of
    one length are left as they are, (R, L).

    Attributes:
        lengths: of every row, in tokens, on the host.
        length: L.
        places: (T,) long, where in (R, L), flattened, every token stands.
        source: (R L,) long, which token stands at a place; 0 at padding.
        position_ids: (1, T) long, 0 at the beginning of every row.
        mask: (R, L) bool, true at tokens; None where nothing is padded.
    """

    lengths: tuple[int, ...]
    length: int
    places: Tensor
    source: Tensor
    position_ids: Tensor
    mask: Tensor | None

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device, length: int | None = None) -> Rows:
        """Rows of these lengths.

        Args:
            lengths: tokens of every row, at least 1 each.
            length: L, at least the longest row; None is just that.
        """
        counts = np.asarray(lengths, dtype=np.int64)
        longest = int(counts.max()) if length is None else length
        inside = np.arange(longest) < counts[:, None]
        places = np.flatnonzero(inside)
        source = np.zeros(inside.size, dtype=np.int64)
        source[places] = np.arange(len(places))

        def there(values: np.ndarray) -> Tensor:
            return to_device(torch.from_numpy(values), device)

        return cls(
            lengths=tuple(counts.tolist()),
            length=longest,
            places=there(places),
            source=there(source),
            position_ids=there(places % longest)[None],
            mask=None if len(places) == inside.size else there(inside),
        )

    @property
    def count(self) -> int:
        """R."""
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """T."""
        return sum(self.lengths)

    def inputs(self, input_ids: Tensor) -> dict[str, Any]:
        """What a transformers model takes instead of (R, L) ids and their mask.

        A mask of four dimensions is handed through to the attention, which does not look at it: models
        would otherwise build one of (T, T), and read position ids back from the device to do so.
        """
        ids, positions = input_ids, self.position_ids[:, : self.length]
        if self.mask is not None:
            ids, positions = input_ids.flatten()[self.places][None], self.position_ids
        mask = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=input_ids.device)
        return {"input_ids": ids, "position_ids": positions, "attention_mask": mask}

    def spread(self, packed: Tensor) -> Tensor:
        """(1, H, T, d) to (R, H, L, d); what stands at padding means nothing."""
        if self.mask is None:
            return packed
        spread = _Move.apply(packed.squeeze(0).transpose(0, 1), self.source, self.places)
        rows: Tensor = spread.unflatten(0, (self.count, self.length))
        return rows.transpose(1, 2)

    def pack(self, spread: Tensor) -> Tensor:
        """(R, L, ...) to (1, T, ...)."""
        return spread if self.mask is None else _Collect.apply(spread.flatten(0, 1), self.places)[None]

    def unpack(self, packed: Tensor) -> Tensor:
        """(1, T, D) to (R, L, D); what stands at padding means nothing."""
        if self.mask is None:
            return packed
        spread = _Move.apply(packed.squeeze(0), self.source, self.places)
        rows: Tensor = spread.unflatten(0, (self.count, self.length))
        return rows


class _Move(Function):
    """Tokens to their places. The way back is a copy, too: every token stands at one place, and what
    stands at padding has no part in anything."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, source: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        return tokens.index_select(0, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradient.index_select(0, places), None, None


class _Collect(Function):
    """Tokens from their places. Autograd alone would take an index to name a place twice, and add up."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.count = len(rows)
        return rows.index_select(0, places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.count, *gradient.shape[1:]).index_copy_(0, places, gradient), None


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A small host tensor, sent without waiting for what the device is doing."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def longest_unmasked(config: PreTrainedConfig) -> int:
    """Up to how many tokens every layer of a model reads all of a row.

    Windows and chunks come as masks, which rows without padding lack.
    """
    text = config.get_text_config()
    if set(getattr(text, "layer_types", None) or ()) - _KINDS:
        return 0
    sizes = (int(size) // share for name, share in _WINDOWS.items() if (size := getattr(text, name, None)))
    return min(sizes, default=sys.maxsize)


_KINDS = {"full_attention", "sliding_attention", "chunked_attention"}
_WINDOWS = {"sliding_window": 1, "attention_chunk_size": 1, "window_size": 1, "local_attention": 2}
"""Where models keep how far a token reads, and what part of it lies on one side (ModernBERT: half)."""
