"""Short signatures by which similar texts find each other (MinHash, locality-sensitive hashing)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rensa import RMinHash

from revela.corpus.shingles import batches, flat_shingles
from revela.corpus.word_hashes import mixed, run_hashes

# Part of what a stored signature means: it never changes.
_SEED = 42

RECALL = 0.995  # a pair at exactly the wanted similarity becomes a candidate at least this often
_MAX_BANDS = 20  # eight bytes a text and one sort each
_MIN_ROWS = 4  # fewer would make candidates of pairs that share a phrase


def bands_and_rows(jaccard: float) -> tuple[int, int]:
    """How a signature is cut so that pairs from `jaccard` on are found and others mostly not.

    A pair of similarity J agrees in one minimum with probability J, in a band of r with J^r, and in
    at least one of b bands with 1 - (1 - J^r)^b (Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, section 3.4.2). b is the smallest that reaches :data:`RECALL` at `jaccard`; r the
    largest, from 4 on, that needs no more than 20 bands. At 0.8 this gives b = 18 and r = 6, which
    makes candidates of 25 % of the pairs at 0.5, of 0.1 % at 0.2 and of 3 in 10 million at 0.05.
    """
    rows = _MIN_ROWS
    while _bands(jaccard, rows + 1) <= _MAX_BANDS:
        rows += 1
    return _bands(jaccard, rows), rows


def _bands(jaccard: float, rows: int) -> int:
    return int(np.ceil(np.log1p(-RECALL) / np.log1p(-(jaccard**rows))))


class Signer:
    """Texts to band hashes: two texts with an equal hash in the same band are candidates.

    Equal in every process and on every machine for one version of rensa; can be pickled.

    Args:
        jaccard: similarity of the shingle sets from which on pairs are wanted, in (0, 1).
        shingle_words: words of one shingle.

    Attributes:
        bands: hashes a text.
    """

    def __init__(self, jaccard: float, shingle_words: int) -> None:
        self.bands, self._rows = bands_and_rows(jaccard)
        self._words = shingle_words

    def sign(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, bands) uint64."""
        signed = [np.zeros((0, self.bands), np.uint64)]
        for batch in batches(texts):
            # Repeated shingles do not change a minimum.
            flat, offsets = flat_shingles(batch, self._words)
            minima = RMinHash.digest_matrix_from_flat_token_hashes(
                flat, offsets.astype(np.uint64), self.bands * self._rows, _SEED
            )
            values = mixed(np.array(minima.to_rows(), np.uint64).ravel())
            # Of the runs of `rows` minima, those that begin where a band does.
            signed.append(run_hashes(values, self._rows)[:: self._rows].reshape(-1, self.bands))
        return np.concatenate(signed)
