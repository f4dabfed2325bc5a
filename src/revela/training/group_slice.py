"""Which chunks a step sees: whole groups, or one chunk of each of as many groups."""

from __future__ import annotations

from torch.utils.data import Dataset

from revela.batches.groups import Groups
from revela.batches.schema import Chunk
from revela.settings import Phase


class GroupSlice(Dataset):
    """The groups of one phase, in the order that build_batches shuffled them into.

    A phase starts where the one before it stopped, and begins again at the first group when the
    corpus is exhausted. One item is one forward: the chunks of `contrastive_groups` groups (n). With
    ``negatives: corpus`` a block of n B groups is read across: its item t has one chunk of each,
    number t + g of group g modulo B, so that B items see all its chunks once.

    Args:
        start: number of the first group.
        length: items.
    """

    def __init__(self, groups: Groups, phase: Phase, start: int, length: int) -> None:
        self.groups, self.start, self.length = groups, start, length
        self.together = phase.contrastive_groups
        self.across = phase.negatives == "corpus"

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> list[Chunk]:
        size = self.groups.group_size
        if not self.across:
            first = self.start + index * self.together
            return [chunk for number in range(self.together) for chunk in self._group(first + number)]
        block, turn = divmod(index, size)
        count = self.together * size
        first = self.start + block * count
        return [self._group(first + number)[(turn + number) % size] for number in range(count)]

    def _group(self, number: int) -> list[Chunk]:
        return self.groups[number % len(self.groups)]


def groups_consumed(phase: Phase, groups_per_step: int) -> int:
    """How many groups a phase moves on by."""
    return phase.steps * groups_per_step * phase.contrastive_groups
