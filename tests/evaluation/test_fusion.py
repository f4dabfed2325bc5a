"""Reciprocal rank fusion: what can be worked out by hand, and a written-out reference."""

from __future__ import annotations

import random

import pytest

from revela.evaluation.fusion import reciprocal_rank_fusion


def test_a_document_that_both_find_comes_before_one_that_either_finds_first():
    lexical = {"q": {"a": 12.0, "b": 11.0, "c": 10.0}}
    dense = {"q": {"d": 0.9, "b": 0.8}}
    fused = reciprocal_rank_fusion(lexical, dense)["q"]
    assert list(fused) == ["b", "d", "a", "c"]
    assert fused == pytest.approx({"b": 1 / 62 + 1 / 62, "d": 1 / 61, "a": 1 / 61, "c": 1 / 63})


def test_scores_matter_by_their_order_alone():
    lexical, dense = {"q": {"a": 3.0, "b": 2.0}}, {"q": {"b": 0.5, "c": 0.4}}
    stretched = {"q": {"a": 3000.0, "b": -1.0}}
    assert reciprocal_rank_fusion(lexical, dense) == reciprocal_rank_fusion(stretched, dense)


def test_a_query_that_one_run_lacks_keeps_the_others_ranking():
    fused = reciprocal_rank_fusion({"only lexical": {"a": 1.0, "b": 2.0}, "both": {}}, {"both": {"c": 0.1}})
    assert {query: list(scores) for query, scores in fused.items()} == {
        "only lexical": ["b", "a"],
        "both": ["c"],
    }


def test_only_the_k_best_are_kept():
    run = {"q": {f"d{rank:03}": -float(rank) for rank in range(50)}}
    assert list(reciprocal_rank_fusion(run, run, k=3)["q"]) == ["d000", "d001", "d002"]


def test_every_sum_is_the_written_out_one():
    chosen = random.Random(0)
    runs = [
        {
            f"q{query}": {f"d{key}": chosen.random() for key in chosen.sample(range(40), 20)}
            for query in range(5)
        }
        for _ in range(3)
    ]
    fused = reciprocal_rank_fusion(*runs)
    for query, scores in fused.items():
        for document, score in scores.items():
            expected = 0.0
            for run in runs:
                if document in run[query]:
                    better = sum(other > run[query][document] for other in run[query].values())
                    expected += 1 / (60 + 1 + better)
            assert score == pytest.approx(expected)
        assert scores.keys() == set().union(*(run[query] for run in runs))
        assert list(scores.values()) == sorted(scores.values(), reverse=True)
