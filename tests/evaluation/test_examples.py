"""Queries to look at."""

from __future__ import annotations

from revela.evaluation.examples import choose_examples
from revela.evaluation.scoring import score


def test_the_largest_leads_come_first_and_the_largest_losses_last(toy_benchmark):
    documents = list(toy_benchmark.corpus)

    def run(ranks: dict[str, int]) -> dict[str, dict[str, float]]:
        """The relevant document of each query at its rank (from 1), others around it."""
        found = {}
        for query in toy_benchmark.queries:
            (relevant,) = toy_benchmark.qrels[query]
            others = [document for document in documents if document != relevant]
            others.insert(ranks.get(query, 1) - 1, relevant)
            found[query] = {document: -float(place) for place, document in enumerate(others)}
        return found

    runs = {"bm25": run({"q01": 2, "q02": 9}), "retriever": run({"q03": 2, "q04": 3, "q05": 9})}
    found = choose_examples(
        toy_benchmark,
        runs,
        {name: score(toy_benchmark.qrels, one) for name, one in runs.items()},
        models=("retriever", "bm25"),
        shown=["bm25", "retriever"],
        metric="ndcg_at_10",
        count=4,
    )
    assert [row["query_id"] for row in found] == ["q02", "q01", "q04", "q05"]
    assert found[0]["lead"] > found[1]["lead"] > 0 > found[2]["lead"] > found[3]["lead"]
    first = found[1]
    assert first["query"] == toy_benchmark.queries["q01"]
    assert first["relevant"] == {"d01": toy_benchmark.corpus["d01"]}
    assert [hit["relevant"] for hit in first["hits"]["bm25"]] == [False, True, False]
    assert [hit["relevant"] for hit in first["hits"]["retriever"]] == [True, False, False]


def test_queries_with_equal_scores_are_left_out(toy_benchmark):
    run = {query: {document: 1.0 for document in judged} for query, judged in toy_benchmark.qrels.items()}
    table = score(toy_benchmark.qrels, run)
    assert choose_examples(
        toy_benchmark, {"a": run, "b": run}, {"a": table, "b": table}, models=("a", "b"), shown=["a"],
        metric="ndcg_at_10", count=4,
    ) == []  # fmt: skip
