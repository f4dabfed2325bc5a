"""A text as the set of its word n-grams."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from revela.corpus.word_hashes import lower_words, mixed, run_hashes

# Characters of text hashed together: many short texts share the fixed cost of a numpy call.
_BATCH = 1 << 20


def shingle_hashes(text: str, words: int) -> np.ndarray:
    """The runs of `words` consecutive words (``\\w+`` in lower case) of a text.

    Returns:
        (n,) uint64, sorted, each once, the same in every process. A text with fewer words has one
        shingle, the whole; one without any has none.
    """
    (shingles,) = shingles_of_texts([text], words)
    return shingles


def shingles_of_texts(texts: Sequence[str], words: int) -> Iterator[np.ndarray]:
    """:func:`shingle_hashes` of one text after another."""
    for batch in batches(texts):
        flat, offsets = flat_shingles(batch, words)
        for start, end in itertools.pairwise(offsets):
            yield np.unique(flat[start:end])


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Consecutive texts of about a million characters together."""
    start = characters = 0
    for number, text in enumerate(texts):
        characters += len(text)
        if characters >= _BATCH:
            yield texts[start : number + 1]
            start, characters = number + 1, 0
    if start < len(texts):
        yield texts[start:]


def flat_shingles(texts: Sequence[str], words: int) -> tuple[np.ndarray, np.ndarray]:
    """Shingles of many texts in the order of the words, repeated ones included.

    Returns:
        (shingles,) uint64 and (texts + 1,) int64 offsets into them.
    """
    hashes, offsets = lower_words(texts)
    lengths = np.diff(offsets)
    runs = run_hashes(hashes, words)
    # A run that begins in the last words of a text would reach into the next.
    whole = np.ones(len(hashes), bool)
    for back in range(1, words):
        whole[offsets[1:][lengths >= back] - back] = False
    short = np.flatnonzero((lengths > 0) & (lengths < words))
    flat = np.zeros(len(hashes), np.uint64)
    flat[: len(runs)] = runs
    for number in short:
        start = offsets[number]
        flat[start] = run_hashes(hashes[start : offsets[number + 1]], int(lengths[number]))[0]
        whole[start] = True
    kept = np.concatenate([[0], np.cumsum(whole)])
    # Mixed once more: MinHash permutes by multiplication, as the runs were made.
    return mixed(flat[whole]), kept[offsets]


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Size of the intersection over size of the union of two sorted sets; 0 for two empty ones."""
    if len(one) > len(other):
        one, other = other, one
    if not len(one):
        return 0.0
    places = np.minimum(np.searchsorted(other, one), len(other) - 1)
    common = int(np.count_nonzero(other[places] == one))
    return common / (len(one) + len(other) - common)
