"""From the scores of one query to its best documents, ties settled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOP_K = 100
Run = dict[str, dict[str, float]]


class Ranker:
    """Picks the `k` best of a fixed list of documents.

    Equal scores are ordered by document id, the larger id first, which is trec_eval's rule.

    >>> Ranker(["a", "b", "c"], k=2)(np.array([0.5, 0.5, 0.1]))
    {'b': 0.5, 'a': 0.5}
    """

    def __init__(self, document_ids: Sequence[str], k: int = TOP_K) -> None:
        """Args: `document_ids`, all different, name the scores' columns; `k` at least 1."""
        columns = sorted(range(len(document_ids)), key=lambda column: document_ids[column], reverse=True)
        self._columns = np.array(columns)
        self._ids = [document_ids[column] for column in columns]
        self._k = min(k, len(columns))

    def __call__(self, scores: np.ndarray) -> dict[str, float]:
        """{document id: score}, best first, from the (documents,) scores of one query."""
        ordered = scores[self._columns]
        # All that tie with the k-th best are candidates; the stable sort then settles who stays.
        threshold = np.partition(ordered, -self._k)[-self._k]
        candidates = np.flatnonzero(ordered >= threshold)
        best = candidates[np.argsort(-ordered[candidates], kind="stable")[: self._k]]
        return {self._ids[column]: float(ordered[column]) for column in best}
