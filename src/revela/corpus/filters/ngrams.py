"""How much of a text its n-grams of words say more than once, by sorting arrays of hashes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit is lost; arithmetic is modulo 2**64


class WordRuns:
    """The words of a text as numbers, for questions about runs of n of them.

    A word counts with its characters and one space, so shares are of the text with single spaces.

    Attributes:
        vocabulary: the different words, in order of their first occurrence.
        ids: (words,) uint64, number of each word in `vocabulary`.
        ends: (words + 1,) int64, ends[i] characters stand before word i.
    """

    def __init__(self, words: Sequence[str]) -> None:
        numbers = dict.fromkeys(words)
        numbers.update(zip(numbers, range(len(numbers)), strict=True))
        self.vocabulary = numbers.keys()
        lengths = np.fromiter(map(len, numbers), np.int64, len(numbers)) + 1
        self.ids = np.fromiter(map(numbers.__getitem__, words), np.uint64, len(words))
        self.ends = np.zeros(len(words) + 1, np.int64)
        np.cumsum(lengths[self.ids.astype(np.int64)], out=self.ends[1:])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def characters(self) -> int:
        return int(self.ends[-1])

    def hashes(self, n: int) -> np.ndarray:
        """(max(0, words - n + 1),) uint64: equal for equal runs of n words (and by chance once in 2**64)."""
        count = max(0, len(self.ids) - n + 1)
        found = self.ids[:count].copy()
        for step in range(1, n):
            found *= _BASE
            found += self.ids[step : step + count]
        return found

    def lengths(self, n: int) -> np.ndarray:
        """(max(0, words - n + 1),) int64: characters of each run of n words."""
        return self.ends[n:] - self.ends[:-n] if n <= len(self) else np.zeros(0, np.int64)


def highest_count(hashes: np.ndarray) -> int:
    """How often the most frequent value occurs; 0 for none."""
    return int(_run_lengths(np.sort(hashes)).max(initial=0))


def top_share(runs: WordRuns, n: int) -> tuple[float, int]:
    """(share of the characters in the most frequent run of n words, the number of its first word).

    All of its occurrences count. Of several that are most frequent the one with most characters counts.
    """
    hashes = runs.hashes(n)
    if not len(hashes):
        return 0.0, 0
    order = np.argsort(hashes, kind="stable")
    counts = _run_lengths(hashes[order])
    firsts = order[np.cumsum(counts) - counts]
    most = np.flatnonzero(counts == counts.max())
    characters = counts[most] * runs.lengths(n)[firsts[most]]
    best = int(np.argmax(characters))
    return float(characters[best] / runs.characters), int(firsts[most[best]])


def repeated_share(runs: WordRuns, n: int) -> float:
    """Share of the characters in runs of n words that stood in the text before; none is counted twice."""
    hashes = runs.hashes(n)
    in_order = np.sort(hashes)
    if not (in_order[1:] == in_order[:-1]).any():
        return 0.0
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    later = order[1:][in_order[1:] == in_order[:-1]]
    edges = np.zeros(len(runs) + 1, np.int64)
    np.add.at(edges, later, 1)
    np.subtract.at(edges, later + n, 1)
    covered = np.cumsum(edges[:-1]) > 0
    return float(np.diff(runs.ends)[covered].sum() / runs.characters)


def _run_lengths(in_order: np.ndarray) -> np.ndarray:
    """Lengths of the runs of equal values in a sorted array."""
    if not len(in_order):
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(in_order[1:] != in_order[:-1]) + 1
    return np.diff(np.concatenate(([0], changes, [len(in_order)])))
