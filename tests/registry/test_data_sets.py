"""The digest of what scores were taken on: equal for equal data in any order, other for any other data."""

from __future__ import annotations

import dataclasses

import pytest

from revela.evaluation.benchmarks import Benchmark
from revela.registry.data_sets import content_digest, content_digests
from revela.settings import EvaluateSettings

BENCHMARK = Benchmark(
    name="toy",
    corpus={"d1": "one", "d2": "two"},
    queries={"q1": "first?", "q2": "second?"},
    qrels={"q1": {"d1": 1}, "q2": {"d2": 1, "d1": 0}},
    description="",
    code=False,
)


def test_order_name_and_description_make_no_difference():
    turned = Benchmark(
        name="another",
        corpus=dict(reversed(BENCHMARK.corpus.items())),
        queries=dict(reversed(BENCHMARK.queries.items())),
        qrels={"q2": {"d1": 0, "d2": 1}, "q1": {"d1": 1}},
        description="the same",
        code=True,
    )
    assert content_digest(turned) == content_digest(BENCHMARK)


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": {"d1": "one", "d2": "two."}},
        {"corpus": {**BENCHMARK.corpus, "d3": ""}},
        {"queries": {"q1": "first?", "q2": "second"}},
        {"qrels": {"q1": {"d1": 2}, "q2": {"d2": 1, "d1": 0}}},
        {"corpus": BENCHMARK.queries, "queries": BENCHMARK.corpus},
    ],
)
def test_any_other_text_or_judgement_makes_another(change):
    assert content_digest(dataclasses.replace(BENCHMARK, **change)) != content_digest(BENCHMARK)


def test_every_benchmark_of_the_settings_has_one(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "one"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "first?"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    settings = EvaluateSettings(benchmarks=[{"kind": "beir", "name": "toy", "path": tmp_path}])
    toy = Benchmark("toy", {"d1": "one"}, {"q1": "first?"}, {"q1": {"d1": 1}}, "", False)
    assert content_digests(settings) == {"toy": content_digest(toy)}
