"""BM25 on the benchmarks, computed where its library is installed, else as this repository measured it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from revela.evaluation.benchmarks.base import Benchmark

GIVEN = {"docstrings": 0.433, "classes": 0.578, "errors": 0.541}
"""nDCG@10 of BM25 with identifiers split, of this repository's default run (model bm25_identifiers)."""


def bm25_rows(benchmarks: Iterable[Benchmark]) -> Iterator[tuple[dict[str, Any], list[float]]]:
    """(row, nDCG@10 query by query) of each; no row for a benchmark that is neither computed nor given.

    Identifiers are split where documents are code. Rows have ``benchmark``, ``ndcg_at_10`` and ``origin``,
    computed or given; the scores of a given one are empty.
    """
    try:
        from revela.evaluation.bm25 import bm25_identifiers_run, bm25_run
    except ImportError:
        for benchmark in benchmarks:
            if benchmark.name in GIVEN:
                found = GIVEN[benchmark.name]
                yield {"benchmark": benchmark.name, "ndcg_at_10": found, "origin": "given"}, []
        return
    from revela.evaluation.scoring import score
    from revela.settings import Bm25Settings

    for benchmark in benchmarks:
        ranked = bm25_identifiers_run if benchmark.code else bm25_run
        run = ranked(benchmark, Bm25Settings(), k=10)
        scores = score(benchmark.qrels, run)["ndcg_at_10"].tolist()
        mean = round(sum(scores) / len(scores), 4)
        yield {"benchmark": benchmark.name, "ndcg_at_10": mean, "origin": "computed"}, scores
