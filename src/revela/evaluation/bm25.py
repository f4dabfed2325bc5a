"""BM25, the baseline that a dense retriever has to beat, in two ways of reading code.

Scores are Lucene's BM25 as bm25s computes them (Lù 2024, arXiv 2407.03618), with English stop words and the
Snowball stemmer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import bm25s
import numpy as np
import Stemmer

from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.ranking import TOP_K, Ranker, Run
from revela.settings import Bm25Settings
from revela.words import split_identifiers


def bm25_run(benchmark: Benchmark, settings: Bm25Settings, k: int = TOP_K) -> Run:
    """The `k` best documents of every query; documents that share no word with the query are left out."""
    return _run(benchmark, settings, k, str)


def bm25_identifiers_run(benchmark: Benchmark, settings: Bm25Settings, k: int = TOP_K) -> Run:
    """The same with identifiers in documents and queries split into their words (see `split_identifiers`)."""
    return _run(benchmark, settings, k, split_identifiers)


def _run(benchmark: Benchmark, settings: Bm25Settings, k: int, prepare: Callable[[str], str]) -> Run:
    documents = _tokens([prepare(text) for text in benchmark.corpus.values()])
    queries = _tokens([prepare(text) for text in benchmark.queries.values()])
    index = bm25s.BM25(method="lucene", k1=settings.k1, b=settings.b)
    index.index(documents, show_progress=False)
    rank = Ranker(list(benchmark.corpus), k)
    nothing = np.zeros(len(benchmark.corpus), dtype=np.float32)
    run: Run = {}
    for query, words in zip(benchmark.queries, queries, strict=True):
        known = [word for word in words if word in index.vocab_dict]
        best = rank(index.get_scores(known) if known else nothing)
        run[query] = {document: score for document, score in best.items() if score > 0}
    return run


def _tokens(texts: Sequence[str]) -> list[list[str]]:
    return bm25s.tokenize(
        list(texts), stopwords="en", stemmer=Stemmer.Stemmer("english"), return_ids=False, show_progress=False
    )
