"""Is one system better than another on these queries, or did the queries happen to favour it?

The paired randomisation test of Smucker, Allan and Carterette (CIKM 2007) or Student's paired t-test, which
they found to agree with it, Holm's correction for several comparisons, and bootstrap intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from revela.errors import RevelaError

CONFIDENCE = 0.95
Test = Literal["randomisation", "t"]
# Resamples drawn at a time: 500 of 3 000 queries are 12 MB of float64.
_BATCH = 500


@dataclass(frozen=True)
class Comparison:
    """System a against system b, paired by query.

    Attributes:
        queries: number of paired queries.
        mean_a, mean_b: mean of the metric.
        difference: mean_a - mean_b.
        low, high: 95 % bootstrap interval of the difference.
        p: two-sided p-value of "a and b are interchangeable", always above 0.
    """

    queries: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float


def compare(
    per_query_a: pd.DataFrame,
    per_query_b: pd.DataFrame,
    *,
    metric: str,
    resamples: int,
    seed: int,
    test: Test = "randomisation",
) -> Comparison:
    """Compare two tables of :func:`revela.evaluation.scoring.score` on one metric.

    The order of the rows does not matter.

    Raises:
        RevelaError: a query id occurs in one of them only, or twice.
    """
    a = per_query_a.set_index("query_id")[metric].sort_index()
    b = per_query_b.set_index("query_id")[metric].sort_index()
    odd = sorted(set(a.index) ^ set(b.index))
    if odd:
        raise RevelaError(
            f"cannot pair the scores: {len(odd)} query id(s) in one table only, such as '{odd[0]}'."
        )
    if not (a.index.is_unique and b.index.is_unique):
        raise RevelaError("cannot pair the scores: a query id occurs twice in a table.")
    differences = a.to_numpy(dtype=np.float64) - b.to_numpy(dtype=np.float64)
    low, high = bootstrap_interval(differences, resamples=resamples, seed=seed)
    return Comparison(
        queries=len(differences),
        mean_a=float(a.mean()),
        mean_b=float(b.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        p=t_test_p(differences)
        if test == "t"
        else randomisation_p(differences, resamples=resamples, seed=seed),
    )


def randomisation_p(differences: np.ndarray, *, resamples: int, seed: int) -> float:
    """Two-sided p-value: how often random signs give a total at least as far out, twice the smaller tail.

    Exact when all 2^n sign patterns are at most `resamples`; else drawn, a tail then being
    (hits + 1) / (resamples + 1), so that 0 is never claimed.

    Args:
        differences: (queries,) float64.
    """
    # Queries with equal scores add 0 under either sign: leaving them out changes no total.
    moved = differences[differences != 0]
    if len(moved) < 2:
        return 1.0  # One query alone is as far out under either sign.
    result = stats.permutation_test(
        (moved,),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def t_test_p(differences: np.ndarray) -> float:
    """Two-sided p-value of Student's paired t-test; 1 where no query differs.

    Args:
        differences: (queries,) float64.
    """
    if not np.any(differences):
        return 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def bootstrap_interval(values: np.ndarray, *, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the mean of (queries,) values, resampling queries."""
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    interval = stats.bootstrap(
        (values,),
        np.mean,
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics, 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
