"""The pairs of one phase, a group of them an item."""

from __future__ import annotations

import random

from torch.utils.data import Dataset

from revela.chunks.chunk import Chunk
from revela.pairs.pair import Pair
from revela.pairs.reading import Pairs, draw
from revela.settings import Phase
from revela.training.group_slice import StepChunks
from revela.training.related_pairs import Points, by_words, draw_related


class PairSlice(Dataset):
    """What a phase with `pairs` sees: item after item, kinds in their shares.

    A query and its passage take the places of a chunk's first part and the rest, so that every term that
    reads these reads pairs, too.

    Args:
        pairs: those that may be trained on.
        start: pairs that earlier phases have seen. As many are passed by, which are the same ones where those
            phases drew likewise: `related_pairs` of another size or another `related_by` are another order.
        length: items.
        seed: of the order.
        points: what makes two pairs neighbours, where related ones come together.
    """

    def __init__(
        self, pairs: Pairs, phase: Phase, start: int, length: int, seed: int, points: Points = by_words
    ) -> None:
        assert phase.pairs is not None
        self._length = length
        by_kind = {kind: pairs.of_kind(kind) for kind in pairs.shares}
        # Items of this phase's size that the pairs of earlier phases would have filled.
        before = -(-start // phase.pairs)
        related = set(by_kind) if phase.related_kinds is None else set(by_kind) & set(phase.related_kinds)
        if phase.related_pairs == 1 or not related:
            count = (before + length) * phase.pairs
            drawn = draw(by_kind, pairs.shares, count, phase.pairs, seed, phase.mix_kinds)
            self._items = [drawn[first : first + phase.pairs] for first in range(0, len(drawn), phase.pairs)]
        else:
            self._items = draw_related(
                by_kind,
                pairs.shares,
                before + length,
                phase.pairs,
                phase.related_pairs,
                seed,
                points,
                single=set(by_kind) - related,
                mixed=phase.mix_kinds,
            )
        self._items = self._items[before:]
        if phase.lm_pairs is not None:
            # The first ones go to the language model, and a part of related pairs is of one kind.
            for number, item in enumerate(self._items, start=before):
                random.Random(f"{seed} {number}").shuffle(item)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> StepChunks:
        if not 0 <= index < self._length:
            raise IndexError(f"item {index} of {self._length}")
        return StepChunks([as_chunk(pair) for pair in self._items[index]], [], 0)


def as_chunk(pair: Pair) -> Chunk:
    """A chunk whose first part is the query and whose rest is the passage."""
    return Chunk(
        chunk_id=f"{pair.document_id}#{pair.kind}",
        document_id=pair.document_id,
        title="",
        source=pair.source,
        kind=pair.kind,
        text=pair.query + pair.passage,
        query_end=len(pair.query),
        tokens=0,
        start=0,
        end=0,
        start_byte=0,
        end_byte=0,
    )


def pairs_consumed(phase: Phase, groups_per_step: int) -> int:
    """How many pairs a phase moves on by; none where it reads groups."""
    return 0 if phase.pairs is None else phase.steps * groups_per_step * phase.pairs
