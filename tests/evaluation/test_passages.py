"""Long documents as several passages."""

from __future__ import annotations

import dataclasses
import doctest

import numpy as np
import pytest

from revela.evaluation import passages
from revela.evaluation.dense import dense_run
from revela.evaluation.loading import load_encoder
from revela.evaluation.passages import best_of_each, split_passages

LONG = " ".join(f"the red house {number}" for number in range(60))


@pytest.fixture(scope="module")
def tokenizer(encoder_dir):
    return load_encoder(encoder_dir, max_tokens=64, precision="fp32").tokenizer


def test_the_docstring_example_holds():
    assert doctest.testmod(passages, extraglobs={"np": np}).failed == 0


def test_passages_fit_overlap_and_hold_all_of_the_text(tokenizer):
    found = split_passages(tokenizer, LONG, 20)
    assert len(found) > 5
    end = 0
    for passage in found:
        assert len(tokenizer(passage, add_special_tokens=False).input_ids) <= 20
        start = LONG.index(passage, max(0, end - len(passage)))
        assert start <= end, "nothing between two passages is lost"
        end = start + len(passage)
    assert end == len(LONG)
    assert split_passages(tokenizer, "the red house", 20) == ["the red house"]


def test_the_best_passage_counts():
    scores = np.array([[0.1, 0.9, 0.5, 0.2], [0.3, 0.2, 0.1, 0.8]])
    np.testing.assert_array_equal(best_of_each(scores, [3, 1]), [[0.9, 0.2], [0.3, 0.8]])


def test_what_stands_beyond_the_cut_is_found_by_the_best_passage_alone(encoder_dir, toy_benchmark):
    padding = "the quiet market " * 40
    late = dataclasses.replace(
        toy_benchmark, corpus={key: padding + text for key, text in toy_benchmark.corpus.items()}
    )
    options = {"max_tokens": 32, "batch_size": 16, "precision": "fp32", "k": 60}
    cut = dense_run(encoder_dir, late, **options)
    split = dense_run(encoder_dir, late, best_passage=True, **options)
    assert len({round(value, 5) for value in cut["q00"].values()}) == 1, "all are alike up to the cut"
    assert len({round(value, 5) for value in split["q00"].values()}) > 10


def test_short_documents_score_as_without_splitting(encoder_dir, toy_benchmark):
    options = {"max_tokens": 128, "batch_size": 16, "precision": "fp32"}
    whole = dense_run(encoder_dir, toy_benchmark, **options)
    split = dense_run(encoder_dir, toy_benchmark, best_passage=True, **options)
    assert {query: list(run) for query, run in whole.items()} == {
        query: list(run) for query, run in split.items()
    }
