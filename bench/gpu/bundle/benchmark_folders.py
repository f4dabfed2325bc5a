"""Benchmarks as folders in BEIR layout: what the standard library gives must not depend on another Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark, load_benchmark
from revela.settings import (
    BeirBenchmark,
    BenchmarkSettings,
    ClassesBenchmark,
    DocstringsBenchmark,
    ErrorsBenchmark,
)

BUILT_IN: tuple[BenchmarkSettings, ...] = (
    DocstringsBenchmark(kind="docstrings"),
    ClassesBenchmark(kind="classes"),
    ErrorsBenchmark(kind="errors"),
)
TINY: tuple[BenchmarkSettings, ...] = (DocstringsBenchmark(kind="docstrings", limit=30),)


def load_all(built_in: Sequence[BenchmarkSettings], folders: Mapping[str, Path]) -> list[Benchmark]:
    """The built-in ones, and folders in BEIR layout by name, split test.

    Raises:
        RevelaError: a folder is not in that layout; names the option.
    """
    found = [load_benchmark(settings) for settings in built_in]
    for name, path in folders.items():
        try:
            found.append(load_benchmark(BeirBenchmark(kind="beir", name=name, path=path)))
        except RevelaError as fault:
            raise RevelaError(f"--benchmark {name}={path}: {fault}") from fault
    return found


def protected_texts(benchmarks: Sequence[Benchmark]) -> list[str]:
    """Queries and judged documents: what no group may hold."""
    return [text for one in benchmarks for text in (*one.judged_documents().values(), *one.queries.values())]


def write_beir(benchmark: Benchmark, folder: Path) -> None:
    """Write one benchmark so that `revela.evaluation.benchmarks.beir` reads the same texts and grades."""
    (folder / "qrels").mkdir(parents=True)
    _write_texts(folder / "corpus.jsonl", benchmark.corpus)
    _write_texts(folder / "queries.jsonl", benchmark.queries)
    rows = [
        f"{query}\t{document}\t{grade}"
        for query, judged in benchmark.qrels.items()
        for document, grade in judged.items()
    ]
    _write_lines(folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", *rows])


def _write_texts(path: Path, texts: Mapping[str, str]) -> None:
    _write_lines(
        path, [json.dumps({"_id": key, "text": text}, ensure_ascii=False) for key, text in texts.items()]
    )


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
