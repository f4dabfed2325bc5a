"""A set of 64-bit hashes that is asked about many at once."""

from __future__ import annotations

import numpy as np

# Entries of the table a member: a stranger passes it once in so many times.
_ROOM = 16
_LEAST_BITS, _MOST_BITS = 12, 26


class HashSet:
    """Membership of well mixed hashes: a small table refuses most strangers, binary search decides.

    Exact. A binary search in millions of numbers misses the processor's cache some twenty times; the
    table misses it once. Pickled as its sorted members alone, eight bytes each.

    Attributes:
        members: (n,) uint64, sorted, each once.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        self.members = np.unique(hashes)
        self._make_table()

    def _make_table(self) -> None:
        bits = int(np.clip((len(self.members) * _ROOM).bit_length(), _LEAST_BITS, _MOST_BITS))
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, bool)
        self._table[self.members >> self._shift] = True

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of `hashes` are members: their positions, ascending, and their places among `members`."""
        positions = np.flatnonzero(self._table[hashes >> self._shift])
        if not len(positions):
            return positions, positions
        places = np.minimum(np.searchsorted(self.members, hashes[positions]), len(self.members) - 1)
        present = self.members[places] == hashes[positions]
        return positions[present], places[present]

    def __len__(self) -> int:
        return len(self.members)

    def __getstate__(self) -> np.ndarray:
        return self.members

    def __setstate__(self, members: np.ndarray) -> None:
        self.members = members
        self._make_table()
