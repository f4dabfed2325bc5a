"""Scores then and now: equal, other, or not to be compared."""

from __future__ import annotations

import pandas as pd

from revela.evaluation.scoring import METRICS
from revela.registry.reproduction.scores import compare_scores
from revela.registry.reproduction.table import agreement


def table(values: list[float], model: str = "retriever", benchmark: str = "docstrings") -> pd.DataFrame:
    scores = {metric: values for metric in METRICS}
    queries = [f"q{number}" for number in range(len(values))]
    return pd.DataFrame({"benchmark": benchmark, "model": model, "query_id": queries, **scores})


def test_equal_scores_agree_in_any_order_and_within_a_millionth():
    kept = table([0.1, 0.5, 1.0])
    rows = compare_scores(kept, (kept.assign(ndcg_at_10=kept["ndcg_at_10"] + 9e-7))[::-1], {})
    assert [row.metric for row in rows] == list(METRICS)
    assert all(row.differs is None for row in rows)
    assert agreement(rows) == "reproduced: 4 metrics of retriever are equal, query by query, within 1e-06"


def test_means_that_agree_by_chance_do_not_hide_queries_that_do_not():
    (row, *_) = compare_scores(table([0.0, 1.0]), table([1.0, 0.0]), {})
    assert row.kept == row.now == 0.5
    assert row.differs == "2 of 2 queries, by 1 at most (q0)"


def test_what_one_of_the_two_lacks_is_named_with_the_reason_if_it_is_known():
    kept = pd.concat([table([0.1, 0.2]), table([0.3], model="minilm")])
    now = pd.concat([table([0.1, 0.2, 0.3]), table([0.4], benchmark="classes")])
    rows = compare_scores(kept, now, {"docstrings": "another data set"})
    said = {(row.benchmark, row.model): row.differs for row in rows}
    assert said == {
        ("docstrings", "retriever"): "queries in one of the two only: 1; another data set",
        ("docstrings", "minilm"): "not scored now; another data set",
        ("classes", "retriever"): "not kept",
    }
    assert agreement(rows).startswith("NOT reproduced: 12 of 12 metrics")


def test_a_score_that_is_no_number_agrees_with_nothing():
    (row, *_) = compare_scores(table([0.1, float("nan")]), table([0.1, 0.2]), {})
    assert row.differs == "query q1 has no number"
