"""What the evaluate stage leaves behind: scores, comparisons, one table, one picture.

Nothing here depends on the clock or on where the project lies: the same scores give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from revela.evaluation.benchmarks.base import Benchmark
from revela.evaluation.plots import save_plot
from revela.evaluation.scoring import METRICS, mean_scores
from revela.evaluation.significance import CONFIDENCE, Test, bootstrap_interval, compare, holm
from revela.files import atomic_directory, atomic_write_text, write_json
from revela.processes import cores
from revela.settings import EvaluateSettings

# benchmark -> model -> the per-query table of scoring.score
Scores = dict[str, dict[str, pd.DataFrame]]

PRIMARY = "ndcg_at_10"
SUBJECT = "retriever"
HYBRID = "hybrid"
ALPHA = 0.05
_HEADINGS = {
    "ndcg_at_10": "nDCG@10",
    "mrr_at_10": "MRR@10",
    "recall_at_10": "Recall@10",
    "recall_at_100": "Recall@100",
}


def write_report(
    out_dir: Path,
    benchmarks: list[Benchmark],
    scores: Scores,
    examples: list[dict[str, Any]],
    settings: EvaluateSettings,
    *,
    seed: int,
    console: Console,
) -> dict[str, dict[str, dict[str, float]]]:
    """Replace `out_dir` by the report's files and print the table.

    Files: metrics.json, comparisons.json, per_query.parquet, examples.json, table.md, scores.png.

    Args:
        scores: every benchmark's models in the order to be shown; one of them is named ``retriever``.
        examples: queries to look at, from :func:`revela.evaluation.examples.choose_examples`.

    Returns:
        The content of metrics.json.
    """
    metrics = mean_metrics(scores)
    comparisons = compare_retriever(scores, resamples=settings.resamples, seed=seed, test=settings.test)
    with atomic_directory(out_dir) as folder:
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "comparisons.json", comparisons)
        write_json(folder / "examples.json", examples)
        per_query_table(scores).to_parquet(folder / "per_query.parquet", index=False)
        atomic_write_text(folder / "table.md", markdown(benchmarks, metrics, comparisons, settings))
        save_plot(folder / "scores.png", scores, metric=PRIMARY, label=_HEADINGS[PRIMARY], seed=seed)
    for benchmark in benchmarks:
        console.print(terminal_table(benchmark, metrics[benchmark.name], comparisons))
    return metrics


def mean_metrics(scores: Scores) -> dict[str, dict[str, dict[str, float]]]:
    """benchmark -> model -> metric -> mean, rounded to 6 digits."""
    return {
        benchmark: {
            model: {metric: round(value, 6) for metric, value in mean_scores(table).items()}
            for model, table in models.items()
        }
        for benchmark, models in scores.items()
    }


def per_query_table(scores: Scores) -> pd.DataFrame:
    """Columns benchmark, model, query_id and the metrics; one row a benchmark, model and query."""
    parts = [
        table.assign(benchmark=benchmark, model=model)
        for benchmark, models in scores.items()
        for model, table in models.items()
    ]
    return pd.concat(parts, ignore_index=True)[["benchmark", "model", "query_id", *METRICS]]


def compare_retriever(
    scores: Scores, *, resamples: int, seed: int, test: Test = "randomisation"
) -> dict[str, Any]:
    """The retriever against every other model on every benchmark.

    Holm's correction runs over all of these comparisons together, so that a longer report does not find more
    differences by chance.
    """
    pairs = [
        (benchmark, model) for benchmark, models in scores.items() for model in models if model != SUBJECT
    ]

    def row_of(pair: tuple[str, str]) -> dict[str, Any]:
        benchmark, model = pair
        ours, theirs = scores[benchmark][SUBJECT], scores[benchmark][model]
        result = compare(ours, theirs, metric=PRIMARY, resamples=resamples, seed=seed, test=test)
        return {
            "benchmark": benchmark,
            "model": SUBJECT,
            "against": model,
            "queries": result.queries,
            "mean": round(result.mean_a, 6),
            "mean_against": round(result.mean_b, 6),
            "difference": round(result.difference, 6),
            "low": round(result.low, 6),
            "high": round(result.high, 6),
            "p": _significant_digits(result.p),
        }

    rows = _on_all_cores(row_of, pairs)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = _significant_digits(adjusted)
        row["verdict"] = verdict(row["difference"], row["p_holm"])
    return {
        "metric": PRIMARY,
        "test": "paired t, two-sided" if test == "t" else "paired randomisation, two-sided",
        "correction": "Holm, over all comparisons",
        "alpha": ALPHA,
        "interval": f"bootstrap, {CONFIDENCE:.0%}",
        "resamples": resamples,
        "means": _means(scores, resamples=resamples, seed=seed),
        "comparisons": rows,
    }


def _means(scores: Scores, *, resamples: int, seed: int) -> list[dict[str, Any]]:
    """Every model's mean with its bootstrap interval over queries."""
    pairs = [(benchmark, model) for benchmark, models in scores.items() for model in models]

    def row_of(pair: tuple[str, str]) -> dict[str, Any]:
        benchmark, model = pair
        values = scores[benchmark][model][PRIMARY].to_numpy()
        low, high = bootstrap_interval(values, resamples=resamples, seed=seed)
        return {
            "benchmark": benchmark,
            "model": model,
            "mean": round(float(values.mean()), 6),
            "low": round(low, 6),
            "high": round(high, 6),
        }

    return _on_all_cores(row_of, pairs)


def _on_all_cores(work: Callable[[tuple[str, str]], dict[str, Any]], pairs: list[tuple[str, str]]) -> list:
    """What `work` makes of each pair, in their order: numpy computes without Python's lock."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(work, pairs))


def verdict(difference: float, p: float) -> str:
    """``better``, ``worse`` or ``not significant`` for the retriever at level :data:`ALPHA`."""
    if p >= ALPHA or difference == 0:
        return "not significant"
    return "better" if difference > 0 else "worse"


def markdown(
    benchmarks: list[Benchmark],
    metrics: dict[str, dict[str, dict[str, float]]],
    comparisons: dict[str, Any],
    settings: EvaluateSettings,
) -> str:
    """A section with a table for every benchmark."""
    length = "what an encoder reads" if settings.max_tokens is None else f"{settings.max_tokens} tokens"
    cut = {
        "truncate": f"Texts are cut at {length}.",
        "best_passage": f"A document longer than {length} scores as its best passage.",
    }
    sections = [f"{cut[settings.long_documents]}\n"]
    for benchmark in benchmarks:
        header, rows = _cells(metrics[benchmark.name], comparisons, benchmark.name)
        lines = [header, ["---"] + ["---:"] * (len(METRICS) + 2) + ["---"], *rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        sections.append(f"## {benchmark.name}\n\n{benchmark.description}\n\n{table}\n")
    return "\n".join(sections)


def terminal_table(
    benchmark: Benchmark, metrics: dict[str, dict[str, float]], comparisons: dict[str, Any]
) -> Table:
    """The same table for the terminal."""
    header, rows = _cells(metrics, comparisons, benchmark.name)
    table = Table(title=f"{benchmark.name}: {benchmark.description}", title_justify="left")
    for index, heading in enumerate(header):
        table.add_column(heading, justify="right" if 0 < index <= len(METRICS) + 2 else "left")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == SUBJECT else None)
    return table


def _against(benchmark: str, comparisons: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Model -> the row in which the retriever is compared with it."""
    return {row["against"]: row for row in comparisons["comparisons"] if row["benchmark"] == benchmark}


def _cells(
    metrics: dict[str, dict[str, float]], comparisons: dict[str, Any], benchmark: str
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: model, nDCG@10 with interval, other metrics, the retriever's lead, the verdict."""
    names = [_HEADINGS[metric] for metric in METRICS]
    header = ["model", names[0], "95 %", *names[1:], "retriever's lead (95 %)", "retriever is"]
    against = _against(benchmark, comparisons)
    means = {row["model"]: row for row in comparisons["means"] if row["benchmark"] == benchmark}
    rows = []
    for model, values in metrics.items():
        row, mean = against.get(model), means[model]
        lead = f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})" if row else ""
        said = f"{row['verdict']} (p = {row['p_holm']:.2g})" if row else ""
        cells = [f"{values[metric]:.4f}" for metric in METRICS]
        interval = f"{mean['low']:.3f} to {mean['high']:.3f}"
        rows.append([model, cells[0], interval, *cells[1:], lead, said])
    return header, rows


def _significant_digits(value: float) -> float:
    """Rounded to 6 significant digits: a small p-value must not become 0."""
    return float(f"{value:.6g}")
