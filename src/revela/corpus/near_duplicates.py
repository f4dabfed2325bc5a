"""Later texts that nearly repeat an earlier one, in bounded memory.

Three steps: MinHash bands name candidate pairs, the pairs go to disk, and the shingles of the few
texts in them decide exactly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from revela.corpus.minhash import Signer
from revela.corpus.shingles import jaccard as similarity
from revela.corpus.shingles import shingles_of_texts
from revela.files import explain_full_disk

# Of many texts with the same band each is compared with so many of the first and of those just before it.
_FIRST, _BEFORE = 8, 8
# Candidate pairs held in memory while they are verified.
_PAIRS = 1 << 22

ShinglesOf = Callable[[np.ndarray], Iterator[tuple[int, np.ndarray]]]


def find_near_duplicates(
    bands: np.ndarray,
    eligible: np.ndarray,
    shingles_of: ShinglesOf,
    jaccard: float,
    scratch: Path | None = None,
) -> np.ndarray:
    """For every text the earlier one that it nearly repeats.

    Greedy in order: a text is a near-duplicate when the exact Jaccard similarity of its shingles to
    those of an earlier text *that is kept* is at least `jaccard`. So the first of a family stays, no
    text goes for resembling one that is gone, and later texts never change the verdict on earlier ones.

    Which pairs are compared, :class:`revela.corpus.minhash.Signer` decides: those with an equal hash
    in some band. Where more than 17 texts share one (the boilerplate of a site), each is compared
    with the first 8 and the 8 before it only, so that the number of comparisons is at most 16 a text
    and band. Two texts that are that similar share several bands, and the chance that all of them
    are so crowded is small unless most of the crowd are near-duplicates of its first ones anyway.

    Memory is some tens of bytes a text: one band is sorted at a time, and pairs and the shingles of
    texts that are in a pair lie in files below `scratch`, which are gone afterwards.

    Args:
        bands: (bands, n) uint64, of :meth:`Signer.sign`, transposed; may be a memory map.
        eligible: (n,) bool; the others are neither compared nor compared with.
        shingles_of: called once with the numbers of all texts in a pair, ascending; yields (number,
            shingles), in that order, shingles as :func:`revela.corpus.shingles.shingle_hashes` gives them.
        jaccard: similarity from which on the later text is a near-duplicate, in (0, 1].
        scratch: existing folder for temporary files; None for the system's own.

    Returns:
        (n,) int64, the number of the first kept text so similar, or -1.

    Raises:
        RevelaError: the disk is full.
    """
    numbers = np.flatnonzero(eligible).astype(np.uint64)
    duplicate_of = np.full(len(eligible), -1, np.int64)
    with tempfile.TemporaryDirectory(prefix="near-duplicates-", dir=scratch) as name:
        folder = Path(name)
        in_pair = np.zeros(len(eligible), bool)
        files = []
        with explain_full_disk(folder):
            for number, band in enumerate(bands):
                pairs = _pairs(band[eligible], numbers)
                if len(pairs):
                    in_pair[(pairs >> np.uint64(32)).astype(np.int64)] = True
                    in_pair[(pairs & _LOW).astype(np.int64)] = True
                    files.append(_mapped(folder / f"pairs-{number}", pairs))
            if not files:
                return duplicate_of
            shingles = _ShingleFile(folder / "shingles", np.flatnonzero(in_pair), shingles_of)
        for pairs in _in_order(files, len(eligible)):
            _verify(pairs, shingles, jaccard, duplicate_of)
        shingles.close()
    return duplicate_of


def near_duplicate_texts(texts: Sequence[str], jaccard: float, shingle_words: int) -> np.ndarray:
    """:func:`find_near_duplicates` for texts that are all in memory: (texts,) int64."""

    def shingles_of(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        chosen = [texts[number] for number in numbers]
        return zip(numbers.tolist(), shingles_of_texts(chosen, shingle_words), strict=True)

    bands = Signer(jaccard, shingle_words).sign(texts)
    return find_near_duplicates(bands.T, np.ones(len(texts), bool), shingles_of, jaccard)


_LOW = np.uint64(2**32 - 1)


def _pairs(hashes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Pairs to compare because of one band: (pairs,) uint64, later << 32 | earlier, ascending."""
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    # Positions in `order` that are not the first of their run, and how far the run's first is before them.
    later = np.flatnonzero(same) + 1
    starts = np.concatenate([[0], np.flatnonzero(~same) + 1])
    start = starts[np.searchsorted(starts, later, side="right") - 1]
    rank = later - start
    found = []
    for back in range(1, _BEFORE + 1):
        chosen = rank >= back
        found.append((later[chosen], later[chosen] - back))
    for first in range(_FIRST):
        chosen = rank > first + _BEFORE
        found.append((later[chosen], start[chosen] + first))
    ordered = numbers[order]
    return np.sort(np.concatenate([ordered[one] << np.uint64(32) | ordered[other] for one, other in found]))


def _in_order(files: list[np.ndarray], texts: int) -> Iterator[np.ndarray]:
    """The pairs of all bands, each once, ascending, in arrays of about `_PAIRS`; no text is cut in two."""
    share = max(1, _PAIRS * texts // max(1, sum(map(len, files))))
    for start in range(0, texts, share):
        ends = [np.uint64(start) << np.uint64(32), np.uint64(start + share) << np.uint64(32)]
        cuts = [np.searchsorted(file, np.array(ends, np.uint64)) for file in files]
        yield np.unique(np.concatenate([file[a:b] for file, (a, b) in zip(files, cuts, strict=True)]))


def _verify(pairs: np.ndarray, shingles: _ShingleFile, jaccard: float, duplicate_of: np.ndarray) -> None:
    """Fill in `duplicate_of` (n,) for the later texts of `pairs`; those before them are decided."""
    done = -1
    for pair in pairs.tolist():
        later, earlier = pair >> 32, pair & 0xFFFFFFFF
        if later == done or duplicate_of[earlier] >= 0:
            continue
        one, other = shingles[later], shingles[earlier]
        # The similarity cannot exceed the smaller size over the larger.
        if min(len(one), len(other)) < jaccard * max(len(one), len(other)):
            continue
        if similarity(one, other) >= jaccard:
            duplicate_of[later] = earlier
            done = later


def _mapped(path: Path, content: np.ndarray) -> np.ndarray:
    content.tofile(path)
    return np.memmap(path, content.dtype, mode="r")


class _ShingleFile:
    """Shingles of some texts in one file, by number of the text."""

    def __init__(self, path: Path, numbers: np.ndarray, shingles_of: ShinglesOf) -> None:
        self._numbers = numbers
        self._offsets = np.zeros(len(numbers) + 1, np.int64)
        with open(path, "wb") as file:
            for place, (number, shingles) in enumerate(shingles_of(numbers)):
                if place >= len(numbers) or number != numbers[place]:
                    raise ValueError(f"shingles of text {number} where those of another were asked for")
                shingles.tofile(file)
                self._offsets[place + 1] = self._offsets[place] + len(shingles)
        self._content = np.memmap(path, np.uint64, mode="r") if self._offsets[-1] else np.zeros(0, np.uint64)

    def __getitem__(self, number: int) -> np.ndarray:
        place = np.searchsorted(self._numbers, number)
        return self._content[self._offsets[place] : self._offsets[place + 1]]

    def close(self) -> None:
        del self._content
