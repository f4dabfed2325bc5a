"""How related two texts are: BM25 made symmetric and put between 0 and 1.

With the saturation of Robertson and Zaragoza 2009 (The Probabilistic Relevance Framework, eq. 3.15), for a
word that occurs f times in a text of length l among texts of mean length m

    s = f (k1 + 1) / (f + k1 (1 - b + b l / m)),

BM25 scores a text j against a text i as the sum of idf · s_j over the words of i. Here the words of i are
saturated in the same way, and the sum is divided by what each text scores against itself:

    r(i, j) = sum idf s_i s_j / sqrt(sum idf s_i² · sum idf s_j²)

which is the cosine of the vectors with entries sqrt(idf) s: 1 for texts with the same words equally often,
0 for texts without a common word. idf is Lucene's, log(1 + (n - df + 0.5) / (df + 0.5)), never negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

K1, B = 1.2, 0.75  # Lucene's defaults

# Texts from which document frequencies and the mean length are taken: more change no idf that matters.
SAMPLE = 50_000

# A group is no accident when it is more related than nine in ten random groups of the same texts.
CHANCE_QUANTILE = 0.9


@dataclass(frozen=True)
class Bm25:
    """The collection's side of the formula.

    Attributes:
        root_idf: (columns,) float32, the square root of every word's idf.
        mean_length: words a text.
    """

    root_idf: np.ndarray
    mean_length: float

    @classmethod
    def of(cls, counts: sparse.csr_matrix) -> Bm25:
        """From the word counts (n, columns) of a collection, or of a fair sample of it."""
        texts = counts.shape[0]
        df = np.bincount(counts.indices, minlength=counts.shape[1])
        idf = np.log1p((texts - df + 0.5) / (df + 0.5))
        mean_length = counts.data.sum(dtype=np.int64) / max(texts, 1)
        return cls(np.sqrt(idf).astype(np.float32), max(float(mean_length), 1.0))

    def vectors(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Unit vectors (n, columns) float32 whose dot products are the relatedness.

        A text without a word is a zero vector, related to nothing.
        """
        lengths = np.diff(counts.indptr)
        words = np.asarray(counts.sum(axis=1, dtype=np.float32)).ravel()
        slack = np.repeat(K1 * (1 - B + B * words / np.float32(self.mean_length)), lengths)
        found = counts.data.astype(np.float32)
        values = self.root_idf[counts.indices] * (found * (K1 + 1) / (found + slack))
        rows = np.repeat(np.arange(len(lengths)), lengths)
        norms = np.sqrt(np.bincount(rows, values.astype(np.float64) ** 2, minlength=len(lengths)))
        values /= np.repeat(np.where(norms > 0, norms, 1.0), lengths)
        return sparse.csr_matrix(
            (values.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape
        )


def mean_pairwise(vectors: sparse.csr_matrix, group_size: int) -> np.ndarray:
    """Mean relatedness of all pairs within each group.

    For unit vectors v the sum over pairs i ≠ j is |sum v|² - sum |v|², so no pair is computed.

    Args:
        vectors: (groups · group_size, columns), one group after another.

    Returns:
        (groups,) float64.
    """
    groups = vectors.shape[0] // group_size
    rows = np.repeat(np.arange(groups), group_size)
    member = sparse.csr_matrix(
        (np.ones(len(rows), np.float32), (rows, np.arange(len(rows)))), shape=(groups, len(rows))
    )
    sums = (member @ vectors).astype(np.float64)
    together = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
    alone = np.asarray(vectors.multiply(vectors).sum(axis=1), dtype=np.float64).reshape(groups, group_size)
    means: np.ndarray = (together - alone.sum(axis=1)) / (group_size * (group_size - 1))
    return means


def random_groups(members: np.ndarray, group_size: int, count: int, seed: int) -> np.ndarray:
    """(count, group_size) of `members` at random: what relatedness chance gives.

    A group has no member twice. Groups have none in common as long as there are enough; then all members
    are dealt out again. With fewer members than a group needs there is no group.
    """
    whole = len(members) // group_size
    if whole == 0:
        return np.empty((0, group_size), members.dtype)
    generator = np.random.default_rng(seed)
    deals = [
        generator.choice(members, whole * group_size, replace=False).reshape(whole, group_size)
        for _ in range(-(-count // whole))
    ]
    return np.concatenate(deals)[:count]


def evenly_spaced(members: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """At most `most` of the members, spread evenly over their order."""
    if len(members) <= most:
        return members
    return members[np.arange(most) * len(members) // most]
