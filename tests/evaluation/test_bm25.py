import math

import pytest

from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.bm25 import bm25_identifiers_run, bm25_run
from revela.evaluation.scoring import mean_scores, score
from revela.settings import Bm25Settings

CORPUS = {
    "a": "def read_json_file(path): return load(path)",
    "b": "def writeCsvRows(rows): emit(rows)",
    "c": "the wing lifts",
    "d": "the wing, the wings and the lifting wing",
}


def toy(query: str) -> Benchmark:
    return Benchmark("toy", CORPUS, {"q": query}, {"q": {"a": 1}}, description="", code=True)


def test_scores_are_lucenes_formula():
    # "wing" occurs in c (1 of 2 words, stop words left out) and d (3 of 4); "wings" is stemmed to it.
    run = bm25_run(toy("wings"), Bm25Settings(k1=0.9, b=0.4))["q"]
    lengths = {"a": 6, "b": 5, "c": 2, "d": 4}
    mean = sum(lengths.values()) / 4
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))

    def expected(count: int, document: str) -> float:
        return idf * count / (count + 0.9 * (1 - 0.4 + 0.4 * lengths[document] / mean))

    assert list(run) == ["d", "c"]
    assert run["d"] == pytest.approx(expected(3, "d"), rel=1e-5)
    assert run["c"] == pytest.approx(expected(1, "c"), rel=1e-5)


def test_documents_without_a_common_word_are_left_out():
    assert bm25_run(toy("zebra"), Bm25Settings())["q"] == {}
    assert bm25_run(toy("the of and"), Bm25Settings())["q"] == {}
    assert bm25_run(toy("json"), Bm25Settings())["q"] == {}  # part of an identifier


def test_split_identifiers_are_found_by_their_words():
    assert list(bm25_identifiers_run(toy("json file reading"), Bm25Settings())["q"]) == ["a"]
    assert list(bm25_identifiers_run(toy("rows of csv"), Bm25Settings())["q"]) == ["b"]
    assert list(bm25_identifiers_run(toy("readJSONFile"), Bm25Settings())["q"]) == ["a"]


def test_two_runs_are_equal_and_at_most_k_long(toy_benchmark: Benchmark):
    first = bm25_run(toy_benchmark, Bm25Settings(), k=7)
    assert first == bm25_run(toy_benchmark, Bm25Settings(), k=7)
    assert max(map(len, first.values())) == 7
    assert mean_scores(score(toy_benchmark.qrels, first))["ndcg_at_10"] > 0.5
