"""Per-query scores then and now, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from revela.evaluation.scoring import METRICS

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Row:
    """One metric of one model on one benchmark.

    Attributes:
        kept, now: means over queries; None where one of the two has no such scores.
        differs: why the two do not agree; None where every query's scores are equal within 1e-6.
    """

    benchmark: str
    model: str
    metric: str
    kept: float | None
    now: float | None
    differs: str | None


def compare_scores(kept: pd.DataFrame, now: pd.DataFrame, reasons: Mapping[str, str]) -> list[Row]:
    """Every benchmark, model and metric of either, in the order of the kept ones.

    Args:
        kept, now: tables of the stage evaluate (benchmark, model, query_id, metrics).
        reasons: benchmark -> why its scores cannot be the same, where that is known.
    """
    rows = []
    pairs = dict.fromkeys(
        (benchmark, model)
        for table in (kept, now)
        for benchmark, model in table[["benchmark", "model"]].drop_duplicates().itertuples(index=False)
    )
    for benchmark, model in pairs:
        mine, theirs = (
            table[(table["benchmark"] == benchmark) & (table["model"] == model)].set_index("query_id")
            for table in (now, kept)
        )
        for metric in METRICS:
            before, after = (
                one[metric] if metric in one else pd.Series(dtype=float) for one in (theirs, mine)
            )
            differs = _difference(before, after)
            if differs is not None and benchmark in reasons:
                differs = f"{differs}; {reasons[benchmark]}"
            rows.append(Row(benchmark, model, metric, _mean(before), _mean(after), differs))
    return rows


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if len(values) else None


def _difference(kept: pd.Series, now: pd.Series) -> str | None:
    if kept.empty or now.empty:
        return "not kept" if kept.empty else "not scored now"
    odd = set(kept.index) ^ set(now.index)
    if odd:
        return f"queries in one of the two only: {len(odd)}"
    apart = (kept.sort_index() - now.sort_index()).abs()
    if apart.isna().any():
        return f"query {apart.index[apart.isna()][0]} has no number"
    count = int((apart > TOLERANCE).sum())
    if count:
        return f"{count} of {len(apart)} queries, by {apart.max():.2g} at most ({apart.idxmax()})"
    return None
