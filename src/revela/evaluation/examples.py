"""Queries to look at: where the retriever does better than BM25, and where worse."""

from __future__ import annotations

from typing import Any

import pandas as pd

from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.ranking import Run

QUERIES = 20
HITS = 3
_CHARACTERS = 300


def choose_examples(
    benchmark: Benchmark,
    runs: dict[str, Run],
    scores: dict[str, pd.DataFrame],
    *,
    models: tuple[str, str],
    shown: list[str],
    metric: str,
    count: int,
) -> list[dict[str, Any]]:
    """The `count` queries on which two models differ most, half for each; equal scores are left out.

    Args:
        runs, scores: of all models, by name.
        models: (subject, other); a query's ``lead`` is the first one's score less the other's.
        shown: models whose first hits are listed, in this order.
        metric: a column of the tables.

    Returns:
        For each query, the largest lead first: benchmark, query_id, query, lead, relevant (documents by id),
        hits (model -> its first 3 documents with rank and whether they are relevant). Texts are cut.
    """
    subject, other = (scores[model].set_index("query_id")[metric] for model in models)
    lead = (subject - other).sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    won, lost = lead[lead > 0].index[: count - count // 2], lead[lead < 0].index[::-1][: count // 2][::-1]
    return [
        {
            "benchmark": benchmark.name,
            "query_id": query,
            "query": _cut(benchmark.queries[query]),
            "lead": round(float(lead[query]), 4),
            "relevant": {
                document: _cut(benchmark.corpus[document])
                for document, grade in list(benchmark.qrels[query].items())[:HITS]
                if grade > 0
            },
            "hits": {model: _hits(benchmark, query, runs[model]) for model in shown},
        }
        for query in (*won, *lost)
    ]


def _hits(benchmark: Benchmark, query: str, run: Run) -> list[dict[str, Any]]:
    judged = benchmark.qrels[query]
    return [
        {
            "rank": rank,
            "document": document,
            "relevant": judged.get(document, 0) > 0,
            "text": _cut(benchmark.corpus[document]),
        }
        for rank, document in enumerate(list(run.get(query, {}))[:HITS], start=1)
    ]


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS].rstrip()} …"
