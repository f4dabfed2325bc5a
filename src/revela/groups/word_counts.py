"""Texts as counts of their words, for judging which texts are about the same thing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

from revela.words import subwords

# Words are told apart by a hash (MurmurHash3) into this many columns, so that no vocabulary has to be
# gathered first. A few words share a column, too few to matter beside the tens of words of a chunk.
COLUMNS = 1 << 18
_LARGEST_COUNT = 255


_VECTORIZER = HashingVectorizer(
    analyzer=subwords, n_features=COLUMNS, alternate_sign=False, norm=None, dtype=np.float32
)


def count_words(batches: Iterable[list[str]]) -> sparse.csr_matrix:
    """How often each word occurs in each text.

    Args:
        batches: lists of texts, counted one list after another; the texts are not kept.

    Returns:
        (texts, COLUMNS) uint8, counts above 255 as 255: about 5 bytes a different word.
    """
    data, columns, lengths = [], [], []
    for texts in batches:
        counts = _VECTORIZER.transform(texts)
        data.append(np.minimum(counts.data, _LARGEST_COUNT).astype(np.uint8))
        columns.append(counts.indices.astype(np.int32))
        lengths.append(np.diff(counts.indptr))
    if not lengths:
        return sparse.csr_matrix((0, COLUMNS), dtype=np.uint8)
    starts = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    joined_data, joined_columns = np.concatenate(data), np.concatenate(columns)
    return sparse.csr_matrix((joined_data, joined_columns, starts), shape=(len(starts) - 1, COLUMNS))
