"""What a benchmark's scores were taken on, as a digest: scores compare only where these are equal."""

from __future__ import annotations

import hashlib
import json

from revela.evaluation.benchmarks import Benchmark, load_benchmarks
from revela.settings import EvaluateSettings

DIGEST_CHARACTERS = 16  # MLflow takes 36; these tell 2^32 data sets apart


def content_digest(benchmark: Benchmark) -> str:
    """Sixteen hex digits over queries, documents and judgements, whatever order they are in.

    The benchmarks made of the standard library follow the Python that runs, and a folder may be edited: equal
    settings do not make equal data.
    """
    digest = hashlib.sha256()
    for part in (benchmark.queries, benchmark.corpus, benchmark.qrels):
        for key in sorted(part):
            digest.update(json.dumps([key, part[key]], sort_keys=True).encode())
            digest.update(b"\n")
        digest.update(b"\n")
    return digest.hexdigest()[:DIGEST_CHARACTERS]


def content_digests(settings: EvaluateSettings) -> dict[str, str]:
    """Name -> digest of every benchmark; they are loaded for it, which takes seconds.

    Raises:
        RevelaError: as :func:`revela.evaluation.benchmarks.load_benchmarks`.
    """
    return {one.name: content_digest(one) for one in load_benchmarks(settings.benchmarks)}
