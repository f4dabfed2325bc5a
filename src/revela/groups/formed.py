"""What a strategy hands on: groups as numbers of chunks, and what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from revela.groups.word_counts import count_words
from revela.progress import track

if TYPE_CHECKING:
    from revela.chunks.store import ChunkStore

WHOLE_DOCUMENT, JOINED, TOPIC, RANDOM = "whole_document", "joined", "topic", "random"
KINDS = (WHOLE_DOCUMENT, JOINED, TOPIC, RANDOM)

_TEXTS_AT_ONCE = 2048


@dataclass
class Formed:
    """Groups of chunks, and the chunks that are in none.

    Attributes:
        groups: (groups, group_size) int64 numbers of chunks, each at most once.
        kinds: one of :data:`KINDS` for every group.
        dropped: chunks that a limit keeps out, by reason.
        spare: chunks for which no group was found, by reason, ascending: they may replace another.
        component: (groups,) number of the mixture's component that a group comes from; zeros without one.
    """

    groups: np.ndarray
    kinds: list[str]
    dropped: Counter[str] = field(default_factory=Counter)
    spare: dict[str, np.ndarray] = field(default_factory=dict)
    component: np.ndarray = None  # type: ignore[assignment]  # until __post_init__

    def __post_init__(self) -> None:
        if self.component is None:
            self.component = np.zeros(len(self.groups), np.int64)

    def reasons(self) -> Counter[str]:
        """Chunks in no group by reason, spare ones included."""
        return +(self.dropped + Counter({reason: len(chunks) for reason, chunks in self.spare.items()}))

    def check_books(self, members: np.ndarray) -> None:
        """Every member is in one group or counted as dropped, whatever happened on the way.

        Raises:
            RuntimeError: chunks were lost or used twice, a fault of this program.
        """
        used = self.groups.ravel()
        if len(np.unique(used)) != len(used) or not np.isin(used, members).all():
            raise RuntimeError("batches: a chunk is in two groups, or in one where it does not belong")
        if len(self.kinds) != len(self.groups) or len(self.component) != len(self.groups):
            raise RuntimeError("batches: groups without a kind or a component")
        reasons = self.reasons()
        if len(used) + reasons.total() != len(members):
            raise RuntimeError(
                f"batches: {len(members)} chunks, but {len(used)} in groups and "
                f"{reasons.total()} dropped ({dict(reasons)})"
            )


def count_words_of(store: ChunkStore, members: np.ndarray, description: str) -> sparse.csr_matrix:
    """(members, columns) word counts of chunks, their texts read a few at a time."""
    batches = -(-len(members) // _TEXTS_AT_ONCE)
    return count_words(track(store.iter_texts(members, _TEXTS_AT_ONCE), description, total=batches))


def runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(starts, lengths) of the stretches of equal values."""
    if len(values) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])
    return starts, np.diff(np.append(starts, len(values)))


def concatenated_ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``[s0, s0+1, …, s0+l0-1, s1, …]``.

    >>> concatenated_ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def group_iter(groups: np.ndarray, at_once: int) -> Iterator[np.ndarray]:
    """Slices of at most `at_once` groups."""
    return (groups[start : start + at_once] for start in range(0, len(groups), at_once))
