import math
import random

import pytest
import pytrec_eval

from revela.evaluation.scoring import METRICS, mean_scores, score

QRELS = {
    "graded": {"a": 2, "b": 1, "c": 0},
    "late": {"z": 1},
    "deep": {"r1": 1, "r2": 1},
    "absent": {"a": 1},
}
RUN = {
    # b (grade 1) first, a (grade 2) third
    "graded": {"b": 3.0, "c": 2.0, "a": 1.0},
    # the relevant document is on rank 11: beyond every cut at 10
    "late": {**{f"x{rank:02}": 20.0 - rank for rank in range(10)}, "z": 0.5},
    # r1 on rank 4, r2 never found
    "deep": {"n1": 9.0, "n2": 8.0, "n3": 7.0, "r1": 6.0},
    "never judged": {"a": 1.0},
}


def test_metrics_equal_values_worked_out_by_hand():
    table = score(QRELS, RUN).set_index("query_id")
    assert list(table.columns) == list(METRICS)
    assert list(table.index) == ["absent", "deep", "graded", "late"]

    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    found = 1 / math.log2(2) + 2 / math.log2(4)
    assert table.loc["graded"].tolist() == pytest.approx([found / ideal, 1.0, 1.0, 1.0])

    ideal = 1 / math.log2(2) + 1 / math.log2(3)
    assert table.loc["deep"].tolist() == pytest.approx([1 / math.log2(5) / ideal, 1 / 4, 0.5, 0.5])

    assert table.loc["late"].tolist() == pytest.approx([0.0, 0.0, 0.0, 1.0])


def test_a_query_missing_from_the_run_scores_zero():
    assert score(QRELS, RUN).set_index("query_id").loc["absent"].tolist() == [0.0] * 4
    assert score(QRELS, {})[list(METRICS)].to_numpy().sum() == 0.0
    assert score({"q": {"a": 1}}, {"q": {}})["ndcg_at_10"].tolist() == [0.0]


def test_mean_counts_every_judged_query():
    means = mean_scores(score(QRELS, RUN))
    assert means["mrr_at_10"] == pytest.approx((1.0 + 0.0 + 0.25 + 0.0) / 4)
    assert means["recall_at_100"] == pytest.approx((1.0 + 1.0 + 0.5 + 0.0) / 4)


def test_tied_scores_are_ranked_as_the_ranker_ranks_them():
    # trec_eval: the larger id first, so 'b' is rank 1 and 'a' rank 2
    table = score({"q": {"a": 1}}, {"q": {"a": 1.0, "b": 1.0}})
    assert table["mrr_at_10"].tolist() == [0.5]


def test_every_metric_is_pytrec_evals_on_the_same_ranking():
    draw = random.Random(0)
    documents = [f"d{number}" for number in range(300)]
    qrels = {
        f"q{number}": {document: draw.choice([0, 1, 1, 2, 3]) for document in draw.sample(documents, 12)}
        | {"d0": 1}
        for number in range(50)
    }
    run = {query: {d: draw.random() for d in draw.sample(documents, 100)} for query in qrels}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.10,100"})
    wanted = evaluator.evaluate(run)
    found = score(qrels, run).set_index("query_id")
    for query, values in wanted.items():
        for ours, theirs in (("ndcg_at_10", "ndcg_cut_10"), ("recall_at_10", "recall_10"),
                             ("recall_at_100", "recall_100")):  # fmt: skip
            assert found.loc[query, ours] == pytest.approx(values[theirs], abs=1e-6)
