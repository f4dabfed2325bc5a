"""Ranking metrics of a run, query by query.

nDCG has linear gains, as in trec_eval and BEIR; a query that a run leaves out scores 0.
"""

from __future__ import annotations

import ir_measures
import pandas as pd
from ir_measures import RR, R, nDCG

from revela.evaluation.ranking import Run

MEASURES = {
    "ndcg_at_10": nDCG @ 10,
    "mrr_at_10": RR @ 10,
    "recall_at_10": R @ 10,
    "recall_at_100": R @ 100,
}
METRICS = tuple(MEASURES)


def score(qrels: dict[str, dict[str, int]], run: Run) -> pd.DataFrame:
    """Metrics of every judged query.

    Args:
        qrels: query id -> {document id: grade}; a grade above 0 is relevant.
        run: query id -> {document id: score}.

    Returns:
        Columns `query_id` and :data:`METRICS` (float64, 0 to 1), one row a query of `qrels`, sorted by id.
    """
    queries = sorted(qrels)
    names = {str(measure): name for name, measure in MEASURES.items()}
    untied = {query: _untied(scores) for query, scores in run.items() if query in qrels}
    found = {name: dict.fromkeys(queries, 0.0) for name in METRICS}
    for value in ir_measures.iter_calc(list(MEASURES.values()), qrels, untied):
        found[names[str(value.measure)]][value.query_id] = value.value
    columns = {name: list(values.values()) for name, values in found.items()}
    return pd.DataFrame({"query_id": queries, **columns})


def mean_scores(per_query: pd.DataFrame) -> dict[str, float]:
    """Metric -> mean over the queries."""
    return {name: float(per_query[name].mean()) for name in METRICS}


def _untied(scores: dict[str, float]) -> dict[str, float]:
    """The same ranking with scores that differ, ties settled as in :class:`revela.evaluation.ranking.Ranker`.

    ir_measures computes nDCG and RR with two libraries that settle ties in opposite ways.
    """
    ranked = sorted(scores, key=lambda document: (scores[document], document), reverse=True)
    return {document: float(-rank) for rank, document in enumerate(ranked)}
