"""Is the retriever better than BM25 and than where it started? Benchmarks, runs, scores, tests, report."""
