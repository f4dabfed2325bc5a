"""Benchmarks: queries, documents and judgements, by kind.

A new benchmark is one new module with a ``load`` function, its settings class, and one line in
:data:`LOADERS`. Nothing here imports torch: the corpus stage loads benchmarks too, to keep their
texts out of the training corpus.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from revela.evaluation.benchmarks import beir, classes, docstrings, errors
from revela.evaluation.benchmarks.base import Benchmark
from revela.settings import BenchmarkSettings, EvaluateSettings

__all__ = ["LOADERS", "Benchmark", "load_benchmark", "protected_texts"]

LOADERS: dict[str, Callable[[Any], Benchmark]] = {
    "beir": beir.load,
    "classes": classes.load,
    "docstrings": docstrings.load,
    "errors": errors.load,
}


def load_benchmark(settings: BenchmarkSettings) -> Benchmark:
    """Read or build one benchmark.

    Raises:
        RevelaError: a file is missing or faulty (named with its line), or the benchmark is empty or
            inconsistent.
    """
    return LOADERS[settings.kind](settings).check()


def protected_texts(settings: EvaluateSettings) -> list[str]:
    """Texts that must not be in the training corpus, each once, in a stable order.

    These are the queries and the judged documents of every benchmark. A `limit` is ignored: it is
    there for quick checks, and a quick check must not change what the model is trained on.
    """
    texts: dict[str, None] = {}
    for one in settings.benchmarks:
        unlimited = one.model_copy(update={"limit": None}) if hasattr(one, "limit") else one
        benchmark = load_benchmark(unlimited)
        texts.update(dict.fromkeys(benchmark.judged_documents().values()))
        texts.update(dict.fromkeys(benchmark.queries.values()))
    return list(texts)
