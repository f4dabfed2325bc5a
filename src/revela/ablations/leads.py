"""Each ablation against the retriever of the stage evaluate, and against another one, query by query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd

from revela.evaluation.report import PRIMARY, SUBJECT, verdict
from revela.evaluation.significance import compare, holm

PER_QUERY = "per_query.parquet"
_RESAMPLES = 10_000

BySeed = Mapping[int, pd.DataFrame]


def leads(results: Path, reference: Path, against: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The lead of every finished ablation, its scores averaged over seeds first.

    A query's mean over seeds is paired with the other side's score: the test is about queries, and the spread
    over seeds stands beside it in the table. Two ablations are compared over the seeds that both have. Sides
    with other queries (another `limit`) are not compared.

    Args:
        results: folder of the ablations.
        reference: per_query.parquet of the stage evaluate; without it only ablations are compared.
        against: ablation -> the other one that it is compared with as well.

    Returns:
        Rows name, against (``retriever`` or an ablation), benchmark, seeds, mean, mean_reference, lead, low,
        high, p, p_holm, verdict; Holm's correction over all of them.
    """
    finished = _by_name(results)
    base = _retrievers(reference) if reference.is_file() else None
    rows: list[dict[str, Any]] = []
    for name, mine in finished.items():
        if base is not None:
            rows += _compared(name, SUBJECT, len(mine), _mean(mine), base)
        other = (against or {}).get(name)
        if other is None:
            continue
        common = sorted(set(mine) & set(finished.get(other, {})))
        if common:
            sides = [_mean({seed: tables[seed] for seed in common}) for tables in (mine, finished[other])]
            rows += _compared(name, other, len(common), *sides)
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = float(f"{adjusted:.6g}")
        row["verdict"] = verdict(row["lead"], row["p_holm"])
    return rows


def _compared(
    name: str, against: str, seeds: int, mine: pd.DataFrame, theirs: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """A row a benchmark that both have with the same queries."""
    for benchmark, other in theirs.groupby("benchmark", sort=False):
        own = mine[mine["benchmark"] == benchmark]
        if set(own["query_id"]) != set(other["query_id"]):
            continue
        found = compare(own, other, metric=PRIMARY, resamples=_RESAMPLES, seed=0)
        yield {
            "name": name,
            "against": against,
            "benchmark": benchmark,
            "seeds": seeds,
            "mean": round(found.mean_a, 6),
            "mean_reference": round(found.mean_b, 6),
            "lead": round(found.difference, 6),
            "low": round(found.low, 6),
            "high": round(found.high, 6),
            "p": float(f"{found.p:.6g}"),
        }


def _mean(tables: BySeed) -> pd.DataFrame:
    """Each query's mean over seeds."""
    together = pd.concat(tables.values())
    # Without an index of groups the means come with the columns that they are grouped by.
    means = together.groupby(["benchmark", "query_id"], sort=False, as_index=False)[PRIMARY].mean()
    return cast(pd.DataFrame, means)


def _by_name(results: Path) -> dict[str, dict[int, pd.DataFrame]]:
    found: dict[str, dict[int, pd.DataFrame]] = {}
    for done in sorted(results.glob("*/seed-*/done.json")):
        seed = int(done.parent.name.removeprefix("seed-"))
        found.setdefault(done.parents[1].name, {})[seed] = _retrievers(done.parent / "evaluate" / PER_QUERY)
    return found


def _retrievers(path: Path) -> pd.DataFrame:
    table = pd.read_parquet(path)
    return table[table["model"] == SUBJECT]
