"""Each ablation against the retriever of the stage evaluate, query by query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from revela.evaluation.report import PRIMARY, SUBJECT, verdict
from revela.evaluation.significance import compare, holm

PER_QUERY = "per_query.parquet"
_RESAMPLES = 10_000


def leads(results: Path, reference: Path) -> list[dict[str, Any]]:
    """The lead of every finished ablation, its scores averaged over seeds first.

    A query's mean over seeds is paired with the reference's score: the test is about queries, and the spread
    over seeds stands beside it in the table. Ablations on other queries (another `limit`) are left out.

    Args:
        results: folder of the ablations.
        reference: per_query.parquet of the stage evaluate; without it there is nothing to compare with.

    Returns:
        Rows name, benchmark, seeds, mean, mean_reference, lead, low, high, p, p_holm, verdict; Holm's
        correction over all of them.
    """
    if not reference.is_file():
        return []
    base = _retrievers(reference)
    rows: list[dict[str, Any]] = []
    for name, tables in _by_name(results).items():
        together = pd.concat(tables)
        for benchmark, theirs in base.groupby("benchmark", sort=False):
            mine = together[together["benchmark"] == benchmark]
            mean = mine.groupby("query_id", as_index=False)[PRIMARY].mean()
            if set(mean["query_id"]) != set(theirs["query_id"]):
                continue
            found = compare(mean, theirs, metric=PRIMARY, resamples=_RESAMPLES, seed=0)
            rows.append(
                {
                    "name": name,
                    "benchmark": benchmark,
                    "seeds": len(tables),
                    "mean": round(found.mean_a, 6),
                    "mean_reference": round(found.mean_b, 6),
                    "lead": round(found.difference, 6),
                    "low": round(found.low, 6),
                    "high": round(found.high, 6),
                    "p": float(f"{found.p:.6g}"),
                }
            )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = float(f"{adjusted:.6g}")
        row["verdict"] = verdict(row["lead"], row["p_holm"])
    return rows


def _by_name(results: Path) -> dict[str, list[pd.DataFrame]]:
    found: dict[str, list[pd.DataFrame]] = {}
    for done in sorted(results.glob("*/seed-*/done.json")):
        found.setdefault(done.parents[1].name, []).append(_retrievers(done.parent / "evaluate" / PER_QUERY))
    return found


def _retrievers(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return table[table["model"] == SUBJECT]
