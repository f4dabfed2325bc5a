"""The evaluate stage: every benchmark, every model, one report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from revela.evaluation.benchmarks import Benchmark, load_benchmarks
from revela.evaluation.bm25 import bm25_identifiers_run, bm25_run
from revela.evaluation.contamination import assert_uncontaminated
from revela.evaluation.dense import dense_runs
from revela.evaluation.encoders import find_encoder
from revela.evaluation.examples import QUERIES, choose_examples
from revela.evaluation.fusion import reciprocal_rank_fusion
from revela.evaluation.ranking import Run
from revela.evaluation.report import HYBRID, PRIMARY, SUBJECT, Scores, write_report
from revela.evaluation.scoring import score
from revela.evaluation.vector_cache import VectorCache
from revela.settings import EvaluateSettings


def evaluate(
    settings: EvaluateSettings,
    seed: int,
    models: dict[str, Path],
    training_texts: Iterable[str] | None,
    out_dir: Path,
    console: Console,
    cache: VectorCache | None = None,
) -> dict[str, dict[str, dict[str, float]]]:
    """Score BM25 and every model on every benchmark, compare the retriever with the others, write `out_dir`.

    Args:
        settings: section `evaluate` of the settings.
        seed: of the resampling in tests and intervals.
        models: name -> SentenceTransformer folder, in the order to be shown, such as ``untrained``,
            ``after_<phase>``, ``retriever``; the last of these names is required.
        training_texts: the corpus documents trained on (whole, not chunks), to be checked for the benchmarks'
            documents; None skips the check, for models whose corpus is not known.
        out_dir: replaced as a whole.
        console: where the tables go, and how many seconds each model took.
        cache: of vectors, so that an unchanged model needs no second encoding.

    Returns:
        benchmark -> model -> metric -> mean: the content of metrics.json.

    Raises:
        RevelaError: a benchmark or a model cannot be loaded, or training texts contain benchmark documents.
    """
    if SUBJECT not in models:
        raise ValueError(f"models must have '{SUBJECT}', found {', '.join(models) or 'none'}")
    models = _with_encoders(models, settings)
    benchmarks = load_benchmarks(settings.benchmarks)
    if training_texts is not None:
        assert_uncontaminated(benchmarks, training_texts)
    found = dense_runs(
        models,
        benchmarks,
        max_tokens=settings.max_tokens,
        batch_size=settings.batch_size,
        precision=settings.precision,
        best_passage=settings.long_documents == "best_passage",
        cache=cache,
    )
    scores: Scores = {}
    examples: list[dict[str, Any]] = []
    for benchmark in benchmarks:
        runs = _runs(benchmark, settings, {name: found.runs[name][benchmark.name] for name in models})
        tables = {name: score(benchmark.qrels, run) for name, run in runs.items()}
        scores[benchmark.name] = tables
        lexical = "bm25_identifiers" if "bm25_identifiers" in runs else "bm25"
        examples += choose_examples(
            benchmark,
            runs,
            tables,
            models=(SUBJECT, lexical),
            shown=[name for name in (lexical, "untrained", SUBJECT) if name in runs],
            metric=PRIMARY,
            count=max(2, QUERIES // len(benchmarks)),
        )
    metrics = write_report(out_dir, benchmarks, scores, examples, settings, seed=seed, console=console)
    for label, seconds in found.seconds.items():
        console.print(f"encoding and search, {label}: {seconds:.0f} s")
    return metrics


def _with_encoders(models: dict[str, Path], settings: EvaluateSettings) -> dict[str, Path]:
    """The encoders to compare with, all found before anything is scored, then the given models."""
    encoders = {source.name: find_encoder(source) for source in settings.encoders}
    return {**encoders, **models}


def _runs(benchmark: Benchmark, settings: EvaluateSettings, dense: Mapping[str, Run]) -> dict[str, Run]:
    """Model name -> run, the lexical baselines first, the retriever together with BM25 last."""
    runs = {"bm25": bm25_run(benchmark, settings.bm25)}
    if benchmark.code:
        runs["bm25_identifiers"] = bm25_identifiers_run(benchmark, settings.bm25)
    lexical = list(runs.values())[-1]
    runs |= dense
    runs[HYBRID] = reciprocal_rank_fusion(lexical, runs[SUBJECT])
    return runs
