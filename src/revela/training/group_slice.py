"""Which chunks a step sees: whole groups, or one chunk of each of as many groups."""

from __future__ import annotations

from dataclasses import dataclass

from torch.utils.data import Dataset

from revela.chunks.chunk import Chunk
from revela.errors import RevelaError
from revela.groups.reading import Groups
from revela.settings import Phase


@dataclass(frozen=True)
class StepChunks:
    """What one forward sees.

    Attributes:
        chunks: the B chunks.
        partners: with ``views: document`` another chunk of the same document for each of them; else empty.
        turn: how often the corpus has been gone through before.
    """

    chunks: list[Chunk]
    partners: list[Chunk]
    turn: int


class GroupSlice(Dataset):
    """The groups of one phase, in the order that build_batches shuffled them into.

    A phase starts where the one before it stopped, and begins again at the first group when the
    corpus is exhausted. One item is one forward: the chunks of `contrastive_groups` groups (n). With
    ``negatives: corpus`` a block of n B groups is read across: its item t has one chunk of each,
    number t + g of group g modulo B, so that B items see all its chunks once. With ``views: document`` a
    chunk without another one of its document in the group is left out.

    Args:
        start: number of the first group.
        length: items.
    """

    def __init__(self, groups: Groups, phase: Phase, start: int, length: int) -> None:
        self.groups, self.start, self.length = groups, start, length
        self.together = phase.contrastive_groups
        self.across = phase.negatives == "corpus"
        self.in_pairs = phase.views == "document"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> StepChunks:
        """Item `index`.

        Raises:
            RevelaError: ``views: document``, and fewer than 2 of its chunks have a partner.
        """
        size = self.groups.group_size
        if not self.across:
            first = self.start + index * self.together
            members = [(first + number, place) for number in range(self.together) for place in range(size)]
        else:
            block, turn = divmod(index, size)
            count = self.together * size
            first = self.start + block * count
            members = [(first + number, (turn + number) % size) for number in range(count)]
        groups = {number: self._group(number) for number in dict.fromkeys(number for number, _ in members)}
        chunks = [groups[number][place] for number, place in members]
        partners: list[Chunk] = []
        if self.in_pairs:
            found = [_partner(groups[number], place) for number, place in members]
            chunks = [chunk for chunk, partner in zip(chunks, found, strict=True) if partner is not None]
            partners = [partner for partner in found if partner is not None]
            if len(chunks) < 2:
                raise RevelaError(
                    f"`views: document` found {len(chunks)} chunks with another one of their document among "
                    f"groups {first} to {first + len(groups) - 1}. Use batches.strategy: document."
                )
        return StepChunks(chunks, partners, first // len(self.groups))

    def _group(self, number: int) -> list[Chunk]:
        return self.groups[number % len(self.groups)]


def _partner(group: list[Chunk], place: int) -> Chunk | None:
    """The next chunk of the same document, the group's end followed by its beginning."""
    others = (group[(place + step) % len(group)] for step in range(1, len(group)))
    return next((chunk for chunk in others if chunk.document_id == group[place].document_id), None)


def spanned_order(length: int, processes: int, together: int) -> list[int]:
    """The order of items in which groups that span processes are the same ones whatever a forward takes.

    Each process takes `together` consecutive items in turn, and the n-th ones of all are one group, which so
    is made of consecutive items.

    >>> spanned_order(8, processes=2, together=2)
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    block = [turn * processes + process for process in range(processes) for turn in range(together)]
    return [first + place for first in range(0, length, len(block)) for place in block]


def groups_consumed(phase: Phase, groups_per_step: int) -> int:
    """How many groups a phase moves on by; none where it reads pairs."""
    return 0 if phase.pairs is not None else phase.steps * groups_per_step * phase.contrastive_groups
