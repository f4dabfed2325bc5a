"""Keep the benchmarks out of the corpus.

:class:`Decontaminator` drops documents while the corpus is built, by runs of common words.
:func:`find_overlaps` checks a finished corpus in another way, by characters, so that a fault in
the one is not repeated in the other.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from revela.corpus.filters.base import Rule, View

_WORD = re.compile(r"\w+")
_BASE = 0x9E3779B97F4A7C15  # odd, so that no word's bits are lost; arithmetic is modulo 2**64

# A protected text shorter than a whole run is matched as a whole from this many words on: GPT-3 uses
# runs of 8 to 13 words, by the length of the benchmark's texts (Brown et al. 2020, appendix C).
MIN_WORDS = 8


class Decontaminator(Rule):
    """Drops documents that share a run of `words` consecutive words with a protected text.

    Words are ``\\w+`` in lower case. 13 words is the run of GPT-3 (arXiv 2005.14165, appendix C). A
    protected text of 8 to `words` - 1 words is matched as a whole; a shorter one is not used.

    Args:
        protected_texts: what a model will be judged by.
        words: length of a run.
    """

    reason = "benchmark_overlap"

    def __init__(self, protected_texts: Iterable[str], words: int) -> None:
        self.words = words
        self._numbers: dict[str, int] = {}
        runs: dict[int, list[np.ndarray]] = defaultdict(list)
        for text in protected_texts:
            numbers = self._word_numbers(text)
            length = min(words, len(numbers))
            if length >= min(MIN_WORDS, words):
                runs[length].append(_runs(numbers, length))
        self._protected = {length: np.unique(np.concatenate(found)) for length, found in sorted(runs.items())}

    def __call__(self, view: View) -> str | None:
        match = self._first_match(view.text)
        if match is None:
            return None
        start, length = match
        return "shared: " + " ".join(_WORD.findall(view.text.lower())[start : start + length])

    def _first_match(self, text: str) -> tuple[int, int] | None:
        """(index of the first shared run's first word, length of the run), or None."""
        numbers = self._word_numbers(text)
        for length, protected in self._protected.items():
            shared = np.flatnonzero(_among(_runs(numbers, length), protected))
            if len(shared):
                return int(shared[0]), length
        return None

    def _word_numbers(self, text: str) -> np.ndarray:
        """(words,) uint64: a hash of each word that is the same in every process."""
        words = _WORD.findall(text.lower())
        for word in set(words) - self._numbers.keys():
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            self._numbers[word] = int.from_bytes(digest, "little")
        return np.fromiter(map(self._numbers.__getitem__, words), np.uint64, len(words))


def _runs(numbers: np.ndarray, length: int) -> np.ndarray:
    """(n,) -> (max(0, n - length + 1),): one polynomial hash a run of `length` numbers."""
    count = max(0, len(numbers) - length + 1)
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        hashes = hashes * np.uint64(_BASE) + numbers[offset : offset + count]
    return hashes


def _among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which values occur in the sorted array `known`: unlike np.isin, this does not sort it every time."""
    if not len(known):
        return np.zeros(len(values), bool)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[places] == values


class Overlap(NamedTuple):
    """`texts[text]` contains `protected[protected]`, white space aside."""

    text: int
    protected: int


# Windows of this many characters are hashed to find candidates; a power of two, see _windows.
_WINDOW = 32


def find_overlaps(texts: Iterable[str], protected: Iterable[str]) -> list[Overlap]:
    """Which texts contain which protected texts, all white space removed from both.

    Every hit is checked character by character, so the answer is exact. Blank protected texts are
    ignored. One pass over the texts; protected texts under 32 visible characters cost one search each.

    Returns:
        pairs of positions, ordered by text, then by protected text.
    """
    squeezed = ["".join(text.split()) for text in protected]
    short = [(number, text) for number, text in enumerate(squeezed) if 0 < len(text) < _WINDOW]
    by_window: dict[int, list[int]] = defaultdict(list)
    for number, text in enumerate(squeezed):
        if len(text) >= _WINDOW:
            by_window[int(_windows(text[:_WINDOW])[0])].append(number)
    wanted = np.array(sorted(by_window), np.uint64)

    overlaps = []
    for index, text in enumerate(texts):
        body = "".join(text.split())
        windows = _windows(body)
        present = np.unique(windows[_among(windows, wanted)]).tolist()
        candidates = [number for window in present for number in by_window[window]]
        found = {number for number in candidates if squeezed[number] in body}
        found.update(number for number, sought in short if sought in body)
        overlaps.extend(Overlap(index, number) for number in sorted(found))
    return overlaps


def _windows(text: str) -> np.ndarray:
    """One hash a window of 32 characters, by doubling: (n,) -> (max(0, n - 31),) uint64."""
    hashes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(hashes) < _WINDOW:
        return np.zeros(0, np.uint64)
    width = 1
    base = _BASE
    while width < _WINDOW:
        hashes = hashes[:-width] * np.uint64(base) + hashes[width:]
        base = base * base % 2**64
        width *= 2
    return hashes
