"""Rows to comparable figures: means and deviations over seeds, and whether a difference is one."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]

BASELINES = ("start",)
"""Methods that have no seeds and train nothing."""


def of_last_attempts(rows: Sequence[Row], wanted: Sequence[Row]) -> list[Row]:
    """Of the rows `wanted` those that no later attempt at their step has measured again.

    Args:
        rows: all rows, oldest first; those of kind step tell where attempts begin.
    """
    attempt: dict[tuple[Any, Any], int] = {}
    attempts: dict[int, int] = {}
    newest: dict[tuple[Any, Any], int] = {}
    measured = {id(row) for row in wanted}
    for row in rows:
        key = (row.get("source"), row.get("step"))
        if row["kind"] == "step" and row["status"] == "begun":
            attempt[key] = attempt.get(key, 0) + 1
        elif id(row) in measured:
            newest[key] = attempts[id(row)] = attempt.get(key, 0)
    return [row for row in wanted if attempts[id(row)] == newest[row.get("source"), row.get("step")]]


def seed_rows(rows: Iterable[Row]) -> list[Row]:
    """The last score of every run: one that was done again counts once."""
    newest = {(row.get("source"), row["run"]): row for row in rows if row["kind"] == "score"}
    return list(newest.values())


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None instead of it for a single seed."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def over_seeds(rows: Iterable[Row]) -> list[Row]:
    """One row for each source, experiment and method.

    Returns:
        ``source``, ``experiment``, ``method``, ``seeds``, ``groups``, ``training_s`` (means) and ``ndcg``,
        benchmark -> (mean, deviation), in the order of the rows.
    """
    together: dict[tuple[Any, ...], list[Row]] = {}
    for row in seed_rows(rows):
        together.setdefault((row.get("source"), row["experiment"], row["method"]), []).append(row)
    return [
        {
            "source": source,
            "experiment": experiment,
            "method": method,
            "seeds": len(mine),
            "groups": statistics.fmean(row["groups"] for row in mine),
            "training_s": _mean_of_known([row["training_s"] for row in mine]),
            "ndcg": {
                name: spread([row["ndcg"][name] for row in mine if name in row["ndcg"]])
                for name in mine[0]["ndcg"]
            },
        }
        for (source, experiment, method), mine in together.items()
    ]


def comparisons(rows: Iterable[Row], per_query: Iterable[Row], *, resamples: int = 10_000) -> list[Row]:
    """Every two methods of an experiment, and each with its start and with BM25, paired by query.

    A query's score is its mean over the seeds that both methods have; p is corrected by Holm over the
    comparisons of an experiment.

    Args:
        rows: of one `run`.
        per_query: of the same one, as :meth:`bench.gpu.store.Store.add_per_query` writes them.

    Returns:
        ``experiment``, ``benchmark``, ``a``, ``b``, ``seeds``, ``queries``, ``difference`` (a - b) with its
        95 % interval ``low`` to ``high``, and ``p``.
    """
    from revela.evaluation.significance import holm

    scores = {(row["run"], row["benchmark"]): row["ndcg_at_10"] for row in per_query}
    methods: dict[str, dict[str, dict[int, Row]]] = {}
    for row in seed_rows(rows):
        methods.setdefault(row["experiment"], {}).setdefault(row["method"], {})[row["seed"]] = row
    found = []
    for experiment, runs in methods.items():
        # A trained method first, so that a difference above 0 speaks for it.
        names = sorted(runs, key=lambda name: name in BASELINES)
        pairs = [pair for pair in itertools.combinations(names, 2) if pair[0] not in BASELINES]
        pairs += [(name, "bm25") for name in names if name not in BASELINES]
        benchmarks = dict.fromkeys(
            name for mine in runs.values() for row in mine.values() for name in row["ndcg"]
        )
        mine = [
            {"experiment": experiment, "benchmark": benchmark, "a": a, "b": b, **compared}
            for benchmark in benchmarks
            for a, b in pairs
            if (compared := _compare(runs, scores, benchmark, a, b, resamples)) is not None
        ]
        for row, p in zip(mine, holm([row["p"] for row in mine]), strict=True):
            row["p"] = float(f"{p:.3g}")
        found += mine
    return found


def _compare(
    runs: Mapping[str, Mapping[int, Row]],
    scores: Mapping[tuple[str, str], list[float]],
    benchmark: str,
    a: str,
    b: str,
    resamples: int,
) -> Row | None:
    """The comparison of two methods on one benchmark; None where one of them has no scores on it."""
    import pandas as pd

    from revela.evaluation.significance import compare

    of_a, of_b = (_by_seed(runs, scores, benchmark, method) for method in (a, b))
    seeds = sorted(set(of_a) & set(of_b)) if None not in of_b else sorted(of_a)
    if not seeds or not of_b:
        return None

    def table(by_seed: Mapping[int | None, list[float]]) -> pd.DataFrame:
        columns = [by_seed.get(seed, by_seed.get(None)) for seed in seeds]
        means = [statistics.fmean(query) for query in zip(*columns, strict=True)]
        return pd.DataFrame({"query_id": range(len(means)), "ndcg_at_10": means})

    result = compare(table(of_a), table(of_b), metric="ndcg_at_10", resamples=resamples, seed=0)
    figures = {key: round(getattr(result, key), 4) for key in ("difference", "low", "high")}
    return {"seeds": len(seeds), "queries": result.queries, **figures, "p": result.p}


def _by_seed(
    runs: Mapping[str, Mapping[int, Row]],
    scores: Mapping[tuple[str, str], list[float]],
    benchmark: str,
    method: str,
) -> dict[int | None, list[float]]:
    """Seed -> scores query by query; under None what stands beside every seed."""
    if method == "bm25":
        names: dict[int | None, str] = {None: "bm25"}
    else:
        names = {None if method in BASELINES else seed: row["run"] for seed, row in runs[method].items()}
    return {seed: scores[run, benchmark] for seed, run in names.items() if (run, benchmark) in scores}
