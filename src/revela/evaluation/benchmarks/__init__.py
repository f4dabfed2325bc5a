"""Benchmarks: queries, documents and judgements, by kind.

A new benchmark is one new module with a ``load`` function, its settings class, and one line in
:data:`LOADERS`. Nothing here imports torch: the corpus stage loads benchmarks too, to keep their
texts out of the training corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from revela.errors import RevelaError
from revela.evaluation.benchmarks import beir, classes, docstrings, errors, mteb_tasks
from revela.evaluation.benchmarks.base import Benchmark
from revela.settings import BenchmarkSettings, EvaluateSettings, MtebBenchmark, StandardLibraryBenchmark

__all__ = [
    "LOADERS",
    "Benchmark",
    "load_benchmark",
    "load_benchmarks",
    "protected_queries",
    "protected_texts",
]

LOADERS: dict[str, Callable[[Any], Benchmark]] = {
    "beir": beir.load,
    "classes": classes.load,
    "docstrings": docstrings.load,
    "errors": errors.load,
}


def load_benchmarks(settings: Sequence[BenchmarkSettings]) -> list[Benchmark]:
    """Read or build benchmarks; an entry of kind mteb may be many.

    Raises:
        RevelaError: as :func:`load_benchmark`, or two have the same name.
    """
    found: dict[str, Benchmark] = {}
    for one in settings:
        several = mteb_tasks.load(one) if isinstance(one, MtebBenchmark) else [load_benchmark(one)]
        for benchmark in several:
            if benchmark.name in found:
                raise RevelaError(f"evaluate.benchmarks: '{benchmark.name}' is there twice; remove one.")
            found[benchmark.name] = benchmark.check()
    return list(found.values())


def load_benchmark(settings: BenchmarkSettings) -> Benchmark:
    """Read or build one benchmark that is not of kind mteb.

    Raises:
        RevelaError: a file is missing or faulty (named with its line), or the benchmark is empty or
            inconsistent.
    """
    return LOADERS[settings.kind](settings).check()


def protected_texts(settings: EvaluateSettings) -> list[str]:
    """Texts that must not be in the training corpus, each once, in a stable order.

    These are the queries and the judged documents of every benchmark. A `limit` and a `half` are
    ignored: a quick check must not change what the model is trained on, nor which half is looked at.
    """
    texts: dict[str, None] = {}
    for benchmark in _whole(settings):
        texts.update(dict.fromkeys(benchmark.judged_documents().values()))
        texts.update(dict.fromkeys(benchmark.queries.values()))
    return list(texts)


def protected_queries(settings: EvaluateSettings) -> list[str]:
    """The queries alone: no pair that is trained on may have one, however short it is."""
    return list(dict.fromkeys(query for one in _whole(settings) for query in one.queries.values()))


def _whole(settings: EvaluateSettings) -> list[Benchmark]:
    """Every benchmark, whatever its limit and its half."""
    return load_benchmarks(
        [
            one.model_copy(update={"limit": None, "half": None})
            if isinstance(one, StandardLibraryBenchmark)
            else one
            for one in settings.benchmarks
        ]
    )
