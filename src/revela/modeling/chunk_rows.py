"""The chunks of a forward as rows of a language model, and what it has to predict in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from revela.modeling.group_span import GroupSpan
from revela.modeling.rows import Rows, to_device


@dataclass(frozen=True)
class ChunkRows:
    """C chunks in the language model's tokens.

    Attributes:
        input_ids, attention_mask: (C, L).
        lengths: of every chunk in tokens, on the host; None where padding is not on the right.
        packed: rows may lie one after the other; else the model gets (R, L) and a mask.
        mask: (C, L) bool, true at tokens; None where nothing is padded.
    """

    input_ids: Tensor
    attention_mask: Tensor
    lengths: tuple[int, ...] | None
    packed: bool
    mask: Tensor | None

    @classmethod
    def of(
        cls, input_ids: Tensor, attention_mask: Tensor, lengths: Sequence[int] | None, packs: int
    ) -> ChunkRows:
        """Chunks, looked at on the device where their `lengths` are not given.

        Args:
            packs: up to how many tokens a row may have to lie after another.

        Raises:
            ValueError: a chunk of nothing but padding.
        """
        mask = attention_mask.bool()
        if lengths is None:
            counts = mask.sum(dim=1)
            if not bool(counts.all()):
                raise ValueError("every chunk needs at least one token, but a row of attention_mask is all 0")
            if bool((mask[:, :-1] >= mask[:, 1:]).all()):
                lengths = counts.tolist()
        full = lengths is not None and min(lengths) == input_ids.shape[1]
        return cls(
            input_ids,
            attention_mask,
            None if lengths is None else tuple(lengths),
            lengths is not None and input_ids.shape[1] <= packs,
            None if full else mask,
        )

    @property
    def length(self) -> int:
        """L."""
        return self.input_ids.shape[1]

    @property
    def positions(self) -> int:
        """How many positions the C rows have in a forward: tokens, or C L with padding."""
        return self.positions_of(range(len(self.input_ids)))

    def positions_of(self, chunks: Sequence[int]) -> int:
        """How many positions the rows of some chunks have in a forward."""
        if self.lengths is None or not self.packed:
            return len(chunks) * self.length
        return sum(self.lengths[chunk] for chunk in chunks)

    def inputs(self, chunks: Sequence[int]) -> tuple[Rows | None, dict[str, Any]]:
        """Rows of some chunks and what the model takes for them; None where that is (R, L) and a mask."""
        device = self.input_ids.device
        taken = to_device(torch.tensor(list(chunks), dtype=torch.long), device)
        ids = self.input_ids[taken]
        if self.lengths is not None and self.packed:
            rows = Rows.of([self.lengths[chunk] for chunk in chunks], device, self.length)
            return rows, rows.inputs(ids)
        # A causal row never sees padding to its right; without a mask the kernels' causal path serves.
        padding = None if self.lengths is not None else self.attention_mask[taken]
        return None, {"input_ids": ids, "attention_mask": padding}

    def padded(self, values: Tensor) -> Tensor:
        """(positions, V) of all chunks to (C, L, V), zeros at padding."""
        if self.packed and self.mask is not None:
            where = self.mask.flatten().nonzero().squeeze(1)
            values = values.new_zeros(self.mask.numel(), values.shape[-1]).index_copy(0, where, values)
        return values.view(*self.input_ids.shape, -1)


@dataclass(frozen=True)
class Targets:
    """Next tokens.

    Attributes:
        at: (N,) long, position among those of the C rows whose output predicts.
        wanted: (N,) long, the token ids; any where the weight is 0.
        weights: (N,) float32, what each counts: the loss is the sum of weight times cross-entropy.
    """

    at: Tensor
    wanted: Tensor
    weights: Tensor

    @classmethod
    def of(
        cls, chunks: ChunkRows, labels: Tensor, groups: int, span: GroupSpan | None, trusted: bool
    ) -> Targets:
        """A mean over every group's targets, and over the groups.

        Args:
            labels: (C, L), -100 where there is no target.
            span: a group's targets are those of all these processes.
            trusted: that there are targets is not looked at.

        Raises:
            ValueError: no target at all.
        """
        length, device = chunks.length, labels.device
        if chunks.lengths is None:
            # What follows padding (on the left) is no continuation of anything.
            mask = chunks.attention_mask.bool()
            shifted = F.pad(labels[:, 1:].masked_fill(~mask[:, :-1], -100), (0, 1), value=-100)
            places = (shifted != -100).flatten().nonzero().squeeze(1)
            at = places
        else:
            counts = np.asarray(chunks.lengths)[:, None]
            grid = np.arange(length)
            inside = grid < counts
            predicting = np.flatnonzero(grid < counts - 1)
            position = (np.cumsum(inside.ravel()) - 1)[predicting] if chunks.packed else predicting
            places, at = (to_device(torch.from_numpy(each), device) for each in (predicting, position))
        wanted = labels.flatten()[places + 1]
        valid = (wanted != -100).to(torch.float32)
        if not trusted and not bool(valid.any()):
            raise ValueError("labels have no target: every position after the first is -100")
        group = places // (labels.numel() // groups)
        totals = valid.new_zeros(groups).index_add_(0, group, valid)
        share = 1.0 / groups
        if span is not None:
            totals, share = span.total(totals), span.size / groups
        return cls(at, wanted.clamp(min=0), share * valid / totals[group])

    def loss(self, logits: Tensor) -> Tensor:
        """() at least float32, of logits (N, V) at these targets."""
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return (F.cross_entropy(wide, self.wanted, reduction="none") * self.weights).sum()
