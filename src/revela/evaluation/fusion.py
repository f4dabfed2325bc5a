"""Two rankings as one: what a search that has both a lexical and a dense index would show."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from revela.evaluation.ranking import TOP_K, Ranker, Run

RRF_CONSTANT = 60
"""Cormack, Clarke and Büttcher (SIGIR 2009), who found results to depend on it little."""


def reciprocal_rank_fusion(*runs: Run, k: int = TOP_K) -> Run:
    """Score a document by the sum over runs of 1 / (60 + its rank), ranks from 1.

    A run that does not have the document adds nothing. Scores need no common scale, so nothing is fitted.

    Args:
        runs: each query id -> {document id: score}; ties as in :class:`Ranker`.
        k: documents kept of a query.

    Returns:
        The `k` best of every query that any run has.

    >>> reciprocal_rank_fusion({"q": {"a": 9.0, "b": 8.0}}, {"q": {"b": 0.7}})["q"].keys()
    dict_keys(['b', 'a'])
    """
    fused: dict[str, defaultdict[str, float]] = {}
    for run in runs:
        for query, scores in run.items():
            sums = fused.setdefault(query, defaultdict(float))
            for rank, document in enumerate(_best(scores, len(scores)), start=1):
                sums[document] += 1 / (RRF_CONSTANT + rank)
    return {query: _best(sums, k) for query, sums in fused.items()}


def _best(scores: dict[str, float], k: int) -> dict[str, float]:
    return Ranker(list(scores), k)(np.array(list(scores.values()))) if scores else {}
